"""Taking episodes out of every relation: those to be forgotten, and those that are older than is kept.

What holds rows of one episode loses them at once. What is added up over many is made again by the jobs, which see that
a week has changed; after them goes what nothing supports any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_episodes_clickhouse import sql
from otel_episodes_clickhouse.schema import migrations
from otel_episodes_clickhouse.schema.ddl import Layout, altered

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otel_episodes_clickhouse.store.store import Store

# What holds rows of one episode; one statement a relation.
_ROWS: Final = (
    "otel_traces", "otel_traces_trace_id_ts", "otel_logs", "internal_log_events", "internal_roots", "internal_steps",
    "internal_agent_spans", "internal_decisions", "internal_evaluations", "internal_advice", "internal_marks",
    "internal_skills",
    "internal_changes", "internal_facts", "internal_sequences", "internal_rewards", "internal_reflections",
    "internal_job_worklist",
)  # fmt: skip
# What is left to remove once the sums are made again.
_REST: Final = (
    "internal_pattern_observations", "internal_pattern_evidence", "internal_pattern_keys", "internal_values",
    "internal_mishaps", "internal_changes", "internal_job_worklist",
)  # fmt: skip
_SAID: Final = ("said_in_internal_advice", "said_in_otel_traces")
_AT_ONCE: Final = 2000

Asked = dict[str, Any]


def asked_of(store: Store, ids: list[str], tenant: str) -> Asked:
    """Return what the statements are asked with: episodes of one tenant, and their traces."""
    asked: Asked = {"ids": ids, "tenant": tenant}
    rows = store.query_named("forget_traces", asked)
    return asked | {"of": [row["EpisodeId"] for row in rows], "traces": [row["TraceId"] for row in rows]}


def rows(store: Store, asked: Mapping[str, Any]) -> None:
    """Remove the rows of episodes, and have the jobs count their weeks again."""
    layout = _layout(store)
    related = [row["TraceId"] for row in store.query_named("marks_that_name", asked)]
    if related:
        _remove(store, "marks_in_otel_traces", layout, {**asked, "related": related})
    for relation in _ROWS:
        _remove(store, relation, layout, asked)
    snapshot = store.query_named("job_snapshot")[0]["Snapshot"]
    store.execute(sql.named("forget_take_back"), {**asked, "snapshot": snapshot})


def rest(store: Store, asked: Mapping[str, Any]) -> None:
    """Remove what is left of episodes once the jobs have counted without them."""
    layout = _layout(store)
    for relation in _REST:
        _remove(store, relation, layout, asked)
    advised = [row["TraceId"] for row in store.query_named("advice_that_names", asked)]
    for relation in _SAID if advised else ():
        _remove(store, relation, layout, {**asked, "advised": advised})


def _layout(store: Store) -> Layout:
    return Layout() if store.target.embedded else migrations.layout_of(store)


def _remove(store: Store, relation: str, layout: Layout, asked: Mapping[str, Any]) -> None:
    store.execute(altered(sql.named(f"forget_{relation}"), layout), asked)


def keep_for(store: Store, days: int) -> None:
    """Keep episodes, with their steps and what was learned from them, for so many days after their end; 0: for ever."""
    store.execute(sql.named("set_episodes_kept"), {"days": str(days)})


def expired(store: Store) -> Iterator[Asked]:
    """Remove episodes that ended longer ago than they are kept; yield what `rest` is to be asked with."""
    days = store.query_named("episodes_kept")[0]["Days"]
    while days:
        found = store.query_named("episodes_expired", {"days": days, "limit": _AT_ONCE})
        for tenant in sorted({row["Tenant"] for row in found}):
            asked = asked_of(store, [row["EpisodeId"] for row in found if row["Tenant"] == tenant], tenant)
            rows(store, asked)
            yield asked
        if len(found) < _AT_ONCE:
            return
