# ruff: noqa: E501  # statements and episodes read best on one line
"""What one episode teaches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_episodes_clickhouse.learning import jobs
from tests.learning_data import Episode, rows_of

if TYPE_CHECKING:
    from otel_episodes_clickhouse import Store


def lessons(store: Store, *episodes: Episode) -> dict[str, list[str]]:
    """Store these episodes and return what the first one teaches."""
    store.insert_rows([row for episode in episodes for row in rows_of(episode)])
    jobs.run(store, "reflections", overlap_seconds=0)
    rows = store.query_named("reflection_of", {"episode": episodes[0].id})
    assert len(rows) == 1
    return rows[0]


def test_a_clean_success(storage_store: Store) -> None:
    found = lessons(storage_store, Episode("clean", steps=[("a", True), ("b", True)], artifacts=["a_test.py"]))
    assert found == {
        "Successes": ["Reached its goal in 2 steps, none of which failed.", "Left tests behind."],
        "Improvements": [],
        "Insights": ["2 of 2 steps succeeded, with 2 different tools."],
    }


def test_failures_say_what_to_do_otherwise_the_most_telling_first(storage_store: Store) -> None:
    steps = [("grep", False)] * 3 + [("read", True)] * 2 + [("grep", False)]
    found = lessons(
        storage_store, Episode("bad", outcome="failure", steps=steps, errors={n: f"no file {n}" for n in (0, 1, 2, 5)})
    )
    assert found["Improvements"] == [
        "The same error came 4 times (no file <n>): change the approach after the second.",
        "grep failed 4 of 4 times: check its arguments before calling it again.",
        "Ended on a failed grep (no file <n>): a failed step should not be the last word.",
        "4 of 6 steps failed: look before acting.",
    ]
    assert found["Successes"] == [
        "Recovered from a failed grep (no file <n>) with read right after: do that first next time."
    ]


def test_length_and_bottlenecks_are_seen_against_the_domain(storage_store: Store) -> None:
    usual = [Episode(f"usual-{n}", steps=[("a", True)] * 4, seconds=60, tokens=1000, domain="len") for n in range(9)]
    long = Episode(
        "long",
        steps=[("a", True)] * 3 + [("b", True)] * 6,
        seconds=600,
        tokens=9000,
        domain="len",
        step_seconds={4: 50},
    )
    found = lessons(storage_store, long, *usual)
    assert found["Improvements"] == [
        "Called b 6 times in a row: ask for it in one call, or narrow the question.",
        "Took 9 steps where about 4 are usual in len: look for the detour.",
        "Spent 9000 tokens where about 1024 are usual.",
        "Step 5 (b) took 100 % of the time: make it faster or call it less.",
    ]


def test_at_most_five_and_none_for_an_episode_that_runs(storage_store: Store) -> None:
    import time

    running = Episode("runs", outcome=None, start=time.time_ns() - 10**9)
    storage_store.insert_rows(rows_of(running))
    jobs.run(storage_store, "reflections")
    assert storage_store.query_named("reflection_of", {"episode": "runs"}) == []
    sizes = storage_store.query(
        "SELECT max(greatest(length(Successes), length(Improvements), length(Insights))) AS M FROM internal_reflections FINAL"
    )
    assert sizes[0]["M"] <= 5


def test_what_the_successful_ones_did_that_it_did_not(storage_store: Store) -> None:
    winners = [Episode(f"win-{n}", steps=[("look", True), ("act", True)], domain="peers") for n in range(3)]
    loser = Episode("lose", outcome="failure", steps=[("act", True)], domain="peers")
    lessons(storage_store, loser, *winners)
    peers = storage_store.query_named("reflection_peers", {"episode": "lose"})
    assert peers == [{"Tool": "look", "Winners": 3, "Share": 1.0, "OthersShare": 0.0}]


def test_a_run_that_failed_is_not_praised_and_the_one_most_alike_that_succeeded_is_named(storage_store: Store) -> None:
    tools = ("find", "read", "change", "send")
    found = lessons(
        storage_store,
        Episode("vain", outcome="failure", steps=[(tool, True) for tool in tools], domain="alike", task="one"),
        Episode("other", steps=[(tool, True) for tool in tools[:3]], domain="alike", task="two"),
        Episode("twin", steps=[("find", True), ("read", True), ("ask", True)], domain="alike", task="one"),
    )
    assert found["Successes"] == []
    assert found["Improvements"] == [
        "4 of 4 steps succeeded and yet it did not reach its goal: the steps do not show why."
    ]
    assert storage_store.query_named("reflection_alike", {"episode": "vain"}) == [
        {"EpisodeId": "twin", "SameTask": True, "PartsAt": 3, "TheirTool": "ask", "OwnTool": "change"}
    ]
    assert storage_store.query_named("reflection_alike", {"episode": "twin"}) == []
