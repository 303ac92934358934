"""Running the command line as a user does, in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
TAU = ROOT.parent / "shared" / "data" / "tau_airline" / "episodes.jsonl"


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Shell:
    """A user's shell, with a data directory of its own.

    Calling it runs a command in a process that is kept for the next one, since the engine takes a second to start;
    `process` runs one in a process of its own, as a user does.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
        own = {"OTEL_EPISODES_HOME": str(home), "COLUMNS": "80", "TZ": "UTC", "PYTHONUTF8": "1"}
        self._environment = {**inherited, **own}
        self._worker: subprocess.Popen[str] | None = None

    def __call__(self, *arguments: object, **environment: str) -> Ran:
        """Run ``otel-episodes`` with these arguments."""
        if self._worker is None:
            self._worker = subprocess.Popen(
                [sys.executable, Path(__file__).with_name("cli_worker.py")],
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._worker.stdin is not None
        assert self._worker.stdout is not None
        self._worker.stdin.write(json.dumps([[str(argument) for argument in arguments], environment]) + "\n")
        self._worker.stdin.flush()
        answered = self._worker.stdout.readline()
        assert answered, f"the command line crashed: {arguments}"
        return Ran(**json.loads(answered))

    def process(self, *arguments: object, **environment: str) -> Ran:
        """Run ``otel-episodes`` with these arguments in a process of its own."""
        return self.python("-m", "otel_episodes_clickhouse.cli", *arguments, **environment)

    def python(self, *arguments: object, **environment: str) -> Ran:
        """Run Python with these arguments."""
        self.close()
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            env={**self._environment, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: object, stdin: int | None = None) -> subprocess.Popen[str]:
        """Start ``otel-episodes`` with these arguments in a process of its own, beside the one that is kept."""
        return subprocess.Popen(
            [sys.executable, "-m", "otel_episodes_clickhouse.cli", *map(str, arguments)],
            env=self._environment,
            stdin=stdin,
            stdout=subprocess.PIPE,
            text=True,
        )

    def close(self) -> None:
        """End the process that was kept."""
        if self._worker is not None:
            self._worker.communicate()
            self._worker = None

    def sql(self, statement: str, *options: str) -> list[dict[str, Any]]:
        """Return the rows of a statement."""
        ran = self("sql", statement, "--json", *options)
        assert ran.code == 0, ran.err
        return list(ran.json)

    def stored(self) -> dict[str, Any]:
        """Return how many episodes and steps there are, and how they went."""
        return self.sql(
            "SELECT count() AS episodes, countIf(Outcome = 'success') AS successes, sum(Steps) AS steps, "
            "sum(FailedSteps) AS failed, (SELECT count() FROM otel_traces) AS spans FROM episodes"
        )[0]

    def spooled(self) -> int:
        """Return the bytes that have been recorded and not read yet."""
        return sum(path.stat().st_size for path in (self.home / "chdb" / "spool").glob("*.jsonl"))


@contextmanager
def opened(home: Path, migrated: Path | None = None) -> Iterator[Shell]:
    """Return a shell inside the block, over a copy of a store that has all tables if there is one."""
    if migrated is not None:
        shutil.copytree(migrated, home / "chdb", symlinks=True)
    shell = Shell(home)
    try:
        yield shell
    finally:
        shell.close()
