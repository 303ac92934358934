"""Recording a run that has already happened, through the API that records live ones.

What an import writes is therefore what a live agent would have written: the same spans, the same redaction, the same
cuts. Only the clock and the ids are given.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator

from otel_episodes import Episode, UsageError, _rendering, _state, episode
from otel_episodes._context import attach, detach
from otel_episodes._settings import ACTION_LIMIT, CONTENT_LIMIT, OBSERVATION_LIMIT
from otel_episodes._step import Batch, Step
from otel_episodes._usage import Usage
from otel_episodes_clickhouse.delivery.recording import new_provider, recording_to
from otel_episodes_clickhouse.errors import StoreError
from otel_episodes_clickhouse.importers.trajectory import RecordError
from otel_episodes_clickhouse.spool.decode import LineDecoder
from otel_episodes_clickhouse.spool.encode import new_encoder, read_span

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    attributes = _attributes(trajectory.attributes)
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
    token = attach(run.context)
    try:
        for sub_agent in trajectory.sub_agents:
            replay(sub_agent)
        for step in trajectory.steps:
            _replay_step(run, step)
        if any(trajectory.other_tokens):
            run.add_usage(Usage(*trajectory.other_tokens))
        if trajectory.reward is not None:
            run.reward(trajectory.reward)
        _say_outcome(run, trajectory)
        run.end(end_time=_end_time(trajectory))
    finally:
        detach(token)


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
    settings = _state.settings
    recorded = _step_of(run, step)
    arguments = None
    if settings.capture == "full" and isinstance(step.action, dict):
        arguments = _rendering.json(step.action, CONTENT_LIMIT, settings.redactor)
    # A block would take its times from the clock; these are its two halves.
    recorded.begin(arguments, start_time=step.start_time)
    try:
        if step.input_tokens or step.output_tokens:
            recorded.tokens(input=step.input_tokens, output=step.output_tokens)
        if not step.success:
            recorded.fail(step.observation or "", **({"error_type": step.error_type} if step.error_type else {}))
        if isinstance(recorded, Batch):
            for item in step.batch:
                recorded.add(
                    item.action, latency_ms=item.latency_ms, success=item.success, observation=item.observation
                )
        for sub_agent in step.sub_agents:
            replay(sub_agent)
    finally:
        recorded.close(result=step.observation, end_time=step.start_time + step.duration)


def _step_of(run: Episode, step: TrajectoryStep) -> Step:
    # Arguments as they are, so that what stands under a secret's name is masked; `step` takes text.
    action = _rendering.text(step.action, ACTION_LIMIT, _state.settings.redactor) if step.action else None
    if step.batch:
        return run.batch(step.tool, action=action, kind=step.kind)
    return run.step(step.tool, kind=step.kind, action=action, attributes=_attributes(step.attributes))


def _attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes from a foreign source with secrets masked and long texts cut."""
    redactor = _state.settings.redactor
    cleaned: dict[str, Any] = {}
    for key, value in attributes.items():
        if redactor is not None and redactor.secret_name(key):
            cleaned[key] = redactor.masked(value)
        elif isinstance(value, str):
            cleaned[key] = _rendering.text(value, OBSERVATION_LIMIT, redactor)
        else:
            cleaned[key] = value
    return cleaned


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
