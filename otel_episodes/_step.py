"""A step, as a user has it: one thing an agent does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, get_args, overload

from otel_episodes import _state, semconv
from otel_episodes._block import Block
from otel_episodes._boundary import Boundary
from otel_episodes._checks import (
    checked_expected,
    checked_function,
    checked_kind,
    checked_name,
    error_type_named,
    text_of,
    tool_name,
)
from otel_episodes._context import STEP_KEY, current_value, enter_frame, leave_frame
from otel_episodes._model_call import ModelCall
from otel_episodes._recording import ANY_TOOL, StepRecorder, StepRecording, StepSpec
from otel_episodes._settings import Capture, one_of
from otel_episodes._targets import records_inside, refuse_misplaced
from otel_episodes.exceptions import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from types import FrameType

    from opentelemetry.util.types import AttributeValue
    from typing_extensions import Unpack

    from otel_episodes._run import Run

F = TypeVar("F", bound="Callable[..., Any]")


class Step(Block):
    """One step of an agent: a context manager (``with`` and ``async with``) and a decorator.

    Made by `step`. As a context manager it is entered once; as a decorator it records every call.
    """

    __slots__ = ("_entered", "_frame", "_recording")

    def __init__(self, recording: StepRecording) -> None:
        self._recording = recording
        self._entered = False
        self._frame: FrameType | None = None
        recording.step = self

    # --- in the body -----------------------------------------------------------------------------------------------

    @Boundary("recording an observation")
    def observe(self, observation: object) -> None:
        """Record what came of the step: a short text, at most 1,024 characters are kept.

        Anything but a string is recorded as JSON. The last call wins.
        """
        self._recording.observe(observation)

    def tokens(self, *, input: int = 0, output: int = 0) -> None:  # noqa: A002  # the attributes' own names
        """Record the tokens this step used; overrides what is found on results and model spans.

        Raises:
            UsageError: a count is negative or not a whole number.
        """
        self._recording.tokens(input, output)

    @Boundary("recording a failure")
    def fail(
        self, reason: object = "", *, error_type: str | type[BaseException] | BaseException = semconv.TOOL_ERROR
    ) -> None:
        """Record that the step failed, though it raised nothing; the reason becomes the error's message.

        An exception as the reason gives its type, too.
        """
        self._recording.fail(error_type_named(error_type), reason)

    @Boundary("renaming a step")
    def rename(self, name: str) -> None:
        """Give the step another name than it began with, once it is known."""
        self._recording.rename(checked_name(name))

    @Boundary("recording an action")
    def set_action(self, action: object) -> None:
        """Record what is done, where it was not known when the step began, or changed; the last call wins."""
        self._recording.act(action)

    @Boundary("setting an attribute of a step")
    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Set an attribute of your own on the step's span."""
        self._recording.set_attribute(key, value)

    def model(self, *, provider: str = "", model: str = "") -> ModelCall:
        """Make a call of a model in this step: ``with s.model(provider="openai", model="gpt-4o") as call:``.

        It is recorded where it is entered, as a span of its own; tell it the answer with `ModelCall.respond`.
        """
        return ModelCall(provider, model)

    @property
    def recording(self) -> bool:
        """Whether anything is recorded: false with no tracer provider, or in a trace that is not sampled."""
        return self._recording.recording

    # --- as a context manager --------------------------------------------------------------------------------------

    def _open(self) -> None:
        if self._entered:
            raise UsageError("a step is entered once: call step(...) again for the next one")
        self._entered = True
        if _state.enabled() and self._recording.begin_literal():
            context = self._recording.context
            self._frame = None if context is None else enter_frame(context)

    def _close(self, error: BaseException | None) -> None:
        if self._frame is not None and self._recording.context is not None:
            leave_frame(self._frame, self._recording.context)
            self._frame = None
        self._recording.close(error)

    # --- as a decorator --------------------------------------------------------------------------------------------

    def __call__(self, function: F) -> F:
        """Record every call of the function, method, class or callable as a step."""
        from otel_episodes._arguments import Arguments  # noqa: PLC0415  # with `_decorate`, half of the import's cost
        from otel_episodes._decorate import decorate  # noqa: PLC0415

        if records_inside(function, self):
            return function
        refuse_misplaced(function, "step")
        spec, run, action = self._recording.template()
        if not spec.tool:
            spec = spec.renamed(tool_name(function))
        arguments = Arguments(function, action, include=spec.include, exclude=spec.exclude)
        return decorate(function, StepRecorder(spec, arguments, run, action, decorate_again))


class StepOptions(TypedDict, total=False):
    """What `step` takes by keyword; nothing is required."""

    name: str
    tool: str
    kind: str
    action: str | None
    success: Callable[[Any], bool] | None
    expected: type[BaseException] | tuple[type[BaseException], ...]
    result: Callable[[Any], Any] | None
    reduce: Callable[[list[Any]], Any] | None
    capture: Capture | None
    include: Collection[str] | None
    exclude: Collection[str]
    attributes: Mapping[str, AttributeValue] | None


def new_step(first: object, options: StepOptions, run: Run | None = None) -> Step:
    """Make a step of a run, or of the current one.

    Raises:
        UsageError: an option that is not known, or not right.
    """
    unknown = options.keys() - StepOptions.__annotations__
    if unknown:
        raise UsageError(f"step has no {', '.join(sorted(unknown))}: use {', '.join(StepOptions.__annotations__)}")
    capture = options.get("capture")
    if capture is not None:
        one_of("capture", capture, get_args(Capture))
    spec = StepSpec(
        checked_name(first or options.get("name") or options.get("tool") or ""),  # type: ignore[arg-type]  # checked
        checked_kind(options.get("kind", "tool_use")),
        checked_function("success", options.get("success")),
        options.get("attributes"),
        checked_expected(options.get("expected", ())),
        capture=capture,
        result=checked_function("result", options.get("result")),
        reduce=checked_function("reduce", options.get("reduce")),
        include=options.get("include"),
        exclude=options.get("exclude", ()),
    )
    action = options.get("action")
    return Step(StepRecording(spec, run, None if action is None else text_of("action", action)))


class StepFactory:
    """`step`, bare or with arguments."""

    @overload
    def __call__(self, function: F, /) -> F: ...

    @overload
    def __call__(self, name: str = ..., /, **options: Unpack[StepOptions]) -> Step: ...

    def __call__(
        self,
        first: Any = "",
        /,
        *,
        name: str = "",
        tool: str = "",
        kind: str = "tool_use",
        action: str | None = None,
        success: Callable[[Any], bool] | None = None,
        expected: type[BaseException] | tuple[type[BaseException], ...] = (),
        result: Callable[[Any], Any] | None = None,
        reduce: Callable[[list[Any]], Any] | None = None,
        capture: Capture | None = None,
        include: Collection[str] | None = None,
        exclude: Collection[str] = (),
        attributes: Mapping[str, AttributeValue] | None = None,
    ) -> Any:
        """Record a step: ``@step``, ``@step(tool="grep")``, ``with step("cargo") as s``, ``async with step(...)``.

        ``name``, or ``tool``, names the tool (for a decorator, the function's own name if not given); for the kinds
        ``decision_point`` and ``milestone`` it names the decision or milestone. ``action`` is what is done; for a
        decorator it is a format string over the arguments (``"search {pattern}"``), without it the arguments
        themselves are the action. ``success`` judges what a decorated function returns. The step fails by an escaping
        exception, by `Step.fail`, by ``success``, or by a result that has ``isError``. ``expected`` are exceptions that
        are not failures; those by which frameworks steer (an interrupt, a retry) are known.

        ``capture`` overrides the setting of that name for this step. ``include`` or ``exclude`` name arguments that
        alone are kept, or are not; ``result`` gives what is kept of the result. Of a generator the number of items is
        told; ``reduce`` makes one result of the list of them (``"".join``), judged and kept as a returned one.

        Raises:
            UsageError: an unknown kind, an overlong name, an action naming an argument that is not there, a function
                that is not one, or a place above another decorator where nothing would be recorded.
        """
        options: StepOptions = {
            "kind": kind, "action": action, "success": success, "expected": expected, "result": result,
            "reduce": reduce, "capture": capture, "include": include, "exclude": exclude, "attributes": attributes,
        }  # fmt: skip
        if issubclass(type(first), str):
            return new_step(first or name or tool, options)
        return new_step(name or tool, options)(first)

    def model(self, *, provider: str = "", model: str = "") -> ModelCall:
        """Make a call of a model in the current step or episode, ``with step.model(...) as call:``."""
        return ModelCall(provider, model)

    def __repr__(self) -> str:
        return "<otel_episodes.step>"


step = StepFactory()


def decorate_again(function: F, spec: StepSpec, action: str | None) -> F:
    """Decorate a function that came from another process, where it was decorated like this."""
    return Step(StepRecording(spec, action=action))(function)


def current_step() -> Step:
    """Return the step this code runs in; outside of any, a step that records nothing."""
    recording = current_value(STEP_KEY)
    if not isinstance(recording, StepRecording):
        return Step(StepRecording(ANY_TOOL))
    return recording.step if isinstance(recording.step, Step) else Step(recording)
