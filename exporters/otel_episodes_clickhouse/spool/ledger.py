"""What has become of the spans of a spool, written down beside it for whoever asks in another process."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from otel_episodes_clickhouse.spool.directory import own_as
from otel_episodes_clickhouse.spool.flock import try_lock

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME: Final = "shipping.json"
# Written in one piece of one page, so that a process killed meanwhile leaves the old page or the new one.
_PAGE: Final = 4096
_ERROR_BYTES: Final = 1500
_TRIES: Final = 20
_PAUSE_SECONDS: Final = 0.005


@dataclass(frozen=True)
class Account:
    """Counts since the spool was made, and how the last attempt to ship it went. Times: nanoseconds since 1970.

    ``exported`` rows were acknowledged by the store, ``rejected`` lines and rows are in quarantine. ``failures`` in
    a row, ``permanent`` where only a person can fix the last one, are those of the process that shipped last.
    """

    exported: int = 0
    inserts: int = 0
    retries: int = 0
    rejected: int = 0
    failures: int = 0
    permanent: bool = False
    next_try: int = 0
    error: str = ""
    error_at: int = 0
    shipped_at: int = 0
    by: str = ""


class Ledger:
    """The account of one spool. Several processes add to it; a failure to write it is never an error."""

    def __init__(self, spool: Path) -> None:
        self.path = spool / _NAME

    def read(self) -> Account:
        """Return the account; an empty one where nothing was written yet."""
        try:
            return _account(self.path.read_bytes())
        except OSError:
            return Account()

    def add(self, counts: Mapping[str, int], **state: Any) -> bool:
        """Add to the counts and replace the rest; False when that was not possible, and nothing was changed."""
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            own_as(self.path.parent, descriptor)
        except OSError:
            return False
        try:
            if not _locked(descriptor):
                return False
            account = _account(os.pread(descriptor, _PAGE, 0))
            sums = {name: getattr(account, name) + count for name, count in counts.items()}
            page = orjson.dumps(asdict(replace(account, **sums, **state))).ljust(_PAGE)
            return os.pwrite(descriptor, page, 0) == len(page)
        except OSError:
            return False
        finally:
            os.close(descriptor)


def this_process() -> str:
    """Name this process for the account."""
    return f"process {os.getpid()} ({Path(sys.argv[0] or 'python').name})"


def short(message: str) -> str:
    """Return an error message on one line, no longer than the account has room for."""
    text = " ".join(message.split())
    cut = text.encode(errors="replace")[:_ERROR_BYTES].decode(errors="ignore")
    return text if cut == text else f"{cut}…"


def _locked(descriptor: int) -> bool:
    for _ in range(_TRIES):
        if try_lock(descriptor):
            return True
        time.sleep(_PAUSE_SECONDS)
    return False


def _account(page: bytes) -> Account:
    try:
        return Account(**orjson.loads(page))
    except (ValueError, TypeError):
        # Empty, or written by another version.
        return Account()
