"""After an insert whose end nobody saw: what of it is stored, and letting it be repeated; see ``recovery.sql``."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Protocol

from otel_episodes_clickhouse import sql

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from otel_episodes_clickhouse.config import Target
    from otel_episodes_clickhouse.spool.row import Row

_FORGET_TOKENS: Final = (
    "forget_tokens_trace_ids", "forget_tokens_steps", "forget_tokens_roots",
    "keep_tokens_trace_ids", "keep_tokens_steps", "keep_tokens_roots",
)  # fmt: skip
# Their ids go into the address of a request, which proxies cut.
_TRACES_AT_ONCE: Final = 50


class Asks(Protocol):
    """A store, as far as it is needed here."""

    target: Target

    def execute(self, statement: sql.Statement) -> None:
        """Run a statement that returns no rows."""

    def query_named(self, name: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Run a statement by its name and return its rows."""
        ...


def forget_tokens(store: Asks) -> None:
    """Let a repeated insert fill the tables that views fill, where this process alone writes to the store."""
    if store.target.embedded:
        for name in _FORGET_TOKENS:
            store.execute(sql.named(name))


def missing_rows(store: Asks, batch: Sequence[Row]) -> list[Row]:
    """Return the rows whose spans are not in ``otel_traces``; none where the engine can be relied on to keep them."""
    if not store.query_named("tokens_may_lie")[0]["Tables"]:
        return []
    missing = []
    for part in _in_traces(batch):
        times = [row.timestamp for row in part]
        found = store.query_named(
            "stored_spans",
            {"first": min(times), "last": max(times), "traces": sorted({row.trace_id for row in part})},
        )
        stored = {(span["TraceId"], span["SpanId"]) for span in found}
        missing += [row for row in part if (row.trace_id, row.span_id) not in stored]
    return missing


def _in_traces(batch: Sequence[Row]) -> Iterator[list[Row]]:
    """Split rows so that each list has few enough trace ids for one statement's parameters, and all of its traces."""
    ordered = sorted(batch, key=attrgetter("trace_id"))
    part: list[Row] = []
    traces: set[str] = set()
    for row in ordered:
        if len(traces) == _TRACES_AT_ONCE and row.trace_id not in traces:
            yield part
            part, traces = [], set()
        part.append(row)
        traces.add(row.trace_id)
    if part:
        yield part
