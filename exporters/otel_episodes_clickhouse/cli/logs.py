"""What the storage part logs while a command runs, as lines like our own."""

from __future__ import annotations

import logging

from otel_episodes_clickhouse.errors import plain


class _Plain(logging.Formatter):
    """Writes nothing that acts on the terminal, whatever a file is called or a server says."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as a line."""
        return plain(super().format(record))


def to_stderr() -> None:
    """Print warnings and errors on stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Plain("otel-episodes: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
