"""An episode, as a user has it: what is said of one run of an agent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

from otel_episodes import _rendering, _state, semconv
from otel_episodes._batch import Batch, BatchRecording
from otel_episodes._block import Block
from otel_episodes._boundary import Boundary
from otel_episodes._checks import (
    checked_kind,
    checked_name,
    cleaned_attribute,
    cleaned_attributes,
    finite_score,
    parts,
    probability,
    text_of,
    texts,
    tool_name,
    whole,
)
from otel_episodes._context import RUN_KEY, current_value, enter_frame, leave_frame, restored
from otel_episodes._cutting import masked_id
from otel_episodes._handle import Handle
from otel_episodes._log_step import record_logged
from otel_episodes._model_call import ModelCall
from otel_episodes._recording import StepRecording, StepSpec, end_steps_of
from otel_episodes._run import Outcome, Run
from otel_episodes._sdk import attach, get_current
from otel_episodes._settings import NAME_LIMIT, OBSERVATION_LIMIT, one_of
from otel_episodes._step import Step, new_step
from otel_episodes._targets import records_inside, refuse_misplaced
from otel_episodes.exceptions import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import FrameType

    from opentelemetry.context import Context
    from opentelemetry.util.types import AttributeValue
    from typing_extensions import Unpack

    from otel_episodes._arguments import Arguments
    from otel_episodes._log_step import LoggedStep
    from otel_episodes._step import StepOptions


class AdviceGiven(Protocol):
    """An advice, as far as feedback needs to know it."""

    @property
    def id(self) -> str:
        """Its id."""
        ...


F = TypeVar("F", bound="Callable[..., Any]")

# What can be known about a task, in the order in which `episode` is told.
_TASK_ATTRIBUTES = {
    "task_type": semconv.TASK_TYPE, "domain": semconv.DOMAIN, "language": semconv.LANGUAGE,
    "framework": semconv.FRAMEWORK,
}  # fmt: skip


def _task_attributes(*, complexity: str, tags: Sequence[str], **named: str) -> dict[str, Any]:
    """Return what is known about a task as attributes; those that nobody gave are left out."""
    if complexity:
        one_of("complexity", complexity, semconv.COMPLEXITIES)
    known: dict[str, Any] = {_TASK_ATTRIBUTES[name]: text_of(name, value, NAME_LIMIT) for name, value in named.items()}
    known |= {semconv.COMPLEXITY: complexity, semconv.TAGS: texts("tags", tags)}
    return {key: value for key, value in known.items() if value}


class Episode(Block):
    """One run of an agent: a context manager (``with`` and ``async with``) and a decorator.

    Made by `episode`. Entered once; as a decorator, every call is an episode of its own.
    """

    __slots__ = ("_around", "_frame", "_run")

    def __init__(self, run: Run) -> None:
        self._run = run
        self._frame: FrameType | None = None
        self._around: Context | None = None
        run.episode = self

    # --- who it is -------------------------------------------------------------------------------------------------

    @property
    def task(self) -> str:
        """What is to be done; it may be set until the episode starts."""
        return self._run.task

    @task.setter
    def task(self, task: str) -> None:
        self._run.task = task

    @property
    def agent(self) -> str:
        """The name of the agent."""
        return self._run.agent

    @property
    def id(self) -> str:
        """The id of this episode: the trace's, unless you gave one; empty before it starts."""
        return self._run.id

    @property
    def trace_id(self) -> str:
        """The trace of this episode, 32 hex digits; empty where nothing is recorded."""
        return "" if self._run.handle is None else f"{self._run.handle.trace_id:032x}"

    @property
    def handle(self) -> str:
        """A short string that `episode.resume` and the command line take; empty where nothing is recorded."""
        return "" if self._run.handle is None else str(self._run.handle)

    @property
    def context(self) -> Context:
        """OpenTelemetry's context in which this is the current episode, to be attached where none is carried over."""
        return self._run.context

    @property
    def recording(self) -> bool:
        """Whether anything is recorded: false with no tracer provider, or in a trace that is not sampled."""
        return self._run.recording

    # --- outcome ---------------------------------------------------------------------------------------------------

    def succeed(self, verdict: str = "", *, artifacts: Sequence[str] = ()) -> None:
        """Say that the task was done; ``artifacts`` are the names of what it made."""
        self._tell("success", verdict, {semconv.ARTIFACTS: texts("artifacts", artifacts)})

    def fail(self, reason: str = "") -> None:
        """Say that the task was not done."""
        self._tell("failure", reason, {})

    def partial(self, done: Sequence[str] | int, failed: Sequence[str] | int, verdict: str = "") -> None:
        """Say that part of the task was done: the names of the parts, or how many."""
        told = {semconv.COMPLETED: parts("done", done), semconv.FAILED: parts("failed", failed)}
        self._tell("partial", verdict, told)

    def abstain(self, reason: str = "", signals: Sequence[str] = (), *, at_step: int | None = None) -> None:
        """Say that the agent stopped on purpose; ``signals`` are what made it stop, ``at_step`` is now by default."""
        attributes: dict[str, Any] = {semconv.SIGNALS: texts("signals", signals)}
        if at_step is not None:
            attributes[semconv.STOPPED_AT_STEP] = whole("at_step", at_step)
        elif self._run.counts_steps:
            # By handle, what other processes added is not known here: left for the reader to count.
            attributes[semconv.STOPPED_AT_STEP] = self._run.steps
        self._tell("abstained", reason, attributes)

    def reward(self, score: float) -> None:
        """Record a score from outside: a benchmark's, a judge's, a user's.

        Raises:
            UsageError: the score is not a finite number.
        """
        self._run.attributes[semconv.REWARD] = finite_score(score)

    def feedback(self, advice: str | AdviceGiven, verdict: str, *, item: str = "", note: str = "") -> None:
        """Say what came of an advice (as it was returned, or its id): helped, no_effect or harmed.

        ``item`` is the id of the one thing in it that is meant. What an agent says of its own advice only puts an item
        last; `otel-episodes feedback` is for people.

        Raises:
            UsageError: an unknown verdict, or something that is not an advice.
        """
        one_of("verdict", verdict, semconv.VERDICTS)
        identifier = text_of("advice", getattr(advice, "id", advice))
        if not identifier:
            raise UsageError("feedback is about an advice: give what advise() returned, or its id")
        said = {
            semconv.SPAN: semconv.SPAN_FEEDBACK,
            semconv.ADVICE_ID: identifier,
            semconv.FEEDBACK_VERDICT: verdict,
            semconv.FEEDBACK_BY: self._run.agent or "agent",
            semconv.FEEDBACK_ITEM: text_of("item", item),
        }
        with Boundary("recording feedback"):
            said[semconv.FEEDBACK_NOTE] = _rendering.text(note, OBSERVATION_LIMIT, _state.settings.redactor)
            self._run.note("feedback", {key: value for key, value in said.items() if value != ""})

    @Boundary("setting an attribute of an episode")
    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Set an attribute of your own on the episode's span; it is written at the end."""
        self._run.attributes[str(key)] = cleaned_attribute(key, value)

    @Boundary("recording an outcome")
    def _tell(self, outcome: str, verdict: str, attributes: dict[str, Any]) -> None:
        told = {key: value for key, value in attributes.items() if value not in ("", [])}
        # First without the verdict: what cannot be rendered must not cost the outcome.
        self._run.outcome = Outcome(outcome, semconv.TOLD, told)
        if not (isinstance(verdict, str) and not verdict):
            told[semconv.VERDICT] = _rendering.text(verdict, OBSERVATION_LIMIT, _state.settings.redactor)

    # --- steps -----------------------------------------------------------------------------------------------------

    def step(
        self,
        first: str = "",
        /,
        **options: Unpack[StepOptions],
    ) -> Step:
        """Make a step of this episode, wherever it is entered: in a thread without context, too.

        The options are those of `step`.
        """
        return new_step(first, options, self._run)

    def model(self, *, provider: str = "", model: str = "") -> ModelCall:
        """Make a call of a model in this episode, wherever it is entered; see `Step.model`."""
        return ModelCall(provider, model, self._run)

    def batch(self, tool: str, *, action: str | None = None, kind: str = "tool_use") -> Batch:
        """Record a burst of small actions as one step: ``with ep.batch("cargo") as b: b.add(...)``."""
        return Batch(BatchRecording(StepSpec(checked_name(tool), checked_kind(kind)), self._run, action))

    def decide(
        self,
        question: str,
        *,
        options: Sequence[str] = (),
        choice: str = "",
        confidence: float | None = None,
        reason: str = "",
    ) -> None:
        """Record a decision point; ``confidence`` is a probability.

        Raises:
            UsageError: the confidence is not between 0 and 1.
        """
        attributes: dict[str, Any] = {semconv.DECISION_OPTIONS: texts("options", options)}
        if choice:
            attributes[semconv.DECISION_CHOICE] = texts("choice", [choice])[0]
        if confidence is not None:
            attributes[semconv.DECISION_CONFIDENCE] = probability("confidence", confidence)
        observation = f"{choice}: {reason}" if choice and reason else choice or reason
        self._moment(question, "decision_point", attributes, observation)

    def milestone(self, name: str, observation: str = "") -> None:
        """Record that something worth remembering was reached."""
        self._moment(name, "milestone", {}, observation)

    def log_step(self, **step: Unpack[LoggedStep]) -> None:
        """Record a step that has already happened in this episode; the arguments are those of `log_step`."""
        record_logged(self._run, step)

    def _moment(self, name: str, kind: str, attributes: Mapping[str, Any], observation: object) -> None:
        with Boundary("recording a moment"):
            short = _rendering.one_line(name, NAME_LIMIT // 2, _state.settings.redactor)
            moment = Step(StepRecording(StepSpec(short, kind, attributes=attributes), self._run, name))
            with moment as recorded:
                if not (isinstance(observation, str) and not observation):
                    recorded.observe(observation)

    # --- life ------------------------------------------------------------------------------------------------------

    def start(self, *, marker: bool = True) -> Episode:
        """Start the episode without making it the current one; `end` ends it."""
        self._run.start(marker=marker)
        return self

    def end(self, error: BaseException | None = None, *, end_time: int | None = None) -> None:
        """End the episode, once; later calls do nothing.

        Without a word on the outcome it is a success, or with an exception a failure. An episode resumed by its
        handle ends only if its outcome was said.
        """
        self._run.end(error, end_time=end_time)

    def leave_open(self) -> str:
        """Let go of the episode without ending it, and return its handle: another process goes on with it."""
        self._run.state = "left"
        return self.handle

    def _open(self) -> None:
        self._run.start()
        if self._run.handle is not None:
            self._around = get_current()
            attach(self._run.context)
            self._frame = enter_frame(self._run.context)

    def _close(self, error: BaseException | None) -> None:
        """End the episode and restore what was current before."""
        frame, self._frame = self._frame, None
        if frame is not None:
            leave_frame(frame, self._run.context)
        try:
            if self._around is not None and get_current().get(RUN_KEY) is None and not (frame and self._run.steps):
                # What was done in the block where its context did not reach is not in the episode: `doctor` counts it.
                self._run.attributes[semconv.CONTEXT_LOST] = True
            end_steps_of(self._run)
            self._run.end(error)
        finally:
            if self._around is not None:
                leave(self._run, self._around)
                self._around = None

    def __call__(self, function: F) -> F:
        """Record every call of the function as an episode; the task is a format string over its arguments."""
        from otel_episodes._arguments import Arguments  # noqa: PLC0415  # with `_decorate`, half of the import's cost
        from otel_episodes._decorate import decorate  # noqa: PLC0415

        if records_inside(function, self):
            return function
        refuse_misplaced(function, "episode")
        template = self._run
        arguments = Arguments(function, template.task) if template.task else None
        return decorate(function, _EpisodeRecorder(template, arguments, tool_name(function)))


def leave(run: Run, around: Context) -> None:
    """Restore what was current around an episode, where it or a step of it is still current."""
    current = get_current()
    if current is run.context or current.get(RUN_KEY) is run:
        attach(restored(current, around))


def run_of(episode: Episode) -> Run:
    """Return the run that an episode speaks for."""
    return episode._run  # noqa: SLF001  # the inner door's


class _EpisodeRecorder:
    """Records the calls of one function as episodes."""

    __slots__ = ("_arguments", "_task", "_template")

    def __init__(self, template: Run, arguments: Arguments | None, task: str) -> None:
        self._template = template
        self._arguments = arguments
        self._task = task

    def remake(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        template = self._template
        told = (template.task, template.agent, template.attributes, template.conversation_id, template.inline)
        return _decorate_again, told

    def prepare(self, instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _EpisodeRecording:
        template = self._template
        run = Run(
            self._task_of(instance, args, kwargs),
            agent=template.agent,
            description=template.description,
            attributes=template.attributes,
            conversation_id=template.conversation_id,
            inline=template.inline,
            shared=template.shared,
        )
        return _EpisodeRecording(run)

    def _task_of(self, instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        if self._arguments is None:
            return self._task
        with Boundary("rendering the task of an episode"):
            return self._arguments.action(instance, args, kwargs, _state.settings.redactor) or self._task
        return self._task


def _decorate_again(
    function: F,
    task: str,
    agent: str,
    attributes: Mapping[str, Any],
    conversation_id: str,
    inline: bool,  # noqa: FBT001
) -> F:
    run = Run(task, agent=agent, attributes=attributes, conversation_id=conversation_id, inline=inline)
    return Episode(run)(function)


class _EpisodeRecording:
    """One call recorded as an episode."""

    __slots__ = ("_around", "_inside", "_outside", "_run")

    def __init__(self, run: Run) -> None:
        self._run = run
        self._around: Context | None = None
        # What was current in a generator's episode, and around it, when it last paused.
        self._inside: Context | None = None
        self._outside: Context | None = None

    def begin(self) -> bool:
        self._run.start()
        if self._run.handle is None:
            return False
        # In a trace that is not sampled it is the current episode all the same: its steps are to know.
        self._around = get_current()
        attach(self._run.context)
        return True

    def see(self, item: object) -> None:
        """Do nothing: usage is found by the steps."""

    def suspend(self) -> None:
        if self._around is not None:
            self._inside = get_current()
            self._outside = restored(self._inside, self._around)
            attach(self._outside)

    def resume(self) -> None:
        if self._inside is not None:
            self._around = around = get_current()
            attach(self._inside if around is self._outside else restored(around, self._inside))

    def close(
        self,
        error: BaseException | None = None,
        result: object = None,  # noqa: ARG002  # a recording is told; an episode's outcome is not what it returned
        items: int | None = None,  # noqa: ARG002
    ) -> None:
        try:
            self._run.end(error)
        finally:
            if self._around is not None:
                leave(self._run, self._around)
                self._around = self._inside = None


class EpisodeFactory:
    """`episode`, bare or with arguments, and `episode.resume`."""

    @overload
    def __call__(self, function: F, /) -> F: ...

    @overload
    def __call__(
        self,
        first: str = ...,
        /,
        *,
        task: str = ...,
        agent: str = ...,
        description: str = ...,
        task_type: str = ...,
        domain: str = ...,
        language: str = ...,
        framework: str = ...,
        complexity: str = ...,
        tags: Sequence[str] = ...,
        id: str = ...,
        conversation_id: str = ...,
        user_id: str = ...,
        inline: bool = ...,
        attributes: Mapping[str, AttributeValue] | None = ...,
        shared: Mapping[str, AttributeValue] | None = ...,
        start_time: int | None = ...,
    ) -> Episode: ...

    def __call__(  # what can be known about a task
        self,
        first: Any = "",
        /,
        *,
        task: Any = "",
        agent: str = "",
        description: str = "",
        task_type: str = "",
        domain: str = "",
        language: str = "",
        framework: str = "",
        complexity: str = "",
        tags: Sequence[str] = (),
        id: str = "",  # noqa: A002
        conversation_id: str = "",
        user_id: str = "",
        inline: bool = False,
        attributes: Mapping[str, AttributeValue] | None = None,
        shared: Mapping[str, AttributeValue] | None = None,
        start_time: int | None = None,
    ) -> Any:
        """Record an episode: ``with episode("Fix the flaky test", agent="coder") as ep``, ``async with``, ``@episode``.

        As a decorator the task is a format string over the arguments (``@episode("Fix {issue}")``), the function's
        name if not given. ``complexity`` is simple, moderate or complex. ``id`` is the trace's id unless given.
        Inside another episode it is a sub-agent with a trace of its own, linked both ways with the step that started
        it; ``inline=True`` keeps it in the same trace. ``start_time`` is in nanoseconds since 1970, now by default.
        ``attributes`` are the episode's; ``shared`` ones, and ``user_id``, stand on every span of it.

        An escaping exception makes it a failure, a clean end a success; `Episode.succeed`, `~Episode.fail`,
        `~Episode.partial` and `~Episode.abstain` override both.

        Raises:
            UsageError: an unknown complexity, an overlong agent name, or tags that are not a list of strings.
        """
        if not issubclass(type(first), str):
            return Episode(Run(""))(first)
        known = _task_attributes(
            task_type=task_type, domain=domain, language=language, framework=framework, complexity=complexity, tags=tags
        )
        redactor = _state.settings.redactor
        user = {semconv.USER_ID: masked_id(text_of("user_id", user_id), redactor)} if user_id else {}
        run = Run(
            text_of("task", first or task),
            agent=checked_name(agent),
            description=text_of("description", description, OBSERVATION_LIMIT),
            attributes={**known, **cleaned_attributes(attributes)},
            id=masked_id(text_of("id", id)[:NAME_LIMIT], redactor),
            conversation_id=masked_id(text_of("conversation_id", conversation_id), redactor),
            inline=inline,
            shared={**cleaned_attributes(shared), **user},
            start_time=None if start_time is None else whole("start_time", start_time),
        )
        return Episode(run)

    def resume(self, handle: str) -> Episode:
        """Go on with an episode by its handle: ``with episode.resume(handle) as ep``.

        Steps are added to the episode's trace. It ends where an outcome is said (`Episode.succeed` and the like) and
        the block is left; otherwise it stays open. If it had ended when the handle was taken, it goes on in a new
        trace, linked to the old one, with the same id and the next segment.

        Raises:
            HandleError: the string is not a handle.
        """
        parsed = Handle.parse(handle)
        return Episode(Run("", agent=parsed.agent, id=parsed.episode_id, resumed=parsed))

    def __repr__(self) -> str:
        return "<otel_episodes.episode>"


episode = EpisodeFactory()


def current_episode() -> Episode:
    """Return the episode this code runs in; outside of any, an episode that records nothing."""
    run = current_value(RUN_KEY)
    if not isinstance(run, Run):
        return Episode(Run(""))
    return run.episode if isinstance(run.episode, Episode) else Episode(run)
