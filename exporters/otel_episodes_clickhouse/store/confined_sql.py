"""SQL that is not ours, asked of the embedded engine in a process of its own that can reach nothing else.

The engine is in the process that reads, so a statement that talks it into opening a file opens it with the user's
rights. The process made here gives those up first (`confinement`): it has the store's directory, a directory for
temporary files, the engine's libraries, none of the environment, and no network; the thread that runs the statement can
also not write, so INTO OUTFILE cannot put a file into the store. Whatever gets past `read_only` gets no further. It
answers in pickles that may hold plain values only, and the kernel ends it when this process ends.
"""

from __future__ import annotations

import atexit
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from otel_episodes_clickhouse import errors
from otel_episodes_clickhouse.errors import StoreError
from otel_episodes_clickhouse.store import confinement

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType
    from typing import Self

    from otel_episodes_clickhouse.config import Target

_OURS: Final = ("otel_episodes", "otel_episodes_clickhouse")
# What those import while they answer; where one is, are those it needs.
_NEEDED: Final = ("chdb", "clickhouse_connect", "opentelemetry", "orjson", "platformdirs", "wrapt")
# Where the loader and the C library look.
_SYSTEM: Final = (
    "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/etc/ld.so.cache", "/etc/localtime",
    "/proc/self/maps", "/proc/self/stat", "/proc/self/status", "/proc/cpuinfo", "/proc/meminfo", "/proc/mounts",
    "/proc/stat", "/sys/devices/system/cpu", "/sys/fs/cgroup", "/dev/null", "/dev/random", "/dev/urandom",
)  # fmt: skip
_KEPT_VARIABLES: Final = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TZ")
_PLAIN: Final = frozenset((
    ("datetime", "date"), ("datetime", "datetime"), ("datetime", "time"), ("datetime", "timedelta"),
    ("datetime", "timezone"), ("decimal", "Decimal"), ("ipaddress", "IPv4Address"), ("ipaddress", "IPv6Address"),
    ("uuid", "UUID"), ("uuid", "SafeUUID"), ("zoneinfo", "ZoneInfo._unpickle"),
))  # fmt: skip


@dataclass(frozen=True)
class Result:
    """The answer to a user's own SQL."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: list[tuple[Any, ...]]


@dataclass(frozen=True)
class Answer:
    """A result, and what could not be brought in before the question; empty when all was."""

    result: Result
    problem: str = ""


class ConfinedEngine:
    """The engine on one directory behind walls; a context manager.

    ``bring_in`` takes in what was recorded before each question. ``locked`` says that this process holds the store's
    lock, and that its own engine is closed.
    """

    START = (
        "import json, sys; request = json.loads(sys.stdin.readline()); sys.path[:] = request['sys_path']; "
        "from otel_episodes_clickhouse.store.confined_engine import serve; serve(request)"
    )

    def __init__(self, target: Target, *, bring_in: bool = False, locked: bool = False) -> None:
        self._target = target
        self._bring_in = bring_in
        self._locked = locked

    def __enter__(self) -> Self:
        self._temporary = tempfile.mkdtemp(prefix="otel-episodes-")
        with ExitStack() as failed:
            failed.callback(shutil.rmtree, self._temporary, ignore_errors=True)
            self._start()
            failed.pop_all()
        return self

    def _start(self) -> None:
        reading, writing = os.pipe()
        with ExitStack() as failed, os.fdopen(writing, "wb"):
            failed.callback(os.close, reading)
            # A group of its own: Ctrl-C is for this process, which then ends that one.
            self._process = subprocess.Popen(  # noqa: S603  # ourselves
                [sys.executable, "-I", "-S", "-c", self.START],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                env=_environment(self._temporary),
                cwd=self._temporary,
                pass_fds=(writing,),
                process_group=0,
            )
            failed.pop_all()
        self._answers = os.fdopen(reading, "rb")
        self._send(self._begin(writing))

    def _begin(self, channel: int) -> dict[str, Any]:
        path = self._target.path
        assert path is not None  # noqa: S101  # embedded targets have one
        libraries, ours = _libraries()
        return {
            "sys_path": [*libraries, *dict.fromkeys(str(package.parent) for package in ours)],
            "read": [*libraries, *map(str, ours), *_SYSTEM],
            "path": str(path),
            "spool": str(self._target.spool),
            "temporary": self._temporary,
            "channel": channel,
            "bring_in": self._bring_in,
            "locked": self._locked,
        }

    def ask(self, text: str, parameters: Mapping[str, Any]) -> Answer:
        """Return the answer to a question; raise what asking it raised there."""
        self._send({"text": text, "parameters": dict(parameters)})
        columns, types, rows, problem = self.received()
        return Answer(Result(columns, types, rows), problem)

    def received(self) -> list[Any]:
        """Return what it says next; raise what it has raised."""
        try:
            answer: tuple[Any, ...] = _PlainUnpickler(self._answers).load()
        except EOFError:
            raise StoreError(f"the process that asked the engine {_ending(self._process.wait())}") from None
        kind, *said = answer
        if kind == "error":
            raise _error(*said)
        return said

    def _send(self, request: dict[str, Any]) -> None:
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101  # a pipe
        try:
            stdin.write(json.dumps(request, default=str).encode() + b"\n")
            stdin.flush()
        except BrokenPipeError:
            raise StoreError(f"the process that asked the engine {_ending(self._process.wait())}") from None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and not issubclass(kind, Exception):
            # Interrupted: it may be at the statement for long. What it takes in survives that.
            self._process.kill()
        self._answers.close()
        self._process.communicate()
        self.remove_temporary()

    def remove_temporary(self) -> None:
        """Remove the directory for temporary files."""
        shutil.rmtree(self._temporary, ignore_errors=True)


def ask(
    target: Target, text: str, parameters: Mapping[str, Any], *, bring_in: bool = False, locked: bool = False
) -> Answer:
    """Ask the embedded store one question; see `ConfinedEngine`."""
    with ConfinedEngine(target, bring_in=bring_in, locked=locked) as engine:
        return engine.ask(text, parameters)


def confine_here(target: Target) -> None:
    """Leave this process, which has not loaded the engine yet, the store's directory and the libraries alone."""
    path = target.path
    assert path is not None  # noqa: S101  # embedded targets have one
    temporary = tempfile.mkdtemp(prefix=".tmp-", dir=path)
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)
    os.environ["TMPDIR"] = tempfile.tempdir = temporary
    libraries, ours = _libraries()
    read = [*map(Path, libraries), *ours, *map(Path, _SYSTEM)]
    confinement.confine(read=read, write=[path, target.spool, Path("/dev/null")])


class _PlainUnpickler(pickle.Unpickler):
    """Reads values that are plain data: what comes out of a process with hostile SQL in it runs nothing here."""

    def find_class(self, module: str, name: str) -> Any:
        """Return a class of plain values; raise for any other."""
        if (module, name) in _PLAIN:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} is not a plain value")


def _error(name: str, message: str, details: Mapping[str, Any]) -> StoreError:
    kind = getattr(errors, name, StoreError)
    made: StoreError = kind(message, **details)
    return made


def _ending(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with {code} and without an answer"


def _environment(temporary: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    # Nothing of what the agent's own environment holds: keys, passwords.
    return {**kept, "HOME": temporary, "TMPDIR": temporary, "PYTHONDONTWRITEBYTECODE": "1"}


def _libraries() -> tuple[list[str], list[Path]]:
    """Return the directories of the interpreter's and the needed libraries, and those of this distribution."""
    paths = sysconfig.get_paths()
    directories = [paths["stdlib"], paths["platstdlib"], sysconfig.get_config_var("DESTSHARED") or ""]
    directories += [str(parent) for name in _NEEDED for parent in _parents(name)]
    # The interpreter's own shared library, where it has one.
    directories.append(str(Path(sys.base_prefix) / "lib"))
    ours = [parent / name for name in _OURS for parent in _parents(name)]
    return list(dict.fromkeys(filter(None, directories))), ours


def _parents(name: str) -> Iterable[Path]:
    spec = find_spec(name)
    return [Path(place).parent for place in (spec.submodule_search_locations or [])] if spec else []
