"""The confidence sequence of `advice effects` in Python, run by run, as the SQL computes it all at once."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

GRID: Final = tuple(step / 100 for step in range(-100, 101))


@dataclass
class Sequence:
    """Bets against every effect on a grid (Waudby-Smith and Ramdas 2024), one run after the other.

    ``share`` is how likely a run was shown; outcomes are between 0 and 1.
    """

    share: float
    alpha: float = 0.05
    _n: int = 0
    _sum: float = 0.0
    _squares: float = 0.0
    _tasks: Counter[str] = field(default_factory=Counter)
    _task_sums: dict[str, float] = field(default_factory=dict)
    _up: list[float] = field(default_factory=lambda: [0.0] * len(GRID))
    _down: list[float] = field(default_factory=lambda: [0.0] * len(GRID))

    def add(self, task: str, outcome: float, *, shown: bool) -> None:
        """Take the next run, in the order of assignment."""
        w = self.share * (1 - self.share)
        guess = (self._sum + 1) / (self._n + 2)
        mean = (self._task_sums.get(task, 0.0) + 2 * guess) / (self._tasks[task] + 2)
        z = (outcome - mean) * (shown - self.share)
        variance = (self._squares + w / 4) / (self._n + 1)
        bet = min(0.75, math.sqrt(2 * math.log(2 / self.alpha) / (400 * variance)))
        for place, effect in enumerate(GRID):
            self._up[place] += math.log1p(bet * (z - effect * w))
            self._down[place] += math.log1p(-bet * (z - effect * w))
        self._n += 1
        self._sum += outcome
        self._squares += z * z
        self._tasks[task] += 1
        self._task_sums[task] = self._task_sums.get(task, 0.0) + outcome

    def interval(self) -> tuple[float, float]:
        """Return the least and the greatest effect that is not refuted."""
        left = [
            effect
            for effect, up, down in zip(GRID, self._up, self._down, strict=True)
            if (math.exp(up) + math.exp(down)) / 2 < 1 / self.alpha
        ]
        return (left[0], left[-1]) if left else (0.0, 0.0)


def mantel_haenszel(runs: list[tuple[str, bool, bool]]) -> tuple[float, float, float]:
    """Return the difference of rates and its interval at 95 % (Sato, T. 1989), of runs as task, success and shown.

    Strata are tasks where both arms occur; all others are one stratum.
    """
    arms: dict[str, set[bool]] = {}
    for task, _, shown in runs:
        arms.setdefault(task, set()).add(shown)
    strata: dict[str, list[tuple[bool, bool]]] = {}
    for task, won, shown in runs:
        strata.setdefault(task if len(arms[task]) == 2 else "", []).append((won, shown))  # noqa: PLR2004  # both
    differs = weight = p = q = 0.0
    for stratum in strata.values():
        n1, n0 = sum(shown for _, shown in stratum), sum(not shown for _, shown in stratum)
        x1, x0 = sum(won and shown for won, shown in stratum), sum(won and not shown for won, shown in stratum)
        n = n1 + n0
        differs += (x1 * n0 - x0 * n1) / n
        weight += n1 * n0 / n
        p += (n1 * n1 * x0 - n0 * n0 * x1 + n1 * n0 * (n0 - n1) / 2) / (n * n)
        q += (x1 * (n0 - x0) + x0 * (n1 - x1)) / (2 * n)
    if not weight:
        return 0.0, 0.0, 0.0
    rate = differs / weight
    half = 1.96 * math.sqrt(max(0.0, rate * p + q)) / weight
    return rate, rate - half, rate + half
