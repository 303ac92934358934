"""Two episodes side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_episodes_clickhouse.learning.formulas import active_formula
from otel_episodes_clickhouse.serve.pages import listing, run
from otel_episodes_clickhouse.serve.pages.aligning import align

if TYPE_CHECKING:
    from otel_episodes_clickhouse.store.store import Store

Row = dict[str, Any]


def counterpart(store: Store, identifier: str) -> str:
    """Return the run most like this one that went the other way; empty where there is none."""
    heads = listing.of_ids(store, [identifier])
    if not heads:
        return ""
    wanted = "failure" if heads[0]["Outcome"] == "success" else "success"
    found = run.alike(store, identifier, wanted, 1)
    return str(found[0]["EpisodeId"]) if found else ""


def load(store: Store, left: str, right: str) -> Row | None:
    """Return both episodes and their steps aligned; None where one of them is not known."""
    heads = {row["EpisodeId"]: row for row in listing.of_ids(store, [left, right])}
    if left not in heads or right not in heads:
        return None
    formula = active_formula(store)
    rewards = store.query_named("page_rewards", {"formula": formula, "ids": [left, right]})
    of = {row["EpisodeId"]: row["Reward"] for row in rewards}
    rows = align(run.steps_of(store, left), run.steps_of(store, right))
    return {
        "Left": {**heads[left], "Reward": of.get(left)},
        "Right": {**heads[right], "Reward": of.get(right)},
        "Rows": rows,
        "Same": sum(row["How"] == "same" for row in rows),
        "PartsAt": next((place for place, row in enumerate(rows, 1) if row["Parts"]), 0),
    }
