"""A step: one thing an agent does, as one span."""

from __future__ import annotations

from time import time_ns
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, overload

from opentelemetry.trace import Link, SpanKind, Status, StatusCode, get_current_span

from otel_episodes import _rendering, _state, _usage, semconv
from otel_episodes._arguments import Arguments
from otel_episodes._block import Block
from otel_episodes._boundary import report
from otel_episodes._context import EPISODE_KEY, STEP_KEY, attach, derive, detach, get_current
from otel_episodes._decorate import decorate
from otel_episodes._settings import (
    ACTION_LIMIT,
    CONTENT_LIMIT,
    NAME_LIMIT,
    OBSERVATION_LIMIT,
    one_of,
)
from otel_episodes.exceptions import UsageError
from otel_episodes.semconv import GEN_AI_TOOL_CALL_ARGUMENTS, STEP_ACTION, STEP_INDEX, STEP_OBSERVATION, STEP_SUCCESS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

    from opentelemetry.context import Context
    from opentelemetry.trace import Span
    from opentelemetry.util.types import AttributeValue

    from otel_episodes._episode import Episode, LastFailure
    from otel_episodes._settings import Settings
    from otel_episodes._usage import Usage

F = TypeVar("F", bound="Callable[..., Any]")

_INTERNAL = SpanKind.INTERNAL
_NO_RESULT = object()
_MAX_BATCH_ITEMS = 64
_SPAN_NAMES = {
    "tool_use": "execute_tool",
    "decision_point": "decide",
    "error_handling": "recover",
    "milestone": "milestone",
}


class _Failure(NamedTuple):
    """Why a step failed."""

    error_type: str
    message: str


class StepSpec:
    """What all recordings of one step have in common, worked out once: for a decorator, when it decorates."""

    __slots__ = ("attributes", "kind", "name", "success", "tool")

    def __init__(
        self,
        tool: str,
        kind: str,
        success: Callable[[Any], bool] | None = None,
        attributes: Mapping[str, AttributeValue] | None = None,
    ) -> None:
        self.tool = tool
        self.kind = kind
        self.success = success
        self.name = f"{_SPAN_NAMES[kind]} {tool}".rstrip()
        self.attributes: dict[str, Any] = {semconv.SPAN: semconv.SPAN_STEP, semconv.STEP_KIND: kind}
        if success is None:
            # Until it fails: an attribute costs less at the start than set later. A predicate has yet to judge.
            self.attributes[STEP_SUCCESS] = True
        if kind == "tool_use":
            self.attributes[semconv.GEN_AI_OPERATION_NAME] = semconv.EXECUTE_TOOL
        if tool and kind in ("tool_use", "error_handling"):
            self.attributes[semconv.GEN_AI_TOOL_NAME] = tool
        if attributes:
            self.attributes.update(attributes)


class Step(Block):
    """One step of an agent: a context manager (``with`` and ``async with``) and a decorator.

    Made by `step`. As a context manager it is entered once; as a decorator it records every call.
    """

    # Slots are read and written faster than anything else, and this is the hot path.
    __slots__ = (
        "_action",
        "_context",
        "_failure",
        "_implicit",
        "_model_usage",
        "_observation",
        "_span",
        "_started",
        "_token",
        "_usage",
        "episode",
        "spec",
    )

    def __init__(self, spec: StepSpec, episode: Episode | None = None, action: str | None = None) -> None:
        self.spec = spec
        self.episode = episode
        self._action = action
        self._context: Any = None
        self._failure: _Failure | None = None
        self._implicit: Episode | None = None
        self._model_usage: Usage | None = None
        self._observation: str | None = None
        self._span: Span | None = None
        self._started = False
        self._token: object = None
        self._usage: Usage | None = None

    # --- in the body -----------------------------------------------------------------------------------------------

    def observe(self, observation: object) -> None:
        """Record what came of the step: a short text, at most 1,024 characters are kept.

        Anything but a string is recorded as JSON. The last call wins.
        """
        settings = _state.settings
        if self._span is not None and settings.capture != "none":
            self._observation = _rendering.text(observation, OBSERVATION_LIMIT, settings.redactor)

    def tokens(self, *, input: int = 0, output: int = 0) -> None:  # noqa: A002  # the attributes' own names
        """Record the tokens this step used; goes before what is found on results and model spans.

        Raises:
            UsageError: a count is negative or no integer.
        """
        self._usage = _usage.Usage(_count("input", input), _count("output", output))

    def fail(self, reason: str = "", *, error_type: str = semconv.TOOL_ERROR) -> None:
        """Record that the step failed, though it raised nothing; the reason becomes the error's message."""
        self._failure = _Failure(error_type, reason)

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Set an attribute of your own on the step's span."""
        if self._span is not None:
            self._span.set_attribute(key, value)

    @property
    def recording(self) -> bool:
        """Whether anything is recorded: false with no tracer provider, or in a trace that is not sampled."""
        return self._span is not None

    # --- as a context manager --------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        if self._started:
            raise UsageError("a step is entered once: call step(...) again for the next one")
        self._started = True
        if _state.enabled():
            self.begin()
        return self

    # --- as a decorator --------------------------------------------------------------------------------------------

    def __call__(self, function: F) -> F:
        """Record every call of the function, method, class or callable as a step."""
        if not callable(function) and not isinstance(function, (classmethod, staticmethod)):
            raise UsageError(f"a step decorates a callable, not {type(function).__name__}")
        spec = self.spec
        if not spec.tool:
            spec = StepSpec(tool_name(function), spec.kind, spec.success, spec.attributes)
        return decorate(function, _StepRecorder(spec, Arguments(function, self._action), self.episode))

    # --- the recording ---------------------------------------------------------------------------------------------

    def begin(self, arguments: str | None = None, *, start_time: int | None = None, literal: bool = True) -> bool:
        """Start the span and make it the current one; tell whether it records.

        This is the hot path: it is one function, and what it needs is worked out before.
        """
        try:
            if literal and self._action is not None:
                self._action = _literal(self._action)
            context = get_current()
            episode = self.episode
            if episode is None:
                episode = context.get(EPISODE_KEY)  # type: ignore[assignment]
                if episode is None:
                    return self._begin_outside(context, arguments, start_time)
                self.episode = episode
            elif context.get(EPISODE_KEY) is not episode:
                context = episode.context
            if not episode.recording:
                return False
            spec = self.spec
            attributes = {**spec.attributes, **episode.identity}
            with episode.lock:
                # Together, so that the order of indices is the order of starts.
                episode.steps = index = episode.steps + 1
                now = time_ns()
            if episode.counts_steps:
                attributes[STEP_INDEX] = index
            if self._action is not None:
                attributes[STEP_ACTION] = self._action
            if arguments is not None:
                attributes[GEN_AI_TOOL_CALL_ARGUMENTS] = arguments
            links = None if episode.last_failure is None else self._links(episode.last_failure)
            span = episode.tracer.start_span(spec.name, context, _INTERNAL, attributes, links, start_time or now)
            return span.is_recording() and self._adopt(span, context)
        except Exception as error:  # noqa: BLE001  # the boundary
            report(error, "starting a step")
            return False

    def _adopt(self, span: Span, context: Context) -> bool:
        self._span = span
        self._context = context = derive(context, span, STEP_KEY, self)
        self._token = attach(context)
        return True

    def _begin_outside(self, context: Context, arguments: str | None, start_time: int | None) -> bool:
        """Begin a step that no episode is around: as an episode of one step, or as a plain span.

        With a span of something else around it, it belongs to that trace and stays a plain span in it.
        """
        if _state.settings.orphans == "span" or get_current_span(context).get_span_context().is_valid:
            attributes = dict(self.spec.attributes)
            if self._action is not None:
                attributes[STEP_ACTION] = self._action
            if arguments is not None:
                attributes[GEN_AI_TOOL_CALL_ARGUMENTS] = arguments
            span = _state.tracer().start_span(self.spec.name, context, _INTERNAL, attributes, start_time=start_time)
            return span.is_recording() and self._adopt(span, context)
        from otel_episodes._episode import implicit_episode  # noqa: PLC0415  # episodes are made of steps

        self._implicit = implicit_episode(self._action or self.spec.tool, start_time)
        if self._implicit is None:
            return False
        self.episode = self._implicit
        return self.begin(arguments, start_time=start_time, literal=False)

    def _links(self, failure: LastFailure) -> list[Link] | None:
        """Link a step to the failure it answers: any, if it handles errors; the same call's, if it is made again."""
        kind = self.spec.kind
        if kind == "error_handling":
            return [Link(failure.span_context, {semconv.LINK_KIND: semconv.LINK_HANDLES})]
        if kind == "tool_use" and failure.tool == self.spec.tool and failure.action == self._action:
            return [Link(failure.span_context, {semconv.LINK_KIND: semconv.LINK_RETRIES})]
        return None

    def suspend(self) -> None:
        """Stop being the current span while somebody else runs."""
        if self._token is not None:
            detach(self._token)
            self._token = None

    def resume(self) -> None:
        """Be the current span again."""
        if self._span is not None:
            self._token = attach(self._context)

    def close(
        self,
        error: BaseException | None = None,
        result: object = _NO_RESULT,
        items: int | None = None,
        *,
        end_time: int | None = None,
    ) -> None:
        """End the span, once; later calls do nothing.

        ``error`` is what escaped, ``result`` what was returned, ``items`` how many were yielded.
        """
        span = self._span
        if span is None:
            return
        self._span = self._context = None
        try:
            settings = _state.settings
            if error is not None:
                self._failure = _failure_of(error)
            elif result is not _NO_RESULT:
                self._read_result(result, span, settings)
            elif items is not None and self._observation is None and settings.capture != "none":
                self._observation = f"{items} items"
            self._describe(span, settings)
        except Exception as problem:  # noqa: BLE001  # the boundary
            report(problem, "describing a step")
        finally:
            self._end(span, end_time)
            if self._token is not None:
                detach(self._token)

    def _describe(self, span: Span, settings: Settings) -> None:
        """Set what is known at the end only: one by one, since `set_attributes` costs more than three calls."""
        if self._failure is not None:
            self._describe_failure(span, self._failure, settings)
        elif self.spec.success is not None:
            span.set_attribute(STEP_SUCCESS, True)  # noqa: FBT003  # the attribute's value
        if self._observation is not None:
            span.set_attribute(STEP_OBSERVATION, self._observation)
        usage = self._usage or self._model_usage
        if usage is not None:
            span.set_attribute(semconv.STEP_TOKENS_INPUT, usage.input)
            span.set_attribute(semconv.STEP_TOKENS_OUTPUT, usage.output)

    def _end(self, span: Span, end_time: int | None) -> None:
        try:
            episode = self.episode
            if episode is not None:
                if self._failure is not None or episode.last_failure is not None:
                    episode.step_ended(self.spec, self._action, span, failed=self._failure is not None)
                if self._usage is not None and self._model_usage is None:
                    episode.add_usage(self._usage)  # model spans below were added when they ended
            span.end(end_time)
            if self._implicit is not None:
                if self._failure is not None:
                    self._implicit.fail(self._failure.message)
                self._implicit.end(end_time=end_time)
        except Exception as problem:  # noqa: BLE001  # the boundary
            report(problem, "ending a step")

    def _describe_failure(self, span: Span, failure: _Failure, settings: Settings) -> None:
        span.set_attribute(semconv.STEP_SUCCESS, False)  # noqa: FBT003
        span.set_attribute(semconv.ERROR_TYPE, failure.error_type)
        message = None
        if settings.capture != "none" and failure.message:
            message = _rendering.one_line(failure.message, ACTION_LIMIT, settings.redactor)
            if self._observation is None:
                self._observation = message
        span.set_status(Status(StatusCode.ERROR, message))

    def _read_result(self, result: Any, span: Span, settings: Settings) -> None:
        if type(result) not in _usage.PLAIN:
            if self._usage is None and self._model_usage is None:
                self._usage = _usage.usage_of(result)
            if self._failure is None and _usage.reports_error(result):
                self._failure = _Failure(semconv.TOOL_ERROR, "")
        if self._failure is None and self.spec.success is not None and not self.spec.success(result):
            self._failure = _Failure(semconv.TOOL_ERROR, "")
        if settings.capture == "none" or result is None:
            return
        if self._observation is None:
            self._observation = _rendering.text(result, OBSERVATION_LIMIT, settings.redactor)
        if settings.capture == "full":
            content = _rendering.text(result, CONTENT_LIMIT, settings.redactor)
            span.set_attribute(semconv.GEN_AI_TOOL_CALL_RESULT, content)

    def add_model_usage(self, usage: Usage) -> None:
        """Add the tokens of a model call below this step."""
        before = self._model_usage or _usage.Usage(0, 0)
        self._model_usage = _usage.Usage(before.input + usage.input, before.output + usage.output)


class Batch(Step):
    """A burst of small actions, recorded as one step. Made by `Episode.batch`."""

    __slots__ = ("_busy_ns", "_errors", "_first_error", "_latency_max_ns", "count")

    def __init__(self, spec: StepSpec, episode: Episode | None = None, action: str | None = None) -> None:
        super().__init__(spec, episode, action)
        self.count = 0
        self._errors = 0
        self._busy_ns = 0
        self._latency_max_ns = 0
        self._first_error = ""

    def add(self, action: str = "", *, latency_ms: float = 0.0, success: bool = True, observation: str = "") -> None:
        """Count one action of the burst; the first 64 are kept as events of the span.

        The batch has failed if one of them has, unless `fail` was called.

        Raises:
            UsageError: the latency is negative.
        """
        latency_ns = milliseconds("latency_ms", latency_ms)
        self.count += 1
        self._errors += not success
        self._busy_ns += latency_ns
        self._latency_max_ns = max(self._latency_max_ns, latency_ns)
        if not success and not self._first_error:
            self._first_error = observation or action
        if self._span is None or self.count > _MAX_BATCH_ITEMS:
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
        self._span.add_event(semconv.BATCH_ITEM, attributes)

    def _describe(self, span: Span, settings: Settings) -> None:
        if self._errors and self._failure is None:
            self._failure = _Failure(semconv.TOOL_ERROR, f"{self._errors} of {self.count} failed: {self._first_error}")
        elif self._observation is None and self._failure is None and settings.capture != "none":
            self._observation = f"{self.count} done"
        counts = {
            semconv.BATCH_COUNT: self.count,
            semconv.BATCH_ERRORS: self._errors,
            semconv.BATCH_BUSY_NS: self._busy_ns,
            semconv.BATCH_LATENCY_MAX_NS: self._latency_max_ns,
        }
        span.set_attributes(counts)
        super()._describe(span, settings)


class _StepRecorder:
    """Records the calls of one function."""

    __slots__ = ("_arguments", "_spec", "episode")

    def __init__(self, spec: StepSpec, arguments: Arguments, episode: Episode | None) -> None:
        self._spec = spec
        self._arguments = arguments
        self.episode = episode

    def prepare(
        self, instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[str | None, str | None] | None:
        """Render the action, and in full the arguments."""
        settings = _state.settings
        if settings.capture == "none":
            return None
        try:
            redactor = settings.redactor
            content = None
            if settings.capture == "full":
                content = _rendering.json(self._arguments.named(instance, args, kwargs), CONTENT_LIMIT, redactor)
            return self._arguments.action(instance, args, kwargs, redactor), content
        except Exception as error:  # noqa: BLE001  # the boundary
            report(error, "rendering the arguments of a step")
            return None

    def begin(self, prepared: tuple[str | None, str | None] | None) -> Step | None:
        """Begin the step as the current one."""
        if prepared is None:
            recording = Step(self._spec, self.episode)
            return recording if recording.begin() else None
        recording = Step(self._spec, self.episode, prepared[0])
        return recording if recording.begin(prepared[1], literal=False) else None


class StepFactory:
    """`step`, bare or with arguments."""

    @overload
    def __call__(self, function: F, /) -> F: ...

    @overload
    def __call__(
        self,
        name: str = ...,
        /,
        *,
        tool: str = ...,
        kind: str = ...,
        action: str | None = ...,
        success: Callable[[Any], bool] | None = ...,
        attributes: Mapping[str, AttributeValue] | None = ...,
    ) -> Step: ...

    def __call__(
        self,
        first: Any = "",
        /,
        *,
        tool: str = "",
        kind: str = "tool_use",
        action: str | None = None,
        success: Callable[[Any], bool] | None = None,
        attributes: Mapping[str, AttributeValue] | None = None,
    ) -> Any:
        """Record a step: ``@step``, ``@step(tool="grep")``, ``with step("cargo") as s``, ``async with step(...)``.

        ``tool`` names the tool (for a decorator, the function's own name if not given); for the kinds
        ``decision_point`` and ``milestone`` it names the decision or milestone. ``action`` says what is done; for a
        decorator it is a format string over the arguments (``"search {pattern}"``), without it the arguments
        themselves are the action. ``success`` judges what a decorated function returns. The step fails by an escaping
        exception, by `Step.fail`, by ``success``, or by a result that says ``isError``.

        Raises:
            UsageError: an unknown kind, an empty or overlong name, or an action naming an argument that is not there.
        """
        if callable(first) or isinstance(first, (classmethod, staticmethod)):
            return Step(_ANY_TOOL)(first)
        name = first or tool
        if not isinstance(name, str):
            raise UsageError(f"the tool's name is a string, not {type(name).__name__}")
        return Step(StepSpec(checked_name(name), checked_kind(kind), success, attributes), action=action)

    def __repr__(self) -> str:
        return "<otel_episodes.step>"


step = StepFactory()


def current_step() -> Step:
    """Return the step this code runs in; outside of any, a step that records nothing."""
    current = get_current().get(STEP_KEY)
    return current if isinstance(current, Step) else Step(_ANY_TOOL)


def tool_name(function: Any) -> str:
    """Return the name a callable is known by."""
    while hasattr(function, "func") and not hasattr(function, "__name__"):
        function = function.func  # functools.partial
    return str(getattr(function, "__name__", type(function).__name__))[:NAME_LIMIT]


def checked_name(name: str) -> str:
    """Return the name on one line, or raise `UsageError` if it is too long to be one."""
    if len(name) > NAME_LIMIT:
        raise UsageError(f"a name has at most {NAME_LIMIT} characters, this one has {len(name)}: put it in action=")
    return name


def checked_kind(kind: str) -> str:
    """Return the kind, or raise `UsageError`."""
    one_of("kind", kind, semconv.KINDS)
    return kind


def milliseconds(name: str, value: float) -> int:
    """Return milliseconds as nanoseconds.

    Raises:
        UsageError: the value is negative, no number, or not finite.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise UsageError(f"{name}={value!r} must be a number of milliseconds, 0 or more")
    return round(value * 1_000_000)


def _count(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise UsageError(f"tokens({name}={value!r}) must be a whole number, 0 or more")
    return value


def error_type_of(error: BaseException) -> str:
    """Return the fully qualified name of an exception's class, as ``error.type`` has it."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _failure_of(error: BaseException) -> _Failure | None:
    if isinstance(error, SystemExit) and not error.code:
        return None  # an orderly end
    message = _rendering.exception_message(error)
    return _Failure(error_type_of(error), f"{type(error).__name__}: {message}" if message else type(error).__name__)


def _literal(action: str) -> str | None:
    settings = _state.settings
    return None if settings.capture == "none" else _rendering.text(action, ACTION_LIMIT, settings.redactor)


_ANY_TOOL = StepSpec("", "tool_use")
