"""A step, as a user has it: one thing an agent does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from otel_episodes import _state, semconv
from otel_episodes._block import Block
from otel_episodes._boundary import Boundary
from otel_episodes._checks import checked_expected, checked_kind, checked_name, tool_name
from otel_episodes._context import STEP_KEY, current_value, enter_frame, leave_frame
from otel_episodes._recording import ANY_TOOL, StepRecorder, StepRecording, StepSpec
from otel_episodes.exceptions import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import FrameType

    from opentelemetry.util.types import AttributeValue

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
    def fail(self, reason: str = "", *, error_type: str = semconv.TOOL_ERROR) -> None:
        """Record that the step failed, though it raised nothing; the reason becomes the error's message."""
        self._recording.fail(error_type, reason)

    @Boundary("setting an attribute of a step")
    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Set an attribute of your own on the step's span."""
        self._recording.set_attribute(key, value)

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

        if not callable(function) and not isinstance(function, (classmethod, staticmethod)):
            raise UsageError(f"a step decorates a callable, not {type(function).__name__}")
        spec, run, action = self._recording.template()
        if not spec.tool:
            spec = StepSpec(tool_name(function), spec.kind, spec.success, spec.attributes, spec.expected)
        return decorate(function, StepRecorder(spec, Arguments(function, action), run, action, decorate_again))


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
        expected: type[BaseException] | tuple[type[BaseException], ...] = ...,
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
        expected: type[BaseException] | tuple[type[BaseException], ...] = (),
        attributes: Mapping[str, AttributeValue] | None = None,
    ) -> Any:
        """Record a step: ``@step``, ``@step(tool="grep")``, ``with step("cargo") as s``, ``async with step(...)``.

        ``tool`` names the tool (for a decorator, the function's own name if not given); for the kinds
        ``decision_point`` and ``milestone`` it names the decision or milestone. ``action`` is what is done; for a
        decorator it is a format string over the arguments (``"search {pattern}"``), without it the arguments
        themselves are the action. ``success`` judges what a decorated function returns. The step fails by an escaping
        exception, by `Step.fail`, by ``success``, or by a result that has ``isError``. ``expected`` are exceptions that
        are not failures; those by which frameworks steer (an interrupt, a retry) are known.

        Raises:
            UsageError: an unknown kind, an empty or overlong name, or an action naming an argument that is not there.
        """
        if callable(first) or isinstance(first, (classmethod, staticmethod)):
            return Step(StepRecording(ANY_TOOL))(first)
        name = first or tool
        if not isinstance(name, str):
            raise UsageError(f"the tool's name is a string, not {type(name).__name__}")
        spec = StepSpec(checked_name(name), checked_kind(kind), success, attributes, checked_expected(expected))
        return Step(StepRecording(spec, action=action))

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
