"""A run: one trace, from its root span to its end, with the ids, context, counters and tokens that its steps share.

It knows neither what a step is nor what a user says of an episode: `_recording` records steps in it, `_episode` tells
it how it ended.
"""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from weakref import ref

from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, Status, StatusCode, get_current_span

from otel_episodes import _rendering, _state, _usage, semconv
from otel_episodes._boundary import Boundary
from otel_episodes._checks import error_type_of
from otel_episodes._context import RUN_KEY, derive
from otel_episodes._failures import ENDED, FAILED, ending_of, failure_of
from otel_episodes._handle import Handle
from otel_episodes._sdk import following, get_current, new_trace_id, start_root
from otel_episodes._settings import OBSERVATION_LIMIT
from otel_episodes.exceptions import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.trace import Span, SpanContext, Tracer

# The runs alive in this process, for the spans of other libraries that end inside them. Not a WeakValueDictionary: it
# calls Python code when a run is collected, wherever that is, and an exception of a signal handler in there is lost.
_active: dict[str, ref[Run]] = {}
_MANY = 1000


def active(episode_id: str) -> Run | None:
    """Return the run with this id, if it was started in this process and has not ended."""
    found = _active.get(episode_id)
    return None if found is None else found()


class _Process:
    """Which process this is: how many forks it is away from the one that was started."""

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = 0


process = _Process()


def _after_fork_in_child() -> None:
    """Leave what was begun to the process that began it; what is done here is added to it, as by handle."""
    process.number += 1
    for found in list(_active.values()):
        run = found()
        if run is not None:
            run.lock = threading.RLock()  # another thread may have held it, and is not here
            run.inherited = True
            run.counts_steps = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def _activate(run: Run) -> None:
    if len(_active) > _MANY:
        # Runs that were left open, and are gone: nobody else takes them out.
        for episode_id, found in list(_active.items()):
            if found() is None:
                _active.pop(episode_id, None)
    _active[run.id] = ref(run)


class LastFailure(NamedTuple):
    """The failed step that the next one may answer."""

    span_context: SpanContext
    tool: str
    key: object


class Outcome(NamedTuple):
    """How a run ended, and who said so."""

    outcome: str
    source: str
    attributes: Mapping[str, Any]


class CountsTokens(Protocol):
    """A step, as far as a run knows: what a model call below it used is added to it."""

    def add_model_usage(self, usage: _usage.Usage) -> None:
        """Add the tokens of a model call."""


class BegunSpan:
    """A span inside a run that is no step, while it goes on: where it stands, and whether a call below was counted."""

    __slots__ = ("counted", "parent_id", "step")

    def __init__(self, step: CountsTokens | None, parent_id: int) -> None:
        self.step = step
        self.parent_id = parent_id
        self.counted = False


class Run:
    """One run of an agent: started once, ended once, by whichever process has its root span or its handle."""

    __slots__ = (
        "__weakref__",
        "_responses",
        "agent",
        "attributes",
        "context",
        "conversation_id",
        "counts_steps",
        "description",
        "episode",
        "foreign_spans",
        "handle",
        "id",
        "identity",
        "inherited",
        "inline",
        "joined",
        "last_failure",
        "lock",
        "outcome",
        "recording",
        "resumed",
        "segment",
        "shared",
        "span",
        "start_time",
        "state",
        "steps",
        "task",
        "tokens",
        "tracer",
        "unit",
    )

    def __init__(
        self,
        task: str,
        *,
        agent: str = "",
        attributes: Mapping[str, Any] | None = None,
        id: str = "",  # noqa: A002  # the attribute's own name
        conversation_id: str = "",
        description: str = "",
        inline: bool = False,
        shared: Mapping[str, Any] | None = None,
        start_time: int | None = None,
        resumed: Handle | None = None,
    ) -> None:
        self.task = task
        self.agent = agent
        self.attributes = dict(attributes or {})
        self.id = id
        self.conversation_id = conversation_id
        self.description = description
        # Attributes of every span of the run.
        self.shared = dict(shared or {})
        self.inline = inline
        self.start_time = start_time
        self.resumed = resumed
        self.segment = 0
        self.state = "new"
        self.joined = False
        # True in a process that was forked inside the run: it is not this process's to end.
        self.inherited = False
        # Whether anything is recorded; true in a trace that is sampled.
        self.recording = False
        # What advice is drawn for: sub-agents have what their episode has. Empty where a handle does not tell it.
        self.unit = ""
        self.handle: Handle | None = None
        self.identity: dict[str, Any] = {}
        self.context = Context()
        self.tracer: Tracer = None  # type: ignore[assignment]  # set by start, before any step
        self.span: Span | None = None
        # Taken again by a signal handler or a finaliser that makes a step while one begins.
        self.lock = threading.RLock()
        self.steps = 0
        self.counts_steps = True
        self.last_failure: LastFailure | None = None
        # Other libraries' spans and calls of models that have begun in this run, by span id.
        self.foreign_spans: dict[int, BegunSpan] = {}
        self._responses: dict[str, ref[Any] | None] = {}
        self.tokens = _usage.Usage(0, 0)
        self.outcome: Outcome | None = None
        # The `Episode` that speaks for this run, so that there is one.
        self.episode: object | None = None

    # --- life ------------------------------------------------------------------------------------------------------

    def start(self, *, marker: bool = True) -> None:
        """Start the run without making it the current one.

        Raises:
            UsageError: it was started before.
        """
        if self.state != "new":
            raise UsageError("an episode is started once: call episode(...) again for the next one")
        self.state = "started"
        if _state.enabled():
            self._begin(marker=marker)

    def end(self, error: BaseException | None = None, *, end_time: int | None = None) -> None:
        """End the run, once; later calls do nothing.

        Without an outcome it is a success, or with an exception a failure. A run resumed by its handle ends only if
        its outcome was said; one that was begun before a fork only in the process that began it.
        """
        if self.state != "started" or self.inherited or (self.joined and self.outcome is None):
            return
        self.state = "ended"
        if active(self.id) is self:
            _active.pop(self.id, None)
        self._finish(error, end_time)

    # --- for steps -------------------------------------------------------------------------------------------------

    def step_ended(self, tool: str, kind: str, key: object, span: Span, *, failed: bool) -> None:
        """Remember a failure for the step that answers it; forget it when one has."""
        if failed:
            self.last_failure = LastFailure(span.get_span_context(), tool, key)
        elif self.last_failure is not None and (kind == "error_handling" or tool == self.last_failure.tool):
            self.last_failure = None

    def add_usage(self, usage: _usage.Usage) -> None:
        """Add tokens to the run's totals."""
        with self.lock:
            self.tokens = self.tokens.plus(usage)

    def is_new(self, response_id: object, response: ref[Any] | None = None) -> bool:
        """Return False if a model's response was counted: a span told its id, or it is the same object.

        ``response`` is the object, None for a span. Two objects of one id are two: not every server has ids of worth.
        """
        if type(response_id) is not str or not response_id:
            return True
        with self.lock:
            if response_id not in self._responses:
                self._responses[response_id] = response
                return True
            known = self._responses[response_id]
        return known is not None and response is not None and (known() is None or known() is not response())

    @Boundary("recording a note in an episode")
    def note(self, name: str, attributes: Mapping[str, Any]) -> None:
        """Record a span that is no step: as the start marker it has nothing by which viewers take it for a call."""
        if not self.recording:
            return
        told = {**self.identity, **attributes}
        now = time.time_ns()
        span = self.tracer.start_span(
            name,
            self.context,
            attributes={key: value for key, value in told.items() if not key.startswith("gen_ai.")},
            start_time=now,
        )
        span.end(now + 1)  # as the start marker

    # --- beginning -------------------------------------------------------------------------------------------------

    @Boundary("starting an episode")
    def _begin(self, *, marker: bool) -> None:
        if self.resumed is not None and not self.resumed.ended:
            self._join(self.resumed)
            return
        self.tracer = _state.tracer()
        around = get_current()
        links = []
        if self.resumed is not None:
            self.segment = self.resumed.segment + 1
            links.append(Link(self.resumed.span_context, {semconv.LINK_KIND: semconv.LINK_RESUMES}))
        starter = get_current_span(around)
        if starter.get_span_context().is_valid and not self.inline:
            links.append(Link(starter.get_span_context(), {semconv.LINK_KIND: semconv.LINK_DELEGATES}))
        trace_id = new_trace_id(self.tracer)
        self.id = self.id or f"{trace_id:032x}"
        self.start_time = self.start_time or time.time_ns()
        self._identify()
        parent = around.get(RUN_KEY)
        if isinstance(parent, Run):
            self.unit = parent.unit
        elif self.resumed is None:
            self.unit = self.conversation_id or self.id
        if isinstance(parent, Run):
            self.attributes.setdefault(semconv.PARENT_ID, parent.id)
        attributes = {**self._root_attributes(), **self.attributes}
        name = self._name()
        if self.inline:
            span = self.tracer.start_span(name, around, attributes=attributes, links=links, start_time=self.start_time)
        else:
            span = start_root(self.tracer, name, trace_id, attributes, links, self.start_time)
        self._adopt(span, around)
        if self.recording and not self.inline:
            starter.add_link(span.get_span_context(), {semconv.LINK_KIND: semconv.LINK_DELEGATES})
        if self.recording and marker:
            self._mark_start()

    def _adopt(self, span: Span, around: Context) -> None:
        """Take the span as the root of this run."""
        context = span.get_span_context()
        self.span = span
        self.recording = span.is_recording()
        if self.recording:
            self.tracer = following(self.tracer, context.trace_state)
        self.handle = Handle(
            context.trace_id,
            context.span_id,
            context.trace_flags.sampled,
            self.start_time or 0,
            self.segment,
            episode_id=self.id,
            agent=self.agent,
        )
        self.context = derive(around, span, RUN_KEY, self)
        _activate(self)

    def _join(self, handle: Handle) -> None:
        """Go on with a run whose root is held by another process, or by nobody yet."""
        self.joined = True
        self.tracer = following(_state.tracer(), handle.span_context.trace_state)
        self.id, self.agent, self.segment = handle.episode_id, handle.agent, handle.segment
        self.start_time = handle.start_time
        self.handle = handle
        self.counts_steps = False
        self.recording = handle.sampled
        self._identify()
        self.context = derive(get_current(), NonRecordingSpan(handle.span_context), RUN_KEY, self)
        _activate(self)

    def _name(self) -> str:
        return f"{semconv.INVOKE_AGENT} {self.agent}".rstrip()

    def _identify(self) -> None:
        self.identity = {**self.shared, semconv.EPISODE_ID: self.id}
        if self.segment:
            self.identity[semconv.SEGMENT] = self.segment
        if self.agent:
            self.identity[semconv.GEN_AI_AGENT_NAME] = self.agent
        if self.conversation_id:
            self.identity[semconv.GEN_AI_CONVERSATION_ID] = self.conversation_id

    def _root_identity(self) -> dict[str, Any]:
        identity: dict[str, Any] = {
            semconv.SPAN: semconv.SPAN_EPISODE,
            semconv.GEN_AI_OPERATION_NAME: semconv.INVOKE_AGENT,
            **self.identity,
        }
        if self.task:
            identity[semconv.TASK] = _rendering.text(self.task, OBSERVATION_LIMIT, _state.settings.redactor)
        return identity

    def _root_attributes(self) -> dict[str, Any]:
        """Return what the root has from the start: its identity, and the task as viewers of agents read it."""
        attributes = self._root_identity()
        if self.description:
            attributes[semconv.GEN_AI_AGENT_DESCRIPTION] = self.description
        if semconv.TASK in attributes and _state.settings.capture != "none":
            attributes[semconv.GEN_AI_INPUT_MESSAGES] = message("user", attributes[semconv.TASK])
        return attributes

    def _mark_start(self) -> None:
        """Send a span at once that says the run has started: its own span is only seen when it ends.

        It has no attribute of the conventions for generative AI, by which viewers would take it for a model call.
        """
        attributes = {**self._root_identity(), **self.attributes, semconv.SPAN: semconv.SPAN_START}
        attributes = {key: value for key, value in attributes.items() if not key.startswith("gen_ai.")}
        if self.agent:
            attributes[semconv.AGENT] = self.agent
        if self.conversation_id:
            attributes[semconv.CONVERSATION] = self.conversation_id
        marker = self.tracer.start_span(
            "episode.start", self.context, attributes=attributes, start_time=self.start_time
        )
        # A nanosecond long: Jaeger marks every span that ends when it starts with a warning of a negative duration.
        marker.end((self.start_time or 0) + 1)

    # --- ending ----------------------------------------------------------------------------------------------------

    @Boundary("ending an episode")
    def _finish(self, error: BaseException | None, end_time: int | None) -> None:
        if self.handle is None:
            return
        self.handle = replace(self.handle, ended=True)
        span = self._root_span(self.handle)
        if span is None or not span.is_recording():
            return
        outcome = self.outcome or _outcome_of(error)
        attributes = {**self.attributes, semconv.OUTCOME: outcome.outcome, **outcome.attributes}
        if outcome.source:
            attributes[semconv.OUTCOME_SOURCE] = outcome.source
        # By handle, what other processes used is not known here: left for the reader to add up.
        if not self.joined and any(self.tokens):
            attributes.update(_usage.attributes_of(self.tokens, _usage.OF_EPISODE))
        if outcome.outcome == "failure":
            attributes.setdefault(semconv.ERROR_TYPE, "_OTHER" if error is None else error_type_of(error))
            span.set_status(Status(StatusCode.ERROR, outcome.attributes.get(semconv.VERDICT)))
        verdict = outcome.attributes.get(semconv.VERDICT)
        if verdict and _state.settings.capture != "none":
            reason = "error" if outcome.outcome == "failure" else "stop"
            attributes[semconv.GEN_AI_OUTPUT_MESSAGES] = message("assistant", verdict, finish_reason=reason)
        span.set_attributes(attributes)
        span.end(end_time)

    def _root_span(self, handle: Handle) -> Span | None:
        if self.span is not None or not self.recording:
            return self.span
        # Resumed by handle: the root is written here, under the ids and the start it has had all along.
        start = self.start_time or 0
        root = self._root_attributes()
        return start_root(self.tracer, self._name(), handle.trace_id, root, [], start, handle.span_id)


def message(role: str, text: str, **more: str) -> str:
    """Return a message as the conventions have it: a list of one, with one part that is text."""
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}], **more}], ensure_ascii=False)


def _outcome_of(error: BaseException | None) -> Outcome:
    """Return the outcome of a run of which nobody told one."""
    settings = _state.settings
    ending = ENDED if error is None else ending_of(error)
    if error is None or ending == ENDED:
        return Outcome("success", semconv.DEFAULT, {})
    if ending != FAILED:
        return Outcome(semconv.UNKNOWN, "", {})  # it steers: what comes of the run is yet to be seen
    failure = failure_of(error, settings)
    told: dict[str, Any] = {semconv.ERROR_TYPE: failure.error_type, **failure.details}
    if settings.capture != "none":
        told[semconv.VERDICT] = _rendering.one_line(failure.message, OBSERVATION_LIMIT, settings.redactor)
    return Outcome("failure", semconv.EXCEPTION, told)


def implicit_run(task: str, start_time: int | None) -> Run | None:
    """Start a run around a single step; None where nothing is recorded."""
    implicit = Run(task, attributes={semconv.IMPLICIT: True}, start_time=start_time)
    implicit.start(marker=False)
    return implicit if implicit.recording else None
