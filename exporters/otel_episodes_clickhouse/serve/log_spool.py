"""Log records on their way into the store: each request is a file on disk before it is acknowledged.

They are few, and so have no segments as spans have: a file holds what one insert takes, and is named by its token. It
is removed when the store has it; what a killed process leaves is brought in by the next one, under the same token.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final

from otel_episodes_clickhouse.errors import DataError, StoreError
from otel_episodes_clickhouse.spool.directory import make_directory
from otel_episodes_clickhouse.spool.files import DrainFiles

if TYPE_CHECKING:
    from pathlib import Path

    from otel_episodes_clickhouse.store.store import Store

logger = logging.getLogger(__name__)

_DIRECTORY: Final = "logs"
_SUFFIX: Final = ".rows"


class LogSpool:
    """The log records of a spool that are not in the store yet."""

    def __init__(self, spool: Path) -> None:
        self._directory = spool / _DIRECTORY
        self._files = DrainFiles(self._directory)
        self._writing, self._inserting = threading.Lock(), threading.Lock()

    def keep(self, store: Store, lines: bytes, token: str) -> None:
        """Write records down durably, then bring in all there are; raise OSError when they cannot be written down."""
        with self._writing:
            make_directory(self._directory)
            self._files.write(f"{token}{_SUFFIX}", lines)
        self.bring_in(store)

    def bring_in(self, store: Store) -> None:
        """Insert what waits, the earliest first; a store that does not answer is tried again with the next records."""
        with self._inserting:
            waiting = sorted(self._directory.glob(f"*{_SUFFIX}"), key=lambda path: path.stat().st_mtime_ns)
            try:
                for path in waiting:
                    self._insert(store, path)
            except StoreError as error:
                logger.warning("log records wait in %s: %s", self._directory, error)

    def _insert(self, store: Store, path: Path) -> None:
        lines = path.read_bytes()
        try:
            store.insert_log_records(lines, token=path.stem)
        except DataError as error:
            logger.warning(
                "log records cannot be stored; kept in %s: %s", self._files.set_aside(path.name, lines), error
            )
        path.unlink()
