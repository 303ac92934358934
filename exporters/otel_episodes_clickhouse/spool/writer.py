"""Appending finished spans to this process's segment, without ever getting in the way of the code they are about.

The writer holds flock on its open segment for as long as it writes there. That, not a process id, is how a reader
knows a segment is finished: the kernel drops the lock when the process ends, however it ends. It needs a file system
with flock, which local disks have.
"""

from __future__ import annotations

import atexit
import errno
import logging
import os
import secrets
import threading
import time
import weakref
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from otel_episodes_clickhouse.spool.directory import (
    SEGMENT_BYTES,
    WRITE_FLAGS,
    SpoolLimitError,
    create_segment,
    open_directory,
    own_as,
)
from otel_episodes_clickhouse.spool.limit import is_over_limit
from otel_episodes_clickhouse.spool.losses import (
    DISK_FULL,
    DROPPED_SUFFIX,
    ENCODE_ERROR,
    NO_ROOM,
    REMOVED,
    SPOOL_LIMIT,
    UNWRITABLE,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType


logger = logging.getLogger(__name__)

Item = TypeVar("Item")

_LOOK_SECONDS: Final = 1.0
_LOOK_BYTES: Final = 1024 * 1024
# A segment that is finished early on a full disk, since deleting it makes some room.
_WORTH_BYTES: Final = 64 * 1024
_SAY_SECONDS: Final = 60.0
_EXIT_SECONDS: Final = 1.0

_writers: weakref.WeakSet[SpoolWriter[Any]] = weakref.WeakSet()


class SpoolWriter(Generic[Item]):
    """Appends items to this process's segment; safe in threads, in signal handlers, after fork and after `close`.

    ``new_encoder`` is called for every segment; what it returns turns one item into whole lines, and may keep what
    it has defined in that segment. Nothing here raises into the caller because of the disk: what could not be
    written is counted in ``dropped``, by reason, and logged at most once a minute.

    ``limit_bytes`` is for what waits in the directory, whoever wrote it; None for a tenth of the file system and
    `MOST_BYTES` at most, 0 for no limit. At the limit new items are dropped, not old ones: those were promised.

    ``last_hope``: what is not written is lost, and counted as such. Otherwise the one who sent it keeps it.
    """

    # Set by `_start_over`, so also after a fork.
    _lock: Any
    _writing: bool
    _again: bool
    _aside: SpoolWriter[Item] | None
    _descriptor: int | None
    _encode: Callable[[Item], bytes]
    _name: str
    _identity: tuple[int, int]
    _size: int
    _look_size: int
    _look_at: float
    _torn: bool
    _written_at_look: int
    _written_at_begin: int
    _pid: int
    _id: str
    _published: str

    def __init__(
        self,
        directory: Path,
        new_encoder: Callable[[], Callable[[Item], bytes]],
        *,
        segment_bytes: int = SEGMENT_BYTES,
        limit_bytes: int | None = None,
        fsync: bool = False,
        last_hope: bool = True,
    ) -> None:
        self.directory = directory
        self._last_hope = last_hope
        self.written = 0
        self._dropped: Counter[str] = Counter()
        self._new_encoder = new_encoder
        self._segment_bytes = segment_bytes
        self._limit_bytes = limit_bytes
        self._fsync = fsync
        self._failing = False
        self._said = False
        self._say_at = 0.0
        self._full_until = 0.0
        self._news: list[tuple[int, str]] = []
        self._start_over()
        _writers.add(self)

    @property
    def dropped(self) -> Counter[str]:
        """How many items this process has lost, by reason: a copy."""
        return self._dropped + self._aside.dropped if self._aside is not None else Counter(self._dropped)

    @property
    def lost(self) -> int:
        """How many items were dropped, for whatever reason."""
        return self.dropped.total()

    def append(self, item: Item) -> bool:  # noqa: C901  # the hot path: a call to another only for what is rare
        """Write one item before returning; False when it was lost."""
        with self._lock:
            if self._writing:
                return self._append_aside(item)
            self._writing = True
            try:
                descriptor = self._descriptor
                if descriptor is None or time.monotonic() > self._look_at:
                    descriptor = self._open_segment()
                lines = self._encode(item)
                if self._torn:
                    # What is left of a line ends here.
                    lines = b"\n" + lines
                    self._torn = False
                size = os.write(descriptor, lines)
                self._size += size
                if size != len(lines):
                    self._write_rest(descriptor, lines, size)
                if self._fsync:
                    os.fsync(descriptor)
                self.written += 1
                if self._failing:
                    self._recover()
                if self._size >= self._look_size:
                    self._look_at_size()
                written = True
            except OSError as error:
                if error.errno is None:
                    # Not the system's: a time limit of the program's, raised by a signal handler. It passes.
                    self._give_up_line(error)
                    raise
                written = self._fail(item, error)
            except BaseException as error:
                self._give_up_line(error)
                raise
            finally:
                self._writing = False
        if self._news and not self._again:
            self._tell()
        return written

    def close(self) -> None:
        """Finish the segment, so that a reader may delete it; a later append opens a new one."""
        with self._lock:
            if self._writing:
                # In a signal handler in the middle of an append, which still needs the segment. It is finished when
                # the process ends, and may be read before.
                return
            if self._aside is not None:
                self._aside.close()
            self._close_segment()

    # --- writing ---------------------------------------------------------------------------------------------------

    def _write_rest(self, descriptor: int, lines: bytes, written: int) -> None:
        """Write what a short write has left over, or take back the part of a line there was room for."""
        try:
            while written < len(lines):
                count = os.write(descriptor, memoryview(lines)[written:])
                self._size += count
                written += count
        except OSError:
            # Whole lines stay: a reader may have them already.
            part = written - (lines.rfind(b"\n", 0, written) + 1)
            try:
                os.ftruncate(descriptor, self._size - part)
                self._size -= part
            except OSError:
                self._torn = True
            raise

    def _append_aside(self, item: Item) -> bool:
        """Write an item that comes in the middle of another: a signal handler or a finaliser has ended a span.

        Into a segment of its own, since the line of the other may be half written and its encoder half through.
        """
        if self._aside is None:
            self._aside = SpoolWriter(
                self.directory,
                self._new_encoder,
                segment_bytes=self._segment_bytes,
                limit_bytes=self._limit_bytes,
                fsync=self._fsync,
                last_hope=self._last_hope,
            )
        written = self._aside.append(item)
        self.written += written
        return written

    # --- segments --------------------------------------------------------------------------------------------------

    def _open_segment(self) -> int:
        """Open a segment, or go on with the open one where it is still there: looked after once a second."""
        now = time.monotonic()
        if self._descriptor is not None and self._in_place(self._descriptor):
            self._look_at = now + _LOOK_SECONDS
            self._written_at_look = self.written
            return self._descriptor
        if now < self._full_until:
            raise SpoolLimitError(self.directory)
        if self._over_limit():
            self._full_until = now + _LOOK_SECONDS
            raise SpoolLimitError(self.directory)
        return self._begin_segment()

    def _begin_segment(self) -> int:
        """Go on in a new segment; what is written in the last one until there is one stays there."""
        descriptor, size, name = create_segment(self.directory, fsync=self._fsync)
        self._close_segment()
        self._descriptor, self._size, self._name = descriptor, size, name
        self._identity = _identity(os.fstat(descriptor))
        self._encode = self._new_encoder()
        self._pid = os.getpid()
        if self._dropped and not self._published:
            self._publish()
        self._look_at = time.monotonic() + _LOOK_SECONDS
        self._written_at_look = self._written_at_begin = self.written
        self._set_look_size()
        return descriptor

    def _in_place(self, descriptor: int) -> bool:
        """Tell whether the open segment is ours and where readers look; give it up otherwise."""
        opened, named = _status(descriptor), _status(self.directory / self._name)
        if opened is None or _identity(opened) != self._identity:
            # Closed behind our back, and the number may be another file's by now: not ours to close.
            self._descriptor = None
            return False
        in_place = named is not None and _identity(named) == self._identity
        # Else it was forked behind Python's back: the file, and the lock on it, are the parent's.
        if in_place and self._pid == os.getpid():
            return True
        if not in_place:
            text = f"the spool {self.directory} was removed or replaced while in use; going on in a new file"
            self._news.append((logging.WARNING, text))
        if not opened.st_nlink:
            self._drop(REMOVED, self.written - self._written_at_look)
        self._close_segment()
        return False

    def _look_at_size(self) -> None:
        """Finish a full segment, and the open one when the spool is at its limit: only finished ones make room."""
        if self._over_limit():
            self._close_segment()
        elif self._size < self._segment_bytes:
            self._set_look_size()
        else:
            try:
                self._begin_segment()
            except OSError:
                # No file to be had: the open one takes more, and a new one is tried for again.
                self._look_size = self._size + _LOOK_BYTES

    def _set_look_size(self) -> None:
        step = _LOOK_BYTES if not self._limit_bytes else min(_LOOK_BYTES, max(self._limit_bytes // 16, 1))
        self._look_size = min(self._size + step, self._segment_bytes)

    def _over_limit(self) -> bool:
        if self._limit_bytes == 0:
            return False
        try:
            return is_over_limit(self.directory, self._limit_bytes)
        except OSError:
            # Out of file descriptors, say: what cannot be looked at is no reason to lose what can be written.
            return False

    def _close_segment(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        self._torn = False
        if descriptor is not None:
            with suppress(OSError):
                os.close(descriptor)

    # --- losses ----------------------------------------------------------------------------------------------------

    def _fail(self, item: Item, error: OSError) -> bool:
        # Definitions may be among what was not written: the next item brings its own again.
        self._encode = self._new_encoder()
        if not self._again and error.errno == errno.EBADF:
            # Somebody closed every file there was, as programs do that become a daemon: not ours to close again.
            self._descriptor = None
            return self._append_again(item)
        if not self._again and error.errno == errno.EFBIG and self.written > self._written_at_begin:
            # A limit for each file, not for all of them.
            self._close_segment()
            return self._append_again(item)
        if isinstance(error, SpoolLimitError):
            reason = SPOOL_LIMIT
        else:
            reason = DISK_FULL if error.errno in NO_ROOM else UNWRITABLE
        if not self._failing and time.monotonic() >= self._say_at:
            self._say_at = time.monotonic() + _SAY_SECONDS
            self._said = True
            what = "spans are lost" if self._last_hope else "nothing is taken"
            self._news.append((
                logging.ERROR, f"cannot write to {self.directory} ({error}); {what} until that is mended"
            ))  # fmt: skip
        self._failing = True
        self._drop(reason)
        if reason == DISK_FULL and self._size > _WORTH_BYTES:
            # What is in the store already can be deleted only once the segment is finished.
            self._close_segment()
        return False

    def _append_again(self, item: Item) -> bool:
        """Write into a new segment."""
        self._writing = False
        self._again = True
        try:
            return self.append(item)
        finally:
            self._again = False

    def _give_up_line(self, error: BaseException) -> None:
        # The encoder may believe it has defined what was never written, and a line may be half there.
        self._encode = self._new_encoder()
        self._torn = True
        if isinstance(error, Exception):
            self._drop(ENCODE_ERROR)

    def _recover(self) -> None:
        self._failing = False
        if self._said:
            self._said = False
            lost = f"; {self.lost} were lost" if self._last_hope else ""
            text = f"writing spans to {self.directory} works again{lost}"
            self._news.append((logging.WARNING, text))

    def _tell(self) -> None:
        # Not under the lock: a log handler may wait for a thread that is about to record.
        news, self._news = self._news, []
        for level, text in news:
            logger.log(level, "%s", text)

    def _drop(self, reason: str, count: int = 1) -> None:
        if count and self._last_hope:
            self._dropped[reason] += count
            self._publish()

    def _publish(self) -> None:
        """Say in the name of a file how much was lost, where there is a place for it."""
        counts = ".".join(f"{reason}-{count}" for reason, count in sorted(self._dropped.items()))
        name = f"{self._id}.{counts}{DROPPED_SUFFIX}"
        with suppress(OSError), open_directory(self.directory) as parent:
            try:
                os.rename(self._published or name, name, src_dir_fd=parent, dst_dir_fd=parent)
            except FileNotFoundError:
                made = os.open(name, WRITE_FLAGS, 0o600, dir_fd=parent)
                own_as(parent, made)
                os.close(made)
            self._published = name

    # --- forks and ends --------------------------------------------------------------------------------------------

    def _start_over(self) -> None:
        """Forget the open segment, and the lock that a thread may hold which will never run again."""
        # Reentrant, because a garbage collection inside append can end a span: see `append`.
        self._lock = threading.RLock()
        self._writing = False
        self._again = False
        self._aside = None
        self._descriptor = None
        self._encode = self._new_encoder()
        self._name = ""
        self._identity = (0, 0)
        self._size = 0
        self._look_size = 0
        self._torn = False
        self._look_at = 0.0
        self._written_at_look = self._written_at_begin = self.written
        self._pid = os.getpid()
        self._id = f"{self._pid}-{secrets.token_hex(4)}"
        self._published = ""

    def _after_fork_in_child(self) -> None:
        # The lock may be held by a thread the child does not have, and the open file, with its flock, is shared with
        # the parent: close it (unlocking would unlock the parent's) and start a segment of one's own.
        self._close_segment()
        self._dropped = Counter()
        self._start_over()

    def _before_exit(self) -> None:
        self._lock = _LockAtExit(self)


class _LockAtExit:
    """A writer's lock from when the interpreter is ending.

    A daemon thread that comes back from a system call then is stopped for good, with the lock; whoever records last
    does not wait for it longer than a moment.
    """

    def __init__(self, writer: SpoolWriter[Any]) -> None:
        self._writer = writer
        self._lock = writer._lock  # noqa: SLF001  # same module

    def __enter__(self) -> None:
        if self._lock.acquire(timeout=_EXIT_SECONDS):
            return
        self._lock = threading.RLock()
        self._lock.acquire()
        self._writer._start_over()  # noqa: SLF001  # same module
        self._writer._lock = self  # noqa: SLF001  # likewise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _status(file: int | Path) -> os.stat_result | None:
    try:
        return os.fstat(file) if isinstance(file, int) else file.lstat()
    except OSError:
        return None


def _after_fork_in_child() -> None:
    for writer in list(_writers):
        writer._after_fork_in_child()  # noqa: SLF001  # same module


def _before_exit() -> None:
    for writer in list(_writers):
        writer._before_exit()  # noqa: SLF001  # same module


os.register_at_fork(after_in_child=_after_fork_in_child)
# Registered before any provider's own: it runs after them, last of all.
atexit.register(_before_exit)
