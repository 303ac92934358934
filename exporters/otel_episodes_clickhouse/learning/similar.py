"""Tasks of the past that are like one that is about to be done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_episodes.exceptions import UsageError
from otel_episodes_clickhouse.config import Target

if TYPE_CHECKING:
    from otel_episodes_clickhouse.store.store import Store

OUTCOMES: Final = ("any", "success", "failure")
_MOST_TEXT: Final = 20_000


@dataclass(frozen=True)
class SimilarTask:
    """A task of the past, by how like it is (``likeness``, up to 1), and what became of it.

    ``best`` is the id of an episode that did it well, empty where none did: the one to follow. ``last_failed`` is the
    latest that did not succeed, which is never an example to follow. ``last_seen`` is in nanoseconds since 1970.
    """

    task: str
    domain: str
    likeness: float
    episodes: int
    successes: int
    best: str
    last_failed: str
    last_seen: int


def similar(
    text: str, *, domain: str = "", tenant: str = "", outcome: str = "any", limit: int = 5, dsn: str | None = None
) -> list[SimilarTask]:
    """Return the tasks most like a text, the best first; none where too little of it is known.

    ``domain`` keeps to one domain; ``outcome`` success or failure to tasks with such an episode. What is found is as of
    the last `jobs run`.

    Raises:
        UsageError: an unknown outcome.
        StoreError: the store does not answer, or another process holds it.
    """
    from otel_episodes_clickhouse.store.store import Store  # noqa: PLC0415  # with the engine

    with Store.open(Target.resolve(dsn)) as store:
        return find(store, text, domain=domain, tenant=tenant, outcome=outcome, limit=limit)


def find(
    store: Store, text: str, *, domain: str = "", tenant: str = "", outcome: str = "any", limit: int = 5
) -> list[SimilarTask]:
    """Return what `similar` does, of an open store."""
    if outcome not in OUTCOMES:
        raise UsageError(f"no outcome {outcome!r} here: use {', '.join(OUTCOMES)}")
    asked = {"text": text[:_MOST_TEXT], "domain": domain, "tenant": tenant, "outcome": outcome, "limit": limit}
    if not text.strip():
        return []
    return [
        SimilarTask(
            row["Task"], row["Domain"], row["Likeness"], row["Episodes"], row["Successes"], row["Best"],
            row["LastFailed"], row["LastSeen"],
        )
        for row in store.query_named("similar_tasks", asked)
    ]  # fmt: skip
