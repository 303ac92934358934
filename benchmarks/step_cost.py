"""Measure what recording a step costs, as a ratio to the same span written by hand with the OpenTelemetry SDK.

By hand is `start_as_current_span` and eight `set_attribute`. Both run in one process, in alternating rounds, in CPU
time of the calling thread; see `paired`. Each scenario has a process of its own, since a provider is set once in one.
Providers have no processors, so what is measured is the recording; only the durable arm has its spool behind it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Sampler
from paired import (
    Arm,
    Cost,
    awaiting,
    bare,
    bare_async,
    bare_raising,
    calling,
    catching,
    hand_written,
    hand_written_async,
    measure,
    recorded,
    within_span,
)
from table import show

from otel_episodes import _state, configure, episode, step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

SUMMARY = "capture summary (default)"
NOT_STORED = "the same, not stored"
ACTION = "search {pattern}"


@dataclass(frozen=True)
class Scenario:
    """Arms that share a process, and what its environment holds; `check` raises if nothing was recorded."""

    arms: Callable[[], Sequence[Arm]]
    environment: Mapping[str, str] = field(default_factory=dict)
    check: Callable[[Sequence[Arm]], None] = lambda _: None


@dataclass(frozen=True)
class Target:
    """What an arm is to stay within, as text and as a test of its cost among all costs."""

    text: str
    is_met: Callable[[Cost, Mapping[str, Cost]], bool]


def at_most(ratio: float) -> Target:
    """Limit the ratio to the span written by hand."""
    return Target(f"<= {ratio}", lambda cost, _: cost.ratio <= ratio)


TARGETS = {
    "no provider": Target("< 1 µs more than the bare call", lambda cost, _: cost.extra_micros < 1),
    "sampled out": at_most(0.6),
    "capture none": at_most(0.9),
    SUMMARY: at_most(1.15),
    "raising tool": at_most(0.5),
    "durable append": Target(f"<= {NOT_STORED} + 0.3", lambda cost, costs: cost.ratio <= costs[NOT_STORED].ratio + 0.3),
}

grep = step("grep", action=ACTION)(bare)
grep_raising = step("grep", action=ACTION)(bare_raising)
grep_async = step("grep", action=ACTION)(bare_async)


def grep_in_with(pattern: str, path: str) -> str:
    """Record the same as `grep`, with the context manager."""
    with step("grep", action=f"search {pattern}") as taken:
        found = bare(pattern, path)
        taken.observe(found)
        return found


def ours(name: str, burst: Callable[[int], int], baseline: str) -> Arm:
    """Return an arm of ours, inside an episode."""
    return Arm(name, burst, baseline, scope=lambda: episode("Find what is left to do", agent="coder"))


def by_hand(sampler: Sampler | None = None) -> Arm:
    """Return the hand-written arm, on a provider of its own that has no processors; the sampler is the default one."""
    tracer = TracerProvider(sampler=sampler).get_tracer("by-hand")
    return Arm("by hand", calling(hand_written(tracer)), scope=within_span(tracer))


def without_provider() -> list[Arm]:
    """Compare with the bare call: there is nothing to record to."""
    return [Arm("bare call", calling(bare)), ours("no provider", calling(grep), "bare call")]


def sampled_out() -> list[Arm]:
    """Drop every trace at its root."""
    trace.set_tracer_provider(TracerProvider(sampler=ALWAYS_OFF))
    return [by_hand(ALWAYS_OFF), ours("sampled out", calling(grep), "by hand")]


def without_content() -> list[Arm]:
    """Record no action and no observation; the environment says so."""
    trace.set_tracer_provider(TracerProvider())
    return [by_hand(), ours("capture none", calling(grep), "by hand")]


def with_summary() -> list[Arm]:
    """Record by default: the decorator on the three kinds of tool, and the context manager."""
    provider = TracerProvider()
    trace.set_tracer_provider(provider)
    tracer = TracerProvider().get_tracer("by-hand")
    scope = within_span(tracer)
    return [
        by_hand(),
        ours(SUMMARY, calling(grep), "by hand"),
        ours("with step(...)", calling(grep_in_with), "by hand"),
        Arm("by hand, async", awaiting(hand_written_async(tracer)), scope=scope),
        ours("async tool", awaiting(grep_async), "by hand, async"),
        Arm("by hand, raising", catching(hand_written(tracer, bare_raising)), scope=scope),
        ours("raising tool", catching(grep_raising), "by hand, raising"),
    ]


def durable() -> list[Arm]:
    """Append every span to the spool before the call returns; beside it the same step on a provider without a store."""
    provider = TracerProvider()
    trace.set_tracer_provider(provider)
    configure(dsn=f"chdb://{os.environ['OTEL_EPISODES_HOME']}/store")
    burst, bare_provider = calling(grep), TracerProvider()
    return [
        by_hand(),
        Arm(NOT_STORED, burst, "by hand", scope=lambda: episode_on(bare_provider)),
        Arm("durable append", burst, "by hand", scope=lambda: episode_on(provider)),
    ]


@dataclass(frozen=True)
class Tokens:
    """What a model says that it used."""

    input_tokens: int = 120
    output_tokens: int = 22


@dataclass(frozen=True)
class Answer:
    """A model's answer, in the form in which libraries return it."""

    id: str = "resp_1"
    model: str = "gpt-4o"
    usage: Tokens = Tokens()


ANSWER = Answer()


@step("ask", action=ACTION)
def ask_in_block(pattern: str, path: str) -> str:
    """Record the call of a model as a block of its own, and what it answered."""
    with step.model(provider="openai", model="gpt-4o") as call:
        call.respond(ANSWER)
    return bare(pattern, path)


@step("ask", action=ACTION)
def ask_and_return(pattern: str, path: str) -> Answer:  # noqa: ARG001  # the arguments are what is recorded
    """Leave it to the step to find the call in what is returned."""
    return ANSWER


def with_model_call() -> list[Arm]:
    """Record a step with the call of a model in it: two spans, beside two written by hand."""
    trace.set_tracer_provider(TracerProvider())
    tracer = TracerProvider().get_tracer("by-hand")

    def asked(pattern: str, path: str) -> str:
        with tracer.start_as_current_span("chat gpt-4o") as span:
            span.set_attribute("gen_ai.operation.name", "chat")
            span.set_attribute("gen_ai.provider.name", "openai")
            span.set_attribute("gen_ai.request.model", "gpt-4o")
            span.set_attribute("gen_ai.response.model", "gpt-4o")
            span.set_attribute("gen_ai.response.id", "resp_1")
            span.set_attribute("gen_ai.usage.input_tokens", 120)
            span.set_attribute("gen_ai.usage.output_tokens", 22)
        return bare(pattern, path)

    by_hand_twice = "by hand, with a model call"
    return [
        Arm(by_hand_twice, calling(hand_written(tracer, asked)), scope=within_span(tracer)),
        ours("step.model(...)", calling(ask_in_block), by_hand_twice),
        ours("model call found", calling(ask_and_return), by_hand_twice),
    ]


@contextmanager
def episode_on(provider: TracerProvider) -> Iterator[None]:
    """Record an episode to a provider; two in one process, so that their steps alternate."""
    _state.provider = provider
    with episode("Find what is left to do", agent="coder"):
        yield


def check_spans(arms: Sequence[Arm]) -> None:
    """Raise unless one call of each arm of ours records exactly one span."""
    provider = trace.get_tracer_provider()
    assert isinstance(provider, TracerProvider)  # each scenario with this check has set one
    for arm in arms:
        if arm.baseline is not None:
            recorded(provider, arm)


def check_model_calls(arms: Sequence[Arm]) -> None:
    """Raise unless one call of each arm of ours records a step and the call of a model."""
    provider = trace.get_tracer_provider()
    assert isinstance(provider, TracerProvider)
    for arm in arms[1:]:
        recorded(provider, arm, count=2)


def check_spool(arms: Sequence[Arm]) -> None:
    """Raise unless the spans are in files."""
    check_spans([arm for arm in arms if arm.name != NOT_STORED])
    home = Path(os.environ["OTEL_EPISODES_HOME"])
    if not sum(path.stat().st_size for path in home.rglob("*") if path.is_file()):
        raise RuntimeError(f"nothing was appended to the spool in {home}")


SCENARIOS = {
    "no-provider": Scenario(without_provider),
    "sampled-out": Scenario(sampled_out),
    "none": Scenario(without_content, {"OTEL_EPISODES_CAPTURE": "none"}, check_spans),
    "summary": Scenario(with_summary, check=check_spans),
    "model": Scenario(with_model_call, check=check_model_calls),
    "durable": Scenario(durable, check=check_spool),
}


def run_scenario(name: str, rounds: int, calls: int) -> list[Cost]:
    """Measure the scenario's arms in this process."""
    arms = SCENARIOS[name].arms()
    costs = measure(arms, rounds=rounds, calls=calls)
    SCENARIOS[name].check(arms)
    return costs


def run_apart(name: str, rounds: int, calls: int) -> list[Cost]:
    """Measure the scenario in a process and a home of its own."""
    with tempfile.TemporaryDirectory() as home:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
        environment |= {"OTEL_EPISODES_HOME": home, "PYTHONHASHSEED": "0", **SCENARIOS[name].environment}
        command = [sys.executable, __file__, "--apart", name, "--rounds", str(rounds), "--calls", str(calls)]
        output = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    return [Cost(**cost) for cost in json.loads(output.splitlines()[-1])]


def show_costs(costs: Mapping[str, Cost], rounds: int, calls: int) -> None:
    """Print the costs beside their targets."""
    rows = []
    for name, cost in costs.items():
        target = TARGETS.get(name)
        verdict = "" if target is None else f"{target.text}: {'met' if target.is_met(cost, costs) else 'MISSED'}"
        spread = f"{cost.ratio_p10:.2f}-{cost.ratio_p90:.2f}"
        against = f"{cost.baseline_micros:.2f} ({cost.baseline})"
        rows.append(
            [name, f"{cost.ratio:.2f}", spread, f"{cost.micros:.2f}", against, f"{cost.extra_micros:+.2f}", verdict]
        )
    note = (
        f"{rounds} rounds of {calls} calls, medians; Python {platform.python_version()}, "
        f"opentelemetry-sdk {version('opentelemetry-sdk')}"
    )
    columns = ["arm", "ratio", "p10-p90", "µs", "against µs", "more µs", "target"]
    show("Recording a step, CPU of the calling thread", columns, rows, note=note)


def main() -> int:
    """Measure every scenario and print one table; with `--check` exit 1 if a target is missed."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=40)
    options.add_argument("--calls", type=int, default=300)
    options.add_argument("--only", nargs="+", choices=SCENARIOS, default=list(SCENARIOS), metavar="SCENARIO")
    options.add_argument("--json", action="store_true")
    options.add_argument("--check", action="store_true", help="exit 1 if a target is missed")
    options.add_argument("--apart", choices=SCENARIOS, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.apart:
        print(json.dumps([cost.as_json() for cost in run_scenario(given.apart, given.rounds, given.calls)]))
        return 0
    measured = [cost for name in given.only for cost in run_apart(name, given.rounds, given.calls)]
    costs = {cost.name: cost for cost in measured}
    if given.json:
        print(json.dumps([cost.as_json() for cost in measured], indent=2))
    else:
        show_costs(costs, given.rounds, given.calls)
    missed = [name for name, cost in costs.items() if name in TARGETS and not TARGETS[name].is_met(cost, costs)]
    return int(given.check and bool(missed))


if __name__ == "__main__":
    sys.exit(main())
