"""What an agent is told before it begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_episodes_clickhouse import Advice, NextStep, SimilarTask
from otel_episodes_clickhouse.advice.items import similar_items, step_items

if TYPE_CHECKING:
    from otel_episodes_clickhouse import Item


def step(tool: str, won: int, seen: int, low: float, high: float) -> NextStep:
    """Return a next step with these figures."""
    return NextStep(tool, 1.0, 0.5, 0.2, seen, won, low, high)


def advice(*steps: NextStep, similar: tuple[SimilarTask, ...] = ()) -> Advice:
    """Return advice in a domain in which four of ten runs succeed."""
    alike, sure = tuple(similar_items(similar, "")), tuple(step_items(steps, 0.4, "shop", "", ""))
    return Advice(0.4, 0.4, 0.4, 50, 0, steps, alike, sure)


def test_a_brief_says_what_is_sure_with_its_figures() -> None:
    alike = SimilarTask("Cancel it", "shop", 0.82, 4, 3, "e1", "e2", 0)
    told = advice(step("find", 18, 20, 0.69, 0.98), step("guess", 1, 30, 0.01, 0.17), similar=(alike,))
    first, *others = told.brief().splitlines()
    assert first == (
        "A task 82% like this one went well in 3 of 4 runs; the best is episode e1; the latest that failed, not to be "
        "followed, is e2."
    )
    assert others == [
        "From here find: 18 of 20 runs went well (69% to 98%; 40% of all).",
        "Not guess from here: 1 of 30 runs went well (1% to 17%; 40% of all).",
    ]
    similar, good, bad = told.items
    assert figures(similar) == ("similar", 4, 3, ("e1", "e2"))
    assert figures(good) == ("step", 20, 18, ())
    assert figures(bad) == ("avoid", 30, 1, ())


def figures(item: Item) -> tuple[str, int, int, tuple[str, ...]]:
    assert len(item.id) == 16
    assert 0 <= item.low < item.high <= 1
    return item.kind, item.support, item.successes, item.evidence


def test_an_item_has_the_same_id_whatever_its_figures_and_another_one_in_another_place() -> None:
    now, later = (advice(step("find", won, 20, 0.69, 0.98)).items[0] for won in (18, 19))
    assert now.id == later.id
    elsewhere = [
        next(step_items([step("find", 18, 20, 0.69, 0.98)], 0.4, domain, tenant, after))
        for domain, tenant, after in (("bank", "", ""), ("shop", "acme", ""), ("shop", "", "ask"))
    ]
    assert len({now.id, *(item.id for item in elsewhere)}) == 4


def test_a_brief_says_nothing_where_nothing_is_sure() -> None:
    assert advice(step("find", 6, 12, 0.25, 0.75), step("once", 1, 1, 0.5, 0.9)).brief() == ""


def test_a_brief_keeps_to_its_budget() -> None:
    told = advice(*(step(f"tool-{n}", 9, 9, 0.7, 1.0) for n in range(100)))
    assert 0 < len(told.brief()) <= 600 * 4
    assert len(told.brief(20)) <= 20 * 4
