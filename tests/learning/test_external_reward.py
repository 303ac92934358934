"""Rewards from outside, used instead of the computed ones: one switch for patterns, the outlook and the views."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from learned_state import LEARNED, SOURCES, state, truncate
from learning_data import Episode, rows_of

from otel_episodes.exceptions import UsageError
from otel_episodes_clickhouse.learning import formulas, jobs

if TYPE_CHECKING:
    from otel_episodes_clickhouse import Store

STEPS = [("a", True), ("b", True)]
# What the agent says of itself, and what it was given from outside.
EPISODES = (
    Episode("judged-good", outcome="failure", steps=STEPS, domain="d", reward=0.9),
    Episode("judged-bad", steps=STEPS, domain="d", reward=0.2),
    Episode("judged-worse", steps=STEPS, domain="d", reward=-1.0),
    Episode("unjudged", steps=STEPS, domain="d"),
    Episode("unjudged-partly", outcome="partial", completed=1, failed=3, steps=STEPS, domain="d"),
    Episode("nonsense", steps=STEPS, domain="d", reward=float("nan")),
)


def learned(store: Store) -> dict[str, Any]:
    """Return what the pattern a > b, the domain and the outlook say."""
    pattern = store.query(
        "SELECT Successes, MeanReward FROM patterns WHERE Key = ['a', 'b'] AND Type = 'tool_sequence'"
    )[0]
    domain = store.query("SELECT SuccessRate, Judged, Mean FROM internal_domain_rewards WHERE Formula = 'v2'")[0]
    so_far = {"episode": "", "domain": "d", "task": "", "tools": [], "ended": False}
    return {**pattern, **domain, "Outlook": store.query_named("outlook", so_far)[0]["DomainRate"]}


def used(store: Store) -> dict[str, tuple[float, bool]]:
    rows = store.query("SELECT EpisodeId, Reward, Success FROM rewards WHERE Formula = 'v2'")
    return {row["EpisodeId"]: (round(row["Reward"], 6), row["Success"]) for row in rows}


def fresh(store: Store) -> None:
    truncate(store, *SOURCES, *LEARNED, "internal_settings")
    store.insert_rows([row for episode in EPISODES for row in rows_of(episode)])


def test_scores_from_outside_are_used_where_there_are_any_and_the_outcome_elsewhere(storage_store: Store) -> None:
    fresh(storage_store)
    jobs.run(storage_store, reward="external", success_at=0.5, overlap_seconds=0)
    assert used(storage_store) == {
        "judged-good": (0.9, True), "judged-bad": (0.2, False), "judged-worse": (-1.0, False),
        "unjudged": (1.0, True), "unjudged-partly": (0.25, False), "nonsense": (1.0, True),
    }  # fmt: skip
    mean = (0.9 + 0.2 - 1 + 1 + 0.25 + 1) / 6
    assert learned(storage_store) == {
        "Successes": 3, "MeanReward": pytest.approx(mean), "SuccessRate": 0.5, "Judged": 3, "Mean": pytest.approx(mean),
        "Outlook": (3 + 1) / (6 + 2),
    }  # fmt: skip
    row = storage_store.query("SELECT Normalised, DomainMean FROM rewards WHERE EpisodeId = 'judged-good'")[0]
    assert row["DomainMean"] == pytest.approx(mean)
    assert 0 < row["Normalised"] < 1
    kept = storage_store.query("SELECT Total, ExternalReward FROM rewards WHERE EpisodeId = 'judged-bad'")[0]
    assert kept["ExternalReward"] == 0.2
    assert kept["Total"] > 1


def test_reflections_believe_the_score_rather_than_the_agent(storage_store: Store) -> None:
    def lessons(episode: str) -> dict[str, list[str]]:
        return storage_store.query_named("reflection_of", {"episode": episode})[0]

    fresh(storage_store)
    more = [Episode(f"won-{n}", steps=[*STEPS, ("check", True)], domain="d", reward=1.0) for n in range(3)]
    storage_store.insert_rows([row for episode in more for row in rows_of(episode)])
    jobs.run(storage_store, overlap_seconds=0)
    reached = "Reached its goal in 2 steps, none of which failed."
    assert lessons("judged-bad")["Successes"] == [reached]
    assert lessons("judged-good")["Successes"] == []
    assert storage_store.query_named("reflection_peers", {"episode": "judged-bad"}) == []
    jobs.run(storage_store, reward="external", success_at=0.5, overlap_seconds=0)
    bad = lessons("judged-bad")
    assert bad["Successes"] == []
    assert bad["Improvements"] == [
        "Took itself for a success but was scored 0.2 from outside: check the result before ending."
    ]
    assert lessons("judged-good")["Successes"] == [reached]
    assert lessons("unjudged")["Successes"] == [reached]
    peers = storage_store.query_named("reflection_peers", {"episode": "judged-bad"})
    assert [(peer["Tool"], peer["Winners"]) for peer in peers] == [("check", 6)]
    jobs.run(storage_store, reward="computed", overlap_seconds=0)
    assert lessons("judged-bad")["Successes"] == [reached]


def test_the_switch_is_kept_and_a_change_of_it_changes_what_was_learned_before(storage_store: Store) -> None:
    fresh(storage_store)
    jobs.run(storage_store, overlap_seconds=0)
    computed = state(storage_store)
    assert learned(storage_store)["Successes"] == 4
    reports = {report.job: report for report in jobs.run(storage_store, reward="external", overlap_seconds=0)}
    assert (reports["observations"].full, reports["observations"].formula) == (True, "v2, external, success from 1")
    assert (reports["rewards"].full, reports["rewards"].written) == (False, 0)
    assert learned(storage_store)["Successes"] == 2
    reports = {report.job: report for report in jobs.run(storage_store, overlap_seconds=0)}
    assert (reports["observations"].full, reports["patterns"].seen) == (False, 0)
    assert formulas.reward_use(storage_store) == formulas.RewardUse(external=True, success_at=1.0)
    jobs.run(storage_store, success_at=0.9, overlap_seconds=0)
    assert learned(storage_store)["Successes"] == 3
    jobs.run(storage_store, reward="computed", overlap_seconds=0)
    again = state(storage_store)
    for name, rows in computed.items():
        assert again[name] == rows, name


def test_a_score_that_arrives_late_is_used_from_the_next_run_on(storage_store: Store) -> None:
    fresh(storage_store)
    jobs.run(storage_store, reward="external", overlap_seconds=0)
    score = rows_of(Episode("unjudged", steps=STEPS, domain="d"))[-1]
    judged = {"gen_ai.evaluation.name": "judge", "gen_ai.evaluation.score.value": "0.4"}
    event = {"event_timestamps": (1,), "event_names": ("gen_ai.evaluation.result",), "event_attributes": (judged,)}
    storage_store.insert_rows(
        [score._replace(span_id="late", span_attributes={**score.span_attributes, "episode.span": ""}, **event)]
    )
    storage_store.insert_rows([score])
    jobs.run(storage_store, overlap_seconds=0)
    assert used(storage_store)["unjudged"] == (0.4, False)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"reward": "outside"}, "there are computed and external"),
        ({"reward": "external", "success_at": float("nan")}, "finite"),
        ({"reward": "computed", "success_at": 0.5}, "choose the reward external"),
    ],
)
def test_a_wrong_switch_is_refused_and_changes_nothing(storage_store: Store, wrong: dict[str, Any], says: str) -> None:
    before = formulas.reward_use(storage_store)
    with pytest.raises(UsageError, match=says):
        jobs.run(storage_store, **wrong)
    assert formulas.reward_use(storage_store) == before
