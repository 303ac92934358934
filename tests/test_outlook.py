"""The outlook, the next steps, and whether they are any good."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest

from otel_episodes.exceptions import UsageError
from otel_episodes_clickhouse import evaluate, jobs
from tests.learning_data import AIRLINE, SECOND, T0, Episode, airline_episode, rows_of

if TYPE_CHECKING:
    from otel_episodes_clickhouse.store import Store


def learn(store: Store, *episodes: Episode) -> None:
    """Store these episodes and learn from them."""
    store.insert_rows([row for episode in episodes for row in rows_of(episode)])
    jobs.run(store, "patterns", overlap_seconds=0)


def test_the_outlook_follows_the_steps_the_task_and_says_how_much_it_knows(storage_store: Store) -> None:
    good, bad = [("look", True), ("act", True)], [("act", True), ("act", True)]
    learn(
        storage_store,
        *(Episode(f"o-good-{n}", steps=good, domain="out", task="easy") for n in range(10)),
        *(Episode(f"o-bad-{n}", outcome="failure", steps=bad, domain="out", task="hard") for n in range(10)),
    )

    def outlook(task: str, *tools: str, ended: bool = False) -> dict[str, Any]:
        so_far = {"domain": "out", "task": task, "tools": list(tools), "ended": ended}
        return storage_store.query_named("outlook", so_far)[0]

    assert outlook("")["Probability"] == pytest.approx(0.5)
    assert outlook("", "look")["Probability"] > 0.6
    assert outlook("", "look", "act")["Probability"] > 0.7
    assert outlook("", "act", "act")["Probability"] < 0.4
    # What it did not show says something only once it has ended.
    assert outlook("", "look", "act", ended=True)["Probability"] > outlook("", "look", "act")["Probability"]
    assert outlook("easy")["Probability"] > 0.9
    assert outlook("hard")["Probability"] < 0.1
    assert (outlook("easy")["Episodes"], outlook("easy")["TaskEpisodes"], outlook("new")["TaskEpisodes"]) == (20, 10, 0)


def test_the_outlook_of_an_unknown_domain_is_a_coin(storage_store: Store) -> None:
    row = storage_store.query_named("outlook", {"domain": "never", "task": "seen", "tools": ["x"], "ended": False})[0]
    assert (row["Probability"], row["Episodes"]) == (0.5, 0)
    assert storage_store.query_named("next_steps", {"domain": "never", "task": "", "tools": [], "limit": 3}) == []


def test_next_steps_rank_what_led_to_success(storage_store: Store) -> None:
    learn(
        storage_store,
        *(Episode(f"n-good-{n}", steps=[("a", True), ("b", True)], domain="next") for n in range(6)),
        *(Episode(f"n-bad-{n}", outcome="failure", steps=[("a", True), ("c", True)], domain="next") for n in range(7)),
    )
    rows = storage_store.query_named("next_steps", {"domain": "next", "task": "", "tools": ["a"], "limit": 2})
    assert [(row["Tool"], row["Seen"], row["Won"]) for row in rows] == [("b", 6, 6), ("c", 7, 0)]
    first = storage_store.query_named("next_steps", {"domain": "next", "task": "", "tools": [], "limit": 1})
    assert first[0]["Tool"] == "a"


def test_learning_tells_signal_from_noise(storage_store: Store) -> None:
    draw = random.Random(1)
    signal, noise = [], []
    for number in range(200):
        won = draw.random() < 0.5
        body = [(draw.choice("abc"), True) for _ in range(4)]
        signal.append(
            Episode(
                f"sig-{number}",
                outcome="success" if won else "failure",
                domain="sig",
                steps=[("good" if won else "bad", True), *body],
            )
        )
        noise.append(Episode(f"noi-{number}", outcome="success" if won else "failure", domain="noi", steps=body))
    learn(storage_store, *signal, *noise)
    auc = evaluate.evaluate(storage_store, domain="sig").auc["outlook"]
    assert auc.value == pytest.approx(1, abs=0.01)
    blind = evaluate.evaluate(storage_store, domain="noi").auc["outlook"]
    assert blind.low is not None
    assert blind.low < 0.5


def test_a_wrong_split_is_refused(storage_store: Store) -> None:
    with pytest.raises(UsageError, match="there are episode, task, time"):
        evaluate.evaluate(storage_store, split="trial")


def test_learning_beats_the_baselines_on_real_runs(storage_store: Store) -> None:
    if not AIRLINE.exists():
        pytest.skip("the benchmark's runs are not part of the repository")
    runs = [json.loads(line) for line in AIRLINE.read_text().splitlines()]
    learn(storage_store, *(airline_episode(run, "airline") for run in runs))
    seen = evaluate.evaluate(storage_store, split="time", domain="airline")
    assert (seen.tested, seen.successes, seen.steps) == (40, 15, 265)
    best = {name: figure.value or 0 for name, figure in seen.auc.items() if name != "outlook half-way"}
    assert best["outlook"] == max(best.values())
    assert best["outlook"] > 0.70
    brier = {name: figure.value or 1 for name, figure in seen.brier.items() if name != "outlook half-way"}
    assert brier["outlook"] == min(brier.values())
    assert (seen.top1["next steps"].value or 0) > 0.62
    assert (seen.top1["order-2 back-off"].value or 0) < 0.54
    assert (seen.top3["next steps"].value or 0) > 0.80
    assert (seen.top3["order-2 back-off"].value or 0) < 0.78
    new = evaluate.evaluate(storage_store, split="task", domain="airline")
    assert (new.tested, new.steps) == (80, 519)
    assert (new.auc["outlook"].value or 0) > 0.64
    assert (new.brier["outlook"].value or 1) < (new.brier["domain's rate"].value or 0)


def test_the_outlook_that_is_judged_is_the_one_that_is_given(storage_store: Store) -> None:
    draw = random.Random(4)
    made = [
        Episode(
            f"same-{n:02}", outcome=draw.choice(("success", "failure")), domain="same", start=T0 + n * SECOND,
            task=draw.choice(("one", "two")), steps=[(draw.choice("abc"), True) for _ in range(draw.randrange(6))],
        )
        for n in range(30)
    ]  # fmt: skip
    learn(storage_store, *made[:20])
    so_far = {"domain": "same", "task": made[25].task, "tools": [tool for tool, _ in made[25].steps], "ended": True}
    given = storage_store.query_named("outlook", so_far)[0]
    half = {**so_far, "tools": so_far["tools"][: (len(so_far["tools"]) + 1) // 2], "ended": False}
    given_half = storage_store.query_named("outlook", half)[0]
    following = storage_store.query_named("next_steps", {**half, "limit": 10})
    learn(storage_store, *made[20:])
    cut = {"domain": "same", "split": "time", "folds": 2, "fold": 0, "seed": 1, "keep": 1_000_000,
           "before": made[20].start, "before_id": made[20].id}  # fmt: skip
    judged = {row["EpisodeId"]: row for row in storage_store.query_named("evaluate_outlook", cut)}
    assert len(judged) == 10
    assert judged[made[25].id]["Outlook"] == pytest.approx(given["Probability"])
    assert judged[made[25].id]["HalfOutlook"] == pytest.approx(given_half["Probability"])
    steps = {(row["EpisodeId"], row["Position"]): row for row in storage_store.query_named("evaluate_next", cut)}
    came = steps[made[25].id, len(half["tools"]) + 1]
    assert [row["Tool"] for row in following][came["Place"] - 1] == so_far["tools"][len(half["tools"])]
