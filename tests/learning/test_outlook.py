"""The outlook, the next steps, and whether they are any good."""

from __future__ import annotations

import json
import random
from collections import Counter
from itertools import pairwise
from math import exp, log
from typing import TYPE_CHECKING, Any

import pytest
from learned_state import learn
from learning_data import AIRLINE, SECOND, T0, Episode, Given, airline_episode, rows_of

from otel_episodes.exceptions import UsageError
from otel_episodes_clickhouse.learning import advice, evaluate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_episodes_clickhouse import Store


given = Given()


@pytest.fixture(scope="module")
def learned(storage_store: Store) -> Store:
    """Return a store that has learned from the episodes of all tests."""
    learn(storage_store, *given)
    return storage_store


def steps(*tools: str) -> list[tuple[str, bool]]:
    return [(tool, True) for tool in tools]


given(
    *(Episode(f"o-good-{n}", steps=steps("look", "act"), domain="out", task="easy") for n in range(10)),
    *(Episode(f"o-bad-{n}", "failure", steps("act", "act"), domain="out", task="hard") for n in range(10)),
)


def test_the_outlook_follows_the_steps_the_task_and_says_how_much_it_knows(learned: Store) -> None:
    def outlook(task: str, *tools: str, ended: bool = False) -> dict[str, Any]:
        so_far = {"episode": "", "domain": "out", "task": task, "tools": list(tools), "ended": ended}
        return learned.query_named("outlook", so_far)[0]

    assert outlook("")["Probability"] == pytest.approx(0.5)
    assert outlook("", "look")["Probability"] > 0.6
    assert outlook("", "look", "act")["Probability"] > 0.7
    assert outlook("", "act", "act")["Probability"] < 0.4
    # What it did not show says something only once it has ended.
    assert outlook("", "look", "act", ended=True)["Probability"] > outlook("", "look", "act")["Probability"]
    assert outlook("easy")["Probability"] > 0.9
    assert outlook("hard")["Probability"] < 0.1
    assert (outlook("easy")["Episodes"], outlook("easy")["TaskEpisodes"], outlook("new")["TaskEpisodes"]) == (20, 10, 0)


given(
    *(Episode(f"al-won-{n}", steps=steps("read", "edit", "test"), domain="alike", task="t") for n in range(4)),
    *(Episode(f"al-lost-{n}", "failure", steps("guess", "edit"), domain="alike", task="t") for n in range(4)),
)


def test_of_a_tasks_earlier_runs_those_that_went_alike_count_more(learned: Store) -> None:
    def rate(*tools: str, ended: bool, task: str = "t") -> float:
        asked = {"episode": "", "domain": "alike", "task": task, "tools": list(tools), "ended": ended}
        alike: float = learned.query_named("outlook", asked)[0]["AlikeRate"]
        return alike

    # Two episodes at the domain's rate, 1/2, are added. Of the seven tools and pairs of both ways, one is common: edit.
    assert rate("read", "edit", "test", ended=True) == pytest.approx((4 * 1 + 1) / (4 * 1 + 4 * (1 / 7) + 2))
    assert rate("guess", "edit", ended=True) == pytest.approx((4 * (1 / 7) + 1) / (4 * (1 / 7) + 4 * 1 + 2))
    # While it runs only what it has shown is looked for: it is a beginning of all that begin so.
    assert rate("read", ended=False) == pytest.approx((4 + 1) / (4 + 2))
    assert rate("edit", ended=False) == pytest.approx(0.5)
    assert rate(ended=False) == pytest.approx((4 + 1) / (8 + 2))
    assert rate("read", ended=False, task="another") == pytest.approx(0.5)


WEEK = 7 * 86_400 * SECOND
given(
    *(Episode(f"old-{n:03}", outcome="failure", domain="many", task="t", start=T0 - WEEK) for n in range(110)),
    *(Episode(f"new-{n:03}", domain="many", task="t") for n in range(60)),
)


def test_of_a_tasks_earlier_runs_the_latest_hundred_count(learned: Store) -> None:
    asked = {"episode": "", "domain": "many", "task": "t", "tools": [], "ended": False}
    row = learned.query_named("outlook", asked)[0]
    assert (row["Episodes"], row["TaskEpisodes"]) == (170, 170)
    assert row["DomainRate"] == row["TaskRate"] == pytest.approx(60 / 170)
    assert row["AlikeRate"] == pytest.approx((60 + 2 * (60 + 1) / (170 + 2)) / (100 + 2))


for outcome in ("success", "failure"):
    given(
        *(
            Episode(
                f"itself-{outcome}-{n}", ("success", "failure")[n % 2], steps("look", "act"), domain=f"itself-{outcome}"
            )
            for n in range(6)
        ),
        Episode(f"itself-{outcome}", outcome, steps("look", "act"), domain=f"itself-{outcome}", task="once"),
    )


def test_a_run_says_nothing_of_itself(learned: Store) -> None:
    chances = []
    for domain in ("itself-success", "itself-failure"):
        asked = {"episode": domain, "domain": domain, "task": "once", "tools": ["look", "act"], "ended": True}
        chances.append(learned.query_named("outlook", asked)[0]["Probability"])
    assert chances == pytest.approx([0.5, 0.5])


def test_what_a_run_has_done_is_in_the_order_in_which_it_is_learned_from(storage_store: Store) -> None:
    rows = rows_of(Episode("handed", outcome=None, steps=[("read", True), ("edit", True), ("test", True)]))
    # A step that another process added cannot be counted: the clock says where it goes.
    del rows[-1].span_attributes["episode.step.index"]
    storage_store.insert_rows(rows)
    assert storage_store.query_named("run_so_far", {"episode": "handed"})[0]["Tools"] == ["read", "edit", "test"]


def features_of(tools: list[str], *, steps: int) -> set[tuple[object, ...]]:
    """Return what a run shows, in the words of docs/explanation/patterns.md."""
    lengths = (n for n in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128) if n <= steps)
    return {
        *(("tool", tool) for tool in tools), *(("pair", *pair) for pair in pairwise(tools)),
        *(("start", tool) for tool in tools[:1]), *(("length", n) for n in lengths),
        *(("variety", n) for n in range(1, 1 + min(12, len(set(tools))))),
    }  # fmt: skip


def solved(matrix: list[list[float]], right: list[float]) -> list[float]:
    """Solve by elimination; the matrix is positive definite."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for i, row in enumerate(rows):
        for other in rows[i + 1 :]:
            factor = other[i] / row[i]
            other[i:] = [x - factor * y for x, y in zip(other[i:], row[i:], strict=True)]
    answer = [0.0] * len(rows)
    for i in range(len(rows) - 1, -1, -1):
        answer[i] = (rows[i][-1] - sum(rows[i][j] * answer[j] for j in range(i + 1, len(rows)))) / rows[i][i]
    return answer


def reference(runs: list[Episode], task: str, tools: list[str], *, ended: bool) -> float:
    """Return the outlook by its formula, written down anew."""
    won = [episode.outcome == "success" for episode in runs]
    shown = [features_of([t for t, _ in e.steps], steps=len(e.steps)) for e in runs]
    counts = Counter(feature for features in shown for feature in features)
    known = [feature for feature, count in counts.items() if count >= 2]
    base = (sum(won) + 1) / (len(runs) + 2)
    mean = {feature: counts[feature] / len(runs) for feature in known}
    ridge = sum(m * (1 - m) for m in mean.values())
    mine = features_of(tools, steps=len(tools))
    judged = [f for f in known if f in mine or (ended and tools)]
    centred = [[(f in features) - mean[f] for f in judged] for features in shown]
    gradient = [sum(row[i] * y for row, y in zip(centred, won, strict=True)) for i in range(len(judged))]
    hessian = [
        [
            base * (1 - base) * sum(row[i] * row[j] for row in centred) + (ridge if i == j else 0)
            for j in range(len(judged))
        ]
        for i in range(len(judged))
    ]
    weights = solved(hessian, gradient)
    odds = log(base / (1 - base)) + sum(w * ((f in mine) - mean[f]) for w, f in zip(weights, judged, strict=True))
    parts = {*tools, *pairwise(tools)}
    alike = successes = 0.0
    for episode, success in zip(runs, won, strict=True):
        if task and episode.task == task:
            path = [tool for tool, _ in episode.steps]
            theirs = {*path, *pairwise(path)}
            whole = parts | theirs if ended else parts
            likeness = len(parts & theirs) / len(whole) if whole else 1
            alike, successes = alike + likeness, successes + likeness * success
    rate = (successes + 2 * base) / (alike + 2)
    return 1 / (1 + exp(-(odds + log(rate / (1 - rate)) - log(base / (1 - base)))))


def any_runs(draw: random.Random, domain: str, count: int, tools: str) -> tuple[Episode, ...]:
    """Have runs of up to six of these tools in a domain, some of them of the same tasks."""
    return given(
        *(
            Episode(
                f"{domain}-{n}", draw.choice(("success", "failure")), domain=domain,
                task=draw.choice(("", "one", "two")),
                steps=[(draw.choice(tools).strip(), True) for _ in range(draw.randrange(7))],
            )
            for n in range(count)
        )
    )  # fmt: skip


FORMULA_RUNS = [any_runs(random.Random(n), f"formula-{n}", count, "abcd") for n, count in enumerate((5, 12, 30, 12))]


def test_the_outlook_is_what_its_formula_says(learned: Store) -> None:
    draw = random.Random(7)
    for runs in FORMULA_RUNS:
        for _ in range(4):
            tools = [draw.choice("abcde") for _ in range(draw.randrange(6))]
            asked = {"episode": "", "domain": runs[0].domain, "task": draw.choice(("", "one", "two", "new")),
                     "tools": tools, "ended": draw.random() < 0.5}  # fmt: skip
            given_here = learned.query_named("outlook", asked)[0]["Probability"]
            expected = reference([*runs], asked["task"], asked["tools"], ended=asked["ended"])
            assert given_here == pytest.approx(expected, abs=1e-9), asked


def test_the_outlook_of_an_unknown_domain_is_a_coin(storage_store: Store) -> None:
    asked = {"episode": "", "domain": "never", "task": "seen", "tools": ["x"], "ended": False}
    row = storage_store.query_named("outlook", asked)[0]
    assert (row["Probability"], row["Episodes"]) == (0.5, 0)
    assert advice.next_steps(storage_store, {"domain": "never", "task": "", "tools": []}, 3) == []


given(
    *(Episode(f"n-good-{n}", steps=steps("a", "b"), domain="next") for n in range(6)),
    *(Episode(f"n-bad-{n}", "failure", steps("a", "c"), domain="next") for n in range(7)),
)


def test_next_steps_rank_what_led_to_success(learned: Store) -> None:
    following = advice.next_steps(learned, {"domain": "next", "task": "", "tools": ["a"]}, 2)
    assert [(step.tool, step.seen, step.won) for step in following] == [("b", 6, 6), ("c", 7, 0)]
    assert following[0].low < following[0].value < following[0].high
    first = advice.next_steps(learned, {"domain": "next", "task": "", "tools": []}, 1)
    assert first[0].tool == "a"


given(
    *(Episode(f"habit-{n}", "failure", steps("look", "guess"), domain="habit") for n in range(60)),
    *(Episode(f"rare-{n}", steps=steps("look", "measure"), domain="habit") for n in range(4)),
)


def test_a_habit_of_failing_is_not_advised(learned: Store) -> None:
    ranked = advice.next_steps(learned, {"domain": "habit", "task": "", "tools": ["look"]}, 5)
    assert [step.tool for step in ranked] == ["measure", "guess", "look"]
    assert ranked[0].lift > 2
    assert ranked[1].lift < 0.7
    assert ranked[1].usual > 0.8


def ranked_by_hand(runs: list[Episode], task: str, tools: list[str]) -> list[tuple[str, float, float]]:
    """Return tool, lift and value as the formula of `next_steps` has it, written down again."""
    counts: dict[tuple[object, ...], dict[str, list[float]]] = {}
    for run in runs:
        taken = [tool for tool, _ in run.steps if tool]
        met = set()
        for position, tool in enumerate(taken):
            for context in contexts_at(run.task, taken[:position]):
                seen = counts.setdefault(context, {}).setdefault(tool, [0, 0, 0])
                seen[0] += 1
                seen[1] += (run.outcome == "success") * round(0.95 ** (len(taken) - 1 - position), 6)
                seen[2] += (context, tool) not in met
                met.add((context, tool))
    levels = contexts_at(task, tools)
    values: dict[tuple[object, ...], float] = {}
    for place, context in enumerate(levels):
        known = counts.get(context, {}).values()
        n, won = sum(seen for seen, _, _ in known), sum(won for _, won, _ in known)
        parent = levels[0] if place == 4 else levels[place - 1]
        values[context] = (won + 0.1) / (n + 1) if not place else (won + 3 * values[parent]) / (n + 3)
    rows = []
    for tool in sorted({tool for context in levels for tool in counts.get(context, {})}):
        lift, value = 1.0, 0.0
        for place, context in enumerate(levels):
            if context in counts:
                seen, won, made = counts[context].get(tool, (0, 0, 0))
                # What is counted in a context of this one, too, counts there.
                below = counts.get(levels[place + 1], {}) if place + 1 < len(levels) and place != 3 else {}
                if tool in below:
                    seen, won, made = (a - b for a, b in zip((seen, won, made), below[tool], strict=True))
                    made = max(made, min(seen, 1))
                k = 5 + 0.1 / values[context]
                value = min(0.98, values[context] * lift)
                if seen:
                    value = (made * won / seen + k * value) / (made + k)
                lift = value / values[context]
        rows.append((tool, lift, value))
    return rows


def contexts_at(task: str, tools: list[str]) -> list[tuple[object, ...]]:
    """Return the contexts of a place in a run, from the general to the specific."""
    last, second, third = ["^", "^", "^", *tools][:-4:-1]
    levels: list[tuple[object, ...]] = [("any",), ("one", last), ("two", second, last), ("three", third, second, last)]
    return [*levels, *([("same", task), ("same one", task, last), ("same two", task, second, last)] if task else [])]


# Some of their steps have no tool.
LIFT_RUNS = any_runs(random.Random(7), "lift", 60, "abcd ")


def test_next_steps_are_the_formula(learned: Store) -> None:
    draw = random.Random(7)
    for _ in range(30):
        task, tools = draw.choice(("", "one", "new")), [draw.choice("abcde") for _ in range(draw.randrange(5))]
        asked = {"domain": "lift", "task": task, "tools": tools}
        ranked = {step.tool: (step.lift, step.value) for step in advice.next_steps(learned, asked, 9)}
        for tool, lift, value in ranked_by_hand([*LIFT_RUNS], task, tools):
            assert ranked.pop(tool) == pytest.approx((lift, value), abs=1e-9), (task, tools, tool)
        assert not ranked


def signal_and_noise(draw: random.Random) -> Iterator[Episode]:
    for number in range(200):
        won = draw.random() < 0.5
        outcome = "success" if won else "failure"
        body = steps(*(draw.choice("abc") for _ in range(4)))
        yield Episode(f"sig-{number}", outcome, [("good" if won else "bad", True), *body], domain="sig")
        yield Episode(f"noi-{number}", outcome, body, domain="noi")


given(*signal_and_noise(random.Random(1)))


def test_learning_tells_signal_from_noise(learned: Store) -> None:
    auc = evaluate.evaluate(learned, domain="sig").auc["outlook"]
    assert auc.value == pytest.approx(1, abs=0.01)
    blind = evaluate.evaluate(learned, domain="noi").auc["outlook"]
    assert blind.low is not None
    assert blind.low < 0.5


def test_a_wrong_split_is_refused(storage_store: Store) -> None:
    with pytest.raises(UsageError, match="there are episode, task, time"):
        evaluate.evaluate(storage_store, split="trial")


if AIRLINE.exists():
    given(*(airline_episode(json.loads(line), "airline") for line in AIRLINE.read_text().splitlines()))


@pytest.mark.skipif(not AIRLINE.exists(), reason="the benchmark's runs are not part of the repository")
def test_learning_beats_the_baselines_on_real_runs(learned: Store) -> None:
    seen = evaluate.evaluate(learned, split="time", domain="airline")
    assert (seen.tested, seen.successes, seen.steps) == (40, 15, 265)
    best = {name: figure.value or 0 for name, figure in seen.auc.items() if name != "outlook half-way"}
    assert best["outlook"] == max(best.values())
    assert best["outlook"] > 0.73
    brier = {name: figure.value or 1 for name, figure in seen.brier.items() if name != "outlook half-way"}
    assert brier["outlook"] == min(brier.values())
    assert (seen.top1["usual next step"].value or 0) > 0.62
    assert (seen.top1["order-2 back-off"].value or 0) < 0.54
    assert (seen.top3["usual next step"].value or 0) > 0.80
    assert (seen.top3["order-2 back-off"].value or 0) < 0.78
    new = evaluate.evaluate(learned, split="task", domain="airline")
    assert (new.tested, new.steps) == (80, 519)
    assert (new.auc["outlook"].value or 0) > 0.68
    assert (new.brier["outlook"].value or 1) < (new.brier["domain's rate"].value or 0)


def same_runs(draw: random.Random) -> list[Episode]:
    return [
        Episode(
            f"same-{n:02}", outcome=draw.choice(("success", "failure")), domain="same", start=T0 + n * SECOND,
            task=draw.choice(("one", "two")),
            steps=[(draw.choice(("a", "b", "c", "")), True) for _ in range(draw.randrange(8))],
        )
        for n in range(30)
    ]  # fmt: skip


# The others come later.
given(*same_runs(random.Random(4))[:20])


def test_the_outlook_that_is_judged_is_the_one_that_is_given(learned: Store) -> None:
    made = same_runs(random.Random(4))
    tools = [tool for tool, _ in made[25].steps if tool]
    so_far = {"episode": "", "domain": "same", "task": made[25].task, "tools": tools, "ended": True}
    given_then = learned.query_named("outlook", so_far)[0]
    half = {**so_far, "tools": so_far["tools"][: (len(so_far["tools"]) + 1) // 2], "ended": False}
    half_way = learned.query_named("outlook", half)[0]
    following = advice.next_steps(learned, half, 10)
    learn(learned, *made[20:])
    cut = {"domain": "same", "split": "time", "folds": 2, "fold": 0, "seed": 1, "keep": 1_000_000,
           "before": made[20].start, "before_id": made[20].id}  # fmt: skip
    judged = {row["EpisodeId"]: row for row in learned.query_named("evaluate_outlook", cut)}
    assert len(judged) == 10
    assert judged[made[25].id]["Outlook"] == pytest.approx(given_then["Probability"])
    assert judged[made[25].id]["HalfOutlook"] == pytest.approx(half_way["Probability"])
    steps = {(row["EpisodeId"], row["Position"]): row for row in learned.query_named("evaluate_next", cut)}
    came = steps[made[25].id, len(half["tools"]) + 1]
    by_habit = sorted(following, key=lambda step: -step.usual)
    assert [step.tool for step in by_habit][came["Place"] - 1] == so_far["tools"][len(half["tools"])]
