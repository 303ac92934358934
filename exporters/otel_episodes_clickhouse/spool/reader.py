"""Reading the segments of a spool, those of living processes included."""

from __future__ import annotations

import errno
import os
import stat
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Final

import orjson

from otel_episodes_clickhouse.spool.directory import (
    FORMAT,
    NEW_SUFFIX,
    SEGMENT_BYTES,
    SUFFIX,
    is_segment_name,
    open_directory,
)
from otel_episodes_clickhouse.spool.flock import try_lock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


# What a reader takes into memory for one line; of a longer one it keeps the beginning.
LINE_BYTES: Final = 64 * 1024 * 1024
_KEPT_BYTES: Final = 64 * 1024

# A file is given its final name within microseconds; who is an hour old has died before.
_LEFT_OVER_SECONDS: Final = 3600
_PIECE_BYTES: Final = 1024 * 1024
_HEADER_BYTES: Final = 4096
# Not blocking: a pipe someone put there would wait for its other end.
_READ_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


@dataclass(frozen=True)
class Header:
    """The first line of a segment: the version of its lines, and the name it was made under."""

    format: int
    name: str


@dataclass(frozen=True)
class Chunk:
    """Whole lines of one segment, with their newlines: its bytes from ``start`` up to, not including, ``end``.

    ``cut`` says that there is one line, too long to take into memory, of which this is the beginning.
    """

    lines: Sequence[bytes]
    start: int
    end: int
    cut: bool = False


class SpoolReader:
    """Reads the segments of a spool, those of living processes included, up to their last whole line."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def segments(self) -> list[str]:
        """Return the names of all segments, oldest first."""
        try:
            with open_directory(self.directory) as parent:
                names = os.listdir(parent)  # noqa: PTH208  # of a directory that is open already
        except FileNotFoundError:
            return []
        return sorted(name for name in names if is_segment_name(name))

    def size(self, name: str) -> int:
        """Return the bytes in a segment, 0 when it is gone."""
        try:
            return (self.directory / name).lstat().st_size
        except FileNotFoundError:
            return 0

    def header(self, name: str) -> Header:
        """Return what a segment says of itself; where it does not, what this package would have written."""
        with self._opened(name) as descriptor:
            line = os.pread(descriptor, _HEADER_BYTES, 0).partition(b"\n")[0]
        try:
            said = orjson.loads(line)
        except orjson.JSONDecodeError:
            return Header(FORMAT, name)
        number, named = (said.get("format"), said.get("name")) if isinstance(said, dict) else (None, None)
        return Header(
            number if isinstance(number, int) else FORMAT,
            named if isinstance(named, str) else name,
        )

    def read(self, name: str, start: int, *, end: int | None = None, limit: int = SEGMENT_BYTES) -> Chunk:
        """Read whole lines from an offset: up to ``end`` exactly, or about ``limit`` bytes, one line at the least."""
        with self._opened(name) as descriptor:
            if end is not None and end - start > LINE_BYTES:
                return Chunk([os.pread(descriptor, _KEPT_BYTES, start)], start, end, cut=True)
            want = limit if end is None else end - start
            data = _read_at(descriptor, start, want)
            while end is None and b"\n" not in data and len(data) == want:
                if want > LINE_BYTES:
                    return _long_line(descriptor, start, data)
                want *= 2
                data = _read_at(descriptor, start, want)
        # Finds the ends of lines four times as fast as bytes.split.
        lines = BytesIO(data).readlines()
        rest = len(lines.pop()) if lines and not lines[-1].endswith(b"\n") else 0
        return Chunk(lines, start, start + len(data) - rest)

    def read_file(self, name: str) -> bytes:
        """Return the whole of a small file beside the segments."""
        with self._opened(name) as descriptor:
            return _read_at(descriptor, 0, os.fstat(descriptor).st_size)

    def tail(self, name: str, start: int) -> bytes:
        """Return what follows an offset, an unfinished line included; of much the beginning."""
        with self._opened(name) as descriptor:
            return _read_at(descriptor, start, min(os.fstat(descriptor).st_size - start, _KEPT_BYTES))

    def finished(self, name: str) -> bool:
        """Tell whether nobody will write to the segment any more."""
        with self._opened(name) as descriptor:
            return try_lock(descriptor)

    def delete(self, name: str) -> None:
        """Remove a segment; harmless when it is gone."""
        with suppress(FileNotFoundError), open_directory(self.directory) as parent:
            os.unlink(name, dir_fd=parent)

    def delete_left_over(self) -> None:
        """Remove segments that were never given their name: their process died at that moment, with nothing in them."""
        for path in self.directory.glob(f".*{SUFFIX}{NEW_SUFFIX}"):
            with suppress(OSError):
                if time.time() - path.lstat().st_mtime > _LEFT_OVER_SECONDS:
                    path.unlink()

    @contextmanager
    def _opened(self, name: str) -> Iterator[int]:
        with open_directory(self.directory) as parent:
            descriptor = os.open(name, _READ_FLAGS, dir_fd=parent)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "not a regular file", name)
            yield descriptor
        finally:
            os.close(descriptor)


def _long_line(descriptor: int, start: int, data: bytes) -> Chunk:
    """Find the end of a line nobody has written on purpose; an empty chunk while it has none."""
    position = start + len(data)
    while piece := os.pread(descriptor, _PIECE_BYTES, position):
        found = piece.find(b"\n")
        if found >= 0:
            return Chunk([data[:_KEPT_BYTES]], start, position + found + 1, cut=True)
        position += len(piece)
    return Chunk([], start, start)


def _read_at(descriptor: int, start: int, count: int) -> bytes:
    parts = []
    while count > 0:
        part = os.pread(descriptor, count, start)
        if not part:
            break
        parts.append(part)
        start += len(part)
        count -= len(part)
    return b"".join(parts)
