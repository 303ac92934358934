"""Episodes that were forgotten: what of them still arrives is taken out again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from otel_episodes_clickhouse import sql
from otel_episodes_clickhouse.schema import migrations
from otel_episodes_clickhouse.schema.ddl import altered

if TYPE_CHECKING:
    from collections.abc import Mapping


class Asks(Protocol):
    """A store, as far as it is needed here."""

    def execute(self, statement: sql.Statement, parameters: Mapping[str, Any] | None = None) -> None:
        """Run a statement that returns no rows."""

    def query_named(self, name: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Run a statement by its name and return its rows."""
        ...


def sweep(store: Asks, *, resumed: bool = False) -> int:
    """Take spans of forgotten episodes out of ``otel_traces``; return of how many traces there were any.

    The tables of ours never take them; ``otel_traces`` takes whatever a collector writes. ``resumed`` also looks for
    traces of the last two days in which such an episode goes on, which takes reading those.
    """
    if not store.query_named("forgotten_episodes")[0]["Episodes"]:
        return 0
    for row in store.query_named("forgotten_resumed") if resumed else ():
        asked = {"of": [row["EpisodeId"]], "traces": [row["TraceId"]], "tenant": row["Tenant"], "reason": "resumed"}
        store.execute(sql.named("forget_write"), asked)
    late = [row["TraceId"] for row in store.query_named("forgotten_spans")]
    if late:
        layout = migrations.layout_of(store)
        for name in ("forget_otel_traces", "forget_otel_traces_trace_id_ts"):
            store.execute(altered(sql.named(name), layout), {"traces": late})
    return len(late)
