"""The embedded engine in this process: loading it, and what it does to a process that it should not.

Measured with chdb-core 26.9: importing it starts 14 threads; importing it, and every connection that starts the
engine, takes over SIGSEGV, SIGABRT and their like (its handler then hangs for minutes instead of letting the process
die); a process forked afterwards hangs on its first call. So it is loaded only by what reads the store, never by what
records.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from otel_episodes_clickhouse.errors import StoreError, StoreLockedError, StoreUnavailableError
from otel_episodes_clickhouse.spool.directory import make_directory
from otel_episodes_clickhouse.spool.locks import ProcessLock
from otel_episodes_clickhouse.store import served

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_episodes_clickhouse.config import Target

_FATAL: Final = tuple(
    getattr(signal, name)
    for name in ("SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGSEGV", "SIGSYS", "SIGTSTP")
    if hasattr(signal, name)
)
# Our views are built on views, and on small answers planning is most of what a statement costs: putting the expressions
# of all levels into one takes as long as all else of it together (benchmarks/planning.py).
SETTINGS: Final = {"query_plan_merge_expressions": 0}
# Room for any platform's struct sigaction (152 bytes on Linux).
_SIGACTION_BYTES: Final = 512
# How soon it is looked whether the process that has the store answers for it.
_LOOK_SECONDS: Final = 0.02


def load() -> None:
    """Import chdb; raise when it is not installed. To be called within `signals_kept`."""
    try:
        import chdb  # noqa: F401, PLC0415  # takes half a second: only when the engine is needed
    except ImportError as error:
        raise StoreUnavailableError(
            "the embedded engine is not installed: pip install 'otel-episodes[embedded]', "
            "or point OTEL_EPISODES_DSN at a ClickHouse server",
            lasting=True,
        ) from error


@contextmanager
def signals_kept() -> Iterator[None]:
    """Put the handlers of fatal signals back to what they were before the block."""
    # By sigaction rather than signal.signal: handlers set in C, faulthandler's among them, come back too.
    libc = ctypes.CDLL(None)
    before = {number: ctypes.create_string_buffer(_SIGACTION_BYTES) for number in _FATAL}
    for number, action in before.items():
        libc.sigaction(int(number), None, action)
    try:
        yield
    finally:
        for number, action in before.items():
            libc.sigaction(int(number), action, None)


def lock(target: Target, wait_seconds: float) -> ProcessLock | None:
    """Lock the embedded store: a second process would get an empty error message from the engine.

    Returns None when the process that has it answers for it (`served`).

    Raises:
        StoreLockedError: another process had it for that long.
        StoreUnavailableError: the directory cannot be written to.
    """
    path = target.path
    assert path is not None  # noqa: S101  # embedded targets have one
    held = ProcessLock(path / "otel-episodes.lock")
    try:
        make_directory(path)
        owner = path.stat().st_uid
        if owner and os.geteuid() == 0:
            raise StoreError(
                f"{path} belongs to user {owner}, and the engine's files would be root's: run this as that user "
                f"(sudo -u '#{owner}' otel-episodes ...)"
            )
        deadline = time.monotonic() + wait_seconds
        while not held.acquire(wait_seconds=min(_LOOK_SECONDS, wait_seconds)):
            if served.is_served(path):
                return None
            if time.monotonic() >= deadline:
                raise StoreLockedError(
                    f"{target} is in use by {held.holder()}: wait for it, end it, or use a ClickHouse server "
                    "(OTEL_EPISODES_DSN), which takes many at once"
                )
    except OSError as error:
        raise StoreUnavailableError(f"cannot write to {path}: {error.strerror}") from error
    return held
