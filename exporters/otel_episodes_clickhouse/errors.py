"""What the storage part raises.

::

    EpisodesError
    └── StoreError                       anything below
        ├── ConfigurationError           a DSN that cannot be right (also a UsageError, so a ValueError)
        ├── StoreUnavailableError        no answer: server away, engine missing, directory not writable
        │   └── StoreLockedError         another process has the embedded store open; says which one
        ├── SchemaError                  the store's tables are not ours and cannot be made so in place; says what to do
        │   └── NewerStoreError          a newer version of otel-episodes made the store
        └── QueryError                   the engine refused a statement (``code``: ClickHouse's error number)
            ├── DataError                ... because of the values in it
            └── MissingDatabaseError     ... because the server has no database of that name

Messages say the fix and never contain a password.
"""

from __future__ import annotations

import re
from typing import Final

from otel_episodes.exceptions import EpisodesError, UsageError

# What acts on a terminal: control characters of both ranges, line and paragraph separators, the marks that turn text
# around. And what cannot be seen: soft hyphens, zero-width characters, tags.
ACTS: Final = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f"
HIDES: Final = (
    "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2060-\u2065\u3164\ufeff\uffa0\ufff0-\ufffb"
    "\U000e0000-\U000e0fff"
)
_ACTS: Final = re.compile(f"[{ACTS}]+")
_HIDES: Final = re.compile(f"[{HIDES}]+")


def plain(text: str) -> str:
    """Return a text without what acts on a terminal or cannot be seen; line breaks and tabs stay."""
    return _ACTS.sub(" ", _HIDES.sub("", text))


class StoreError(EpisodesError):
    """Anything the storage part raises on purpose; what a server or a file name put into the message is harmless."""

    def __init__(self, message: str = "") -> None:
        super().__init__(plain(message))


class ConfigurationError(StoreError, UsageError):
    """A DSN or setting that cannot be right; the message says what is."""


class StoreUnavailableError(StoreError):
    """The store does not answer; trying again later may help.

    ``retry_after``: the seconds after which the server asked to be tried again, None where it said nothing.
    ``lasting``: it will not help before somebody has changed something.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, lasting: bool = False) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.lasting = lasting


class StoreLockedError(StoreUnavailableError):
    """Another process has the embedded store open."""


class SchemaError(StoreError):
    """The tables of the store cannot be brought up to date in place; the message says what to do."""


class NewerStoreError(SchemaError):
    """A newer version of otel-episodes made the store; it is left alone."""


class QueryError(StoreError):
    """The engine refused a statement; ``code`` is ClickHouse's error number, None where it gave none."""

    def __init__(self, message: str, *, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class DataError(QueryError):
    """The engine refused the values of an insert, not the statement."""


class MissingDatabaseError(QueryError):
    """The server has no database of that name; `otel-episodes migrate` creates it."""
