"""Scores that people give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from transcripts import OWN

from otel_episodes import UsageError
from otel_episodes_clickhouse import Store, run_jobs, score
from otel_episodes_clickhouse.errors import StoreError
from otel_episodes_clickhouse.importers.dispatch import Reading, found_under
from otel_episodes_clickhouse.importers.load import Import
from otel_episodes_clickhouse.importers.options import ImportOptions

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="module")
def imported(storage_store: Store) -> Callable[[str], dict[str, Any]]:
    """Return what a store says of an episode: of one of chat's samples and of Codex's, by its task."""
    Import(storage_store, Reading(ImportOptions(), print)).run(found_under([OWN / "codex", OWN / "chat"], {}))

    def said(task: str) -> dict[str, Any]:
        columns = "EpisodeId, Outcome, OutcomeSource, ExternalReward"
        return storage_store.query(f"SELECT {columns} FROM episodes WHERE Task = {{task:String}}", {"task": task})[0]

    return said


@pytest.mark.parametrize(
    ("value", "outcome"), [("good", "success"), (0.5, "success"), ("0.49", "failure"), ("bad", "failure")]
)
def test_a_score_decides_at_once_where_nobody_told_the_outcome(storage_store, imported, value, outcome):
    before = imported("Grind the corn")

    number = score(storage_store, before["EpisodeId"], value, note="seen it")

    assert imported("Grind the corn") == {
        **before,
        "Outcome": outcome,
        "OutcomeSource": "score",
        "ExternalReward": number,
    }


def test_a_score_stands_beside_an_outcome_that_was_told(storage_store, imported):
    before = imported("Feed the dog")

    score(storage_store, before["EpisodeId"], 0.9)

    assert imported("Feed the dog") == {**before, "ExternalReward": 0.9}


def test_the_jobs_learn_from_scores(storage_store, imported):
    scored = imported("Look")["EpisodeId"]
    score(storage_store, scored, "good")

    run_jobs(storage_store)

    statement = "SELECT argMax(Outcome, Version) AS Outcome FROM internal_facts WHERE EpisodeId = {id:String}"
    assert storage_store.query(statement, {"id": scored}) == [{"Outcome": "success"}]


@pytest.mark.parametrize("value", ["fine", "nan", True, "", float("inf")])
def test_what_is_not_a_score_is_wrong_use(storage_store, value):
    with pytest.raises(UsageError, match="is not a score: use good, bad, or a number such as 0.7"):
        score(storage_store, "any", value)


def test_an_episode_that_is_not_there_cannot_be_scored(storage_store):
    with pytest.raises(StoreError, match="no episode has the id none"):
        score(storage_store, "none", "good")
