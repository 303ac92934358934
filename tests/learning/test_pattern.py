# ruff: noqa: E501  # statements and episodes read best on one line
"""Patterns across episodes."""

from __future__ import annotations

import math
import random
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from learned_state import learn
from learning_data import Episode, Given

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_episodes_clickhouse import Store


given = Given()


@pytest.fixture(scope="module")
def learned(storage_store: Store) -> Store:
    """Return a store that has learned from the episodes of all tests."""
    learn(storage_store, *given)
    return storage_store


def found(store: Store, domain: str, kind: str) -> dict[tuple[str, ...], dict[str, Any]]:
    """Return the patterns of a type in a domain, by their keys."""
    rows = store.query(
        "SELECT * FROM patterns WHERE Domain = {d:String} AND Type = {t:String}", {"d": domain, "t": kind}
    )
    return {tuple(row["Key"]): row for row in rows}


def steps(*tools: str) -> list[tuple[str, bool]]:
    return [(tool, True) for tool in tools]


given(
    *(Episode(f"seq-good-{n}", steps=steps("x", "read", "edit", "test", "ship"), domain="seq") for n in range(10)),
    *(Episode(f"seq-bad-{n}", "failure", steps("guess", "edit", "ship"), domain="seq") for n in range(10)),
)


def test_sequences_are_found_anywhere_and_told_good_from_bad(learned: Store) -> None:
    rows = found(learned, "seq", "tool_sequence")
    assert rows["edit", "test"]["Verdict"] == "good"
    assert rows["edit", "ship"]["Verdict"] == "pitfall"
    assert rows["edit", "test"]["Support"] == 10
    assert rows["edit", "test"]["Lift"] == 2.0
    assert rows["edit", "test"]["QValue"] < 0.001
    assert len(rows["edit", "test"]["Evidence"]) == 5
    # Longer ones say no more than their parts.
    assert all(len(key) == 2 for key in rows)


given(
    *(Episode(f"more-a-{n}", steps=steps("a", "b", "c"), domain="more") for n in range(20)),
    *(Episode(f"more-b-{n}", outcome="failure", steps=steps("a", "b", "d"), domain="more") for n in range(20)),
    *(Episode(f"more-c-{n}", outcome="failure", steps=steps("e", "b", "c"), domain="more") for n in range(20)),
)


def test_a_longer_sequence_that_says_more_than_its_parts_is_kept(learned: Store) -> None:
    rows = found(learned, "more", "tool_sequence")
    assert ("a", "b", "c") in rows
    assert rows["a", "b", "c"]["SuccessRate"] == 1


# Supports whose Wilson bounds come out beyond 0 and 1 by rounding.
given(
    *(Episode(f"all-failure-{n}", "failure", steps(*"abcde"), domain="all-failure") for n in range(8)),
    *(Episode(f"all-success-{n}", "success", steps(*"abcde"), domain="all-success") for n in range(12)),
    *(Episode(f"all-other-{end}", end, steps("f"), domain=f"all-{end}") for end in ("failure", "success")),
)


def test_where_all_failed_or_all_succeeded_nothing_is_good_or_a_pitfall_or_said_twice(learned: Store) -> None:
    for outcome in ("failure", "success"):
        rows = learned.query("SELECT * FROM patterns WHERE Domain = {d:String}", {"d": f"all-{outcome}"})
        assert {row["Verdict"] for row in rows} == {"open"}
        assert max(len(row["Key"]) for row in rows if row["Type"] == "tool_sequence") == 2
        end = {row["SuccessRateLow" if outcome == "failure" else "SuccessRateHigh"] for row in rows}
        assert end == {0.0 if outcome == "failure" else 1.0}


given(*(Episode(f"loop-{n}", steps=steps(*"ab" * 6, *"c" * 9), domain="loop") for n in range(3)))


def test_loops_do_not_flood_the_list(learned: Store) -> None:
    keys = {
        tuple(row["Key"])
        for row in learned.query(
            "SELECT Key FROM internal_pattern_keys FINAL WHERE Domain = 'loop' AND Type = 'tool_sequence'"
        )
    }
    # Neither a b a b nor c c c.
    assert keys == {
        ("a", "b"), ("b", "a"), ("b", "c"), ("c", "c"), ("a", "b", "a"), ("b", "a", "b"), ("a", "b", "c"), ("b", "a", "b", "c"),
    }  # fmt: skip


given(
    Episode("once", steps=steps(*"pq" * 5), domain="once"),
    Episode("twice", steps=steps(*"pq" * 5), domain="twice"),
    Episode("twice-failed", "failure", steps(*"pq"), domain="twice"),
)


def test_nothing_is_said_of_a_single_episode_and_repeats_inside_one_count_once(learned: Store) -> None:
    assert found(learned, "once", "tool_sequence") == {}
    row = found(learned, "twice", "tool_sequence")["p", "q"]
    assert (row["Support"], row["Successes"], row["SuccessRate"]) == (2, 1, 0.5)
    z, n, p = 1.96, 2, 0.5
    low = (p + z * z / (2 * n) - z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))) / (1 + z * z / n)
    assert row["SuccessRateLow"] == pytest.approx(low)
    assert row["SuccessRateHigh"] == pytest.approx(1 - low)


def broken(number: int, domain: str) -> Episode:
    error = f"Cannot open '/home/u{number}/a.txt' at 0x{number:04x}: line {number}"
    made_good = [("build", False), ("clean", True), ("build", True)]
    return Episode(f"{domain}-{number}", steps=made_good, errors={0: error}, domain=domain)


given(
    *(broken(n, "err") for n in range(3)),
    *(broken(n, "err-some") for n in range(3)),
    *(Episode(f"err-no-{n}", outcome="failure", steps=[("build", False)], domain="err-some") for n in range(2)),
)


def test_error_recoveries_group_errors_that_differ_only_in_detail(learned: Store) -> None:
    made_good = ("build", "cannot open <text> at <id>: line <n>", "clean", "build")
    assert set(found(learned, "err", "error_recovery")) == {made_good}
    assert {made_good, ("build", "it failed")} <= set(found(learned, "err-some", "error_recovery"))


def decided(number: int, choice: str, outcome: str) -> Episode:
    return Episode(
        f"dec-{number}", outcome=outcome, domain="dec", language="rust",
        steps=[("plan", True), ("verify", number % 2 == 0), ("next" if choice == "retry" else "other", True)],
        kinds={0: "decision_point"}, actions={0: "retry or rewrite 3 files?", 1: "Verify the checksum", 2: "reverify"},
        observations={0: f"{choice}: because"},
    )  # fmt: skip


given(
    *(decided(n, "retry", "success") for n in range(4)),
    *(decided(n, "rewrite", "failure") for n in range(4, 8)),
)


def test_decisions_contexts_and_heuristics(learned: Store) -> None:
    rows = found(learned, "dec", "decision_point")
    assert set(rows) == {
        ("retry or rewrite <n> files?", "retry"), ("retry or rewrite <n> files?", "rewrite"),
        ("verify the checksum", "passed"), ("verify the checksum", "failed"),
    }  # fmt: skip
    assert rows["retry or rewrite <n> files?", "retry"]["SuccessRate"] == 1
    contexts = found(learned, "dec", "context")
    assert ("language=rust", "next", "plan", "verify") in contexts
    heuristics = found(learned, "dec", "heuristic")
    assert heuristics["verify", "ok", "next"]["Confidence"] == 1
    assert all(0 <= row["Confidence"] <= 1 for row in heuristics.values())


ODD = "o'dd \\ \""
ODD_TOOLS = ['it\'s "quoted"', "tab\there\n", "{name:String}", "naïve → 工具"]
given(*(Episode(f"odd-{n}", steps=steps(*ODD_TOOLS), domain=ODD) for n in range(2)))


def test_keys_with_quotes_and_control_characters_survive(learned: Store) -> None:
    assert set(found(learned, ODD, "tool_sequence")) == set(pairwise(ODD_TOOLS))


def noise(draw: random.Random) -> Iterator[Episode]:
    for number in range(100):
        outcome = draw.choice(("success", "failure"))
        yield Episode(f"noise-{number}", outcome, steps(*(draw.choice("abcdefgh") for _ in range(10))), domain="noise")


given(*noise(random.Random(3)))


def test_chance_is_not_mistaken_for_knowledge(learned: Store) -> None:
    rows = [row for kind in ("tool_sequence", "heuristic", "context") for row in found(learned, "noise", kind).values()]
    assert len(rows) > 100
    # At the usual 5 % some would be; corrected for as many tests as there are, none is.
    assert [row["Key"] for row in rows if row["QValue"] < 0.05] == []
    assert all(row["PValue"] <= row["QValue"] <= 1 for row in rows)


def decided_by_a_pair(draw: random.Random) -> Iterator[Episode]:
    for number in range(80):
        won = number % 2 == 0
        # One pair decides; the others come as they come.
        parts = [["plan", "edit"] if won else ["edit", "plan"], ["look", "wait", "ask"], ["ping", "pong", "look"]]
        draw.shuffle(parts)
        tools = [tool for part in parts[: draw.randrange(2, 4)] for tool in part]
        tools = tools if {"plan", "edit"} <= set(tools) else [*parts[2], *tools]
        yield Episode(f"gate-{number}", "success" if won else "failure", steps(*tools), domain="gate")


given(*decided_by_a_pair(random.Random(5)))


def test_what_is_about_the_tools_of_a_pair_is_tested_only_where_the_pair_holds(learned: Store) -> None:
    pairs = {key: row for key, row in found(learned, "gate", "tool_sequence").items() if len(key) == 2}
    assert pairs["plan", "edit"]["State"] == pairs["edit", "plan"]["State"] == "sure"
    holds = {key for key, row in pairs.items() if row["QValue"] <= 0.1}
    others = {key: row for key, row in found(learned, "gate", "tool_sequence").items() if len(key) > 2}
    for key, row in others.items():
        assert (row["State"] != "untested") is any(pair in holds for pair in pairwise(key)), key
    nexts = found(learned, "gate", "heuristic")
    for (tool, _, after), row in nexts.items():
        assert (row["State"] != "untested") is ((tool, after) in holds)
    assert {row["State"] for row in nexts.values()} >= {"sure", "untested"}


def test_of_chance_alone_few_look_promising_and_it_is_said_how_many_runs_more_would_tell(learned: Store) -> None:
    columns = "State, Support, MoreRuns, QValue, PValue"
    rows = learned.query(f"SELECT {columns} FROM patterns WHERE Domain = 'noise'")
    promising = [row for row in rows if row["State"] == "promising"]
    assert 0 < len(promising) <= 10
    assert all(row["MoreRuns"] > 0 and row["Support"] > 2 and row["PValue"] <= 0.1 for row in promising)
    assert all(row["QValue"] == 1 for row in rows if row["State"] == "untested")
    assert sum(row["State"] == "untested" for row in rows) > len(rows) / 4
