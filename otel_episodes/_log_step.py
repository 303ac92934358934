"""A step that has already happened."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypedDict

from otel_episodes import _state, semconv
from otel_episodes._boundary import Boundary
from otel_episodes._checks import checked_kind, checked_name, error_type_named, milliseconds
from otel_episodes._recording import StepRecording, StepSpec
from otel_episodes.exceptions import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.util.types import AttributeValue
    from typing_extensions import Unpack

    from otel_episodes._run import Run


class LoggedStep(TypedDict, total=False):
    """What `log_step` takes; nothing is required."""

    tool: str
    action: str | Mapping[str, object]
    latency_ms: float
    success: bool
    observation: object
    kind: str
    input_tokens: int
    output_tokens: int
    error_type: str
    end_time: int
    attributes: Mapping[str, AttributeValue]


def log_step(**step: Unpack[LoggedStep]) -> None:
    """Record a step that has already happened, in the current episode.

    ``tool`` and ``action`` say what was done, in a text or by the names of the tool's arguments (an object, or one as
    JSON), by which `Advisor` tells calls apart; it ended at ``end_time`` (nanoseconds since 1970; now by default) and
    took ``latency_ms`` (0). ``success`` is true unless said otherwise; of a failed step the ``observation`` is the
    error's message, and ``error_type`` its type. ``kind`` is tool_use unless said otherwise.

    Raises:
        UsageError: an unknown kind, a negative latency or token count, an overlong name.
    """
    record_logged(None, step)


def record_logged(run: Run | None, step: LoggedStep) -> None:
    """Record a step in this run, or in the current one."""
    unknown = step.keys() - LoggedStep.__annotations__
    if unknown:
        raise UsageError(f"log_step has no {', '.join(sorted(unknown))}: use {', '.join(LoggedStep.__annotations__)}")
    duration = milliseconds("latency_ms", step.get("latency_ms", 0.0))
    end = step.get("end_time") or time.time_ns()
    name, kind = checked_name(step.get("tool", "")), checked_kind(step.get("kind", "tool_use"))
    recording = StepRecording(StepSpec(name, kind, attributes=step.get("attributes")), run, step.get("action"))
    if "input_tokens" in step or "output_tokens" in step:
        recording.tokens(step.get("input_tokens", 0), step.get("output_tokens", 0))
    # As short as can be where nobody said: see the start marker.
    if not _state.enabled() or not recording.begin_at(end - (duration or 1)):
        return
    try:
        with Boundary("recording a logged step"):
            _describe(recording, step)
    finally:
        recording.close(end_time=end)


def _describe(recording: StepRecording, step: LoggedStep) -> None:
    observation = step.get("observation", "")
    if not step.get("success", True):
        reason = observation if isinstance(observation, str) else ""
        recording.fail(error_type_named(step.get("error_type", semconv.TOOL_ERROR)), reason)
    if not (isinstance(observation, str) and not observation):
        recording.observe(observation)
