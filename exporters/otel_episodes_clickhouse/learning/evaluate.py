"""Does learning work on these data? Outlook and next steps, judged on episodes they were not learned from."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from otel_episodes.exceptions import UsageError
from otel_episodes_clickhouse.learning import off_policy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otel_episodes_clickhouse.learning.off_policy import Following
    from otel_episodes_clickhouse.store.store import Store

SPLITS: Final = ("episode", "task", "time")
_MOST_TESTED: Final = 5_000
# Each domain and fold is a model of its own.
_MOST_DOMAINS: Final = 20
_EVERY: Final = 1_000_000
# The models that are judged, and the columns they are in.
_ODDS: Final = {
    "outlook": "Outlook",
    "outlook half-way": "HalfOutlook",
    "logistic regression on bigrams": "Bigrams",
    "task's own rate": "TaskRate",
    "length": "Length",
}
_PLACES: Final = {
    "usual next step": "Place",
    "order-2 back-off": "BackOffPlace",
    "order-1 Markov": "MarkovPlace",
    "most frequent": "FrequencyPlace",
}
_RESAMPLES: Final = 1_000


@dataclass(frozen=True)
class Figure:
    """A figure with its 95 % interval (bootstrap over episodes); None where the data cannot say."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Evaluation:
    """How well what was learned predicts; ``auc`` and ``brier`` by model, ``top1`` and ``top3`` likewise.

    These are about imitation: how well it is known what such runs do next. ``following`` is what following the ranking
    of next steps would earn.
    """

    split: str
    episodes: int
    tested: int
    successes: int
    steps: int
    auc: dict[str, Figure]
    brier: dict[str, Figure]
    top1: dict[str, Figure]
    top3: dict[str, Figure]
    following: Following

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, for JSON."""
        return asdict(self)


def evaluate(
    store: Store, *, split: str = "episode", domain: str = "", folds: int = 5, share: float = 0.5, seed: int = 1
) -> Evaluation:
    """Judge every episode by what the others say of it.

    ``split`` "episode": folds of episodes (their tasks may have been seen before); "task": folds of tasks, so that
    every tested task is new; "time": train on the earlier episodes of a domain, test on the latest ``share`` of them.
    The outlook is asked at the end of each run, and half-way. Needs `jobs run` before. At most about 5,000 episodes are
    tested, drawn by a hash of their ids, of the 20 largest domains.
    """
    if split not in SPLITS:
        raise UsageError(f"no split {split!r}: there are {', '.join(SPLITS)}")
    if not 2 <= folds <= 200:  # noqa: PLR2004  # a UInt8 in the query
        raise UsageError(f"{folds} folds: there must be 2 to 200")
    if not 0 < share < 1:
        raise UsageError(f"a share of {share} cannot be tested: it must be between 0 and 1")
    outlooks: list[dict[str, Any]] = []
    steps: list[dict[str, Any]] = []
    domains = store.query_named("evaluate_domains", {"domain": domain, "share": share, "most": _MOST_DOMAINS})
    total = sum(row["Episodes"] for row in domains)
    keep = min(_EVERY, _MOST_TESTED * _EVERY // max(1, total))
    for row in domains:
        cut = {"before": row["Before"], "before_id": row["BeforeId"], "split": split, "folds": folds}
        for fold in range(1 if split == "time" else folds):
            parameters = {**cut, "domain": row["Domain"], "fold": fold, "seed": seed, "keep": keep}
            outlooks += store.query_named("evaluate_outlook", parameters)
            steps += store.query_named("evaluate_next", parameters)
    return Evaluation(
        split=split,
        episodes=total,
        tested=len(outlooks),
        successes=sum(row["Success"] for row in outlooks),
        steps=len(steps),
        auc={name: _with_interval(outlooks, partial(_auc, column=column)) for name, column in _ODDS.items()},
        brier={
            name: _with_interval(outlooks, partial(_brier, column=column))
            for name, column in {**_ODDS, "domain's rate": "Base"}.items()
        },
        top1={name: _top(steps, column, 1) for name, column in _PLACES.items()},
        top3={name: _top(steps, column, 3) for name, column in _PLACES.items()},
        following=off_policy.following(store, domain=domain, folds=folds, seed=seed),
    )


def _auc(rows: Sequence[dict[str, Any]], column: str) -> float | None:
    """Return the area under the ROC curve: how often a success is rated above a failure, ties counting half."""
    ordered = sorted(rows, key=lambda row: row[column])
    ranks, start = 0.0, 0
    while start < len(ordered):
        end = start
        while end < len(ordered) and ordered[end][column] == ordered[start][column]:
            end += 1
        ranks += (start + end + 1) / 2 * sum(row["Success"] for row in ordered[start:end])
        start = end
    wins = sum(row["Success"] for row in rows)
    losses = len(rows) - wins
    return (ranks - wins * (wins + 1) / 2) / (wins * losses) if wins and losses else None


def _brier(rows: Sequence[dict[str, Any]], column: str) -> float | None:
    """Return the mean squared error of the probabilities (Brier 1950); 0.25 is a coin."""
    return sum((row[column] - row["Success"]) ** 2 for row in rows) / len(rows) if rows else None


def _top(steps: Sequence[dict[str, Any]], column: str, places: int) -> Figure:
    # Steps of one episode are not independent: whole episodes are drawn.
    by_episode: dict[str, list[bool]] = {}
    for row in steps:
        by_episode.setdefault(row["EpisodeId"], []).append(1 <= row[column] <= places)

    def share(episodes: Sequence[list[bool]]) -> float | None:
        total = sum(map(len, episodes))
        return sum(map(sum, episodes)) / total if total else None

    return _with_interval(list(by_episode.values()), share)


def _with_interval(rows: Sequence[Any], measure: Callable[[Sequence[Any]], float | None]) -> Figure:
    draw = random.Random(1)  # noqa: S311  # resampling
    resamples = _RESAMPLES if len(rows) <= 500 else 100  # noqa: PLR2004  # many rows have a narrow interval anyway
    drawn = (measure(draw.choices(rows, k=len(rows))) for _ in range(resamples if rows else 0))
    values = sorted(value for value in drawn if value is not None)
    if not values:
        return Figure(measure(rows), None, None)
    return Figure(measure(rows), values[int(0.025 * len(values))], values[int(0.975 * len(values))])
