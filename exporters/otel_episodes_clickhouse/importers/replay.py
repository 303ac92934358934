"""Recording a run that has already happened, through the API that records live ones.

What `demo` writes is therefore what a live agent would have written, and what an import makes of a run (`run_rows`) has
something to be compared with. Only the clock and the ids are given.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator

from otel_episodes import Episode, UsageError, episode, semconv
from otel_episodes._for_store import (
    BatchRecording,
    add_tokens,
    attached,
    begin_past_step,
    leave_outcome_unknown,
    masked_attributes,
    read_span,
    recording_to,
    tell_source,
)
from otel_episodes_clickhouse.delivery.recording import new_provider
from otel_episodes_clickhouse.errors import StoreError
from otel_episodes_clickhouse.importers import run_rows
from otel_episodes_clickhouse.importers.builder import total
from otel_episodes_clickhouse.importers.run import RecordError
from otel_episodes_clickhouse.spool.decode import LineDecoder
from otel_episodes_clickhouse.spool.encode import new_encoder

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from otel_episodes_clickhouse.importers import run as runs
    from otel_episodes_clickhouse.spool.row import Row


class Recorder:
    """Turns runs into rows; the same source gives the same ids, so that importing it twice adds nothing."""

    def __init__(self) -> None:
        self._ids = _SeededIds()
        self._collected = _Rows()
        self._provider = new_provider(self._ids)
        self._provider.add_span_processor(self._collected)

    def rows(self, run: runs.Run, seed: bytes) -> list[Row]:
        """Return the rows of a run and its sub-agents, with ids drawn from the seed.

        Raises:
            RecordError: the run cannot be recorded; the message says why.
        """
        self._ids.reseed(seed)
        self._collected.take()
        with recording_to(self._provider):
            replay(run)
        return self._collected.take()


def replay(run: runs.Run, *, marker: bool = False) -> Episode:
    """Record a run at the times it happened, in the current episode's step if there is one; return its episode."""
    attributes = masked_attributes(run.attributes)
    if run.times_made_up:
        attributes[semconv.TIME_SYNTHETIC] = True
    try:
        made = episode(run.task, agent=run.agent, attributes=attributes, start_time=run.start_time, **run.options)
        made.start(marker=marker)
        if not made.recording:
            raise StoreError("nothing is recorded while OTEL_SDK_DISABLED is set: unset it and try again")
        _replay_inside(made, run)
    except UsageError as error:
        raise RecordError(str(error)) from error
    return made


def _replay_inside(made: Episode, run: runs.Run) -> None:
    with attached(made.context):
        for sub_agent in run.sub_agents:
            replay(sub_agent)
        for step in run.steps:
            _replay_step(made, step)
        outside = run.usage - total(step.usage for step in run.steps)
        if outside:
            add_tokens(made, outside.recorded())
        if run.reward is not None:
            made.reward(run.reward)
        _say_outcome(made, run)
        made.end(end_time=run_rows.end_of(run))


def _say_outcome(made: Episode, run: runs.Run) -> None:
    if run.outcome == "success":
        made.succeed(run.verdict, artifacts=run.artifacts)
    elif run.outcome == "partial":
        made.partial(run.done, run.not_done, run.verdict)
    elif run.outcome == "abstained":
        made.abstain(run.verdict)
    elif run.outcome == "failure":
        made.fail(run.verdict)
    else:
        leave_outcome_unknown(made)
        return
    if run.outcome_source:
        tell_source(made, run.outcome_source)


def _replay_step(made: Episode, step: runs.Step) -> None:
    recorded = begin_past_step(
        made,
        step.tool,
        start_time=step.start_time,
        kind=step.kind,
        action=step.arguments,
        batch=bool(step.batch),
        attributes=step.attributes,
    )
    try:
        if step.usage:
            recorded.tokens(step.usage.input, step.usage.output)
        if step.success is None:
            recorded.leave_unknown()
        elif not step.success:
            recorded.fail(step.error_type or semconv.TOOL_ERROR, step.observation or "")
        if isinstance(recorded, BatchRecording):
            for item in step.batch:
                latency_ns = round(item.latency_ms * 1_000_000)
                recorded.add(item.action, latency_ns, item.observation, success=item.success)
        for sub_agent in step.sub_agents:
            replay(sub_agent)
    finally:
        recorded.close(result=step.observation, end_time=step.start_time + step.duration)


class _SeededIds(IdGenerator):
    """Draws ids from a seed: always the same ones, in the same order."""

    def __init__(self) -> None:
        self.reseed(b"")

    def reseed(self, seed: bytes) -> None:
        self._random = random.Random(seed)  # noqa: S311  # ids that repeat are the point

    def generate_trace_id(self) -> int:
        return self._random.getrandbits(128) or 1

    def generate_span_id(self) -> int:
        return self._random.getrandbits(64) or 1


class _Rows(SpanProcessor):
    """Keeps the rows of the spans that have ended, made by the code that the spool and its drain use."""

    def __init__(self) -> None:
        self._encode = new_encoder()
        self._decode = LineDecoder()
        self._rows: list[Row] = []

    def on_end(self, span: ReadableSpan) -> None:
        for line in self._encode(read_span(span)).splitlines():
            row = self._decode(line)
            if row is not None:
                self._rows.append(row)

    def take(self) -> list[Row]:
        rows, self._rows = self._rows, []
        return rows
