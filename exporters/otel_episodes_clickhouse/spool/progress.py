"""How far a spool has been read, as ``state.json`` keeps it: also the insert that is under way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

import orjson

from otel_episodes_clickhouse.errors import (
    StoreError,
)
from otel_episodes_clickhouse.spool.directory import is_segment_name
from otel_episodes_clickhouse.spool.reader import SpoolReader

if TYPE_CHECKING:
    from pathlib import Path

    Decoded = TypeVar("Decoded")


_STATE_FORMAT: Final = 1


@dataclass(frozen=True)
class Part:
    """The bytes of one segment that go into one insert."""

    segment: str
    start: int
    end: int


@dataclass(frozen=True)
class Pending:
    """An insert under way: everything needed to repeat it."""

    token: str
    parts: tuple[Part, ...]
    # Whose it is: of another process means that one has ended in the middle.
    session: str = ""


@dataclass
class Cursor:
    """How far a segment has been read, and what was defined in it up to there."""

    offset: int = 0
    definitions: list[list[Any]] = field(default_factory=list)


@dataclass
class State:
    """The contents of ``state.json``."""

    cursors: dict[str, Cursor] = field(default_factory=dict)
    pending: Pending | None = None

    @classmethod
    def load(cls, path: Path) -> State:
        """Read the state; a missing file means nothing has been drained yet.

        Raises `StoreError` for one of a later version, ValueError, LookupError, TypeError, AttributeError for what is
        none, OSError for what cannot be read, a symbolic link too.
        """
        try:
            data = orjson.loads(SpoolReader(path.parent).read_file(path.name))
        except FileNotFoundError:
            return cls()
        if data.get("format", _STATE_FORMAT) > _STATE_FORMAT:
            raise StoreError("a later version of otel-episodes has drained this spool: upgrade this one")
        pending = data["pending"]
        state = cls(
            cursors={name: Cursor(*cursor) for name, cursor in data["segments"].items()},
            pending=pending
            and Pending(pending["token"], tuple(Part(*part) for part in pending["parts"]), pending.get("session", "")),
        )
        names = [*state.cursors, *(part.segment for part in (state.pending.parts if state.pending else ()))]
        if not all(map(is_segment_name, names)):
            raise ValueError("a segment outside of the spool")
        return state

    def dump(self) -> bytes:
        """Return what `load` reads."""
        data: dict[str, Any] = {
            "format": _STATE_FORMAT,
            "segments": {name: [cursor.offset, cursor.definitions] for name, cursor in self.cursors.items()},
            "pending": self.pending
            and {
                "token": self.pending.token,
                "parts": [[part.segment, part.start, part.end] for part in self.pending.parts],
                "session": self.pending.session,
            },
        }
        return orjson.dumps(data)
