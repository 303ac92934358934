"""flock on an open file: the kernel drops it when its holder dies, however it dies."""

from __future__ import annotations

import errno
import fcntl


def try_lock(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    """Lock an open file, exclusively by default, without waiting; False when another open file has it."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True
