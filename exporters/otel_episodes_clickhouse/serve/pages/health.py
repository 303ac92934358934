"""Health: what arrives, what waits, what was lost or not understood, the jobs, the disk."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from otel_episodes_clickhouse import findings
from otel_episodes_clickhouse.spool.backlog import measure
from otel_episodes_clickhouse.spool.losses import read_dropped

if TYPE_CHECKING:
    from otel_episodes_clickhouse.store.store import Store

Row = dict[str, Any]


def findings_of(store: Store) -> Row:
    """Return what `doctor` finds of spool and instrumentations, and the size of an embedded store (None on a server).

    Every file of the store is looked at for both.
    """
    target = store.target
    seen = [findings.versions(), *findings.spool(target), *findings.lost_contexts(store), *findings.unread_spans(store)]
    stored = findings.bytes_below(target.path) if target.path is not None else None
    return {"Findings": [asdict(finding) for finding in seen], "Stored": stored}


def load(store: Store) -> Row:
    """Return what waits, was dropped or not understood, what arrived by hour, the jobs and the room."""
    target = store.target
    waiting = measure(target.spool)
    return {
        "Waiting": {"Spans": waiting.rows, "Bytes": waiting.bytes, "Seconds": waiting.lag_seconds()},
        "Dropped": dict(read_dropped(target.spool)),
        "NotUnderstood": store.query_named("page_not_understood"),
        "Arrivals": store.query_named("page_arrivals"),
        "Episodes": store.query_named("page_totals")[0]["Episodes"],
        "NotSeenByJobs": store.query_named("job_pending")[0]["Episodes"],
        "Jobs": store.query_named("job_states"),
        "Free": findings.free_bytes(store),
        "Now": time.time_ns(),
    }
