"""Forgetting an episode: out of every relation, out of what was learned from it, and not to come back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_episodes_clickhouse import sql
from otel_episodes_clickhouse.learning import jobs, removal
from otel_episodes_clickhouse.learning.beside import known_episode

if TYPE_CHECKING:
    from otel_episodes_clickhouse.store.store import Store


@dataclass(frozen=True)
class Forgotten:
    """What was forgotten: the episode first, then those that its steps had started, and how many traces they were."""

    episodes: tuple[str, ...]
    traces: int


def forget(store: Store, episode: str, *, reason: str = "") -> Forgotten:
    """Remove an episode, given by its id, and the episodes that its steps started, from everything that is stored.

    A tombstone stays: what of it is still in a spool, arrives late, or is imported again stays out. What was learned
    from it with others (patterns, values, what an `Advisor` loads) is made again without it. ``reason`` is kept with
    the tombstone.

    Raises:
        StoreError: there is no episode with this id.
    """
    store.drain()
    known = known_episode(store, episode)
    family = store.query_named("forget_family", {"id": known["EpisodeId"], "tenant": known["Tenant"]})
    ids = sorted((row["EpisodeId"] for row in family), key=lambda each: (each != known["EpisodeId"], each))
    asked = removal.asked_of(store, ids, known["Tenant"])
    # First of all: whatever arrives from here on, and whatever becomes of this process.
    store.execute(sql.named("forget_write"), {**asked, "reason": reason})
    removal.rows(store, asked)
    if any(row["Job"] == "patterns" for row in store.query_named("job_states")):
        jobs.run(store, "patterns", "values")
    removal.rest(store, asked)
    return Forgotten(tuple(ids), len(set(asked["traces"])))
