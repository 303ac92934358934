"""Patterns that say the same in other words: the very same runs show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

# Two patterns that agree in all of these are shown by the same runs: as many, with the same sums to the nanosecond, the
# same times and the same latest traces.
_RUNS: Final = (
    "Domain", "Support", "Successes", "MeanReward", "MeanDurationNs", "MeanTokens", "DecayedSupport", "FirstSeen",
    "LastSeen", "Evidence",
)  # fmt: skip


def distinct(patterns: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows of `patterns` in their order, of those that the same runs show only the first."""
    first: dict[str, dict[str, Any]] = {}
    for pattern in patterns:
        first.setdefault(repr([pattern[name] for name in _RUNS]), pattern)
    return list(first.values())
