"""What led to success from where a run is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from otel_episodes_clickhouse.learning import values
from otel_episodes_clickhouse.learning.ranking import Asked, Done, Place, contexts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otel_episodes_clickhouse.store.store import Store

_END_STEPS: Final = 500


@dataclass(frozen=True)
class NextStep:
    """One tool that came next in earlier episodes that had got this far.

    ``lift`` ranks: how many times better runs went after this tool than after whatever else was done here, 1 where
    nothing is known of it. ``value`` is what runs earn after it, between 0 and 1, ``low`` and ``high`` its interval at
    95 %; ``usual`` how likely it is to come next by habit alone. ``seen`` are the runs in which it came next in the
    most specific context that knows it, ``won`` those of them that went well.
    """

    tool: str
    lift: float
    value: float
    usual: float
    seen: int
    won: int
    low: float
    high: float


def of_episode(store: Store, identifier: str, about_to_use: Sequence[str]) -> dict[str, Any] | None:
    """Return what `outlook` and `next_steps` are asked about an episode as it is now; None where it is not recorded."""
    rows = store.query_named("run_so_far", {"episode": identifier})
    if not rows:
        return None
    (run,) = rows
    # What it is about to do is asked of a run that goes on.
    ended = run["Ended"] and not about_to_use
    tools, failed = ([*_ends(run[name])] for name in ("Tools", "Failed"))
    return {
        "episode": identifier, "domain": run["Domain"], "task": run["Task"], "tools": [*tools, *about_to_use],
        "ended": ended, "tenant": run["Tenant"], "failed": [*failed, *(False for _ in about_to_use)],
    }  # fmt: skip


def _ends(steps: Sequence[Any]) -> Sequence[Any]:
    """Return the steps of a run without the middle of a very long one, which no parameter of a statement would hold."""
    return steps if len(steps) <= 2 * _END_STEPS else [*steps[:_END_STEPS], *steps[-_END_STEPS:]]


def next_steps(store: Store, so_far: Mapping[str, Any], limit: int) -> list[NextStep]:
    """Return the tools by what runs earned after them, given what was done so far, the best first.

    What can be done from here is known only by what was done from here: where three steps or more followed the last
    tool, tools that never did come after those that have.
    """
    # Of a run that is described it is not told whether its steps failed: they worked.
    failed = so_far.get("failed") or [False] * len(so_far["tools"])
    past = [Done(tool, fail) for tool, fail in zip(so_far["tools"], failed, strict=True) if tool][-3:]
    tenant = so_far.get("tenant", "")
    ids = contexts(so_far["domain"], so_far["task"], past, tenant)
    known = values.ask_about(store, so_far["domain"], ids, tenant)
    place = Place(known, ids)
    ranked = [(tool, place.worth(Asked(tool))) for tool in known.tools]
    elsewhere = place.is_known()
    ranked.sort(key=lambda each: (elsewhere and not place.followed(each[0]), -each[1].lift, -each[1].usual, each[0]))
    return [
        NextStep(tool, worth.lift, worth.value, worth.usual, worth.seen, worth.won, worth.low, worth.high)
        for tool, worth in ranked[:limit]
    ]
