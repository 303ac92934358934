"""What waits in a spool: told from its files, by whichever process asks."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson

from otel_episodes_clickhouse.spool.decode import LineDecoder
from otel_episodes_clickhouse.spool.directory import STATE
from otel_episodes_clickhouse.spool.progress import Cursor
from otel_episodes_clickhouse.spool.reader import SpoolReader
from otel_episodes_clickhouse.spool.row import SpoolLineError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# Counting lines means reading them: past this it is an estimate from what was read.
_COUNTED_BYTES: Final = 8 * 1024 * 1024
_FIRST_BYTES: Final = 64 * 1024


@dataclass(frozen=True)
class Backlog:
    """``rows`` and ``bytes`` that no store has acknowledged, in how many files.

    ``oldest`` is when the first of those spans ended, in nanoseconds since 1970, 0 when nothing waits. ``rows`` is
    exact up to some megabytes.
    """

    files: int = 0
    bytes: int = 0
    rows: int = 0
    oldest: int = 0

    def lag_seconds(self) -> float:
        """Return the age of the oldest span that waits."""
        return max(0.0, (time.time_ns() - self.oldest) / 1e9) if self.oldest else 0.0


def measure(spool: Path) -> Backlog:
    """Look at a spool; what it cannot read counts as nothing."""
    reader = SpoolReader(spool)
    cursors = _cursors(spool)
    waiting = files = rows = read = oldest = 0
    for name in reader.segments():
        cursor = cursors.get(name) or Cursor()
        size = reader.size(name) - cursor.offset
        if size <= 0:
            continue
        found, looked_at, ended = _look(reader, name, cursor, _COUNTED_BYTES - read)
        if not found and looked_at >= size:
            # A header and definitions, no span yet.
            continue
        files, waiting, rows, read = files + 1, waiting + size, rows + found, read + looked_at
        if ended:
            oldest = min(oldest or ended, ended)
    if 0 < read < waiting:
        rows = round(rows * waiting / read)
    return Backlog(files, waiting, rows, oldest)


def _cursors(spool: Path) -> dict[str, Cursor]:
    try:
        segments = orjson.loads((spool / STATE).read_bytes())["segments"]
        return {name: Cursor(*cursor) for name, cursor in segments.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        # Damaged, which the next drain says.
        return {}


def _look(reader: SpoolReader, name: str, cursor: Cursor, limit: int) -> tuple[int, int, int]:
    """Return the spans in a segment's unread lines, how many bytes that took, and when the first of them ended."""
    try:
        lines = reader.read(name, cursor.offset, limit=max(limit, _FIRST_BYTES)).lines
    except OSError:
        return 0, 0, 0
    # A span is an array that begins with a number, definitions and headers are not.
    spans = [line for line in lines if line[:1] == b"[" and line[1:2].isdigit()]
    return len(spans), sum(map(len, lines)), _first_end(cursor, lines)


def _first_end(cursor: Cursor, lines: Sequence[bytes]) -> int:
    decoder = LineDecoder(cursor.definitions)
    for line in lines:
        try:
            row = decoder(line)
        except SpoolLineError:
            continue
        if row is not None:
            return row.timestamp + row.duration
    return 0
