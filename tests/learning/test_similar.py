"""Which tasks of the past are like one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from learning_data import SECOND, T0, Episode, rows_of

from otel_episodes import UsageError
from otel_episodes_clickhouse import run_jobs
from otel_episodes_clickhouse.learning.similar import find

if TYPE_CHECKING:
    from otel_episodes_clickhouse import Store

TASKS = (
    "Cancel the order of Mia and refund the voucher",
    "Cancel the flight of Jonas and refund the card",
    "Plot the rainfall of Bergen by month",
    "Übersetze die Rechnung der Bäckerei ins Englische",
    "バッハの楽譜を印刷してください",
)


@pytest.fixture(scope="module")
def filled(storage_store: Store) -> Store:
    """Return a store with these tasks, the first done three times."""
    runs = [Episode(f"task-{n}", task=task, domain="similar") for n, task in enumerate(TASKS)]
    runs += [
        Episode("again-failed", task=TASKS[0], domain="similar", outcome="failure", start=T0 + 9 * SECOND),
        Episode("again-slow", task=TASKS[0], domain="similar", steps=[("look", False), ("look", True)]),
        Episode("nobody-knows", task="Cancel the order of nobody", domain="similar", outcome="unknown"),
    ]
    storage_store.insert_rows([row for run in runs for row in rows_of(run)])
    run_jobs(storage_store, "facts")
    return storage_store


def test_the_most_alike_comes_first_with_what_became_of_it(filled: Store) -> None:
    first, *others = find(filled, "cancel the order and refund the voucher", domain="similar")
    assert (first.task, first.episodes, first.successes) == (TASKS[0], 3, 2)
    assert (first.best, first.last_failed) == ("task-0", "again-failed")
    assert [task.task for task in others] == [TASKS[1]]
    assert first.likeness > others[0].likeness


@pytest.mark.parametrize("task", TASKS)
def test_a_task_is_most_like_itself_in_any_writing(filled: Store, task: str) -> None:
    assert find(filled, task, domain="similar")[0].task == task


@pytest.mark.parametrize("text", ["how to knit a pullover", "どこで本を買えますか", "", "?!"])
def test_nothing_is_like_what_is_foreign(filled: Store, text: str) -> None:
    assert find(filled, text, domain="similar") == []


def test_it_keeps_to_a_domain_a_tenant_and_an_outcome(filled: Store) -> None:
    asked = "cancel the order, refund the voucher"
    assert find(filled, asked, domain="elsewhere") == []
    assert find(filled, asked, domain="similar", tenant="somebody else") == []
    assert [task.task for task in find(filled, asked, domain="similar", outcome="failure")] == [TASKS[0]]
    with pytest.raises(UsageError, match="no outcome 'maybe' here"):
        find(filled, asked, outcome="maybe")
