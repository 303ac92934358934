"""One thing the past says to a run, with its figures: an item."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_episodes_clickhouse.learning.ranking import wilson

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from otel_episodes_clickhouse.learning.advice import NextStep
    from otel_episodes_clickhouse.learning.similar import SimilarTask
    from otel_episodes_clickhouse.store.store import Store

# Nothing is said of a step that fewer runs took.
FEWEST_RUNS: Final = 3


@dataclass(frozen=True)
class Blocked:
    """Items that are not shown any more, and those that come last since an agent said they did harm."""

    away: frozenset[str] = frozenset()
    last: frozenset[str] = frozenset()

    def without(self, items: Iterable[Item]) -> tuple[Item, ...]:
        """Return the items that may be shown, in their order but for those that come last."""
        return tuple(
            sorted((item for item in items if item.id not in self.away), key=lambda item: item.id in self.last)
        )


@dataclass(frozen=True)
class Item:
    """One thing the past says, in words that hold counts, ids and names of tools alone.

    ``kind`` is similar (a task like this one), step (what led to success from here), avoid (what did not), warning
    (a call that usually goes wrong) or recovery (what helped after a failure). ``support`` are the runs it is said of,
    ``successes`` those of them for which it went well, ``low`` and ``high`` the interval of their share at 95 %
    (Wilson); ``evidence`` are ids of episodes.
    """

    id: str
    kind: str
    text: str
    support: int
    successes: int
    low: float
    high: float
    evidence: tuple[str, ...] = ()


def item_id(kind: str, domain: str, tenant: str, *key: str) -> str:
    """Return the id of an item: the same for the same thing, whoever says it and whatever its figures."""
    text = "\0".join((kind, domain, tenant, *key))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def blocked(store: Store, tenant: str) -> Blocked:
    """Return what people and agents said of the items of a tenant that keeps them from being shown."""
    rows = store.query_named("items_blocked", {"tenant": tenant})
    return Blocked(
        frozenset(row["Item"] for row in rows if row["State"] != "doubted"),
        frozenset(row["Item"] for row in rows if row["State"] == "doubted"),
    )


def similar_items(tasks: Sequence[SimilarTask], tenant: str) -> list[Item]:
    """Return what is said of tasks like this one."""
    found = []
    for task in tasks:
        told = f"A task {task.likeness:.0%} like this one went well in {task.successes} of {task.episodes} runs"
        best = f"; the best is episode {task.best}" if task.best else ""
        failed = f"; the latest that failed, not to be followed, is {task.last_failed}" if task.last_failed else ""
        found.append(
            Item(
                item_id("similar", task.domain, tenant, task.task), "similar", f"{told}{best}{failed}.", task.episodes,
                task.successes, *wilson(task.successes, task.episodes),
                tuple(filter(None, (task.best, task.last_failed))),
            )
        )  # fmt: skip
    return found


def step_items(steps: Sequence[NextStep], usual: float, domain: str, tenant: str, after: str) -> Iterator[Item]:
    """Yield what is sure of the next tools: those whose whole interval is above or below what is usual."""
    for step in steps:
        better = step.low > usual
        if step.seen < FEWEST_RUNS or not (better or step.high < usual):
            continue
        kind = "step" if better else "avoid"
        runs = f"{step.won} of {step.seen} runs went well ({step.low:.0%} to {step.high:.0%}; {usual:.0%} of all)"
        text = f"From here {step.tool}: {runs}." if better else f"Not {step.tool} from here: {runs}."
        key = item_id(kind, domain, tenant, after, step.tool)
        yield Item(key, kind, text, step.seen, step.won, step.low, step.high)
