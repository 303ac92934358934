"""Ranking calls in the agent's own process."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from learning_data import SECOND, T0, Episode, rows_of

from otel_episodes._template import Words, template
from otel_episodes_clickhouse import Advisor, Call, Option, Store, Target
from otel_episodes_clickhouse.learning import jobs, values
from otel_episodes_clickhouse.learning.ranking import Asked, Counts, Done, contexts, failed, grounding, hashed, mixed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from otel_episodes_clickhouse import AdvisedRun

WEEK = 7 * 86_400 * SECOND
SEED = 5


class Recorder:
    """Runs counted by hand, as the job counts them."""

    def __init__(self, domain: str) -> None:
        self.domain = domain
        self._counts: dict[tuple[int, int], list[float]] = defaultdict(lambda: [0, 0, 0.0, 0, 0])
        self._tools: set[str] = set()

    def add(self, task: str, steps: Sequence[tuple[str, str, bool]], value: float) -> None:
        """Count a run: tool, template and success of its steps, and what it earned."""
        first: set[tuple[int, int]] = set()
        past: list[Done] = []
        for place, (tool, kind, ok) in enumerate(steps):
            gain = round(value * 0.95 ** (len(steps) - 1 - place), 6)
            self._tools.add(tool)
            for level, context in enumerate(contexts(self.domain, task, past)):
                calls = [hashed(tool)]
                if kind and level in (0, 1, 4, 5):
                    calls.append(mixed(hashed(tool), hashed(kind)))
                if not ok and not level:
                    calls.extend(failed(Asked(tool, kind)))
                if grounding(kind) and not level:
                    calls.append(mixed(hashed(""), hashed(grounding(kind))))
                for call in calls:
                    count = self._counts[context, call]
                    count[0] += 1
                    count[1] += 1
                    count[2] += gain
                    count[3] += (context, call) not in first
                    count[4] += (context, call) not in first and value >= 0.5
                    first.add((context, call))
            past.append(Done(tool, failed=not ok))

    def known(self) -> values.Values:
        """Return what an advisor would have loaded."""
        rows = [(*key, *count) for key, count in self._counts.items()]
        return values.from_rows(self.domain, sorted(self._tools), rows)


def advised(recorder: Recorder, task: str = "", tmp: str = "/nowhere") -> AdvisedRun:
    """Return a run of an advisor that knows these runs."""
    return Advisor(Target.resolve(f"chdb://{tmp}"), recorder.known()).run(task=task)


def test_what_led_to_success_comes_first_however_rare_it_is() -> None:
    recorder = Recorder("shop")
    for _ in range(40):
        recorder.add("", [("look", "", True), ("guess", "", True)], 0.0)
    for _ in range(4):
        recorder.add("", [("look", "", True), ("measure", "", True)], 1.0)
    run = advised(recorder)
    run.observe("look")
    ranked = run.rank(["guess", "measure", "never heard of"])
    assert [option.call.tool for option in ranked] == ["measure", "never heard of", "guess"]
    assert ranked[1].lift == pytest.approx(1.0)
    assert (ranked[0].seen, ranked[0].won, ranked[0].low < ranked[0].value < ranked[0].high) == (4, 4, True)
    assert [option.call.tool for option in run.rank()] == ["measure", "guess", "look"]


def test_where_an_argument_came_from_tells_two_calls_of_a_tool_apart() -> None:
    recorder = Recorder("shop")
    told = template({"order": "W1234"}, told=Words("W1234"), seen=Words())
    seen = template({"order": "W1234"}, told=Words(), seen=Words("W1234"))
    for _ in range(10):
        recorder.add("", [("find", "", True), ("cancel", told, True)], 0.0)
        recorder.add("", [("find", "", True), ("cancel", seen, True)], 1.0)
    run = advised(recorder, "cancel what order W7777 was replaced by")
    run.observe("find", observation="W7777 was replaced by W8888")
    ranked = run.rank([Call("cancel", {"order": "W7777"}), Call("cancel", {"order": "W8888"})])
    assert [option.call.arguments["order"] for option in ranked] == ["W8888", "W7777"]
    assert ranked[0].lift > 1.4
    assert ranked[1].lift < 0.6


def test_a_tool_with_one_template_is_worth_what_the_tool_is() -> None:
    recorder = Recorder("shop")
    kind = template({"q": "=x"}, told=Words(), seen=Words())
    for number in range(9):
        recorder.add("", [("look", kind, True), ("take", kind, number % 2 > 0)], float(number % 3 == 0))
    run = advised(recorder)
    run.observe("look")
    whole, with_arguments = run.rank(["take", Call("take", {"q": "=x"})])
    assert with_arguments.lift == pytest.approx(whole.lift, rel=0.05)
    assert (with_arguments.seen, with_arguments.won) == (9, 3)


def test_where_nothing_ever_succeeded_what_fails_comes_last_and_what_was_never_tried_is_not_worse() -> None:
    recorder = Recorder("shop")
    told = template({"order": "W1234"}, told=Words("W1234"), seen=Words())
    seen = template({"order": "W1234"}, told=Words(), seen=Words("W1234"))
    for _ in range(40):
        recorder.add("", [("look", told, True), ("look", seen, False), ("pay", "", False)] * 3, 0.0)
    run = advised(recorder, "about W7777")
    run.observe("look", observation="see W8888")
    calls = [Call("pay"), Call("look", {"order": "W8888"}), Call("look", {"order": "W7777"}), Call("never heard of")]
    ranked = run.rank(calls)
    assert {option.call.tool for option in ranked[:2]} == {"look", "never heard of"}
    assert next(option.call.arguments for option in ranked if option.call.tool == "look") == {"order": "W7777"}
    assert max(option.lift for option in ranked) < 2
    assert all(option.lift < 0.6 for option in ranked[2:])


def test_a_third_of_lies_leaves_the_order_as_it_is_and_one_success_is_not_believed_blindly() -> None:
    draw, recorder = random.Random(SEED), Recorder("shop")
    for _ in range(600):
        tool = draw.choice(["good", "bad", "worse"])
        truth = draw.random() < {"good": 0.5, "bad": 0.05, "worse": 0.02}[tool]
        recorder.add("", [("look", "", True), (tool, "", True)], float(truth != (draw.random() < 1 / 3)))
    recorder.add("", [("look", "", True), ("lucky", "", True)], 1.0)
    run = advised(recorder)
    run.observe("look")
    lifts = {option.call.tool: option.lift for option in run.rank(["good", "bad", "worse", "lucky", "new"])}
    assert lifts["good"] > lifts["lucky"] > lifts["new"] > lifts["bad"]
    assert lifts["lucky"] < 1.4


def test_a_call_nobody_made_is_judged_by_how_well_its_arguments_are_grounded() -> None:
    recorder = Recorder("shop")
    told = template({"order": "W1234"}, told=Words("W1234"), seen=Words())
    free = template({"order": "W1234"}, told=Words(), seen=Words())
    for _ in range(10):
        recorder.add("", [("cancel", told, True)], 1.0)
        recorder.add("", [("cancel", free, True)], 0.0)
    ranked = advised(recorder, "return W7777").rank([Call("return", {"it": "W9999"}), Call("return", {"it": "W7777"})])
    assert [(option.call.arguments["it"], option.seen) for option in ranked] == [("W7777", 0), ("W9999", 0)]
    kinds = ("", "{}", told, free, '{"":"again","order":"told"}', '{"a":"told","b":"text"}')
    assert [grounding(kind) for kind in kinds] == ["", "", "grounded", "free", "again", "half"]


def test_whether_the_last_call_failed_is_another_place() -> None:
    recorder = Recorder("shop")
    for _ in range(8):
        recorder.add("", [("pay", "", True), ("ship", "", True)], 1.0)
        recorder.add("", [("pay", "", False), ("ship", "", True)], 0.0)
        recorder.add("", [("pay", "", False), ("ask", "", True)], 1.0)
        recorder.add("", [("pay", "", True), ("ask", "", True)], 0.0)
    best = {}
    for success in (True, False):
        run = advised(recorder)
        run.observe("pay", success=success)
        best[success] = run.rank(["ship", "ask"])[0].call.tool
    assert best == {True: "ship", False: "ask"}


def test_one_run_with_many_looks_is_one_proof() -> None:
    recorder = Recorder("shop")
    recorder.add("", [("look", "", True)] * 40, 1.0)
    (option,) = advised(recorder).rank(["look"])
    assert option.alpha + option.beta < 14
    assert option.low < 0.5


def test_nothing_known_ranks_nothing_and_keeps_the_order() -> None:
    run = advised(Recorder("empty"), "anything")
    calls = [Call("b", {"x": 1}), Call("a")]
    assert [(option.call, option.lift, option.seen) for option in run.rank(calls)] == [
        (calls[0], 1.0, 0), (calls[1], 1.0, 0),
    ]  # fmt: skip
    assert run.rank() == []


def test_threads_and_tasks_share_a_run() -> None:
    recorder = Recorder("shop")
    recorder.add("", [("look", "", True), ("take", "", True)], 1.0)
    run = advised(recorder)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: run.observe(Call("look", {"n": n}), observation=f"saw thing{n}"), range(200)))

    async def ask() -> list[Option]:
        await run.aobserve("look")
        return await run.arank([Call("take", {"n": "thing199"})])

    (option,) = asyncio.run(ask())
    assert option.level > 0


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[Episode]]:
    """Return the DSN of an embedded store that has learned from random runs, and these runs."""
    draw = random.Random(SEED)
    runs = [
        Episode(
            f"r{number}",
            outcome=draw.choice(("success", "failure", "abstained")),
            reward=draw.choice((None, None, 0.3)),
            steps=[(draw.choice("abc"), draw.random() > 0.2) for _ in range(draw.randrange(6))],
            domain="d",
            task=draw.choice(("", "x", "y")),
            start=T0 + draw.randrange(3) * WEEK + number * SECOND,
        )
        for number in range(40)
    ]
    dsn = f"chdb://{tmp_path_factory.mktemp('learned') / 'chdb'}"
    with Store.open(Target.resolve(dsn)) as store:
        store.migrate()
        for part in (runs[:30], runs[30:]):
            store.insert_rows([row for run in part for row in rows_of(run)])
            jobs.run(store, overlap_seconds=0)
    return dsn, runs


def test_an_advisor_counts_what_was_recorded(learned: tuple[str, list[Episode]]) -> None:
    dsn, runs = learned
    recorder = Recorder("d")
    for run in runs:
        if run.outcome != "abstained" or run.reward:
            value = run.reward or float(run.outcome == "success")
            recorder.add(run.task, [(tool, "", ok) for tool, ok in run.steps], value)
    found, expected = values.read_file(Target.resolve(dsn), "d"), recorder.known()
    judged = {key: count for key, count in found.calls.items() if count.n}
    assert {key: count._replace(seen=count.n, gain=0) for key, count in judged.items()} == {
        key: count._replace(gain=0) for key, count in expected.calls.items()
    }
    for key, count in judged.items():
        assert count.gain == pytest.approx(expected.calls[key].gain, abs=1e-9)
    assert sorted(found.tools) == ["a", "b", "c"]


def test_an_advisor_opens_no_store_and_knows_the_next_run_of_the_jobs(
    learned: tuple[str, list[Episode]], tmp_path: Path
) -> None:
    dsn, _ = learned
    target = Target.resolve(dsn)
    with Advisor.open(domain="d", dsn=dsn) as advisor, Store.open(target):
        # Were the engine opened here, it would refuse: the store is in use.
        assert advisor.run(task="x").rank(["a"])[0].seen > 0
    elsewhere = Target.resolve(f"chdb://{tmp_path / 'chdb'}")
    with Advisor.open(domain="d", dsn=f"chdb://{tmp_path / 'chdb'}") as advisor:
        assert advisor.run().rank(["a"])[0].seen == 0
        path = values.file_of(elsewhere, "d")
        path.parent.mkdir(parents=True)
        path.write_bytes(values.file_of(target, "d").read_bytes())
        assert advisor.run().rank(["a"])[0].seen > 0


def test_counts_are_the_same_asked_for_as_read_from_the_file(learned: tuple[str, list[Episode]]) -> None:
    dsn, _ = learned
    target = Target.resolve(dsn)
    with Store.open(target) as store:
        assert values.ask(store, "d") == values.read_file(target, "d")
        assert values.ask(store, "never") == values.from_rows("never", (), ())
    assert values.file_of(target, "d").stat().st_mode & 0o077 == 0


def test_a_context_is_the_sum_of_its_tools() -> None:
    kind = mixed(hashed("a"), hashed("{}"))
    known = values.from_rows("d", ["a", "b"], [(7, hashed("a"), 2, 2, 1.0, 1, 1), (7, hashed("b"), 1, 0, 0.0, 0, 0),
                                               (7, kind, 2, 2, 1.0, 1, 1)])  # fmt: skip
    assert known.context(7) == Counts(seen=3, n=2, gain=1.0, calls=2)


def test_an_advisor_knows_nothing_where_advice_is_off(
    learned: tuple[str, list[Episode]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EPISODES_ADVICE", "off")
    with Advisor.open(domain="d", dsn=learned[0]) as advisor:
        (option,) = advisor.run(task="x").rank(["a"])
    assert (option.lift, option.seen) == (1.0, 0)
