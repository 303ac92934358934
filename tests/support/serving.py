"""`otel-episodes serve` as a process, and requests to it."""

from __future__ import annotations

import http.client
import json
import os
import selectors
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_START_SECONDS = 120
_END_SECONDS = 60
# Takes spans and has no store.
INTAKE = (sys.executable, str(Path(__file__).with_name("serve_intake.py")))


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Serving:
    """A process that serves, on a port of loopback."""

    process: subprocess.Popen[str]
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, None, headers)

    def post(self, path: str, body: bytes, content_type: str, **headers: str) -> Answer:
        return self.ask("POST", path, body, {"Content-Type": content_type, **headers})

    def ask(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def stored(self, count: int) -> dict[str, Any]:
        """Wait until that many spans are stored since the start; return the counts."""
        end = time.monotonic() + _START_SECONDS
        while (counts := self.get("/counts.json").json)["stored"]["exported"] < count:
            assert time.monotonic() < end, counts
            time.sleep(0.1)
        return counts


@contextmanager
def serving(dsn: str, *options: str, command: tuple[str, ...] = (), **environ: str) -> Iterator[Serving]:
    """Run ``serve`` on a free port until the block ends; ``command`` is what is run in its place."""
    whole = command or (
        sys.executable,
        "-m",
        "otel_episodes_clickhouse.cli",
        "serve",
        "--port=0",
        "--json",
        "--dsn",
        dsn,
    )
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    with subprocess.Popen(
        [*whole, *options], env={**inherited, **environ}, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            with selectors.DefaultSelector() as starting:
                starting.register(process.stdout, selectors.EVENT_READ)
                assert starting.select(_START_SECONDS), "it does not start"
            line = process.stdout.readline()
            assert line, "it does not start"
            yield Serving(process, int(json.loads(line)["address"].rpartition(":")[2]))
        finally:
            process.terminate()
            try:
                process.wait(_END_SECONDS)
            finally:
                process.kill()


def children(process: int) -> list[int]:
    """Return the processes that a process has started."""
    return [int(number) for number in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def spooled(spool: Path) -> list[Any]:
    """Return the rows that a drain of a spool takes to its sink."""
    from otel_episodes_clickhouse.spool.drain import drain

    rows: list[Any] = []

    class Sink:
        def insert_rows(self, batch: Any, *, token: str | None = None) -> int:
            rows.extend(batch)
            return len(rows)

    drain(Sink(), spool)
    return rows
