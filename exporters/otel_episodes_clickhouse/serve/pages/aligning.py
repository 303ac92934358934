"""Two runs side by side: which steps of one are those of the other, and where the two part.

An alignment of two sequences that costs least (Needleman, S. B. and Wunsch, C. D. 1970): the same call costs nothing,
the same tool used otherwise a little, a step that only one of them has one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

Row = dict[str, Any]

# What a pair of steps costs, in tenths of a step that has no counterpart.
_OTHERWISE: Final = 4
_ALONE: Final = 10
# Steps of each run that are compared with each other; a longer one goes on unpaired.
LONGEST: Final = 300


def align(left: Sequence[Row], right: Sequence[Row]) -> list[Row]:
    """Return rows of ``Left``, ``Right`` (a step or None) and ``How``: same, otherwise, outcome, left or right.

    ``outcome`` is the same call of which one failed. The first row that is not ``same`` has ``Parts`` set.
    """
    head = 0
    while head < min(len(left), len(right)) and _cost(left[head], right[head]) == 0:
        head += 1
    rows: list[tuple[Row | None, Row | None]] = [(left[place], right[place]) for place in range(head)]
    one, two = left[head : head + LONGEST], right[head : head + LONGEST]
    rows += _paired(one, two)
    rows += [(step, None) for step in left[head + LONGEST :]]
    rows += [(None, step) for step in right[head + LONGEST :]]
    found = [{"Left": mine, "Right": theirs, "How": _how(mine, theirs), "Parts": False} for mine, theirs in rows]
    for row in found:
        if row["How"] != "same":
            row["Parts"] = True
            break
    return found


def _paired(left: Sequence[Row], right: Sequence[Row]) -> list[tuple[Row | None, Row | None]]:
    """Return the cheapest pairing of all steps of both, in their order."""
    # costs[i][j]: of what is left of both from i and j on.
    costs = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for i in range(len(left), -1, -1):
        for j in range(len(right), -1, -1):
            if i == len(left) or j == len(right):
                costs[i][j] = _ALONE * (len(left) - i + len(right) - j)
                continue
            pair = _cost(left[i], right[j]) + costs[i + 1][j + 1]
            costs[i][j] = min(pair, _ALONE + costs[i + 1][j], _ALONE + costs[i][j + 1])
    rows: list[tuple[Row | None, Row | None]] = []
    i = j = 0
    while i < len(left) or j < len(right):
        if i < len(left) and j < len(right) and costs[i][j] == _cost(left[i], right[j]) + costs[i + 1][j + 1]:
            rows.append((left[i], right[j]))
            i, j = i + 1, j + 1
        elif i < len(left) and costs[i][j] == _ALONE + costs[i + 1][j]:
            rows.append((left[i], None))
            i += 1
        else:
            rows.append((None, right[j]))
            j += 1
    return rows


def _cost(mine: Row, theirs: Row) -> int:
    # What is no call of a tool is told by its kind: a decision, a milestone.
    if (mine["Tool"] or mine["Kind"]) != (theirs["Tool"] or theirs["Kind"]):
        return 2 * _ALONE + 1
    return 0 if mine["Action"] == theirs["Action"] else _OTHERWISE


def _how(mine: Row | None, theirs: Row | None) -> str:
    if mine is None:
        return "right"
    if theirs is None:
        return "left"
    if mine["Action"] != theirs["Action"]:
        return "otherwise"
    return "same" if mine["Success"] == theirs["Success"] else "outcome"
