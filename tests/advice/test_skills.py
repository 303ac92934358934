"""Skills: what is sure, in versions that a person accepts, written from one template."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from learning_data import SECOND, Episode, rows_of

from otel_episodes import UsageError
from otel_episodes_clickhouse import run_jobs
from otel_episodes_clickhouse.advice import skills
from otel_episodes_clickhouse.errors import StoreError
from otel_episodes_clickhouse.sql import Statement

if TYPE_CHECKING:
    from pathlib import Path

    from otel_episodes_clickhouse import Store

NAME = "ledger-of-ada"


def run(number: int, steps: list[tuple[str, bool]], outcome: str, **more: Any) -> list[Any]:
    start = time.time_ns() - (90_000 + number) * SECOND
    return rows_of(Episode(f"run-{number}", outcome, steps, domain="Ledger of Ada", start=start, **more))


@pytest.fixture(scope="module")
def learned(storage_store: Store) -> Store:
    """Return a store in which testing before a push goes well, and pushing straight away does not."""
    for number in range(20):
        storage_store.insert_rows(run(number, [("edit", True), ("test", True), ("push", True)], "success"))
        errors = {1: f"rejected: {number} tests fail"}
        storage_store.insert_rows(run(100 + number, [("edit", True), ("push", False)], "failure", errors=errors))
    for number in range(5):
        steps = [("edit", True), ("push", False), ("test", True), ("push", True)]
        storage_store.insert_rows(run(200 + number, steps, "success", errors={1: f"rejected: {number} tests fail"}))
    run_jobs(storage_store)
    return storage_store


@pytest.fixture
def store(learned: Store) -> Store:
    """Return the store without any skill."""
    learned.execute(Statement("none", "TRUNCATE TABLE internal_skills"))
    return learned


def states(store: Store) -> list[tuple[int, str]]:
    return [(skill.version, skill.state) for skill in skills.versions(store, NAME)]


def another(store: Store) -> None:
    """Have the store sure of something else, so that a version more is proposed."""
    state = (
        "INSERT INTO internal_item_states (Item, State) SELECT Items[1], {state:String} FROM internal_skills LIMIT 1"
    )
    store.execute(Statement("state", state), {"state": "retired"})


def test_what_is_sure_is_proposed_once_with_its_figures_and_its_evidence(store):
    (made,) = skills.propose(store)

    assert (made.name, made.version, made.state, made.runs) == (NAME, 1, "proposed", 45)
    assert any(step.startswith("test, then push: 25 of 25 runs went well") for step in made.steps)
    assert any(text.startswith("push failed in 25 of 45 runs that called it") for text in made.avoid)
    assert any("test and then push put it right in 5 of 25 runs" in text for text in made.recoveries)
    assert made.evidence
    assert skills.propose(store) == []


def test_a_skill_is_written_from_one_template_as_its_folder_may_be(store):
    (made,) = skills.propose(store, domain="Ledger of Ada")
    lines = made.text().splitlines()

    assert lines[:4] == ["---", f"name: {NAME}", f'description: "{made.description}"', "---"]
    assert made.description.startswith("Use when ")
    assert len(made.description) <= 130
    assert len(lines) <= 60
    titles = [line for line in lines if line.startswith("## ")]
    assert titles == [
        "## When", "## When not", "## Steps that led to success", "## Avoid", "## If it fails", "## Evidence",
    ]  # fmt: skip
    assert skills.name_of("Ünder/Score__x" * 9, "t-1") == skills.name_of("Ünder/Score__x" * 9, "t-1")[:64]


def test_only_what_a_person_accepted_is_exported_and_what_counts_no_more_is_removed(store, tmp_path: Path):
    skills.propose(store)
    assert skills.export(store, tmp_path) == []

    skills.accept(store, NAME, reason="read it")
    (written,) = skills.export(store, tmp_path)

    assert written == tmp_path / NAME / "SKILL.md"
    assert written.read_text() == skills.one(store, NAME).text()
    assert skills.rollback(store, NAME) is None
    assert skills.export(store, tmp_path) == []
    assert not written.exists()


def test_an_earlier_version_counts_again_after_a_rollback(store):
    skills.propose(store)
    skills.accept(store, NAME)
    another(store)
    try:
        skills.propose(store)
        assert states(store) == [(1, "accepted"), (2, "proposed")]
        skills.accept(store, NAME)
        assert states(store) == [(1, "replaced"), (2, "accepted")]
        back = skills.rollback(store, NAME)
        assert (back.version if back else None, states(store)) == (1, [(1, "accepted"), (2, "replaced")])
        skills.rollback(store, NAME, 2)
        assert states(store) == [(1, "replaced"), (2, "accepted")]
    finally:
        store.execute(Statement("states", "TRUNCATE TABLE internal_item_states"))


def test_what_was_not_shown_for_ninety_days_has_expired(store, tmp_path: Path):
    skills.propose(store)
    old = """
        INSERT INTO internal_skills (Name, Version, Event, Time)
        VALUES ({name:String}, 1, 'accepted', now64(6) - INTERVAL 91 DAY)
    """
    store.execute(Statement("old", old), {"name": NAME})

    assert states(store) == [(1, "expired")]
    assert skills.export(store, tmp_path) == []

    shown = """
        INSERT INTO internal_advice (EpisodeId, TraceId, SpanId, Time, Kind, Arm, Shown)
        SELECT 'e', 't', 's', now64(9) - INTERVAL 1 DAY, 'advice', 'shown', Items
        FROM internal_skills WHERE Event = 'proposed'
    """
    store.execute(Statement("shown", shown))
    assert states(store) == [(1, "accepted")]


@pytest.mark.parametrize(
    ("do", "error", "message"),
    [
        (lambda store: skills.propose(store, name="x"), UsageError, "name the domain"),
        (lambda store: skills.propose(store, domain="d", name="Not So"), UsageError, "cannot be a skill's name"),
        (lambda store: skills.accept(store, "nothing"), StoreError, "no skill 'nothing'"),
        (lambda store: skills.rollback(store, "nothing"), StoreError, "no skill 'nothing'"),
    ],
)
def test_wrong_use_says_what_is_wrong(store, do, error, message):
    with pytest.raises(error, match=message):
        do(store)


def test_a_version_that_was_never_accepted_cannot_be_gone_back_to(store):
    skills.propose(store)
    with pytest.raises(StoreError, match="nothing to roll back"):
        skills.rollback(store, NAME)
    skills.accept(store, NAME)
    with pytest.raises(UsageError, match="version 7 of ledger-of-ada was never accepted"):
        skills.rollback(store, NAME, 7)
    with pytest.raises(StoreError, match="no version 7"):
        skills.one(store, NAME, 7)
