"""A batch: a burst of small actions, recorded as one step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_episodes import _rendering, _state, semconv
from otel_episodes._boundary import Boundary
from otel_episodes._checks import milliseconds
from otel_episodes._failures import Failure
from otel_episodes._recording import StepRecording
from otel_episodes._settings import ACTION_LIMIT
from otel_episodes._step import Step

if TYPE_CHECKING:
    from opentelemetry.trace import Span
    from opentelemetry.util.types import AttributeValue

    from otel_episodes._recording import StepSpec
    from otel_episodes._run import Run
    from otel_episodes._settings import Settings

_MAX_ITEMS = 64


class BatchRecording(StepRecording):
    """The recording of a burst: its counts, and its first items as events of the span."""

    __slots__ = ("_busy_ns", "_errors", "_first_error", "_latency_max_ns", "count")

    def __init__(self, spec: StepSpec, run: Run | None = None, action: str | None = None) -> None:
        super().__init__(spec, run, action)
        self.count = 0
        self._errors = 0
        self._busy_ns = 0
        self._latency_max_ns = 0
        self._first_error = ""

    def add(self, action: str, latency_ns: int, observation: str, *, success: bool) -> None:
        """Count one action of the burst."""
        self.count += 1
        self._errors += not success
        self._busy_ns += latency_ns
        self._latency_max_ns = max(self._latency_max_ns, latency_ns)
        if not success and not self._first_error:
            self._first_error = observation or action
        if self.count > _MAX_ITEMS or not self.recording:
            return
        attributes: dict[str, AttributeValue] = {
            semconv.STEP_SUCCESS: success,
            semconv.BATCH_ITEM_LATENCY_NS: latency_ns,
        }
        settings = _state.settings
        if settings.capture != "none":
            for key, text in ((semconv.STEP_ACTION, action), (semconv.STEP_OBSERVATION, observation)):
                if text:
                    attributes[key] = _rendering.text(text, ACTION_LIMIT, settings.redactor)
        self.add_event(semconv.BATCH_ITEM, attributes)

    def _describe(self, span: Span, settings: Settings) -> None:
        if self._errors and self._failure is None:
            self._failure = Failure(semconv.TOOL_ERROR, f"{self._errors} of {self.count} failed: {self._first_error}")
        elif self._observation is None and self._failure is None and settings.capture != "none":
            self._result = f"{self.count} done"
        counts = {
            semconv.BATCH_COUNT: self.count,
            semconv.BATCH_ERRORS: self._errors,
            semconv.BATCH_BUSY_NS: self._busy_ns,
            semconv.BATCH_LATENCY_MAX_NS: self._latency_max_ns,
        }
        span.set_attributes(counts)
        super()._describe(span, settings)


class Batch(Step):
    """A burst of small actions, recorded as one step. Made by `Episode.batch`."""

    __slots__ = ("_batch",)

    def __init__(self, recording: BatchRecording) -> None:
        super().__init__(recording)
        self._batch = recording

    @property
    def count(self) -> int:
        """How many actions were added."""
        return self._batch.count

    def add(self, action: str = "", *, latency_ms: float = 0.0, success: bool = True, observation: str = "") -> None:
        """Count one action of the burst; the first 64 are kept as events of the span.

        The batch has failed if one of them has, unless `fail` was called.

        Raises:
            UsageError: the latency is negative.
        """
        latency_ns = milliseconds("latency_ms", latency_ms)
        with Boundary("adding to a batch"):
            self._batch.add(action, latency_ns, observation, success=success)
