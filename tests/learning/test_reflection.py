# ruff: noqa: E501  # statements and episodes read best on one line
"""What one episode teaches."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from learning_data import Episode, Given, rows_of

from otel_episodes_clickhouse.learning import jobs

if TYPE_CHECKING:
    from otel_episodes_clickhouse import Store


given = Given()


@pytest.fixture(scope="module")
def reflected(storage_store: Store) -> Store:
    """Return a store that has reflected on the episodes of all tests."""
    storage_store.insert_rows([row for episode in given for row in rows_of(episode)])
    jobs.run(storage_store, "reflections", overlap_seconds=0)
    return storage_store


def lessons(store: Store, episode: str) -> dict[str, list[str]]:
    """Return what an episode teaches."""
    (row,) = store.query_named("reflection_of", {"episode": episode})
    return row


given(Episode("clean", steps=[("a", True), ("b", True)], artifacts=["a_test.py"]))


def test_a_clean_success(reflected: Store) -> None:
    assert lessons(reflected, "clean") == {
        "Successes": ["Reached its goal in 2 steps, none of which failed.", "Left tests behind."],
        "Improvements": [],
        "Insights": ["2 of 2 steps succeeded, with 2 different tools."],
    }


FAILED = [("grep", False)] * 3 + [("read", True)] * 2 + [("grep", False)]
given(Episode("bad", outcome="failure", steps=FAILED, errors={n: f"no file {n}" for n in (0, 1, 2, 5)}))


def test_failures_say_what_to_do_otherwise_the_most_telling_first(reflected: Store) -> None:
    found = lessons(reflected, "bad")
    assert found["Improvements"] == [
        "The same error came 4 times (no file <n>): change the approach after the second.",
        "grep failed 4 of 4 times: check its arguments before calling it again.",
        "Ended on a failed grep (no file <n>): a failed step should not be the last word.",
        "4 of 6 steps failed: look before acting.",
    ]
    assert found["Successes"] == []  # what followed did not help: grep failed again


GREP, FAILED_GREP, READ, LIST = ("grep", True), ("grep", False), ("read", True), ("list", True)
# How a run ended, its steps, and what its failures were recovered from with.
RECOVERED = {
    "worked": ("failure", [FAILED_GREP, READ, GREP], ["read"]),
    "done without": ("success", [FAILED_GREP, READ], ["read"]),
    "given up": ("failure", [FAILED_GREP, READ], []),
    "in vain, then not": ("success", [FAILED_GREP, READ, FAILED_GREP, LIST, GREP], ["list"]),
    "not by that": ("failure", [FAILED_GREP, ("read", False), GREP], []),
}
for name, (outcome, steps, _) in RECOVERED.items():
    given(
        Episode(
            name,
            outcome=outcome,
            steps=steps,
            domain="recovery",
            errors={n: "no file" for n, (_, ok) in enumerate(steps) if not ok},
        )
    )


def test_a_recovery_is_one_only_if_the_tool_worked_then_or_was_not_needed(reflected: Store) -> None:
    for name, (_, _, by) in RECOVERED.items():
        assert [line for line in lessons(reflected, name)["Successes"] if "Recovered" in line] == [
            f"Recovered from a failed grep (no file) with {tool} right after: do that first next time." for tool in by
        ]


given(
    *(Episode(f"usual-{n}", steps=[("a", True)] * 4, seconds=60, tokens=1000, domain="len") for n in range(9)),
    Episode(
        "long",
        steps=[("a", True)] * 3 + [("b", True)] * 6,
        seconds=600,
        tokens=9000,
        domain="len",
        step_seconds={4: 50},
    ),
)


def test_length_and_bottlenecks_are_seen_against_the_domain(reflected: Store) -> None:
    assert lessons(reflected, "long")["Improvements"] == [
        "Called b 6 times in a row: ask for it in one call, or narrow the question.",
        "Took 9 steps where about 4 are usual in len: look for the detour.",
        "Spent 9000 tokens where about 1024 are usual.",
        "Step 5 (b) took 100 % of the time: make it faster or call it less.",
    ]


given(Episode("runs", outcome=None, start=time.time_ns() - 10**9))


def test_at_most_five_and_none_for_an_episode_that_runs(reflected: Store) -> None:
    assert reflected.query_named("reflection_of", {"episode": "runs"}) == []
    sizes = reflected.query(
        "SELECT max(greatest(length(Successes), length(Improvements), length(Insights))) AS M FROM internal_reflections FINAL"
    )
    assert sizes[0]["M"] <= 5


given(
    *(Episode(f"win-{n}", steps=[("look", True), ("act", True)], domain="peers") for n in range(3)),
    Episode("lose", outcome="failure", steps=[("act", True)], domain="peers"),
)


def test_what_the_successful_ones_did_that_it_did_not(reflected: Store) -> None:
    peers = reflected.query_named("reflection_peers", {"episode": "lose"})
    assert peers == [{"Tool": "look", "Winners": 3, "Share": 1.0, "OthersShare": 0.0}]


TOOLS = [("find", True), ("read", True), ("change", True), ("send", True)]
given(
    Episode("vain", outcome="failure", steps=TOOLS, domain="alike", task="one"),
    Episode("other", steps=TOOLS[:3], domain="alike", task="two"),
    Episode("twin", steps=[*TOOLS[:2], ("ask", True)], domain="alike", task="one"),
)


def test_a_run_that_failed_is_not_praised_and_the_one_most_alike_that_succeeded_is_named(reflected: Store) -> None:
    found = lessons(reflected, "vain")
    assert found["Successes"] == []
    assert found["Improvements"] == [
        "4 of 4 steps succeeded and yet it did not reach its goal: the steps do not show why."
    ]
    assert reflected.query_named("reflection_alike", {"episode": "vain"}) == [
        {"EpisodeId": "twin", "SameTask": True, "PartsAt": 3, "TheirTool": "ask", "OwnTool": "change"}
    ]
    assert reflected.query_named("reflection_alike", {"episode": "twin"}) == []
