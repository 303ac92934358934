"""A call of a model: a span as the conventions have it, inside a step or an episode.

A user makes one with ``step.model(...)``; one that a returned response tells of is written when its step ends. An
instrumentation of the model's library that writes a span of its own inside the block tells of the same call, which is
counted once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.trace import SpanKind, Status, StatusCode

from otel_episodes import _rendering, _state, _usage, semconv
from otel_episodes._block import Block
from otel_episodes._boundary import Boundary
from otel_episodes._checks import count_of, error_type_named, text_of
from otel_episodes._context import RUN_KEY, STEP_KEY, context_by_frame, derive, enter_frame, leave_frame, restored
from otel_episodes._cutting import masked_name
from otel_episodes._failures import failure_of
from otel_episodes._run import BegunSpan
from otel_episodes._sdk import attach, get_current
from otel_episodes._settings import ACTION_LIMIT, NAME_LIMIT
from otel_episodes.exceptions import UsageError

if TYPE_CHECKING:
    from types import FrameType

    from opentelemetry.context import Context
    from opentelemetry.trace import Span

    from otel_episodes._run import Run
    from otel_episodes._usage import Found, Usage


class ModelCall(Block):
    """One call of a model: a context manager (``with`` and ``async with``), made by `Step.model` and its like."""

    __slots__ = (
        "_around",
        "_attributes",
        "_begun",
        "_context",
        "_failed",
        "_found",
        "_frame",
        "_run",
        "_span",
        "_usage",
    )

    def __init__(self, provider: str, model: str, run: Run | None = None) -> None:
        """Make a call of a model of a run, or of the current one."""
        said = {
            semconv.GEN_AI_OPERATION_NAME: semconv.CHAT,
            semconv.GEN_AI_PROVIDER_NAME: _masked(text_of("provider", provider, NAME_LIMIT)),
            semconv.GEN_AI_REQUEST_MODEL: _masked(text_of("model", model, NAME_LIMIT)),
        }
        self._attributes = {name: text for name, text in said.items() if text}
        self._run = run
        self._span: Span | None = None
        self._around: Context | None = None
        self._context: Context | None = None
        self._frame: FrameType | None = None
        self._begun: BegunSpan | None = None
        self._found: Found | None = None
        self._usage: Usage | None = None
        self._failed = False

    # --- in the body -----------------------------------------------------------------------------------------------

    @Boundary("reading a model's response")
    def respond(self, response: object) -> None:
        """Take from a response what it says of itself: the model, its id, the tokens and why it stopped."""
        self._found = _usage.found_on_item(response) or self._found

    def tokens(
        self,
        *,
        input: int = 0,  # noqa: A002  # the attributes' own names
        output: int = 0,
        cache_read: int = 0,
        cache_write: int = 0,
        reasoning: int = 0,
    ) -> None:
        """Record the tokens of this call; overrides what is found. The last three are parts of the first two.

        Raises:
            UsageError: a count is negative or not a whole number.
        """
        counts = {
            "input": input, "output": output, "cache_read": cache_read, "cache_write": cache_write,
            "reasoning": reasoning,
        }  # fmt: skip
        self._usage = _usage.Usage(*(count_of(name, count) for name, count in counts.items()))

    @Boundary("recording a failure")
    def fail(self, reason: str = "", *, error_type: str | type[BaseException] | BaseException = "_OTHER") -> None:
        """Record that the call failed, though it raised nothing."""
        if self._span is not None:
            self._failed = True
            self._describe_failure(self._span, error_type_named(error_type), reason)

    # --- as a context manager --------------------------------------------------------------------------------------

    def _open(self) -> None:
        if self._around is not None:
            raise UsageError("a call is entered once: call model(...) again for the next one")
        self._around = get_current()
        if _state.enabled():
            with Boundary("starting a call of a model"):
                self._begin(self._around)

    def _begin(self, context: Context) -> None:
        run: Any = self._run
        if run is None:
            context = context if RUN_KEY in context else context_by_frame() or context
            run = self._run = context.get(RUN_KEY)  # type: ignore[assignment]
        elif context.get(RUN_KEY) is not run:
            context = run.context
        if run is not None and not run.recording:
            return
        step: Any = context.get(STEP_KEY)
        span = _start(run, context, self._attributes, None)
        if not span.is_recording():
            return
        self._span = span
        self._context = derive(context, span, STEP_KEY, step)
        if run is not None:
            # As a span of another library: what one of those tells inside of it is this call.
            self._begun = run.foreign_spans[span.get_span_context().span_id] = BegunSpan(step, 0)
        attach(self._context)
        self._frame = enter_frame(self._context)

    def _close(self, error: BaseException | None) -> None:
        span = self._span
        if span is None:
            return
        try:
            with Boundary("ending a call of a model"):
                self._finish(span, error)
        finally:
            self._span = None
            span.end()
            if self._frame is not None and self._context is not None:
                leave_frame(self._frame, self._context)
            if self._around is not None:
                attach(restored(get_current(), self._around))

    def _finish(self, span: Span, error: BaseException | None) -> None:
        usage = self._usage or (None if self._found is None else self._found.usage)
        if self._found is not None:
            span.set_attributes(_told(self._found))
        if usage is not None:
            span.set_attributes(_usage.attributes_of(usage, _usage.OF_CALL))
        if error is not None and not self._failed:
            failure = failure_of(error, _state.settings)
            self._describe_failure(span, failure.error_type, failure.message)
        run, begun = self._run, self._begun
        if run is None or begun is None:
            return
        run.foreign_spans.pop(span.get_span_context().span_id, None)
        if usage is not None and not begun.counted and self._is_new(run):
            run.add_usage(usage)
            if begun.step is not None:
                begun.step.add_model_usage(usage)

    def _is_new(self, run: Run) -> bool:
        return self._found is None or run.is_new(self._found.response_id, self._found.response)

    @staticmethod
    def _describe_failure(span: Span, error_type: str, message: str) -> None:
        settings = _state.settings
        said = None
        if message and settings.capture != "none":
            said = _rendering.one_line(message, ACTION_LIMIT, settings.redactor)
        span.set_attribute(semconv.ERROR_TYPE, error_type)
        span.set_status(Status(StatusCode.ERROR, said))


def write(run: Run | None, context: Context, found: Found, start_time: int | None) -> None:
    """Write the call that a response tells of, inside the step that got it."""
    attributes = {
        semconv.GEN_AI_OPERATION_NAME: semconv.CHAT,
        **_told(found),
        **_usage.attributes_of(found.usage, _usage.OF_CALL),
    }
    _start(run, context, attributes, start_time).end()


def _masked(name: str) -> str:
    return masked_name(name, _state.settings.redactor)


def _told(found: Found) -> dict[str, Any]:
    said = {
        semconv.GEN_AI_RESPONSE_MODEL: _masked(found.model[:NAME_LIMIT]),
        semconv.GEN_AI_RESPONSE_ID: found.response_id[:NAME_LIMIT],
        semconv.GEN_AI_RESPONSE_FINISH_REASONS: (found.finish,) if found.finish else (),
    }
    return {name: value for name, value in said.items() if value}


def _start(run: Run | None, context: Context, attributes: dict[str, Any], start_time: int | None) -> Span:
    told = attributes if run is None else {**attributes, **run.identity}
    model = told.get(semconv.GEN_AI_REQUEST_MODEL) or told.get(semconv.GEN_AI_RESPONSE_MODEL, "")
    tracer = _state.tracer() if run is None else run.tracer
    return tracer.start_span(f"{semconv.CHAT} {model}".rstrip(), context, SpanKind.CLIENT, told, start_time=start_time)
