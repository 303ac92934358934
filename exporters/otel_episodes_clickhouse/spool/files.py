"""What a drain writes beside the segments, so that a crash or a full disk leaves the old file or the new one."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeVar

from otel_episodes_clickhouse.spool.directory import open_directory, own_as

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Decoded = TypeVar("Decoded")


_QUARANTINE: Final = "quarantine"
_RESERVE: Final = ".reserve"
# Room for the state of some hundred living processes.
_RESERVE_BYTES: Final = 256 * 1024
_CREATE_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


class DrainFiles:
    """What a drain writes in the spool's directory, so that a crash leaves the old file or the new one.

    There is a reserve, given up when the disk is full: taking in the spool is what makes room.
    """

    def __init__(self, spool: Path) -> None:
        self._spool = spool

    def reserve(self) -> None:
        """Keep some room for a full disk."""
        with suppress(OSError), open_directory(self._spool) as parent:
            # Not found full again and again: whoever cannot have it now tries at the next drain.
            descriptor = os.open(_RESERVE, _CREATE_FLAGS, 0o600, dir_fd=parent)
            try:
                own_as(parent, descriptor)
                os.posix_fallocate(descriptor, 0, _RESERVE_BYTES)
            except OSError:
                os.unlink(_RESERVE, dir_fd=parent)
            finally:
                os.close(descriptor)

    def write(self, name: str, text: bytes) -> None:
        """Replace a file, durably before this returns."""
        with open_directory(self._spool) as parent:
            self._with_room(parent, lambda: _replace_file(parent, name, text))

    def set_aside(self, name: str, text: bytes) -> Path:
        """Keep something in the quarantine and return where."""
        with open_directory(self._spool) as parent:
            with suppress(FileExistsError):
                os.mkdir(_QUARANTINE, mode=0o700, dir_fd=parent)
            with open_directory(self._spool / _QUARANTINE) as quarantine:
                own_as(parent, quarantine)
                self._with_room(parent, lambda: _replace_file(quarantine, name, text))
        return self._spool / _QUARANTINE / name

    def _with_room(self, parent: int, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            with suppress(FileNotFoundError):
                os.unlink(_RESERVE, dir_fd=parent)
            write()


def _replace_file(parent: int, name: str, text: bytes) -> None:
    temporary = f"{name}.new"
    with suppress(FileNotFoundError):
        os.unlink(temporary, dir_fd=parent)
    descriptor = os.open(temporary, _CREATE_FLAGS, 0o600, dir_fd=parent)
    with os.fdopen(descriptor, "wb") as file:
        own_as(parent, descriptor)
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
    # The new name too must outlive a power cut: an insert follows that this file has to know of.
    os.fsync(parent)
