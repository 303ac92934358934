"""Measure arms side by side, in CPU time of the calling thread, each against its baseline of the same round.

A noisy machine moves every arm of a round alike, so the ratio to the baseline holds where the microseconds do not.
Within a round the arms run forth and back (A B C C B A): what drifts linearly cancels out. The garbage collector
stays on, its work is part of the cost; what exists before the first round is frozen out of its sight.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from statistics import median, quantiles
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer
    from opentelemetry.util.types import AttributeValue

Tool = Callable[[str, str], str]
AsyncTool = Callable[[str, str], Awaitable[str]]
Burst = Callable[[int], int]
Scope = Callable[[], AbstractContextManager[object]]

PATTERN, PATH = "TODO", "src"
FOUND = "12 matches in 3 files"


@dataclass(frozen=True)
class Arm:
    """What is measured: `burst(calls)` returns the thread's CPU nanoseconds; `scope` is entered around it, untimed."""

    name: str
    burst: Burst
    baseline: str | None = None
    scope: Scope = nullcontext


@dataclass(frozen=True)
class Cost:
    """Microseconds a call (median over rounds), and the ratio to the baseline (median, 10th, 90th percentile)."""

    name: str
    micros: float
    baseline: str
    baseline_micros: float
    extra_micros: float
    ratio: float
    ratio_p10: float
    ratio_p90: float

    def as_json(self) -> dict[str, str | float]:
        """Return the figures under their names, rounded to a tenth of a nanosecond."""
        return {key: round(value, 4) if isinstance(value, float) else value for key, value in asdict(self).items()}


def measure(arms: Sequence[Arm], *, rounds: int = 40, calls: int = 300) -> list[Cost]:
    """Run every arm `calls` times in each of `rounds` rounds; one `Cost` for each arm that names a baseline."""
    half = max(1, calls // 2)
    for arm in arms:
        _run(arm, half)
    gc.collect()
    gc.freeze()
    spent: dict[str, list[float]] = {arm.name: [] for arm in arms}
    for turn in range(rounds):
        order = list(arms[turn % len(arms) :]) + list(arms[: turn % len(arms)])
        nanos = dict.fromkeys(spent, 0)
        for arm in [*order, *reversed(order)]:
            nanos[arm.name] += _run(arm, half)
        for name, total in nanos.items():
            spent[name].append(total / (2 * half) / 1000)
    gc.unfreeze()
    return [_cost(arm.name, arm.baseline, spent) for arm in arms if arm.baseline is not None]


def clocked(tools: Mapping[str, tuple[Tool, Scope]], *, rounds: int = 40, calls: int = 500) -> dict[str, list[float]]:
    """Call each tool `calls` times in each of `rounds` rounds, by turns; return p50, p99 and p99.9 by the clock, in µs.

    What the machine does besides is in them: compare within one call of this function.
    """
    nanos: dict[str, list[int]] = {name: [] for name in tools}
    for turn in range(rounds + 1):
        for name, (tool, scope) in tools.items():
            gc.collect()
            with scope():
                each = _clock(tool, calls)
            # The first round warms up.
            nanos[name] += each if turn else []
    return {name: _quantiles(each) for name, each in nanos.items()}


def _clock(tool: Tool, calls: int) -> list[int]:
    nanos = []
    for _ in range(calls):
        began = time.perf_counter_ns()
        tool(PATTERN, PATH)
        nanos.append(time.perf_counter_ns() - began)
    return nanos


def _quantiles(nanos: list[int]) -> list[float]:
    nanos.sort()
    return [nanos[int(len(nanos) * share)] / 1000 for share in (0.5, 0.99, 0.999)]


def _run(arm: Arm, calls: int) -> int:
    gc.collect()
    with arm.scope():
        return arm.burst(calls)


def _cost(name: str, baseline: str, spent: Mapping[str, Sequence[float]]) -> Cost:
    pairs = list(zip(spent[name], spent[baseline], strict=True))
    ratios = [ours / theirs for ours, theirs in pairs]
    deciles = quantiles(ratios, n=10, method="inclusive") if len(ratios) > 1 else ratios
    return Cost(
        name=name,
        micros=median(spent[name]),
        baseline=baseline,
        baseline_micros=median(spent[baseline]),
        extra_micros=median(ours - theirs for ours, theirs in pairs),
        ratio=median(ratios),
        ratio_p10=deciles[0],
        ratio_p90=deciles[-1],
    )


def calling(tool: Tool) -> Burst:
    """Call the tool and return."""

    def burst(calls: int) -> int:
        began = time.thread_time_ns()
        for _ in range(calls):
            tool(PATTERN, PATH)
        return time.thread_time_ns() - began

    return burst


def catching(tool: Tool) -> Burst:
    """Call a tool that raises, and catch it outside."""

    def burst(calls: int) -> int:
        began = time.thread_time_ns()
        for _ in range(calls):
            try:  # noqa: SIM105  # as a program catches it
                tool(PATTERN, PATH)
            except LookupError:  # each call is caught
                pass
        return time.thread_time_ns() - began

    return burst


def awaiting(tool: AsyncTool) -> Burst:
    """Await the tool on a running loop; starting the loop is not counted."""

    async def drive(calls: int) -> int:
        began = time.thread_time_ns()
        for _ in range(calls):
            await tool(PATTERN, PATH)
        return time.thread_time_ns() - began

    return lambda calls: asyncio.run(drive(calls))


def bare(pattern: str, path: str) -> str:  # noqa: ARG001  # the arguments are what is recorded
    """Stand in for the tool: everything measured above this is the recording."""
    return FOUND


async def bare_async(pattern: str, path: str) -> str:
    """Stand in for an async tool."""
    return bare(pattern, path)


def bare_raising(pattern: str, path: str) -> str:
    """Stand in for a tool that fails."""
    raise LookupError(f"no file matches {pattern} in {path}")


def hand_written(tracer: Tracer, tool: Tool = bare) -> Tool:
    """Return the tool in a span written by hand: `start_as_current_span` and eight `set_attribute`."""

    def grep(pattern: str, path: str) -> str:
        with tracer.start_as_current_span("execute_tool grep") as span:
            span.set_attribute("gen_ai.operation.name", "execute_tool")
            span.set_attribute("gen_ai.tool.name", "grep")
            span.set_attribute("episode.id", "01JD3Z8Q4W6X2Y5T7R9P1M3K5H")
            span.set_attribute("episode.step.kind", "tool_use")
            span.set_attribute("episode.step.index", 7)
            span.set_attribute("episode.step.action", f"search {pattern}")
            found = tool(pattern, path)
            span.set_attribute("episode.step.observation", found)
            span.set_attribute("episode.step.success", True)  # noqa: FBT003  # the API's signature
            return found

    return grep


def hand_written_async(tracer: Tracer) -> AsyncTool:
    """Return the async tool in the same span.

    Not shared with `hand_written`: a helper's call would be a cost that nobody who writes a span by hand has.
    """

    async def grep(pattern: str, path: str) -> str:
        with tracer.start_as_current_span("execute_tool grep") as span:
            span.set_attribute("gen_ai.operation.name", "execute_tool")
            span.set_attribute("gen_ai.tool.name", "grep")
            span.set_attribute("episode.id", "01JD3Z8Q4W6X2Y5T7R9P1M3K5H")
            span.set_attribute("episode.step.kind", "tool_use")
            span.set_attribute("episode.step.index", 7)
            span.set_attribute("episode.step.action", f"search {pattern}")
            found = await bare_async(pattern, path)
            span.set_attribute("episode.step.observation", found)
            span.set_attribute("episode.step.success", True)  # noqa: FBT003  # the API's signature
            return found

    return grep


def within_span(tracer: Tracer) -> Scope:
    """Give the arm a parent span, as a step has its episode's."""
    return lambda: tracer.start_as_current_span("invoke_agent coder")


class _Tap(SpanProcessor):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


def recorded(provider: TracerProvider, arm: Arm, count: int = 1) -> dict[str, AttributeValue]:
    """Run one call of the arm and return what its first span holds; raise `RuntimeError` if it recorded another number.

    To be called after measuring: the processor that looks at the span stays on the provider.
    """
    tap = _Tap()
    provider.add_span_processor(tap)
    with arm.scope():
        tap.spans.clear()
        arm.burst(1)
        spans = list(tap.spans)
    if len(spans) != count:
        raise RuntimeError(f"one call recorded {len(spans)} spans: {[span.name for span in spans]}")
    return {"span name": spans[0].name, **(spans[0].attributes or {})}
