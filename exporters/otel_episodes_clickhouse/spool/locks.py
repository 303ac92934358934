"""A lock between processes that says who holds it.

flock: the kernel drops it when its holder dies, however it dies. The file holds a line of JSON about the holder and
stays behind, empty of meaning, when the lock is free.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import sys
import time
import weakref
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from otel_episodes_clickhouse.spool.directory import own_as
from otel_episodes_clickhouse.spool.flock import try_lock

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_PAUSE_SECONDS = 0.02
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_LOOK_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_held: weakref.WeakSet[ProcessLock] = weakref.WeakSet()


class ProcessLock:
    """An exclusive lock on a file; not reentrant, and not inherited by a forked child."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Tell whether this object holds it."""
        return self._descriptor is not None

    def acquire(self, *, wait_seconds: float = 0.0) -> bool:
        """Take the lock and return True, or False when it is still held after that time."""
        deadline = time.monotonic() + wait_seconds
        while not self._try():
            if time.monotonic() >= deadline:
                return False
            time.sleep(_PAUSE_SECONDS)
        return True

    def _try(self) -> bool:
        descriptor = os.open(self.path, _FLAGS, 0o600)
        with suppress(FileNotFoundError), ExitStack() as not_taken:
            not_taken.callback(os.close, descriptor)
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
                raise OSError(errno.EINVAL, "not a file of our own", str(self.path))
            own_as(self.path.parent, descriptor)
            # Removed while we waited, it would lock out nobody who comes after us.
            if try_lock(descriptor) and os.path.samestat(status, self.path.lstat()):
                not_taken.pop_all()
                self._hold(descriptor)
                return True
        return False

    def _hold(self, descriptor: int) -> None:
        self._descriptor = descriptor
        _held.add(self)
        note = orjson.dumps({"pid": os.getpid(), "command": _command(), "since": time.strftime("%Y-%m-%d %H:%M:%S")})
        # On a full disk the note is missing, the lock is not.
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, note, 0)

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        descriptor, self._descriptor = self._descriptor, None
        _held.discard(self)
        if descriptor is not None:
            os.close(descriptor)

    def holder(self) -> str:
        """Describe who wrote the note last, for a message; the holder may be gone by now."""
        try:
            note = orjson.loads(self.path.read_bytes())
            return f"process {note['pid']} ({note['command']}) since {note['since']}"
        except (OSError, ValueError, TypeError, KeyError):
            return "a process that left no note"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def is_held(path: Path) -> bool:
    """Tell whether somebody holds the lock on a file; False also where that cannot be told."""
    try:
        descriptor = os.open(path, _LOOK_FLAGS)
    except OSError:
        return False
    try:
        # Shared, so that any number may look at once.
        return not try_lock(descriptor, fcntl.LOCK_SH)
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _command() -> str:
    # The program and its subcommand only: further arguments may hold a DSN with a password.
    program, *rest = [Path(sys.argv[0]).name or "python", *sys.argv[1:2]]
    return " ".join([program, *(word for word in rest if word.isalpha())])[:80]


def _drop_inherited() -> None:
    # A forked child shares the parent's open file and with it the lock: it must close it (not unlock it), or the
    # lock would outlive the parent.
    for lock in list(_held):
        lock.release()


os.register_at_fork(after_in_child=_drop_inherited)
