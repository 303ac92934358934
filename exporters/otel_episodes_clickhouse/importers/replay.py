"""Recording a run that has already happened, through the API that records live ones.

What an import writes is therefore what a live agent would have written: the same spans, the same redaction, the same
cuts. Only the clock and the ids are given.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator

from otel_episodes import Episode, UsageError, episode, semconv
from otel_episodes._for_store import (
    BatchRecording,
    Usage,
    add_tokens,
    attached,
    begin_past_step,
    masked_attributes,
    recording_to,
)
from otel_episodes_clickhouse.delivery.recording import new_provider
from otel_episodes_clickhouse.errors import StoreError
from otel_episodes_clickhouse.importers.trajectory import RecordError
from otel_episodes_clickhouse.spool.decode import LineDecoder
from otel_episodes_clickhouse.spool.encode import new_encoder, read_span

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from otel_episodes_clickhouse.importers.trajectory import Trajectory, TrajectoryStep
    from otel_episodes_clickhouse.spool.row import Row


class Recorder:
    """Turns runs into rows; the same source gives the same ids, so that importing it twice adds nothing."""

    def __init__(self) -> None:
        self._ids = _SeededIds()
        self._collected = _Rows()
        self._provider = new_provider(self._ids)
        self._provider.add_span_processor(self._collected)

    def rows(self, trajectory: Trajectory, seed: bytes) -> list[Row]:
        """Return the rows of a run and its sub-agents, with ids drawn from the seed.

        Raises:
            RecordError: the run cannot be recorded; the message says why.
        """
        self._ids.reseed(seed)
        self._collected.take()
        with recording_to(self._provider):
            replay(trajectory)
        return self._collected.take()


def replay(trajectory: Trajectory, *, marker: bool = False) -> Episode:
    """Record a run at the times it happened, in the current episode's step if there is one; return its episode."""
    options = dict(trajectory.options)
    attributes = masked_attributes(trajectory.attributes)
    if trajectory.times_made_up:
        attributes["episode.time.synthetic"] = True
    try:
        run = episode(
            trajectory.task, agent=trajectory.agent, attributes=attributes, start_time=trajectory.start_time, **options
        )
        run.start(marker=marker)
        if not run.recording:
            raise StoreError("nothing is recorded while OTEL_SDK_DISABLED is set: unset it and try again")
        _replay_inside(run, trajectory)
    except UsageError as error:
        raise RecordError(str(error)) from error
    return run


def _replay_inside(run: Episode, trajectory: Trajectory) -> None:
    with attached(run.context):
        for sub_agent in trajectory.sub_agents:
            replay(sub_agent)
        for step in trajectory.steps:
            _replay_step(run, step)
        if any(trajectory.other_tokens):
            add_tokens(run, Usage(*trajectory.other_tokens))
        if trajectory.reward is not None:
            run.reward(trajectory.reward)
        _say_outcome(run, trajectory)
        run.end(end_time=_end_time(trajectory))


def _end_time(trajectory: Trajectory) -> int:
    ends = [step.start_time + step.duration for step in trajectory.steps]
    return max(trajectory.start_time, trajectory.end_time, *ends, 0)


def _say_outcome(run: Episode, trajectory: Trajectory) -> None:
    verdict = trajectory.verdict
    if trajectory.outcome == "success":
        run.succeed(verdict, artifacts=trajectory.artifacts)
    elif trajectory.outcome == "partial":
        run.partial(trajectory.done, trajectory.not_done, verdict)
    elif trajectory.outcome == "abstained":
        run.abstain(verdict)
    else:
        run.fail(verdict)


def _replay_step(run: Episode, step: TrajectoryStep) -> None:
    recorded = begin_past_step(
        run,
        step.tool,
        start_time=step.start_time,
        kind=step.kind,
        action=step.action,
        batch=bool(step.batch),
        attributes=step.attributes,
    )
    try:
        if step.input_tokens or step.output_tokens:
            recorded.tokens(step.input_tokens, step.output_tokens)
        if not step.success:
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
