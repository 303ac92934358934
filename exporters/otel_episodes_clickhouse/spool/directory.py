"""The directory of a spool and the segments in it: how they are named, opened and made."""

from __future__ import annotations

import errno
import os
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Final

from otel_episodes_clickhouse.spool.flock import try_lock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


SEGMENT_BYTES: Final = 16 * 1024 * 1024
# The version of the lines: 2 has checksums. A reader leaves segments of a later one alone.
FORMAT: Final = 2
STATE: Final = "state.json"

SUFFIX: Final = ".jsonl"
NEW_SUFFIX: Final = ".new"
_DIRECTORY_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
WRITE_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


class SpoolLimitError(OSError):
    """What waits in the spool has reached its limit."""

    def __init__(self, directory: Path) -> None:
        super().__init__(errno.EDQUOT, "the spool is at its limit; see OTEL_EPISODES_SPOOL_LIMIT", str(directory))


@contextmanager
def open_directory(path: Path | str) -> Iterator[int]:
    """Open a spool's directory, which is no symbolic link and not another user's; every file below is found from it."""
    try:
        descriptor = os.open(path, _DIRECTORY_FLAGS)
    except NotADirectoryError:
        if os.path.islink(path):  # noqa: PTH114  # a path or a text
            raise PermissionError(errno.ELOOP, "a symbolic link, which is not followed", str(path)) from None
        raise
    try:
        owner = os.fstat(descriptor).st_uid
        if owner not in (0, os.geteuid()) and os.geteuid() != 0:
            raise PermissionError(errno.EACCES, f"it belongs to another user ({owner})", str(path))
        yield descriptor
    finally:
        os.close(descriptor)


def make_directory(path: Path | str) -> None:
    """Make a spool's directory, and those above it, for the owner only."""
    missing = []
    above = os.fspath(path)
    while above and not os.path.lexists(above):
        missing.append(above)
        above = os.path.dirname(above)  # noqa: PTH120  # a path or a text
    for place in reversed(missing):
        with suppress(FileExistsError):
            os.mkdir(place, mode=0o700)  # noqa: PTH102  # likewise
            own_as(os.path.dirname(place) or ".", place)  # noqa: PTH120  # likewise


def own_as(directory: Path | str | int, made: Path | str | int) -> None:
    """Give what root has just made in a directory to the directory's owner, who could never use it otherwise."""
    if os.geteuid() == 0:
        owner = os.stat(directory)  # noqa: PTH116  # a path or a descriptor
        if owner.st_uid:
            os.chown(made, owner.st_uid, owner.st_gid)


def create_segment(directory: Path | str, *, fsync: bool = False) -> tuple[int, int, str]:
    """Create this process's next segment, locked and with its header; return descriptor, bytes in it and name."""
    make_directory(directory)
    name = f"{time.time_ns():019d}-{os.getpid()}-{os.urandom(4).hex()}{SUFFIX}"
    header = f'{{"format":{FORMAT},"pid":{os.getpid()},"name":"{name}"}}\n'.encode()
    # Under its final name only once it is locked: a reader takes an unlocked segment for a finished one.
    hidden = f".{name}{NEW_SUFFIX}"
    with open_directory(directory) as parent:
        descriptor = os.open(hidden, WRITE_FLAGS, 0o600, dir_fd=parent)
        with ExitStack() as failed:
            failed.callback(_discard, hidden, parent)
            failed.callback(os.close, descriptor)
            if not try_lock(descriptor):
                raise OSError(errno.EWOULDBLOCK, "a new file is locked by another process", hidden)
            own_as(parent, descriptor)
            if os.write(descriptor, header) != len(header):
                raise OSError(errno.ENOSPC, "no room for a new file", hidden)
            os.rename(hidden, name, src_dir_fd=parent, dst_dir_fd=parent)
            if fsync:
                os.fsync(parent)
            failed.pop_all()
    return descriptor, len(header), name


def _discard(name: str, parent: int) -> None:
    with suppress(OSError):
        os.unlink(name, dir_fd=parent)


def is_segment_name(name: str) -> bool:
    """Tell whether a segment of this directory, and no file elsewhere, may be called that."""
    return name.endswith(SUFFIX) and not name.startswith(".") and "/" not in name
