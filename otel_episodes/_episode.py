"""An episode: one run of an agent, as one trace."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict, TypeVar, overload
from weakref import WeakValueDictionary

from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, Status, StatusCode, get_current_span

from otel_episodes import _rendering, _state, _usage, semconv
from otel_episodes._arguments import Arguments
from otel_episodes._block import Block
from otel_episodes._boundary import report
from otel_episodes._context import EPISODE_KEY, attach, derive, detach, get_current
from otel_episodes._decorate import decorate
from otel_episodes._handle import Handle
from otel_episodes._settings import NAME_LIMIT, OBSERVATION_LIMIT, one_of
from otel_episodes._step import (
    Batch,
    Step,
    StepSpec,
    checked_kind,
    checked_name,
    error_type_of,
    milliseconds,
    step,
    tool_name,
)
from otel_episodes._tracers import following, new_trace_id, start_root
from otel_episodes.exceptions import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Self

    from opentelemetry.trace import Span, SpanContext, Tracer
    from opentelemetry.util.types import AttributeValue
    from typing_extensions import Unpack

F = TypeVar("F", bound="Callable[..., Any]")

# What can be known about a task, in the order in which `episode` is told.
_TASK_ATTRIBUTES = (
    semconv.TASK_TYPE, semconv.DOMAIN, semconv.LANGUAGE, semconv.FRAMEWORK, semconv.COMPLEXITY, semconv.TAGS,
)  # fmt: skip
# The episodes alive in this process, for the spans of other libraries that end inside them.
active: WeakValueDictionary[str, Episode] = WeakValueDictionary()


class LastFailure(NamedTuple):
    """The failed step that the next one may answer."""

    span_context: SpanContext
    tool: str
    action: str | None


class Outcome(NamedTuple):
    """How an episode ended."""

    outcome: str
    attributes: dict[str, Any]


class Episode(Block):
    """One run of an agent: a context manager (``with`` and ``async with``) and a decorator.

    Made by `episode`. Entered once; as a decorator, every call is an episode of its own.
    """

    def __init__(
        self,
        task: str,
        *,
        agent: str = "",
        attributes: Mapping[str, Any] | None = None,
        id: str = "",  # noqa: A002  # the attribute's own name
        conversation_id: str = "",
        inline: bool = False,
        start_time: int | None = None,
    ) -> None:
        self.task = task
        self.agent = agent
        self.id = id
        self.segment = 0
        self.recording = False
        self.identity: dict[str, Any] = {}
        self.context: Context = Context()
        self.last_failure: LastFailure | None = None
        self.foreign_spans: dict[int, Step | None] = {}
        self.tracer: Tracer = None  # type: ignore[assignment]  # set by start, before any step
        self._attributes = dict(attributes or {})
        self._conversation_id = conversation_id
        self._inline = inline
        self._start_time = start_time
        self._handle: Handle | None = None
        self._resumed: Handle | None = None
        self._joined = False
        self.lock = threading.Lock()
        self.steps = 0
        self.counts_steps = True
        self._outcome: Outcome | None = None
        self._span: Span | None = None
        self._state = "new"
        self._tokens_input = self._tokens_output = 0
        self._token: object = None

    # --- outcome ---------------------------------------------------------------------------------------------------

    def succeed(self, verdict: str = "", *, artifacts: Sequence[str] = ()) -> None:
        """Say that the task was done; ``artifacts`` are the names of what it made."""
        self._decide_outcome("success", verdict, {semconv.ARTIFACTS: _texts("artifacts", artifacts)})

    def fail(self, reason: str = "") -> None:
        """Say that the task was not done."""
        self._decide_outcome("failure", reason, {})

    def partial(self, done: Sequence[str] | int, failed: Sequence[str] | int, verdict: str = "") -> None:
        """Say that part of the task was done: the names of the parts, or how many."""
        parts = {semconv.COMPLETED: _parts("done", done), semconv.FAILED: _parts("failed", failed)}
        self._decide_outcome("partial", verdict, parts)

    def abstain(self, reason: str = "", signals: Sequence[str] = (), *, at_step: int | None = None) -> None:
        """Say that the agent stopped on purpose; ``signals`` are what made it stop, ``at_step`` is now by default."""
        attributes: dict[str, Any] = {semconv.SIGNALS: _texts("signals", signals)}
        if at_step is not None:
            attributes[semconv.STOPPED_AT_STEP] = _whole("at_step", at_step)
        elif self.counts_steps:
            # By handle, what other processes added is not known here: left for the reader to count.
            attributes[semconv.STOPPED_AT_STEP] = self.steps
        self._decide_outcome("abstained", reason, attributes)

    def reward(self, score: float) -> None:
        """Record a score from outside: a benchmark's, a judge's, a user's.

        Raises:
            UsageError: the score is no finite number.
        """
        if isinstance(score, bool) or not isinstance(score, (int, float)) or score - score != 0:
            raise UsageError(f"reward({score!r}) must be a finite number")
        self._attributes[semconv.REWARD] = float(score)

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Set an attribute of your own on the episode's span; it is written at the end."""
        self._attributes[key] = value

    def _decide_outcome(self, outcome: str, verdict: str, attributes: dict[str, Any]) -> None:
        if verdict:
            attributes[semconv.VERDICT] = _rendering.text(verdict, OBSERVATION_LIMIT, _state.settings.redactor)
        self._outcome = Outcome(outcome, {k: v for k, v in attributes.items() if v not in ("", [])})

    # --- steps -----------------------------------------------------------------------------------------------------

    def step(
        self,
        tool: str = "",
        *,
        kind: str = "tool_use",
        action: str | None = None,
        success: Callable[[Any], bool] | None = None,
        attributes: Mapping[str, AttributeValue] | None = None,
    ) -> Step:
        """Make a step of this episode, wherever it is entered: in a thread without context, too."""
        made = step(tool, kind=kind, action=action, success=success, attributes=attributes)
        made.episode = self
        return made

    def batch(self, tool: str, *, action: str | None = None, kind: str = "tool_use") -> Batch:
        """Record a burst of small actions as one step: ``with ep.batch("cargo") as b: b.add(...)``."""
        return Batch(StepSpec(checked_name(tool), checked_kind(kind)), self, action)

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
        attributes: dict[str, Any] = {semconv.DECISION_OPTIONS: _texts("options", options)}
        if choice:
            attributes[semconv.DECISION_CHOICE] = _texts("choice", [choice])[0]
        if confidence is not None:
            if not 0 <= confidence <= 1:
                raise UsageError(f"confidence={confidence!r} must be a probability, from 0 to 1")
            attributes[semconv.DECISION_CONFIDENCE] = float(confidence)
        observation = f"{choice}: {reason}" if choice and reason else choice or reason
        spec = StepSpec(_short(question), "decision_point", attributes=attributes)
        _record_moment(Step(spec, self, question), observation)

    def milestone(self, name: str, observation: str = "") -> None:
        """Record that something worth remembering was reached."""
        _record_moment(Step(StepSpec(_short(name), "milestone"), self, name), observation)

    def log_step(self, **step: Unpack[LoggedStep]) -> None:
        """Record a step that has already happened in this episode; the arguments are those of `log_step`."""
        _log(self, step)

    # --- life ------------------------------------------------------------------------------------------------------

    def start(self, *, marker: bool = True) -> Episode:
        """Start the episode without making it the current one; `end` ends it."""
        if self._state != "new":
            raise UsageError("an episode is started once: call episode(...) again for the next one")
        self._state = "started"
        if _state.enabled():
            try:
                self._begin(marker=marker)
            except Exception as error:  # noqa: BLE001  # the boundary
                report(error, "starting an episode")
        return self

    def end(self, error: BaseException | None = None, *, end_time: int | None = None) -> None:
        """End the episode, once; later calls do nothing.

        Without a word on the outcome it is a success, or with an exception a failure. An episode resumed by its
        handle ends only if its outcome was said.
        """
        if self._state != "started" or (self._joined and self._outcome is None):
            return
        self._state = "ended"
        try:
            self._finish(error, end_time)
        except Exception as problem:  # noqa: BLE001  # the boundary
            report(problem, "ending an episode")

    def leave_open(self) -> str:
        """Let go of the episode without ending it, and return its handle: another process goes on with it."""
        self._state = "left"
        return self.handle

    @property
    def handle(self) -> str:
        """A short string that `episode.resume` and the command line take; empty where nothing is recorded."""
        return "" if self._handle is None else str(self._handle)

    @property
    def trace_id(self) -> str:
        """The trace of this episode, 32 hex digits; empty where nothing is recorded."""
        return "" if self._handle is None else f"{self._handle.trace_id:032x}"

    def __enter__(self) -> Self:
        self.start()
        if self._handle is not None:
            self._token = attach(self.context)
        return self

    def __call__(self, function: F) -> F:
        """Record every call of the function as an episode; the task is a format string over its arguments."""
        return decorate(function, _EpisodeRecorder(self, function))

    def suspend(self) -> None:
        """Stop being the current episode while somebody else runs."""
        if self._token is not None:
            detach(self._token)
            self._token = None

    def resume_context(self) -> None:
        """Be the current episode again."""
        self._token = attach(self.context)

    def close(
        self,
        error: BaseException | None = None,
        result: object = None,  # noqa: ARG002  # a recording is told; an episode's outcome is not what it returned
        items: int | None = None,  # noqa: ARG002
    ) -> None:
        """Leave the block: end the episode and restore what was current before."""
        try:
            self.end(error)
        finally:
            self.suspend()

    # --- for steps -------------------------------------------------------------------------------------------------

    def step_ended(self, spec: StepSpec, action: str | None, span: Span, *, failed: bool) -> None:
        """Remember a failure for the step that answers it; forget it when one has."""
        if failed:
            self.last_failure = LastFailure(span.get_span_context(), spec.tool, action)
        elif self.last_failure is not None and (spec.kind == "error_handling" or spec.tool == self.last_failure.tool):
            self.last_failure = None

    def add_usage(self, usage: _usage.Usage) -> None:
        """Add tokens to the episode's totals."""
        with self.lock:
            self._tokens_input += usage.input
            self._tokens_output += usage.output

    # --- the recording ---------------------------------------------------------------------------------------------

    def _begin(self, *, marker: bool) -> None:
        if self._resumed is not None and not self._resumed.ended:
            self._join(self._resumed)
            return
        self.tracer = _state.tracer()
        around = get_current()
        parent = around.get(EPISODE_KEY)
        links = []
        if self._resumed is not None:
            self.segment = self._resumed.segment + 1
            links.append(Link(self._resumed.span_context, {semconv.LINK_KIND: semconv.LINK_RESUMES}))
        starter = get_current_span(around)
        if starter.get_span_context().is_valid and not self._inline:
            links.append(Link(starter.get_span_context(), {semconv.LINK_KIND: semconv.LINK_DELEGATES}))
        trace_id = new_trace_id(self.tracer)
        self.id = self.id or f"{trace_id:032x}"
        self._start_time = self._start_time or time.time_ns()
        self._identify()
        if isinstance(parent, Episode):
            self._attributes.setdefault(semconv.PARENT_ID, parent.id)
        attributes = {**self._root_identity(), **self._attributes}
        name = f"{semconv.INVOKE_AGENT} {self.agent}".rstrip()
        if self._inline:
            span = self.tracer.start_span(name, around, attributes=attributes, links=links, start_time=self._start_time)
        else:
            span = start_root(self.tracer, name, trace_id, attributes, links, self._start_time)
        self._adopt(span, around)
        if self.recording and not self._inline:
            starter.add_link(span.get_span_context(), {semconv.LINK_KIND: semconv.LINK_DELEGATES})
        if self.recording and marker:
            self._mark_start()

    def _adopt(self, span: Span, around: Context) -> None:
        """Take the span as the root of this episode."""
        context = span.get_span_context()
        self._span = span
        self.recording = span.is_recording()
        if self.recording:
            self.tracer = following(self.tracer, context.trace_state)
        self._handle = Handle(
            context.trace_id,
            context.span_id,
            context.trace_flags.sampled,
            self._start_time or 0,
            self.segment,
            episode_id=self.id,
            agent=self.agent,
        )
        self.context = derive(around, span, EPISODE_KEY, self)
        active[self.id] = self

    def _join(self, handle: Handle) -> None:
        """Go on with an episode whose root is held by another process, or by nobody yet."""
        self._joined = True
        self.tracer = following(_state.tracer(), handle.span_context.trace_state)
        self.id, self.agent, self.segment = handle.episode_id, handle.agent, handle.segment
        self._start_time = handle.start_time
        self._handle = handle
        self.counts_steps = False
        self.recording = handle.sampled
        self._identify()
        self.context = derive(get_current(), NonRecordingSpan(handle.span_context), EPISODE_KEY, self)
        active[self.id] = self

    def _identify(self) -> None:
        self.identity = {semconv.EPISODE_ID: self.id}
        if self.segment:
            self.identity[semconv.SEGMENT] = self.segment
        if self.agent:
            self.identity[semconv.GEN_AI_AGENT_NAME] = self.agent
        if self._conversation_id:
            self.identity[semconv.GEN_AI_CONVERSATION_ID] = self._conversation_id

    def _root_identity(self) -> dict[str, Any]:
        identity: dict[str, Any] = {
            semconv.SPAN: semconv.SPAN_EPISODE,
            semconv.GEN_AI_OPERATION_NAME: semconv.INVOKE_AGENT,
            **self.identity,
        }
        if self.task:
            identity[semconv.TASK] = _rendering.text(self.task, OBSERVATION_LIMIT, _state.settings.redactor)
        return identity

    def _mark_start(self) -> None:
        """Send a span at once that says the episode runs: its own span is only seen when it ends."""
        attributes = {**self._root_identity(), **self._attributes, semconv.SPAN: semconv.SPAN_START}
        del attributes[semconv.GEN_AI_OPERATION_NAME]
        marker = self.tracer.start_span(
            "episode.start", self.context, attributes=attributes, start_time=self._start_time
        )
        # A nanosecond long: Jaeger marks every span that ends when it starts with a warning of a negative duration.
        marker.end((self._start_time or 0) + 1)

    def _finish(self, error: BaseException | None, end_time: int | None) -> None:
        if self._handle is None:
            return
        self._handle = replace(self._handle, ended=True)
        span = self._span
        if span is None and self.recording:
            # Resumed by handle: the root is written here, under the ids and the start it has had all along.
            name = f"{semconv.INVOKE_AGENT} {self.agent}".rstrip()
            root = self._root_identity()
            span = start_root(
                self.tracer, name, self._handle.trace_id, root, [], self._start_time or 0, self._handle.span_id
            )
        if span is None or not span.is_recording():
            return
        outcome = self._outcome or self._outcome_of(error)
        attributes = {**self._attributes, semconv.OUTCOME: outcome.outcome, **outcome.attributes}
        # By handle, what other processes used is not known here: left for the reader to add up.
        if not self._joined and (self._tokens_input or self._tokens_output):
            attributes[semconv.TOKENS_INPUT] = self._tokens_input
            attributes[semconv.TOKENS_OUTPUT] = self._tokens_output
        if outcome.outcome == "failure":
            attributes.setdefault(semconv.ERROR_TYPE, "_OTHER" if error is None else error_type_of(error))
            span.set_status(Status(StatusCode.ERROR, outcome.attributes.get(semconv.VERDICT)))
        span.set_attributes(attributes)
        span.end(end_time)

    def _outcome_of(self, error: BaseException | None) -> Outcome:
        if error is None or (isinstance(error, SystemExit) and not error.code):
            return Outcome("success", {})
        if _state.settings.capture == "none":
            return Outcome("failure", {})
        message = f"{type(error).__name__}: {_rendering.exception_message(error)}".removesuffix(": ")
        return Outcome(
            "failure",
            {semconv.VERDICT: _rendering.one_line(message, OBSERVATION_LIMIT, _state.settings.redactor)},
        )


def _record_moment(moment: Step, observation: str) -> None:
    with moment as recorded:
        if observation:
            recorded.observe(observation)


class _EpisodeRecorder:
    """Records the calls of one function as episodes."""

    def __init__(self, template: Episode, function: Any) -> None:
        self._template = template
        self._arguments = Arguments(function, template.task) if template.task else None
        self._task = tool_name(function)

    def prepare(self, instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        if self._arguments is None:
            return self._task
        try:
            return self._arguments.action(instance, args, kwargs, _state.settings.redactor) or self._task
        except Exception as error:  # noqa: BLE001  # the boundary
            report(error, "rendering the task of an episode")
            return self._task

    def begin(self, prepared: str) -> _EpisodeRecording | None:
        template = self._template
        call = Episode(
            prepared,
            agent=template.agent,
            attributes=template._attributes,  # noqa: SLF001  # of the same class
            conversation_id=template._conversation_id,  # noqa: SLF001
            inline=template._inline,  # noqa: SLF001
        )
        call.__enter__()
        # In a trace that is not sampled it is the current episode all the same: its steps are to know.
        return _EpisodeRecording(call) if call.handle else None


class _EpisodeRecording:
    """One call recorded as an episode."""

    def __init__(self, call: Episode) -> None:
        self.suspend = call.suspend
        self.resume = call.resume_context
        self.close = call.close


class EpisodeFactory:
    """`episode`, bare or with arguments, and `episode.resume`."""

    @overload
    def __call__(self, function: F, /) -> F: ...

    @overload
    def __call__(
        self,
        task: str = ...,
        /,
        *,
        agent: str = ...,
        task_type: str = ...,
        domain: str = ...,
        language: str = ...,
        framework: str = ...,
        complexity: str = ...,
        tags: Sequence[str] = ...,
        id: str = ...,
        conversation_id: str = ...,
        inline: bool = ...,
        attributes: Mapping[str, AttributeValue] | None = ...,
        start_time: int | None = ...,
    ) -> Episode: ...

    def __call__(  # what can be known about a task
        self,
        task: Any = "",
        /,
        *,
        agent: str = "",
        task_type: str = "",
        domain: str = "",
        language: str = "",
        framework: str = "",
        complexity: str = "",
        tags: Sequence[str] = (),
        id: str = "",  # noqa: A002
        conversation_id: str = "",
        inline: bool = False,
        attributes: Mapping[str, AttributeValue] | None = None,
        start_time: int | None = None,
    ) -> Any:
        """Record an episode: ``with episode("Fix the flaky test", agent="coder") as ep``, ``async with``, ``@episode``.

        As a decorator the task is a format string over the arguments (``@episode("Fix {issue}")``), the function's
        name if not given. ``complexity`` is simple, moderate or complex. ``id`` is the trace's id unless given.
        Inside another episode it is a sub-agent with a trace of its own, linked both ways with the step that started
        it; ``inline=True`` keeps it in the same trace. ``start_time`` is in nanoseconds since 1970, now by default.

        An escaping exception makes it a failure, a clean end a success; `Episode.succeed`, `~Episode.fail`,
        `~Episode.partial` and `~Episode.abstain` go before both.

        Raises:
            UsageError: an unknown complexity, an overlong agent name, or tags that are no list of strings.
        """
        if callable(task) or isinstance(task, (classmethod, staticmethod)):
            return Episode("")(task)
        if complexity:
            one_of("complexity", complexity, semconv.COMPLEXITIES)
        known = zip(
            _TASK_ATTRIBUTES,
            (task_type, domain, language, framework, complexity, _texts("tags", tags)),
            strict=True,
        )
        return Episode(
            task,
            agent=checked_name(agent),
            attributes={**{key: value for key, value in known if value}, **(attributes or {})},
            id=id[:NAME_LIMIT],
            conversation_id=conversation_id,
            inline=inline,
            start_time=start_time,
        )

    def resume(self, handle: str) -> Episode:
        """Go on with an episode by its handle: ``with episode.resume(handle) as ep``.

        Steps are added to the episode's trace. It ends where an outcome is said (`Episode.succeed` and the like) and
        the block is left; otherwise it stays open. If it had ended when the handle was taken, it goes on in a new
        trace, linked to the old one, with the same id and the next segment.

        Raises:
            HandleError: the string is no handle.
        """
        parsed = Handle.parse(handle)
        resumed = Episode("", agent=parsed.agent, id=parsed.episode_id)
        resumed._resumed = parsed  # noqa: SLF001  # of the same class
        return resumed

    def __repr__(self) -> str:
        return "<otel_episodes.episode>"


episode = EpisodeFactory()


def implicit_episode(task: str, start_time: int | None) -> Episode | None:
    """Start an episode around a single step; None where nothing is recorded."""
    implicit = Episode(task, attributes={semconv.IMPLICIT: True}, start_time=start_time)
    implicit.start(marker=False)
    return implicit if implicit.recording else None


def current_episode() -> Episode:
    """Return the episode this code runs in; outside of any, an episode that records nothing."""
    current = get_current().get(EPISODE_KEY)
    return current if isinstance(current, Episode) else Episode("")


class LoggedStep(TypedDict, total=False):
    """What `log_step` takes; nothing is required."""

    tool: str
    action: str
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

    ``tool`` and ``action`` say what was done; it ended at ``end_time`` (nanoseconds since 1970; now by default) and
    took ``latency_ms`` (0). ``success`` is true unless said otherwise; of a failed step the ``observation`` is the
    error's message, and ``error_type`` its type. ``kind`` is tool_use unless said otherwise.

    Raises:
        UsageError: an unknown kind, a negative latency or token count, an overlong name.
    """
    _log(None, step)


def _log(episode: Episode | None, step: LoggedStep) -> None:
    unknown = step.keys() - LoggedStep.__annotations__
    if unknown:
        raise UsageError(f"log_step has no {', '.join(sorted(unknown))}: use {', '.join(LoggedStep.__annotations__)}")
    duration = milliseconds("latency_ms", step.get("latency_ms", 0.0))
    end = step.get("end_time") or time.time_ns()
    name, kind = checked_name(step.get("tool", "")), checked_kind(step.get("kind", "tool_use"))
    logged = Step(StepSpec(name, kind, attributes=step.get("attributes")), episode, step.get("action"))
    if "input_tokens" in step or "output_tokens" in step:
        logged.tokens(input=step.get("input_tokens", 0), output=step.get("output_tokens", 0))
    # As short as can be where nobody said: see the start marker.
    if not _state.enabled() or not logged.begin(start_time=end - (duration or 1)):
        return
    observation = step.get("observation", "")
    if observation:
        logged.observe(observation)
    if not step.get("success", True):
        reason = observation if isinstance(observation, str) else ""
        logged.fail(reason, error_type=step.get("error_type", semconv.TOOL_ERROR))
    logged.close(end_time=end)


def _short(name: str) -> str:
    return _rendering.one_line(name, NAME_LIMIT // 2, _state.settings.redactor)


def _texts(name: str, values: Sequence[str]) -> list[str]:
    if isinstance(values, str) or not all(isinstance(value, str) for value in values):
        raise UsageError(f"{name}={values!r} must be a list of strings")
    redactor = _state.settings.redactor
    return [redactor.text(value) for value in values] if redactor is not None else list(values)


def _parts(name: str, parts: Sequence[str] | int) -> list[str] | int:
    return _whole(name, parts) if isinstance(parts, int) else _texts(name, parts)


def _whole(name: str, value: int) -> int:
    if isinstance(value, bool) or value < 0:
        raise UsageError(f"{name}={value!r} must be a whole number, 0 or more")
    return value
