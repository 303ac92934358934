"""What a reader is, and what it is told.

A reader is one module in `readers` with a `READER`. It recognises its format by shape, never by the name of one field,
and turns a source into neutral runs (`run.Run`). What it cannot read it refuses with a reason (`RecordError`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from typing import TypeAlias

    from otel_episodes_clickhouse.importers.documents import Record
    from otel_episodes_clickhouse.importers.options import ImportOptions
    from otel_episodes_clickhouse.importers.run import Run
    from otel_episodes_clickhouse.importers.sources import Source
    from otel_episodes_clickhouse.spool.row import Row


class Refused(NamedTuple):
    """A part of a source that could not be read."""

    line: int
    reason: str


Found: TypeAlias = "Run | Row | Refused"
"""What a reader yields: a run; or, of spans, rows as they are."""


@dataclass(frozen=True)
class Place:
    """Where a record stands: its source, its line, and what time to take where it has none.

    ``claimed`` takes the paths of other files that were read with this one; ``seen`` what readers of this import
    remember from one source to the next.
    """

    options: ImportOptions
    source: Source
    fallback_time: int
    line: int = 1
    claimed: set[Path] = field(default_factory=set)
    seen: dict[Any, Any] = field(default_factory=dict)


def _never(_value: Any) -> bool:
    return False


def _nothing(_value: Any, _place: Place) -> Iterator[Found]:
    return iter(())


@dataclass(frozen=True)
class Reader:
    """How one format is recognised and read; at least one pair of functions is given.

    ``record`` reads a record that ``is_record``: a line of a file, an element of an array, a document. ``session``
    reads all records of a file of which one of the first ``is_session``. ``archive`` and ``directory`` likewise.
    ``every``: a file is a session only if all of the first are.
    ``homes`` are where an agent keeps its sessions: patterns under the home directory, or under the directory that
    the environment variable before the colon names.
    """

    name: str
    is_record: Callable[[Any], bool] = _never
    record: Callable[[Any, Place], Iterable[Found]] = _nothing
    is_session: Callable[[Any], bool] = _never
    session: Callable[[Iterator[Record], Place], Iterable[Found]] = _nothing
    is_archive: Callable[[zipfile.ZipFile], bool] = _never
    archive: Callable[[zipfile.ZipFile, Place], Iterable[Found]] = _nothing
    is_directory: Callable[[Path], bool] = _never
    directory: Callable[[Path, Place], Iterable[Found]] = _nothing
    every: bool = False
    homes: tuple[str, ...] = ()


LOOKED_AT: Final = 50
"""How many records of a file are looked at to find out whether it is a session."""

ODD: Final = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What a record that is not what it seems to be can make of any reader."""


def recognised(check: Callable[[Any], bool], value: Any) -> bool:
    """Return whether a reader takes a value for its own; what makes its look go wrong is not."""
    try:
        return check(value)
    except RecursionError:
        raise
    except ODD:
        return False


def each(records: Iterable[Record], take: Callable[[Record], object]) -> Iterator[Refused]:
    """Have each record of a session taken; one that is not in the form it seems to have costs itself alone."""
    for record in records:
        try:
            take(record)
        except ODD as error:
            yield Refused(record.line, f"a line that is not in the form it seems to have: {said_of(error)}")


def said_of(error: Exception) -> str:
    """Return what a person can make of an error that an odd value caused."""
    if isinstance(error, (TypeError, AttributeError)):
        return "a field in it holds a value of another type than it should"
    return str(error)
