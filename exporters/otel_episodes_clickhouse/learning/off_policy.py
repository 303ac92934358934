"""What following the ranking would earn, told from runs that did not follow it.

Per-decision weighted importance sampling (Precup, D., Sutton, R. and Singh, S. 2000): each recorded run counts by how
much likelier an agent that follows the ranking would have made its calls than the agents that made them. These are
taken to do what is usual; one that follows leans towards the ranking, by usual times lift to the fourth power. Usual
and lift are those of the other runs (cross-fitted by run), weights are cut at 20, and where the runs left count for
fewer than 30 nothing is known.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_episodes_clickhouse.learning.ranking import Asked, Counts, Done, Place, contexts, hashed, mixed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_episodes_clickhouse.store.store import Store

_SHARPNESS: Final = 4
_MOST_WEIGHT: Final = 20.0
_LEAST_EFFECTIVE: Final = 30.0
_MOST_RUNS: Final = 400
_RESAMPLES: Final = 1_000
# A domain has seldom more; those that are used least are left out.
_MOST_TOOLS: Final = 40
_LEAST_TOLD: Final = 20


@dataclass(frozen=True)
class Following:
    """What runs earned, between 0 and 1, and what they would have earned by following the ranking.

    Each with its interval (bootstrap over runs); ``followed`` and ``gain`` are None where fewer than 30 runs are
    left: ``effective`` says for how many the weighted ones count.
    """

    runs: int
    effective: float
    earned: float | None
    followed: float | None
    followed_low: float | None
    followed_high: float | None
    gain: float | None
    gain_low: float | None
    gain_high: float | None


class _Run(NamedTuple):
    domain: str
    tenant: str
    task: str
    tools: Sequence[str]
    oks: Sequence[bool]
    earned: float
    judged: bool
    fold: int


class _Weighed(NamedTuple):
    """A run: what it earned, and how much it counts after each of its steps."""

    earned: float
    weights: Sequence[float]


class _Others:
    """The counts of all runs but those of one fold; `Known` of `ranking`."""

    def __init__(self) -> None:
        self._all: dict[int, list[float]] = defaultdict(lambda: [0, 0, 0.0, 0])
        self._fold: dict[tuple[int, int], list[float]] = defaultdict(lambda: [0, 0, 0.0, 0])
        self._kinds: dict[int, set[int]] = defaultdict(set)
        self.uses: dict[str, int] = defaultdict(int)
        self.fold = 0

    def add(self, run: _Run) -> None:
        """Count a run."""
        first: set[int] = set()
        for place, (tool, ids) in enumerate(_steps(run)):
            gain = run.earned * 0.95 ** (len(run.tools) - 1 - place) if run.judged else 0.0
            self.uses[tool] += 1
            for context in ids:
                call = mixed(context, hashed(tool))
                self._kinds[context].add(call)
                for key in (context, call):
                    new = run.judged and key not in first
                    for count in (self._all[key], self._fold[run.fold, key]):
                        count[0] += 1
                        count[1] += run.judged
                        count[2] += gain
                        count[3] += new
                    first.add(key)

    def context(self, context: int, /) -> Counts | None:
        """Return what is counted of a context."""
        found = self._left(context)
        return found and found._replace(calls=len(self._kinds[context]))

    def call(self, context: int, call: int, /) -> Counts | None:
        """Return what is counted of a call in it."""
        return self._left(mixed(context, call))

    def _left(self, key: int) -> Counts | None:
        if key not in self._all:
            return None
        whole, mine = self._all[key], self._fold.get((self.fold, key), (0, 0, 0.0, 0))
        seen, n, gain, runs = (a - b for a, b in zip(whole, mine, strict=True))
        return Counts(int(seen), int(n), max(0.0, gain), int(runs)) if seen else None


def following(store: Store, *, domain: str = "", folds: int = 5, seed: int = 1) -> Following:
    """Judge the ranking of next steps by the runs of a domain, or of all; see the module.

    At most 400 runs are weighed, drawn by a hash of their ids; the others are learned from all the same.
    """
    rows = store.query_named("evaluate_runs", {"domain": domain, "folds": folds, "seed": seed})
    told = sum(row["Told"] and row["Value"] >= 0 for row in rows)
    runs = [_run(row, only_told=told >= _LEAST_TOLD) for row in rows]
    weighed = list(_weigh(runs))
    return _estimate(weighed)


def _run(row: dict[str, Any], *, only_told: bool) -> _Run:
    judged = row["Value"] >= 0 and (row["Told"] or not only_told)
    earned = min(1.0, max(0.0, row["Value"] / 1e6))
    return _Run(
        row["Domain"], row["Tenant"], row["Task"], row["Tools"], row["Oks"], earned, judged, row["Fold"]
    )  # fmt: skip


def _steps(run: _Run) -> Iterator[tuple[str, tuple[int, ...]]]:
    past: list[Done] = []
    for tool, ok in zip(run.tools, run.oks, strict=True):
        yield tool, contexts(run.domain, run.task, past[-3:], run.tenant)
        past.append(Done(tool, failed=not ok))


def _weigh(runs: Sequence[_Run]) -> Iterator[_Weighed]:
    known: dict[tuple[str, str], _Others] = defaultdict(_Others)
    for run in runs:
        known[run.domain, run.tenant].add(run)
    tools = {
        key: sorted(others.uses, key=lambda tool, others=others: (-others.uses[tool], tool))[:_MOST_TOOLS]  # type: ignore[misc]
        for key, others in known.items()
    }
    judged = [run for run in runs if run.judged and run.tools]
    for run in judged[:_MOST_RUNS]:
        others = known[run.domain, run.tenant]
        others.fold = run.fold
        weight, weights = 1.0, []
        for tool, ids in _steps(run):
            weight = min(_MOST_WEIGHT, weight * _ratio(Place(others, ids), tool, tools[run.domain, run.tenant]))
            weights.append(weight)
        yield _Weighed(run.earned, weights)


def _ratio(place: Place, tool: str, tools: Sequence[str]) -> float:
    """Return how much likelier a follower makes this call than what is usual."""
    judged = [place.worth(Asked(other)) for other in tools]
    total = sum(worth.usual for worth in judged)
    leaning = sum(worth.usual * worth.lift**_SHARPNESS for worth in judged)
    if not total or not leaning:
        return 1.0  # nothing is known here, so nothing is followed
    return place.worth(Asked(tool)).lift ** _SHARPNESS * total / leaning


def _estimate(weighed: Sequence[_Weighed]) -> Following:
    if not weighed:
        return Following(0, 0.0, None, None, None, None, None, None, None)
    last = [run.weights[-1] for run in weighed]
    effective = sum(last) ** 2 / sum(weight * weight for weight in last) if any(last) else 0.0
    earned = sum(run.earned for run in weighed) / len(weighed)
    if effective < _LEAST_EFFECTIVE:
        return Following(len(weighed), effective, earned, None, None, None, None, None, None)
    draw = random.Random(1)  # noqa: S311  # resampling
    values, gains = [], []
    for _ in range(_RESAMPLES):
        drawn = draw.choices(weighed, k=len(weighed))
        values.append(_value(drawn))
        gains.append(values[-1] - sum(run.earned for run in drawn) / len(drawn))
    values.sort()
    gains.sort()
    low, high = int(0.025 * _RESAMPLES), int(0.975 * _RESAMPLES)
    value = _value(weighed)
    return Following(
        len(weighed), effective, earned, value, values[low], values[high], value - earned, gains[low], gains[high]
    )  # fmt: skip


def _value(weighed: Sequence[_Weighed]) -> float:
    """Return what a follower earns: what is earned at each step, by the weights that all runs have by then."""
    ends: dict[int, list[_Weighed]] = defaultdict(list)
    for run in weighed:
        ends[len(run.weights)].append(run)
    going, done, value = list(weighed), 0.0, 0.0
    for step in range(1, max(ends) + 1):
        total = done + sum(run.weights[step - 1] for run in going)
        if total:
            value += sum(run.weights[-1] * run.earned for run in ends[step]) / total
        done += sum(run.weights[-1] for run in ends[step])
        going = [run for run in going if len(run.weights) > step]
    return value
