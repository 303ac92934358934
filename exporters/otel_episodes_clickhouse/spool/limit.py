"""How much may wait in a spool."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import orjson

from otel_episodes_clickhouse.spool.directory import STATE, open_directory
from otel_episodes_clickhouse.spool.reader import SpoolReader

if TYPE_CHECKING:
    from pathlib import Path


# A limit of None is a tenth of the file system, but no more than this.
MOST_BYTES: Final = 10 * 1024**3
_SHARE: Final = 10


def is_over_limit(directory: Path, limit_bytes: int | None) -> bool:
    """Tell whether what waits in a spool has reached the limit; see `SpoolWriter` for None."""
    reader = SpoolReader(directory)
    with open_directory(directory) as parent:
        if limit_bytes is None:
            disk = os.fstatvfs(parent)
            limit_bytes = min(disk.f_blocks * disk.f_frsize // _SHARE, MOST_BYTES)
    sizes = {name: reader.size(name) for name in reader.segments()}
    if sum(sizes.values()) < limit_bytes:
        return False
    # Of an open segment what is in the store already does not count, though its bytes are still there.
    read = _read_up_to(reader)
    return sum(max(0, size - read.get(name, 0)) for name, size in sizes.items()) >= limit_bytes


def _read_up_to(reader: SpoolReader) -> dict[str, int]:
    try:
        return {name: cursor[0] for name, cursor in orjson.loads(reader.read_file(STATE))["segments"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}
