# ruff: noqa: E501  # statements and episodes read best on one line
"""Patterns across episodes."""

from __future__ import annotations

import math
import random
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from otel_episodes_clickhouse.learning import jobs
from tests.learning_data import Episode, rows_of

if TYPE_CHECKING:
    from otel_episodes_clickhouse import Store


def learn(store: Store, *episodes: Episode) -> None:
    """Store these episodes and learn from them."""
    store.insert_rows([row for episode in episodes for row in rows_of(episode)])
    jobs.run(store, "patterns", overlap_seconds=0)


def found(store: Store, domain: str, kind: str) -> dict[tuple[str, ...], dict[str, Any]]:
    """Return the patterns of a type in a domain, by their keys."""
    rows = store.query(
        "SELECT * FROM patterns WHERE Domain = {d:String} AND Type = {t:String}", {"d": domain, "t": kind}
    )
    return {tuple(row["Key"]): row for row in rows}


def test_sequences_are_found_anywhere_and_told_good_from_bad(storage_store: Store) -> None:
    good = [("read", True), ("edit", True), ("test", True), ("ship", True)]
    bad = [("guess", True), ("edit", True), ("ship", True)]
    learn(
        storage_store,
        *(Episode(f"seq-good-{n}", steps=[("x", True), *good], domain="seq") for n in range(10)),
        *(Episode(f"seq-bad-{n}", outcome="failure", steps=bad, domain="seq") for n in range(10)),
    )
    rows = found(storage_store, "seq", "tool_sequence")
    assert rows["edit", "test"]["Verdict"] == "good"
    assert rows["edit", "ship"]["Verdict"] == "pitfall"
    assert rows["edit", "test"]["Support"] == 10
    assert rows["edit", "test"]["Lift"] == 2.0
    assert rows["edit", "test"]["QValue"] < 0.001
    assert len(rows["edit", "test"]["Evidence"]) == 5
    # Longer ones say no more than their parts.
    assert all(len(key) == 2 for key in rows)


def test_a_longer_sequence_that_says_more_than_its_parts_is_kept(storage_store: Store) -> None:
    def steps(*tools: str) -> list[tuple[str, bool]]:
        return [(tool, True) for tool in tools]

    learn(
        storage_store,
        *(Episode(f"more-a-{n}", steps=steps("a", "b", "c"), domain="more") for n in range(20)),
        *(Episode(f"more-b-{n}", outcome="failure", steps=steps("a", "b", "d"), domain="more") for n in range(20)),
        *(Episode(f"more-c-{n}", outcome="failure", steps=steps("e", "b", "c"), domain="more") for n in range(20)),
    )
    rows = found(storage_store, "more", "tool_sequence")
    assert ("a", "b", "c") in rows
    assert rows["a", "b", "c"]["SuccessRate"] == 1


def test_where_all_failed_or_all_succeeded_nothing_is_good_or_a_pitfall_or_said_twice(storage_store: Store) -> None:
    # Supports whose Wilson bounds come out beyond 0 and 1 by rounding.
    steps = [(tool, True) for tool in "abcde"]
    for number, outcome in ((8, "failure"), (12, "success")):
        domain = f"all-{outcome}"
        learn(
            storage_store,
            *(Episode(f"{domain}-{n}", outcome=outcome, steps=steps, domain=domain) for n in range(number)),
            Episode(f"{domain}-other", outcome=outcome, steps=[("f", True)], domain=domain),
        )
        rows = storage_store.query("SELECT * FROM patterns WHERE Domain = {d:String}", {"d": domain})
        assert {row["Verdict"] for row in rows} == {"open"}
        assert max(len(row["Key"]) for row in rows if row["Type"] == "tool_sequence") == 2
        end = {row["SuccessRateLow" if outcome == "failure" else "SuccessRateHigh"] for row in rows}
        assert end == {0.0 if outcome == "failure" else 1.0}


def test_loops_do_not_flood_the_list(storage_store: Store) -> None:
    loop = [("a", True), ("b", True)] * 6
    same = [("c", True)] * 9
    learn(storage_store, *(Episode(f"loop-{n}", steps=loop + same, domain="loop") for n in range(3)))
    keys = {
        tuple(row["Key"])
        for row in storage_store.query(
            "SELECT Key FROM internal_pattern_keys FINAL WHERE Domain = 'loop' AND Type = 'tool_sequence'"
        )
    }
    # Neither a b a b nor c c c.
    assert keys == {
        ("a", "b"), ("b", "a"), ("b", "c"), ("c", "c"), ("a", "b", "a"), ("b", "a", "b"), ("a", "b", "c"), ("b", "a", "b", "c"),
    }  # fmt: skip


def test_nothing_is_said_of_a_single_episode_and_repeats_inside_one_count_once(storage_store: Store) -> None:
    learn(storage_store, Episode("once", steps=[("p", True), ("q", True)] * 5, domain="once"))
    assert found(storage_store, "once", "tool_sequence") == {}
    learn(storage_store, Episode("twice", outcome="failure", steps=[("p", True), ("q", True)], domain="once"))
    row = found(storage_store, "once", "tool_sequence")["p", "q"]
    assert (row["Support"], row["Successes"], row["SuccessRate"]) == (2, 1, 0.5)
    z, n, p = 1.96, 2, 0.5
    low = (p + z * z / (2 * n) - z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))) / (1 + z * z / n)
    assert row["SuccessRateLow"] == pytest.approx(low)
    assert row["SuccessRateHigh"] == pytest.approx(1 - low)


def test_error_recoveries_group_errors_that_differ_only_in_detail(storage_store: Store) -> None:
    def broken(number: int) -> Episode:
        error = f"Cannot open '/home/u{number}/a.txt' at 0x{number:04x}: line {number}"
        return Episode(
            f"err-{number}", steps=[("build", False), ("clean", True), ("build", True)], errors={0: error}, domain="err"
        )

    learn(storage_store, *(broken(n) for n in range(3)))
    rows = found(storage_store, "err", "error_recovery")
    assert set(rows) == {("build", "cannot open <text> at <id>: line <n>", "clean", "build")}
    learn(
        storage_store,
        *(Episode(f"err-no-{n}", outcome="failure", steps=[("build", False)], domain="err") for n in range(2)),
    )
    assert ("build", "it failed") in found(storage_store, "err", "error_recovery")


def test_decisions_contexts_and_heuristics(storage_store: Store) -> None:
    def decided(number: int, choice: str, outcome: str) -> Episode:
        return Episode(
            f"dec-{number}", outcome=outcome, domain="dec", language="rust",
            steps=[("plan", True), ("verify", number % 2 == 0), ("next" if choice == "retry" else "other", True)],
            kinds={0: "decision_point"}, actions={0: "retry or rewrite 3 files?", 1: "Verify the checksum", 2: "reverify"},
            observations={0: f"{choice}: because"},
        )  # fmt: skip

    learn(
        storage_store,
        *(decided(n, "retry", "success") for n in range(4)),
        *(decided(n, "rewrite", "failure") for n in range(4, 8)),
    )
    rows = found(storage_store, "dec", "decision_point")
    assert set(rows) == {
        ("retry or rewrite <n> files?", "retry"), ("retry or rewrite <n> files?", "rewrite"),
        ("verify the checksum", "passed"), ("verify the checksum", "failed"),
    }  # fmt: skip
    assert rows["retry or rewrite <n> files?", "retry"]["SuccessRate"] == 1
    contexts = found(storage_store, "dec", "context")
    assert ("language=rust", "next", "plan", "verify") in contexts
    heuristics = found(storage_store, "dec", "heuristic")
    assert heuristics["verify", "ok", "next"]["Confidence"] == 1
    assert all(0 <= row["Confidence"] <= 1 for row in heuristics.values())


def test_keys_with_quotes_and_control_characters_survive(storage_store: Store) -> None:
    tools = ['it\'s "quoted"', "tab\there\n", "{name:String}", "naïve → 工具"]
    episodes = [Episode(f"odd-{n}", steps=[(tool, True) for tool in tools], domain="o'dd \\ \"") for n in range(2)]
    learn(storage_store, *episodes)
    assert set(found(storage_store, "o'dd \\ \"", "tool_sequence")) == {(a, b) for a, b in pairwise(tools)}


def test_chance_is_not_mistaken_for_knowledge(storage_store: Store) -> None:
    draw = random.Random(3)
    episodes = [
        Episode(
            f"noise-{n}", outcome=draw.choice(("success", "failure")), domain="noise",
            steps=[(draw.choice("abcdefgh"), True) for _ in range(10)],
        )
        for n in range(100)
    ]  # fmt: skip
    learn(storage_store, *episodes)
    rows = [
        row
        for kind in ("tool_sequence", "heuristic", "context")
        for row in found(storage_store, "noise", kind).values()
    ]
    assert len(rows) > 100
    # At the usual 5 % some would be; corrected for as many tests as there are, none is.
    assert [row["Key"] for row in rows if row["QValue"] < 0.05] == []
    assert all(row["PValue"] <= row["QValue"] <= 1 for row in rows)


def test_what_is_about_the_tools_of_a_pair_is_tested_only_where_the_pair_holds(storage_store: Store) -> None:
    draw = random.Random(5)
    made = []
    for number in range(80):
        won = number % 2 == 0
        # One pair decides; the others come as they come.
        parts = [["plan", "edit"] if won else ["edit", "plan"], ["look", "wait", "ask"], ["ping", "pong", "look"]]
        draw.shuffle(parts)
        tools = [tool for part in parts[: draw.randrange(2, 4)] for tool in part]
        tools = tools if {"plan", "edit"} <= set(tools) else [*parts[2], *tools]
        steps = [(tool, True) for tool in tools]
        made.append(Episode(f"gate-{number}", "success" if won else "failure", steps, domain="gate"))
    learn(storage_store, *made)
    pairs = {key: row for key, row in found(storage_store, "gate", "tool_sequence").items() if len(key) == 2}
    assert pairs["plan", "edit"]["State"] == pairs["edit", "plan"]["State"] == "sure"
    holds = {key for key, row in pairs.items() if row["QValue"] <= 0.1}
    others = {key: row for key, row in found(storage_store, "gate", "tool_sequence").items() if len(key) > 2}
    for key, row in others.items():
        assert (row["State"] != "untested") is any(pair in holds for pair in pairwise(key)), key
    nexts = found(storage_store, "gate", "heuristic")
    for (tool, _, after), row in nexts.items():
        assert (row["State"] != "untested") is ((tool, after) in holds)
    assert {row["State"] for row in nexts.values()} >= {"sure", "untested"}


def test_of_chance_alone_few_look_promising_and_it_is_said_how_many_runs_more_would_tell(storage_store: Store) -> None:
    columns = "State, Support, MoreRuns, QValue, PValue"
    rows = storage_store.query(f"SELECT {columns} FROM patterns WHERE Domain = 'noise'")
    promising = [row for row in rows if row["State"] == "promising"]
    assert 0 < len(promising) <= 10
    assert all(row["MoreRuns"] > 0 and row["Support"] > 2 and row["PValue"] <= 0.1 for row in promising)
    assert all(row["QValue"] == 1 for row in rows if row["State"] == "untested")
    assert sum(row["State"] == "untested" for row in rows) > len(rows) / 4
