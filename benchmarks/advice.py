# ruff: noqa: ARG002  # agents are told more than each of them uses
"""Measure whether what was learned makes the next runs better: an agent that asks the Advisor, beside two that do not.

Usage: python benchmarks/advice.py --environments FOLDER --env NAME [--arms none tabular advisor] [--seeds 0 1]
    [--generations 6] [--train 60] [--test 90] [--liars 0.0] [--habit 0.0] [--json FILE]

The environments are not ours: FOLDER has a module ``envs_NAME`` with a class ``Env`` (``pool(split)``, ``reset(task)``,
``actions()``, ``step(action)``, ``score()``, ``budget``; a task has ``id``, ``type`` and ``text``, an action ``tool``
and ``args``). The agent knows no answer. In generation 0 it acts at random: any tool it can use, then any call of it;
in the next ones it follows what the runs before say, and tries something at random now and then. The test is on other
tasks, with nothing learned any more. All arms of a seed get the same tasks.

    none      acts at random throughout
    tabular   the mean score of earlier runs by (type of task, tool before, tool), shrunk to (type, tool), in memory
    advisor   records every run through the public API, runs the jobs after each generation and asks `Advisor.rank`
    counts    asks the same ranking of counts that are kept in memory, see `advice_counts.py`: for many seeds

``--liars`` is the share of runs of the advisor that say the opposite of how they ended, under the name of the honest
agent, or with ``--liars-name`` under one of their own. ``--habit`` is how many runs are recorded for each of ours in
which another agent does the one thing over and over that its first run found, and fails. ``--harmed`` says of every
item of a brief to each run, under two names, that it did harm.
"""

from __future__ import annotations

import argparse
import importlib
import json
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any, Protocol

from advice_counts import Counted, Taken
from table import show as show_table

from otel_episodes import configure, episode, log_step
from otel_episodes._for_store import OBSERVATION_LIMIT, masked_text
from otel_episodes_clickhouse import AdvisedRun, Advisor, Call, Store, Target, run_jobs
from otel_episodes_clickhouse.advice.advise import ask
from otel_episodes_clickhouse.advice.feedback import give

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SHARPNESS = 4.0
EXPLORING, TESTING = 0.1, 0.05
# Of a t-distribution with as many degrees of freedom as the place says, from 1 on.
T95 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13)


class Memory(Protocol):
    """What an agent asks before it acts, and tells after it."""

    def begin(self, task: Any) -> None:
        """Begin a run."""

    def weigh(self, actions: Sequence[Any], draw: random.Random, *, learning: bool) -> list[float] | None:
        """Return how much each action is preferred; None: all alike."""

    def after(self, action: Any, observation: str, *, success: bool) -> None:
        """Note a step."""

    def end(self, score: float, *, success: bool, learning: bool) -> None:
        """Note how the run ended."""

    def learn(self) -> None:
        """Learn from the runs so far."""


class Nothing:
    """An agent that acts at random."""

    def begin(self, task: Any) -> None:
        """Do nothing."""

    def weigh(self, actions: Sequence[Any], draw: random.Random, *, learning: bool) -> list[float] | None:
        """Prefer nothing."""

    def after(self, action: Any, observation: str, *, success: bool) -> None:
        """Do nothing."""

    def end(self, score: float, *, success: bool, learning: bool) -> None:
        """Do nothing."""

    def learn(self) -> None:
        """Do nothing."""


class Tabular(Nothing):
    """Mean scores by type of task and tool, and by the tool before too; two more runs of the coarser kind in each."""

    def __init__(self) -> None:
        self._runs: list[tuple[str, list[str], float]] = []
        self._n: Counter[tuple[str, ...]] = Counter()
        self._sum: Counter[tuple[str, ...]] = Counter()
        self._type = ""
        self._tools: list[str] = []

    def begin(self, task: Any) -> None:
        """Note the type of the task."""
        self._type, self._tools = task.type, []

    def weigh(self, actions: Sequence[Any], draw: random.Random, *, learning: bool) -> list[float] | None:
        """Prefer tools after which scores were higher."""
        kind, before = self._type, self._tools[-1] if self._tools else "^"
        base = (self._sum[kind,] + 1e-3) / (self._n[kind,] + 1)
        weights = []
        for action in actions:
            tool = action.tool
            value = (self._sum[kind, tool] + 2 * base) / (self._n[kind, tool] + 2)
            value = (self._sum[kind, before, tool] + 2 * value) / (self._n[kind, before, tool] + 2)
            weights.append((value / base) ** SHARPNESS)
        return shared_by_tool(actions, weights)

    def after(self, action: Any, observation: str, *, success: bool) -> None:
        """Note the tool."""
        self._tools.append(action.tool)

    def end(self, score: float, *, success: bool, learning: bool) -> None:
        """Keep the run."""
        if learning:
            self._runs.append((self._type, self._tools, score))

    def learn(self) -> None:
        """Count all runs."""
        self._n.clear()
        self._sum.clear()
        for kind, tools, score in self._runs:
            for before, tool in zip(["^", *tools], tools, strict=False):
                for key in ((kind,), (kind, tool), (kind, before, tool)):
                    self._n[key] += 1
                    self._sum[key] += score


@dataclass
class Advised(Nothing):
    """Everything through the public API: recording, the jobs, the Advisor."""

    dsn: str
    suffix: str
    success_at: float
    liars: float = 0.0
    liars_name: str = "explorer"
    habit: float = 0.0
    harmed: bool = False
    asked: list[float] = field(default_factory=list)
    learning_seconds: list[float] = field(default_factory=list)
    _advisors: dict[str, Advisor] = field(default_factory=dict)
    _steps: list[dict[str, Any]] = field(default_factory=list)
    _taken: list[Taken] = field(default_factory=list)
    _habits: dict[str, tuple[dict[str, Any], Taken]] = field(default_factory=dict)

    def begin(self, task: Any) -> None:
        """Begin to ask."""
        self._task = task
        self._domain = f"{task.type}{self.suffix}"
        self._run = self._begun(task.text or task.id)
        self._steps, self._taken = [], []

    def _begun(self, task: str) -> AdvisedRun:
        if self._domain not in self._advisors:
            self._advisors[self._domain] = Advisor.open(domain=self._domain, dsn=self.dsn)
        return self._advisors[self._domain].run(task=task)

    def weigh(self, actions: Sequence[Any], draw: random.Random, *, learning: bool) -> list[float] | None:
        """Prefer by a draw from what is known while learning, by lift after it."""
        calls = [Call(action.tool, action.args) for action in actions]
        began = time.perf_counter()
        options = self._run.rank(calls)
        self.asked.append(time.perf_counter() - began)
        if learning:
            # One draw for all that are as good as each other: many calls of a tool are not many chances.
            luck: dict[tuple[str, float], float] = {}
            for option in options:
                luck.setdefault((option.call.tool, option.lift), draw.betavariate(option.alpha, option.beta))
            lucks = {id(option.call): luck[option.call.tool, option.lift] for option in options}
            return [float(lucks[id(call)] == max(luck.values())) for call in calls]
        lifts = {id(option.call): option.lift for option in options}
        return shared_by_tool(actions, [lifts[id(call)] ** SHARPNESS for call in calls])

    def after(self, action: Any, observation: str, *, success: bool) -> None:
        """Tell the Advisor, and keep the step to be recorded."""
        call = Call(action.tool, action.args)
        self._taken.append(Taken(action.tool, self._run.template(call), success))
        self._run.observe(call, observation=observation, success=success)
        self._steps.append(
            {
                "tool": action.tool, "action": json.dumps(action.args), "observation": observation, "success": success,
                "latency_ms": 1,
            }
        )  # fmt: skip

    def end(self, score: float, *, success: bool, learning: bool) -> None:
        """Record the run."""
        if not learning:
            return
        lies = random.Random(f"{self._domain}{len(self.asked)}").random() < self.liars
        if lies:
            score, success = 1 - min(1.0, score), not success
        self._record(score, success=success, agent=self.liars_name if lies else "explorer")
        if self.habit and random.Random(f"habit {self._domain}{len(self.asked)}").random() < self.habit:
            first = self._habits.setdefault(self._domain, (self._steps[0], self._taken[0]))
            self._steps, self._taken = ([each] * len(self._steps) for each in first)
            self._record(0.0, success=False, agent="creature of habit")

    def _record(self, score: float, *, success: bool, agent: str) -> None:
        with episode(self._task.text or self._task.id, agent=agent, domain=self._domain) as run:
            for step in self._steps:
                log_step(**step)
            run.reward(score)
            if success:
                run.succeed("reached the goal")
            else:
                run.fail("did not reach the goal")

    def learn(self) -> None:
        """Run the jobs."""
        began = time.perf_counter()
        with Store.open(Target.resolve(self.dsn)) as store:
            store.drain()
            run_jobs(store, "values", reward="external", success_at=self.success_at)
            if self.harmed:
                self._accuse(store)
        self.learning_seconds.append(time.perf_counter() - began)

    def _accuse(self, store: Store) -> None:
        for domain in self._advisors:
            run = {"episode": "", "domain": domain, "task": "", "tools": [], "ended": False}
            advice = ask(store, run, asked=True)
            advice.brief()
            store.drain()
            for item in advice.items:
                for name in ("liar", "another liar"):
                    give(store, advice.id, "harmed", item=item.id, by=name)


@dataclass
class InMemory(Advised):
    """The same, of counts in memory."""

    _counted: dict[str, Counted] = field(default_factory=dict)

    def _begun(self, task: str) -> AdvisedRun:
        return AdvisedRun(self._counted.setdefault(self._domain, Counted(self._domain)).known(), task)

    def _record(self, score: float, *, success: bool, agent: str) -> None:
        earned = 1.0 if score >= self.success_at else max(0.0, score / self.success_at)
        self._counted[self._domain].add(recorded_task(self._task), self._taken, earned)

    def learn(self) -> None:
        """Count."""
        for counted in self._counted.values():
            counted.learn()


def recorded_task(task: Any) -> str:
    """Return what a recorded run keeps of the words of a task."""
    return masked_text(task.text or task.id, OBSERVATION_LIMIT)


def shared_by_tool(actions: Sequence[Any], weights: Sequence[float]) -> list[float]:
    """Return the weights with each tool's shared by its calls, so that many calls are not more chances."""
    calls = Counter(action.tool for action in actions)
    return [weight / calls[action.tool] for action, weight in zip(actions, weights, strict=True)]


def tasks_of(env: Any, split: str, count: int, draw: random.Random) -> list[Any]:
    """Return tasks of all types by turns."""
    types: dict[str, list[Any]] = {}
    for task in env.pool(split):
        types.setdefault(task.type, []).append(task)
    order = sorted(types)
    return [draw.choice(types[order[number % len(order)]]) for number in range(count)]


def choose(actions: Sequence[Any], memory: Memory, draw: random.Random, last: str, *, random_share: float) -> Any:
    """Return what the agent does next; never the very same call twice in a row."""
    fresh = [action for action in actions if name_of(action) != last] or list(actions)
    weights = None
    if draw.random() >= random_share:
        weights = memory.weigh(fresh, draw, learning=random_share == EXPLORING)
    if weights is None or sum(weights) <= 0:
        weights = shared_by_tool(fresh, [1.0] * len(fresh))
    return draw.choices(fresh, weights)[0]


def name_of(action: Any) -> str:
    """Return a call as one text."""
    return f"{action.tool} {json.dumps(action.args, sort_keys=True, default=str)}"


def play(env: Any, task: Any, memory: Memory, draw: random.Random, *, random_share: float) -> tuple[bool, int]:
    """Play a task; return whether it was solved, and in how many steps."""
    task.text = env.reset(task)
    memory.begin(task)
    last, done, steps = "", False, 0
    while steps < env.budget and not done:
        action = choose(env.actions(), memory, draw, last, random_share=random_share)
        observation, success, done = env.step(action)
        memory.after(action, observation, success=success)
        last, steps = name_of(action), steps + 1
    score = env.score()
    solved = score >= getattr(env, "success_at", 1.0)
    memory.end(score, success=solved, learning=random_share != TESTING)
    return solved, steps


def measure(env: Any, memory: Memory, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Let an agent learn and be tested; return the share of tasks solved by generation and in the test."""
    draw = random.Random(f"tasks {seed}")
    generations = [tasks_of(env, "train", options.train, draw) for _ in range(options.generations)]
    test = tasks_of(env, "test", options.test, draw)
    curve = []
    for number, tasks in enumerate(generations):
        share = 1.0 if number == 0 else EXPLORING
        played = [
            play(env, task, memory, random.Random(f"{seed} {number} {place}"), random_share=share)
            for place, task in enumerate(tasks)
        ]
        curve.append(mean(solved for solved, _ in played))
        memory.learn()
    played = [
        play(env, task, memory, random.Random(f"{seed} test {place}"), random_share=TESTING)
        for place, task in enumerate(test)
    ]
    solved = mean(won for won, _ in played)
    steps = sum(count for _, count in played) / max(1, sum(won for won, _ in played))
    return {"seed": seed, "curve": curve, "test": solved, "calls a success": steps}


def interval(values: Sequence[float]) -> str:
    """Return a mean and its 95 % t-interval."""
    middle = mean(values)
    if len(values) == 1:
        return f"{middle:.3f}"
    half = T95[min(len(values) - 2, len(T95) - 1)] * stdev(values) / sqrt(len(values))
    return f"{middle:.3f} ({middle - half:.3f} to {middle + half:.3f})"


def report(found: dict[str, list[dict[str, Any]]]) -> None:
    """Print what each arm reached, and the paired differences to the advisor."""
    rows = []
    for arm, results in found.items():
        curve = [mean(result["curve"][place] for result in results) for place in range(len(results[0]["curve"]))]
        ours = found.get("advisor") or found.get("counts") or results
        less = [mine["test"] - other["test"] for mine, other in zip(ours, results, strict=True)]
        rows.append([
            arm, " ".join(f"{share:.2f}" for share in curve), interval([result["test"] for result in results]),
            "" if results is ours else interval(less), f"{mean(result['calls a success'] for result in results):.0f}",
        ])  # fmt: skip
    show_table("Tasks solved", ["arm", "by generation", "test", "ours less this", "calls a success"], rows)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environments", required=True)
    parser.add_argument("--env", required=True)
    parser.add_argument("--arms", nargs="+", default=["none", "tabular", "advisor"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--generations", type=int, default=6)
    parser.add_argument("--train", type=int, default=60)
    parser.add_argument("--test", type=int, default=90)
    parser.add_argument("--liars", type=float, default=0.0)
    parser.add_argument("--liars-name", default="explorer")
    parser.add_argument("--habit", type=float, default=0.0)
    parser.add_argument("--harmed", action="store_true")
    parser.add_argument("--json", default="")
    options = parser.parse_args()
    sys.path.insert(0, options.environments)
    env = importlib.import_module(f"envs_{options.env}").Env()
    found: dict[str, list[dict[str, Any]]] = {arm: [] for arm in options.arms}
    with tempfile.TemporaryDirectory() as directory:
        dsn = f"chdb://{directory}/store"
        configure(dsn=dsn, service_name="advice-benchmark", ship=False)
        with Store.open(Target.resolve(dsn)) as store:
            store.migrate()
        makers: dict[str, Callable[[int], Memory]] = {
            "none": lambda _: Nothing(),
            "tabular": lambda _: Tabular(),
            **{
                name: lambda seed, made=made: made(
                    dsn, f" {seed}", getattr(env, "success_at", 1.0), options.liars, options.liars_name,
                    options.habit, options.harmed,
                )
                for name, made in (("advisor", Advised), ("counts", InMemory))
            },
        }  # fmt: skip
        for seed in options.seeds:
            for arm in options.arms:
                memory = makers[arm](seed)
                result = measure(env, memory, seed, options)
                if isinstance(memory, Advised) and memory.asked:
                    asked = sorted(memory.asked)
                    result["question_ms"] = [1000 * asked[len(asked) // 2], 1000 * asked[int(0.99 * len(asked))]]
                    result["jobs_seconds"] = memory.learning_seconds
                found[arm].append(result)
                print(arm, json.dumps(result), file=sys.stderr, flush=True)
    report(found)
    if options.json:
        Path(options.json).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
