"""What could not be written, counted by reason in the names of empty files."""

from __future__ import annotations

import errno
from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path


DISK_FULL: Final = "disk_full"
SPOOL_LIMIT: Final = "spool_limit"
UNWRITABLE: Final = "unwritable"
ENCODE_ERROR: Final = "encode_error"
REMOVED: Final = "removed"
NO_ROOM: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))

DROPPED_SUFFIX: Final = ".dropped"


def read_dropped(directory: Path) -> Counter[str]:
    """Return what all processes, the dead ones too, have counted as lost in this spool, by reason."""
    total: Counter[str] = Counter()
    try:
        names = [path.name for path in directory.iterdir()]
    except OSError:
        return total
    for name in names:
        if name.endswith(DROPPED_SUFFIX):
            for count in name.removesuffix(DROPPED_SUFFIX).split(".")[1:]:
                reason, _, number = count.rpartition("-")
                if reason and number.isascii() and number.isdigit():
                    total[reason] += int(number)
    return total
