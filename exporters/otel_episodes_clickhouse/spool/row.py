"""One row of ``otel_traces``, and the body of an insert that carries many."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, runtime_checkable

import orjson

from otel_episodes_clickhouse.spool.values import INT64_MAX, storable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence


COLUMNS: Final = (
    "Timestamp", "TraceId", "SpanId", "ParentSpanId", "TraceState", "SpanName", "SpanKind", "ServiceName",
    "ResourceAttributes", "ScopeName", "ScopeVersion", "SpanAttributes", "Duration", "StatusCode", "StatusMessage",
    "Events.Timestamp", "Events.Name", "Events.Attributes",
    "Links.TraceId", "Links.SpanId", "Links.TraceState", "Links.Attributes",
)  # fmt: skip
"""The columns of an insert, in the collector's order."""

_UINT64_MAX: Final = 2**64 - 1
# Parsed and encoded at once.
PIECE_ROWS: Final = 32


class Row(NamedTuple):
    """One row of ``otel_traces``: times and durations in nanoseconds, attributes as text (`attributes_as_text`)."""

    timestamp: int
    trace_id: str
    span_id: str
    parent_span_id: str = ""
    trace_state: str = ""
    span_name: str = ""
    span_kind: str = "Internal"
    service_name: str = ""
    resource_attributes: Mapping[str, str] = {}
    scope_name: str = ""
    scope_version: str = ""
    span_attributes: Mapping[str, str] = {}
    duration: int = 0
    status_code: str = "Unset"
    status_message: str = ""
    event_timestamps: tuple[int, ...] = ()
    event_names: tuple[str, ...] = ()
    event_attributes: tuple[Mapping[str, str], ...] = ()
    link_trace_ids: tuple[str, ...] = ()
    link_span_ids: tuple[str, ...] = ()
    link_trace_states: tuple[str, ...] = ()
    link_attributes: tuple[Mapping[str, str], ...] = ()


class Encoded(NamedTuple):
    """Rows as an insert carries them: lines of JSONCompactEachRow in the order of `COLUMNS`, and how many rows."""

    text: bytes
    rows: int


@runtime_checkable
class EncodedRows(Protocol):
    """Rows that come encoded at less cost than one by one."""

    def encoded(self) -> Iterator[Encoded]:
        """Yield all of them, piece by piece."""
        ...


class SpoolLineError(ValueError):
    """A line of a spool file that is no span; the message says why."""


def insert_row(row: Row) -> list[Any]:
    """Return a row as an insert carries it, in the order of `COLUMNS`."""
    return [
        time_text(row.timestamp),
        *row[1:12],
        min(max(row.duration, 0), _UINT64_MAX),
        *row[13:15],
        [time_text(time) for time in row.event_timestamps],
        *row[16:],
    ]


def encoded(batch: Iterable[Row]) -> Iterator[Encoded]:
    """Yield rows as an insert carries them, piece by piece."""
    if isinstance(batch, EncodedRows):
        yield from batch.encoded()
        return
    remaining = map(insert_row, batch)
    while piece := list(islice(remaining, PIECE_ROWS)):
        yield Encoded(encode(piece), len(piece))


def encode(batch: Sequence[list[Any]]) -> bytes:
    """Return rows in JSONCompactEachRow, the attributes of each sorted by key; ready to be followed by more."""
    try:
        return _dumped(batch)
    except TypeError:
        # A lone surrogate of an importer's: lines of a spool have none.
        return b"".join(_dumped(storable([row])) for row in batch)


def _dumped(batch: Sequence[list[Any]]) -> bytes:
    # All at once takes a quarter of the time of one by one. Rows may be separated by commas as by newlines.
    return orjson.dumps(batch, option=orjson.OPT_SORT_KEYS)[1:-1] + b"\n" if batch else b""


def time_text(nanoseconds: int) -> str:
    """Return a time in nanoseconds since 1970 as an insert carries it."""
    # ClickHouse takes a bare integer in JSON for seconds. Ten digits before the point: fewer could be read as a year.
    digits = f"{min(max(nanoseconds, 0), INT64_MAX):019d}"
    return f"{digits[:-9]}.{digits[-9:]}"
