# ruff: noqa: E501  # statements and episodes read best on one line
"""Reward formulas: the written vectors, an independent reference, and formulas of one's own."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from learning_data import Episode, rows_of

from otel_episodes_clickhouse.learning import formulas, jobs

if TYPE_CHECKING:
    from otel_episodes_clickhouse import Store

CASES = (Path(__file__).parents[1] / "data") / "reward_cases.json"


def reference(episode: Episode) -> float:
    """Compute parity-1 in plain Python, written from the description and not from the SQL."""
    oks = [ok for _, ok in episode.steps]
    n, f = len(oks), oks.count(False)
    tools = len({tool for tool, _ in episode.steps})
    ended = episode.outcome is not None
    seconds = int(episode.seconds)
    base = {"success": 1.0, "abstained": 0.3}.get(str(episode.outcome), 0.0)
    if episode.outcome == "partial":
        parts = episode.completed + episode.failed
        base = episode.completed / parts if parts else 0.5
    abstention = 0.0
    if episode.outcome == "abstained":
        k = episode.stopped_at
        abstention = 0.5 if k <= 3 else -0.3 if k >= 10 else 0.5 - 0.8 * (k - 3) / 7
    elif episode.outcome in ("failure", None) and n > 10:
        abstention = -0.2
    by_time = (1.5 if seconds <= 0 else 0.5 + math.exp(-seconds / 120)) if ended else 1.0
    by_steps = 0.5 if n == 0 else 0.5 + math.exp(-n / 20)
    efficiency = min(1.5, max(0.5, (by_time + by_steps) / 2))
    bonus = {"moderate": 1.1, "complex": 1.2}.get(episode.complexity, 1.0)
    quality = min(1.5, max(0.5, 1 + _quality(episode, n, f)))
    learning = _learning(episode, oks, tools, seconds)
    return max(0.0, base + abstention) * efficiency * bonus * quality + learning


def _quality(episode: Episode, n: int, f: int) -> float:
    score = 0.0
    if episode.outcome == "success":
        score += 0.1 if any("test" in a or "coverage" in a for a in episode.artifacts) else 0
        score += 0.05 if len(episode.artifacts) >= 3 else 0
        coverage = float(episode.extra.get("episode.test_coverage", 0))
        score += 0.15 if coverage > 80 else 0.1 if coverage > 60 else 0
    if n:
        rate = f / n
        score += -0.2 if rate > 0.3 else -0.1 if rate > 0.1 else 0.1 if f == 0 else 0
    return score + (0.05 if episode.extra.get("episode.clippy_warnings") == "0" else 0)


def _learning(episode: Episode, oks: list[bool], tools: int, seconds: int) -> float:
    n, f = len(oks), oks.count(False)
    total = min(0.3, 0.1 * int(episode.extra.get("episode.patterns_applied", 0)))
    if n >= 3:
        total += 0.15 if tools >= 5 else 0.1 if tools >= 3 else 0
    if n >= 5 and (n - f) / n > 0.9:
        total += 0.2
    elif n >= 3 and f == 0:
        total += 0.15
    total += 0.15 if any(not a and b for a, b in pairwise(oks)) else 0
    total += 0.1 if episode.outcome is not None and seconds < 30 and 0 < n < 10 else 0
    return min(0.5, total)


def random_episode(draw: random.Random, name: str) -> Episode:
    """Return an episode of any kind, with the edges (no steps, no time, no end, all failed) drawn often."""
    count = draw.choice((0, 1, 2, 3, 4, 5, 9, 10, 11, 12, 30, 100))
    share = draw.choice((0, 0, 0.05, 0.1, 0.3, 0.5, 1))
    outcome = draw.choice(("success", "success", "partial", "failure", "abstained", None))
    extra = {}
    if draw.random() < 0.3:
        extra["episode.test_coverage"] = draw.choice(("60", "60.5", "80", "80.1", "100"))
    if draw.random() < 0.3:
        extra["episode.clippy_warnings"] = draw.choice(("0", "1", ""))
    if draw.random() < 0.3:
        extra["episode.patterns_applied"] = draw.choice(("0", "1", "2", "3", "9"))
    return Episode(
        name,
        outcome=outcome,
        steps=[(f"t{draw.randrange(7)}", draw.random() >= share) for _ in range(count)],
        seconds=draw.choice((0, 0.4, 0.999, 1, 29.9, 30, 45, 120, 600, 86_400)),
        complexity=draw.choice(("", "simple", "moderate", "complex", "unheard-of")),
        domain=draw.choice(("", "a", "b")),
        artifacts=draw.choice(([], ["a.rs"], ["my_test.rs"], ["a", "coverage.xml", "c"], ["a", "b", "c", "d"])),
        completed=draw.choice((0, 0, 1, 3)),
        failed=draw.choice((0, 0, 1, 4)),
        stopped_at=draw.choice((0, 1, 3, 4, 7, 9, 10, 50)),
        # Without an end there is no span to carry them.
        extra=extra if outcome else {},
    )


def totals(store: Store, formula: str, prefix: str) -> dict[str, float]:
    """Return the total of every episode whose id begins with the prefix."""
    rows = store.query(
        "SELECT EpisodeId, Total FROM internal_rewards FINAL WHERE Formula = {f:String} AND startsWith(EpisodeId, {p:String})",
        {"f": formula, "p": prefix},
    )
    return {row["EpisodeId"]: row["Total"] for row in rows}


def run(store: Store, **options: Any) -> list[jobs.JobReport]:
    """Score what was stored since the last time: nobody else writes here."""
    return jobs.run(store, "rewards", overlap_seconds=0, **options)


def put(store: Store, *episodes: Episode) -> None:
    """Store these episodes."""
    store.insert_rows([row for episode in episodes for row in rows_of(episode)])


def vector_episodes() -> list[tuple[Episode, float]]:
    """Return the written cases with their totals."""
    cases: list[dict[str, Any]] = json.loads(CASES.read_text())
    return [
        (
            Episode(
                f"vector-{number}",
                outcome=case["outcome"],
                complexity=case["complexity"],
                seconds=case["seconds"],
                steps=[(f"t{at % max(1, case['tools'])}", ok == "1") for at, ok in enumerate(case["steps"])],
                artifacts=case.get("artifacts", []),
                completed=case.get("completed", 0),
                failed=case.get("failed", 0),
                stopped_at=case.get("stopped_at_step", 0),
            ),
            case["total"],
        )
        for number, case in enumerate(cases)
    ]


def test_parity_1_gives_the_written_totals(storage_store: Store) -> None:
    cases = vector_episodes()
    put(storage_store, *(episode for episode, _ in cases))
    run(storage_store, formula="parity-1")
    found = totals(storage_store, "parity-1", "vector-")
    assert [round(found[episode.id], 4) for episode, _ in cases] == [total for _, total in cases]


@given(seed=st.integers(0, 2**32))
@settings(
    max_examples=4, deadline=None, phases=[Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_parity_1_equals_the_reference_on_any_episode(storage_store: Store, seed: int) -> None:
    draw = random.Random(seed)
    episodes = [random_episode(draw, f"random-{seed}-{number}") for number in range(800)]
    put(storage_store, *episodes)
    run(storage_store, formula="parity-1")
    found = totals(storage_store, "parity-1", f"random-{seed}-")
    assert found == pytest.approx({episode.id: reference(episode) for episode in episodes}, abs=1e-9)


def test_v2_mends_what_parity_1_gets_wrong(storage_store: Store) -> None:
    put(
        storage_store,
        Episode("v2-finished", steps=[("a", True)] * 40, seconds=3600, domain="v2-other"),
        Episode("v2-gave-up", outcome="abstained", steps=[("a", True)], stopped_at=0, seconds=1, domain="v2-other"),
        Episode("v2-failed-fast", outcome="failure", steps=[("a", True)] * 4, seconds=2, domain="v2-other"),
        Episode("v2-instant", steps=[("a", True)], seconds=0.01, domain="v2-other"),
        Episode("v2-second", steps=[("a", True)], seconds=1, domain="v2-other"),
    )
    run(storage_store, formula="v2")
    v2 = totals(storage_store, "v2", "v2-")
    assert v2["v2-gave-up"] < v2["v2-finished"]
    assert v2["v2-failed-fast"] == 0
    assert v2["v2-instant"] < v2["v2-second"]


def test_v2_takes_its_scales_from_the_domain_once_it_has_five_episodes(storage_store: Store) -> None:
    slow = [Episode(f"scale-{n}", steps=[("a", True)] * 64, seconds=4096, tokens=8192, domain="slow") for n in range(4)]
    put(storage_store, *slow)
    run(storage_store, formula="v2")
    before = totals(storage_store, "v2", "scale-")["scale-0"]
    put(storage_store, Episode("scale-4", steps=[("a", True)] * 64, seconds=4096, tokens=8192, domain="slow"))
    run(storage_store, formula="v2")
    after = totals(storage_store, "v2", "scale-")["scale-0"]
    scale = storage_store.query("SELECT Seconds, Steps, Tokens FROM internal_domain_scales FINAL WHERE Domain = 'slow'")
    assert scale == [{"Seconds": 4096.0, "Steps": 64.0, "Tokens": 8192.0}]
    assert after > before
    # At the usual size in everything, no failed step: 1 * 1 * 1 * 1.1.
    assert after == pytest.approx(1.1)


def test_an_external_reward_is_kept_beside_the_computed_one(storage_store: Store) -> None:
    evaluated = rows_of(Episode("external-event", outcome="failure"))
    event = {"gen_ai.evaluation.name": "judge", "gen_ai.evaluation.score.value": "0.75"}
    evaluated[-1] = evaluated[-1]._replace(
        event_timestamps=(evaluated[-1].timestamp,),
        event_names=("gen_ai.evaluation.result",),
        event_attributes=(event,),
    )
    storage_store.insert_rows(evaluated)
    put(storage_store, Episode("external-attribute", outcome="failure", reward=1.0))
    run(storage_store, formula="v2")
    found = storage_store.query(
        "SELECT EpisodeId, Total, ExternalReward, Reward FROM rewards "
        "WHERE Formula = 'v2' AND startsWith(EpisodeId, 'external-') ORDER BY EpisodeId"
    )
    assert found == [
        {"EpisodeId": "external-attribute", "Total": 0.0, "ExternalReward": 1.0, "Reward": 0.0},
        {"EpisodeId": "external-event", "Total": 0.0, "ExternalReward": 0.75, "Reward": 0.0},
    ]


def test_normalised_rewards_need_five_episodes(storage_store: Store) -> None:
    put(storage_store, *(Episode(f"norm-{n}", seconds=10 * 4**n, steps=[("a", True)], domain="norm") for n in range(4)))
    run(storage_store, formula="parity-1")
    query = (
        "SELECT Episodes, Mean, Deviation FROM internal_domain_rewards WHERE Domain = 'norm' AND Formula = 'parity-1'"
    )
    assert storage_store.query(query) == [{"Episodes": 4, "Mean": None, "Deviation": None}]
    put(storage_store, Episode("norm-4", outcome="failure", domain="norm"))
    run(storage_store, formula="parity-1")
    values = storage_store.query(
        "SELECT Normalised, Decayed <= Total AS Older FROM rewards WHERE Domain = 'norm' AND Formula = 'parity-1'"
    )
    assert sum(row["Normalised"] for row in values) == pytest.approx(0, abs=1e-9)
    assert all(row["Older"] for row in values)


def test_a_formula_of_ones_own_scores_history_anew(storage_store: Store, tmp_path: Path) -> None:
    put(storage_store, Episode("own-1", steps=[("a", True)] * 3))
    path = tmp_path / "short one.sql"
    text = (
        "-- name: mine\nSELECT EpisodeId, if(Outcome = 'success', {top}, 0) / (1 + Steps) AS Total, Total AS Base, "
        "0 AS Abstention, 1 AS Efficiency, 1 AS ComplexityBonus, 1 AS Quality, 0 AS LearningBonus FROM reward_inputs;"
    )
    path.write_text(text.replace("{top}", "1"))
    first = run(storage_store, formula=str(path))[-1].formula
    path.write_text(text.replace("{top}", "2"))
    second = run(storage_store, formula=str(path))[-1].formula
    assert first.startswith("short-one@")
    assert first != second
    assert totals(storage_store, first, "own-") == {"own-1": 0.25}
    assert totals(storage_store, second, "own-") == {"own-1": 0.5}
    # It stays in use until another is named.
    assert run(storage_store)[-1].formula == second


def test_a_formula_that_reads_the_steps_scores_again_what_only_they_say_otherwise(
    storage_store: Store, tmp_path: Path
) -> None:
    episode = Episode("own-steps", steps=[("a", True), ("b", True)], step_seconds={0: 1, 1: 2})
    put(storage_store, episode)
    path = tmp_path / "busy.sql"
    path.write_text(
        "SELECT EpisodeId, arraySum(StepNs) / 1e9 AS Total, 0 AS Base, 0 AS Abstention, 1 AS Efficiency, "
        "1 AS ComplexityBonus, 1 AS Quality, 0 AS LearningBonus FROM reward_inputs"
    )
    run(storage_store, formula="v2")
    formula = run(storage_store, formula=str(path))[-1].formula
    assert totals(storage_store, formula, "own-steps") == {"own-steps": 3}
    put(storage_store, replace(episode, step_seconds={0: 1, 1: 5}))
    reports = {report.job: report.written for report in run(storage_store)}
    assert (reports["facts"], reports["sequences"], reports["rewards"]) == (0, 1, 1)
    assert totals(storage_store, formula, "own-steps") == {"own-steps": 6}


@pytest.mark.parametrize("score", ["toDecimal32(1.5, 2)", "toInt256(1)", "toLowCardinality(toNullable(1.5))", "true"])
def test_a_score_may_be_any_number(score: str, storage_store: Store, tmp_path: Path) -> None:
    path = tmp_path / "any.sql"
    path.write_text(f"SELECT EpisodeId, {score} AS Total, {COMPONENTS} FROM reward_facts")
    put(storage_store, Episode("any-number", steps=[("a", True)]))
    name = run(storage_store, formula=str(path))[-1].formula
    assert totals(storage_store, name, "any-") == {"any-number": 1.5 if "1.5" in score else 1}


COMPONENTS = "1 AS Base, 0 AS Abstention, 1 AS Efficiency, 1 AS ComplexityBonus, 1 AS Quality, 0 AS LearningBonus"
SCORES = (
    "1 AS Total, 1 AS Base, 0 AS Abstention, 1 AS Efficiency, 1 AS ComplexityBonus, 1 AS Quality, 0 AS LearningBonus"
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SELECT EpisodeId FROM", "does not parse"),
        ("SELECT EpisodeId, 1 AS Total FROM reward_inputs", "no column Base, Abstention"),
        ("SELECT EpisodeId, Nope AS Total FROM reward_inputs", "is refused"),
        (
            (
                "SELECT EpisodeId, 'a' AS Total, 0 AS Base, 0 AS Abstention, 0 AS Efficiency, 0 AS ComplexityBonus, "
                "0 AS Quality, 0 AS LearningBonus FROM reward_inputs"
            ),
            "Total String must be a number",
        ),
        (
            (
                "SELECT EpisodeId, nan AS Total, 0 AS Base, 0 AS Abstention, 0 AS Efficiency, 0 AS ComplexityBonus, "
                "0 AS Quality, 0 AS LearningBonus FROM reward_inputs"
            ),
            "gives NaN, infinity or NULL",
        ),
        (
            (
                "SELECT EpisodeId, 1 AS Total, 0 AS Base, 0 AS Abstention, 0 AS Efficiency, 0 AS ComplexityBonus, "
                "0 AS Quality, 0 AS LearningBonus FROM reward_inputs ARRAY JOIN [1, 2] AS twice"
            ),
            "more than one row",
        ),
        (f"SELECT EpisodeId, {SCORES} FROM reward_inputs; SELECT 1", "does not parse"),
        (
            f"SELECT EpisodeId, {SCORES} FROM reward_inputs WHERE Steps > 99",
            r"gives no row for \S+: it needs one row for each",
        ),
        (
            (
                f"SELECT concat(EpisodeId, '?') AS EpisodeId, {SCORES} FROM reward_inputs UNION ALL "
                f"SELECT EpisodeId, {SCORES} FROM reward_inputs"
            ),
            r"gives a row for \S+\?, no episode",
        ),
        (
            (
                "SELECT EpisodeId, intDiv(1, toInt64(Steps) - toInt64(Steps)) AS Total, 0 AS Base, 0 AS Abstention, "
                "0 AS Efficiency, 0 AS ComplexityBonus, 0 AS Quality, 0 AS LearningBonus FROM reward_inputs"
            ),
            "fails on the data",
        ),
    ],
)
def test_a_broken_formula_says_what_is_wrong_and_writes_nothing(
    storage_store: Store, tmp_path: Path, text: str, message: str
) -> None:
    put(storage_store, Episode("broken-1"))
    path = tmp_path / "broken.sql"
    path.write_text(text)
    before = formulas.active_formula(storage_store)
    with pytest.raises(formulas.FormulaError, match=message):
        run(storage_store, formula=str(path))
    assert storage_store.query("SELECT count() AS C FROM internal_rewards WHERE startsWith(Formula, 'broken@')") == [
        {"C": 0}
    ]
    assert formulas.active_formula(storage_store) == before


@pytest.mark.parametrize("name", ["v3", "nowhere/formula.sql"])
def test_an_unknown_formula_is_refused(name: str) -> None:
    with pytest.raises(formulas.FormulaError, match=r"no formula|cannot read"):
        formulas.formula_named(name)
