"""The recording of a step: its span, from the moment it begins to the moment it ends.

What a user holds is a `Step`; a decorated call holds none, and is recorded by one of these alone.
"""

from __future__ import annotations

from dataclasses import replace
from json import loads
from time import time_ns
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import Link, SpanKind, Status, StatusCode, get_current_span

from otel_episodes import _model_call, _rendering, _state, _usage, semconv
from otel_episodes._boundary import Boundary, report
from otel_episodes._checks import cleaned_attribute, cleaned_attributes, count_of, error_type_of
from otel_episodes._context import RUN_KEY, STEP_KEY, context_by_frame, derive, restored
from otel_episodes._failures import AGAIN, ENDED, FAILED, Failure, describe, ending_of, failure_of, said_by
from otel_episodes._run import Outcome, implicit_run, process
from otel_episodes._sdk import attach, get_current, set_plain, start_prepared
from otel_episodes._settings import ACTION_LIMIT, CONTENT_LIMIT, OBSERVATION_LIMIT
from otel_episodes.semconv import (
    GEN_AI_TOOL_CALL_ARGUMENTS,
    GEN_AI_TOOL_CALL_RESULT,
    STEP_ACTION,
    STEP_INDEX,
    STEP_OBSERVATION,
    STEP_SUCCESS,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from opentelemetry.context import Context
    from opentelemetry.trace import Span
    from opentelemetry.util.types import AttributeValue

    from otel_episodes._arguments import Arguments
    from otel_episodes._run import LastFailure, Run
    from otel_episodes._settings import Capture, Settings
    from otel_episodes._usage import Found, Usage

_INTERNAL = SpanKind.INTERNAL
NO_RESULT = object()
SPAN_NAMES = {
    "tool_use": "execute_tool",
    "decision_point": "decide",
    "error_handling": "recover",
    "milestone": "milestone",
}


class StepSpec:
    """What all recordings of one step have in common, worked out once: for a decorator, when it decorates."""

    __slots__ = (
        "attributes", "capture", "exclude", "expected", "include", "kind", "name", "reduce", "result", "success",
        "tool",
    )  # fmt: skip

    def __init__(
        self,
        tool: str,
        kind: str,
        success: Callable[[Any], bool] | None = None,
        attributes: Mapping[str, AttributeValue] | None = None,
        expected: tuple[type[BaseException], ...] = (),
        *,
        capture: Capture | None = None,
        result: Callable[[Any], Any] | None = None,
        reduce: Callable[[list[Any]], Any] | None = None,
        include: Collection[str] | None = None,
        exclude: Collection[str] = (),
    ) -> None:
        self.expected = expected
        self.tool = tool
        self.kind = kind
        self.success = success
        self.capture = capture
        self.result = result
        self.reduce = reduce
        self.include = include
        self.exclude = exclude
        self.name = f"{SPAN_NAMES[kind]} {tool}".rstrip()
        self.attributes: dict[str, Any] = {semconv.SPAN: semconv.SPAN_STEP, semconv.STEP_KIND: kind}
        if success is None:
            # Until it fails: an attribute costs less at the start than set later. A predicate has yet to judge.
            self.attributes[STEP_SUCCESS] = True
        if kind == "tool_use":
            self.attributes[semconv.GEN_AI_OPERATION_NAME] = semconv.EXECUTE_TOOL
        if tool and kind in ("tool_use", "error_handling"):
            self.attributes[semconv.GEN_AI_TOOL_NAME] = tool
        if attributes:
            self.attributes.update(cleaned_attributes(attributes))

    def renamed(self, tool: str) -> StepSpec:
        """Return the same with another name."""
        made = StepSpec(
            tool, self.kind, self.success, None, self.expected, capture=self.capture, result=self.result,
            reduce=self.reduce, include=self.include, exclude=self.exclude,
        )  # fmt: skip
        made.attributes = {**self.attributes, **made.attributes}
        return made


ANY_TOOL = StepSpec("", "tool_use")


class StepRecording:
    """One step being recorded: begun once, ended once."""

    # Slots are read and written faster than anything else, and this is the hot path.
    _inside: Context
    _outside: Context
    _process: int
    __slots__ = (
        "_action",
        "_again",
        "_arguments",
        "_around",
        "_below",
        "_call_id",
        "_closing",
        "_context",
        "_failure",
        "_found",
        "_implicit",
        "_inside",
        "_items",
        "_key",
        "_literal",
        "_message",
        "_model_usage",
        "_observation",
        "_outside",
        "_process",
        "_result",
        "_run",
        "_span",
        "_start_time",
        "_streamed",
        "_unknown",
        "_usage",
        "spec",
        "step",
    )

    def __init__(self, spec: StepSpec, run: Run | None = None, action: Any = None) -> None:
        self.spec = spec
        # The `Step` that speaks for this recording, so that there is one; a decorated call has none until asked.
        self.step: object | None = None
        # `_inside` and `_outside` are what was current in a generator's step and around it when it last paused.
        self._run = run
        self._action = action
        self._again = False
        self._arguments: str | None = None
        self._around: Context | None = None
        self._call_id = ""
        self._closing = False
        self._context: Any = None
        self._failure: Failure | None = None
        self._implicit: Run | None = None
        self._items: list[object] = []
        self._key: object = None
        self._literal = False
        self._message = ""
        # The usage that steps below this one counted, and what this one's own was found on.
        self._below: list[Found] | None = None
        self._found: Found | None = None
        self._model_usage: Usage | None = None
        self._observation: str | None = None
        self._result: str | None = None
        self._span: Span | None = None
        self._start_time: int | None = None
        self._streamed: dict[str, Found] | None = None
        self._unknown = False
        self._usage: Usage | None = None

    # --- while it runs ---------------------------------------------------------------------------------------------

    @property
    def recording(self) -> bool:
        """Whether anything is recorded: false before it began, after it ended, and in a trace that is not sampled."""
        return self._span is not None

    def is_of(self, run: Run) -> bool:
        """Return True if this is a step of the run, and has not ended."""
        return self._run is run and self._span is not None

    def template(self) -> tuple[StepSpec, Run | None, str | None]:
        """Return what a decorator is told: the step, the run it is for, and the action."""
        return self.spec, self._run, self._action

    @property
    def context(self) -> Context | None:
        """OpenTelemetry's context in which this is the current step, while it is recorded."""
        return self._context if self._span is not None else None

    def observe(self, observation: object) -> None:
        """Record what came of the step; the last call wins."""
        settings = _state.settings
        if self._span is not None and self._capture(settings) != "none":
            self._observation = _rendering.text(observation, OBSERVATION_LIMIT, settings.redactor)

    def act(self, action: object) -> None:
        """Record what is done, in place of what was said before."""
        settings = _state.settings
        if self._span is None or self._capture(settings) == "none":
            return
        said = _rendering.text(action, ACTION_LIMIT, settings.redactor)
        if self._arguments is None or self._literal:
            self._literal = True
            self._arguments = self._key = _rendering.json({"action": said}, CONTENT_LIMIT, None)
            self._span.set_attribute(GEN_AI_TOOL_CALL_ARGUMENTS, self._arguments)
        else:
            self._action = said
            self._span.set_attribute(STEP_ACTION, said)

    def rename(self, tool: str) -> None:
        """Call the step by another name."""
        self.spec = self.spec.renamed(tool)
        if self._span is not None:
            self._span.update_name(self.spec.name)
            if semconv.GEN_AI_TOOL_NAME in self.spec.attributes:
                self._span.set_attribute(semconv.GEN_AI_TOOL_NAME, tool)

    def tokens(self, input_: int, output: int) -> None:
        """Record the tokens this step used."""
        self._usage = _usage.Usage(count_of("input", input_), count_of("output", output))

    def fail(self, error_type: str, reason: object) -> None:
        """Record that the step failed; by an exception, for what it is."""
        # First without the reason: what cannot be rendered must not cost the failure.
        self._failure = Failure(error_type, "")
        if isinstance(reason, BaseException):
            told = error_type if error_type != semconv.TOOL_ERROR else error_type_of(reason)
            self._failure = failure_of(reason, self._own(_state.settings))._replace(error_type=told)
        else:
            message = reason if type(reason) is str else _rendering.text(reason, OBSERVATION_LIMIT, None)
            self._failure = Failure(error_type, message)

    def leave_unknown(self) -> None:
        """Record that nobody knows whether the step succeeded: a call that was not answered."""
        self._unknown = True

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Set an attribute on the step's span."""
        if self._span is not None:
            self._span.set_attribute(str(key), cleaned_attribute(key, value))

    def add_event(self, name: str, attributes: Mapping[str, AttributeValue]) -> None:
        """Add an event to the step's span."""
        if self._span is not None:
            self._span.add_event(name, attributes)

    def add_model_usage(self, usage: Usage) -> None:
        """Add the tokens of a model call below this step."""
        self._model_usage = usage if self._model_usage is None else self._model_usage.plus(usage)

    def describe_call(
        self,
        arguments: Arguments,
        instance: object,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        settings: Settings,
    ) -> None:
        """Tell a decorated call: its arguments, and the action where there is a template for it."""
        limit = CONTENT_LIMIT if self._capture(settings) == "full" else ACTION_LIMIT
        told, self._action, self._key, self._call_id = arguments.call(instance, args, kwargs, settings.redactor, limit)
        self._arguments = told or None

    def _capture(self, settings: Settings) -> Capture:
        return self.spec.capture or settings.capture

    def _own(self, settings: Settings) -> Settings:
        """Return the settings with what this step has of its own."""
        return settings if self.spec.capture is None else replace(settings, capture=self.spec.capture)

    def see(self, item: object) -> None:
        """Take the usage on an item of a stream; what is told again and again as it grows is taken once.

        Kept are the items of a step that reduces them alone: they may be many.
        """
        if self.spec.reduce is not None and self._span is not None:
            self._items.append(item)
        if id(type(item)) in _usage.PLAIN or self._span is None:
            return
        try:
            found = _usage.found_on_item(item)
            if found is not None:
                streamed = self._streamed = self._streamed or {}
                # An event without an id is about the response that the one before it was about.
                response_id = found.response_id or next(reversed(streamed), "")
                before = streamed.pop(response_id, found)
                streamed[response_id] = _usage.Found(
                    found.usage.most(before.usage), response_id, _usage.NOT_KEPT,
                    found.model or before.model, found.finish or before.finish,
                )  # fmt: skip
        except Exception as error:  # noqa: BLE001  # the boundary, in the hot path
            report(error, "reading the tokens of a stream")

    # --- beginning -------------------------------------------------------------------------------------------------

    def begin(self) -> bool:
        """Start the span and make it the current one; return True if it records.

        This is the hot path: it is one function, and what it needs is worked out before.
        """
        try:
            context = get_current()
            run = self._run
            if run is None:
                run = context.get(RUN_KEY)  # type: ignore[assignment]
                if run is None:
                    return self._begin_outside(context)
                self._run = run
            elif context.get(RUN_KEY) is not run:
                context = run.context
            if not run.recording:
                return False
            spec = self.spec
            attributes = {**spec.attributes, **run.identity}
            with run.lock:
                # Together, so that the order of indices is the order of starts.
                run.steps = index = run.steps + 1
                now = time_ns()
            if run.counts_steps:
                attributes[STEP_INDEX] = index
            if self._action is not None:
                attributes[STEP_ACTION] = self._action
            if self._arguments is not None:
                attributes[GEN_AI_TOOL_CALL_ARGUMENTS] = self._arguments
            if self._call_id:
                attributes[semconv.GEN_AI_TOOL_CALL_ID] = self._call_id
            links = None if run.last_failure is None else self._links(run.last_failure)
            span = start_prepared(run.tracer, spec.name, context, attributes, links, self._start_time or now)
            return span.is_recording() and self._adopt(span, context)
        except Exception as error:  # noqa: BLE001  # the boundary, in the hot path
            report(error, "starting a step")
            return False

    def begin_literal(self) -> bool:
        """Begin with an action that was given as a text, not rendered from arguments."""
        if self._action is not None:
            with Boundary("rendering the action of a step"):
                self._take_literally(self._action)
        return self.begin()

    def _take_literally(self, action: object) -> None:
        settings = _state.settings
        self._action = None
        if self._capture(settings) == "none":
            return
        named = None if self._arguments is not None else _rendering.members(action, CONTENT_LIMIT)
        if named:
            # As of a decorated call: masked by name, and each cut for itself, where one text would cease to be JSON.
            limit = CONTENT_LIMIT if self._capture(settings) == "full" else ACTION_LIMIT
            self._arguments = self._key = _rendering.fair_json(named, limit, settings.redactor)[0]
            return
        said = _rendering.text(action, ACTION_LIMIT, settings.redactor)
        if not said:
            self._key = self._arguments or said
        elif self._arguments is None:
            self._literal = True
            self._arguments = self._key = _rendering.json({"action": said}, CONTENT_LIMIT, None)
        else:
            self._action = said
            self._key = self._arguments

    def begin_at(self, start_time: int, arguments: str | None = None) -> bool:
        """Begin a step that has already happened."""
        self._start_time = start_time
        self._arguments = self._key = arguments
        return self.begin_literal()

    def _adopt(self, span: Span, context: Context) -> bool:
        # In this order: whatever interrupts, `close` knows what to end and what to restore.
        self._around = get_current()
        self._context = derived = derive(context, span, STEP_KEY, self)
        self._process = process.number
        self._span = span
        attach(derived)
        return True

    def _begin_outside(self, context: Context) -> bool:
        """Begin a step that no episode is around: as an episode of one step, or as a plain span.

        With a span of something else around it, it belongs to that trace and stays a plain span in it.
        """
        found = context_by_frame()
        if found is not None:
            return self._begin_in(found)
        if _state.settings.orphans == "span" or get_current_span(context).get_span_context().is_valid:
            attributes = dict(self.spec.attributes)
            if self._action is not None:
                attributes[STEP_ACTION] = self._action
            if self._arguments is not None:
                attributes[GEN_AI_TOOL_CALL_ARGUMENTS] = self._arguments
            span = _state.tracer().start_span(
                self.spec.name, context, _INTERNAL, attributes, start_time=self._start_time
            )
            return span.is_recording() and self._adopt(span, context)
        self._implicit = implicit_run(self._action or self._only_action() or self.spec.tool, self._start_time)
        if self._implicit is None:
            return False
        self._run = self._implicit
        return self.begin()

    def _begin_in(self, context: Context) -> bool:
        """Begin where the block of a generator is around, though its context was not carried over."""
        before = get_current()
        attach(context)
        began = False
        try:
            began = self.begin()
        finally:
            if began:
                self._around = before
            else:
                attach(before)
        return began

    def _only_action(self) -> str | None:
        return loads(self._arguments)["action"] if self._literal and self._arguments else self._arguments

    def _links(self, failure: LastFailure) -> list[Link] | None:
        """Link a step to the failure it answers: any, if it handles errors; the same call's, if it is made again."""
        kind = self.spec.kind
        if kind == "error_handling":
            return [Link(failure.span_context, {semconv.LINK_KIND: semconv.LINK_HANDLES})]
        if kind == "tool_use" and failure.tool == self.spec.tool and failure.key == self._key:
            return [Link(failure.span_context, {semconv.LINK_KIND: semconv.LINK_RETRIES})]
        return None

    # --- while somebody else runs ----------------------------------------------------------------------------------

    def suspend(self) -> None:
        """Keep what is current inside, and make current what was current around, while somebody else runs."""
        if self._span is not None and self._around is not None:
            self._inside = inside = get_current()
            self._outside = outside = restored(inside, self._around)
            attach(outside)

    def resume(self) -> None:
        """Make current what was current inside: this step, or one below it."""
        if self._span is not None:
            self._around = around = get_current()
            attach(self._inside if around is self._outside else restored(around, self._inside))

    # --- ending ----------------------------------------------------------------------------------------------------

    def close(
        self,
        error: BaseException | None = None,
        result: object = NO_RESULT,
        items: int | None = None,
        *,
        end_time: int | None = None,
    ) -> None:
        """End the span, once; later calls do nothing, unless the first was interrupted.

        ``error`` is what escaped, ``result`` what was returned, ``items`` how many were yielded.
        """
        span = self._span
        if span is None:
            return
        if self._closing or self._process != process.number:
            self._finish(span, end_time)
            return
        self._closing = True
        try:
            settings = _state.settings
            if self._streamed is not None:
                self._find_streamed(self._streamed)
            if error is not None:
                self._escaped(error, span, settings)
            elif result is not NO_RESULT:
                self._read_result(result, settings)
            elif items is not None:
                self._read_items(items, settings)
            self._describe(span, settings)
        except Exception as problem:  # noqa: BLE001  # the boundary, in the hot path
            report(problem, "describing a step")
        finally:
            self._end(span, end_time)

    def _describe(self, span: Span, settings: Settings) -> None:
        """Set what is known at the end only: one by one, since `set_attributes` costs more than three calls."""
        if self._failure is not None:
            self._describe_failure(span, self._failure, settings)
        elif self._unknown:
            span.set_attribute(STEP_SUCCESS, semconv.UNKNOWN)
        elif self.spec.success is not None:
            span.set_attribute(STEP_SUCCESS, True)  # noqa: FBT003  # the attribute's value
        # What came of it, once: what was returned, else what was said of it, else the error.
        result = self._result or self._observation or self._message
        if result:
            set_plain(span, GEN_AI_TOOL_CALL_RESULT, result)
        if self._observation and self._observation != result:
            set_plain(span, STEP_OBSERVATION, self._observation)
        self._describe_usage(span)

    def _describe_usage(self, span: Span) -> None:
        if self._below is not None and self._usage is not None and self._found is None:
            said = _usage.Found(self._usage, "", _usage.NOT_KEPT)
            if _usage.is_counted(said, self._below):
                self._usage = None  # what was said is what the steps below used
        usage = self._usage or self._model_usage
        if usage is not None:
            for name, count in _usage.attributes_of(usage, _usage.OF_STEP).items():
                span.set_attribute(name, count)

    def _end(self, span: Span, end_time: int | None) -> None:
        try:
            run = self._run
            if run is not None:
                failed = self._failure is not None or self._again
                if failed or run.last_failure is not None:
                    run.step_ended(self.spec.tool, self.spec.kind, self._key, span, failed=failed)
                if self._usage is not None and self._model_usage is None:
                    run.add_usage(self._usage)  # model spans below were added when they ended
                if self._usage is not None or self._model_usage is not None or self._below is not None:
                    self._tell_around()
            span.end(end_time)
            self._span = None
            if self._implicit is not None:
                self._end_implicit(self._implicit, end_time)
        except Exception as problem:  # noqa: BLE001  # the boundary, in the hot path
            report(problem, "ending a step")
        finally:
            if get_current() is self._context:
                attach(self._around)  # type: ignore[arg-type]  # set together with the context
            else:
                self._leave()

    def _finish(self, span: Span, end_time: int | None) -> None:
        """Do what an exception of somebody else's kept `close` from doing; leave a parent process's span to it."""
        try:
            if self._process == process.number and span.is_recording():
                span.end(end_time)
        finally:
            self._span = None
            self._leave()

    def _find_usage(self, found: Found | None) -> None:
        """Take usage that was found as this step's, unless it was said or counted before, here or below."""
        if found is None:
            return
        own = self._usage or self._model_usage
        if own is not None:
            # Said, or told by a model's span: what it was found on is handed up all the same.
            self._found = found._replace(usage=own)
            if self._run is not None:
                self._run.is_new(found.response_id, found.response)
        elif (self._below is None or not _usage.is_counted(found, self._below)) and (
            self._run is None or self._run.is_new(found.response_id, found.response)
        ):
            self._found, self._usage = found, found.usage
            self._write_call(found)

    def _write_call(self, found: Found) -> None:
        """Write the call of a model that a response tells of; it took as long as the step, as far as anybody knows."""
        if found.model and self._span is not None and self._context is not None:
            _model_call.write(self._run, self._context, found, getattr(self._span, "start_time", None))

    def _find_streamed(self, streamed: Mapping[str, Found]) -> None:
        if self._usage is not None or self._model_usage is not None:
            return
        for response_id, found in streamed.items():
            usage = found.usage
            if self._below is not None and _usage.is_counted(found, self._below):
                continue
            if self._run is None or self._run.is_new(response_id, _usage.NOT_KEPT):
                self._found = found
                self._usage = usage if self._usage is None else self._usage.plus(usage)
                self._write_call(found)
        if self._found is not None and self._usage is not None:
            self._found = self._found._replace(usage=self._usage)

    def _tell_around(self) -> None:
        """Tell the step around this one what was counted, so that it is not counted again there."""
        around: Any = None if self._around is None else self._around.get(STEP_KEY)
        if around is None:
            return
        told = list(self._below or ())
        own = self._usage or self._model_usage
        if own is not None:
            told.append(self._found or _usage.Found(own, "", _usage.NOT_KEPT))
        around._below = [*(around._below or ()), *told]  # noqa: SLF001  # of the same class

    def _end_implicit(self, run: Run, end_time: int | None) -> None:
        if self._failure is not None:
            attributes = {semconv.VERDICT: self._message} if self._message else {}
            run.outcome = Outcome("failure", semconv.EXCEPTION, attributes)
        run.end(end_time=end_time)

    def _leave(self) -> None:
        """Restore what was current around the step, where this is the current one or one below it is.

        One below it that is still current was kept from ending, by an exception that struck where its block was left.
        """
        below: Any = get_current().get(STEP_KEY)
        dead: list[StepRecording] = []
        while below is not None and below is not self:
            dead.append(below)
            around = below._around  # noqa: SLF001  # of the same class
            below = None if around is None else around.get(STEP_KEY)
        if below is self and self._around is not None:
            for step in dead:
                step.close()
            attach(restored(get_current(), self._around))

    def _escaped(self, error: BaseException, span: Span, settings: Settings) -> None:
        """Take what escaped from the step: a failure, or an exception that steers and was expected to be raised."""
        ending = ending_of(error, self.spec.expected)
        if ending == FAILED:
            self._failure = failure_of(error, self._own(settings))
            return
        self._unknown = ending != ENDED
        self._again = ending == AGAIN
        if not isinstance(error, SystemExit):
            span.set_attribute(semconv.STEP_ENDED_BY, error_type_of(error))
            if self._observation is None and self._capture(settings) != "none":
                self._observation = _rendering.one_line(said_by(error), OBSERVATION_LIMIT, settings.redactor)

    def _describe_failure(self, span: Span, failure: Failure, settings: Settings) -> None:
        span.set_attribute(STEP_SUCCESS, False)  # noqa: FBT003  # the attribute's value
        span.set_attribute(semconv.ERROR_TYPE, failure.error_type)
        message = None
        if self._capture(settings) != "none" and failure.message:
            self._message = message = _rendering.one_line(failure.message, ACTION_LIMIT, settings.redactor)
        span.set_status(Status(StatusCode.ERROR, message))
        if failure.details or failure.error is not None:
            describe(span, failure, settings)

    def _read_items(self, items: int, settings: Settings) -> None:
        if self._capture(settings) != "none":
            self._result = f"{items} items"
        if self.spec.reduce is None:
            return
        yielded, self._items = self._items, []
        with Boundary("reducing what a step yielded"):  # how many there were is told
            self._read_result(self.spec.reduce(yielded), settings)

    def _read_result(self, result: Any, settings: Settings) -> None:
        if id(type(result)) not in _usage.PLAIN:
            self._find_usage(_usage.found_on(result))
            if self._failure is None and _usage.reports_error(result):
                self._failure = Failure(semconv.TOOL_ERROR, "")
        spec = self.spec
        if self._failure is None and spec.success is not None:
            self._judge(result, spec.success)
        capture = spec.capture or settings.capture
        if capture == "none" or result is None:
            return
        if spec.result is not None:
            result = spec.result(result)
        limit = CONTENT_LIMIT if capture == "full" else OBSERVATION_LIMIT
        self._result = _rendering.text(result, limit, settings.redactor)

    def _judge(self, result: Any, success: Callable[[Any], bool]) -> None:
        # On its own: a judge that fails leaves the step unknown, and what came of it is told all the same.
        said, self._unknown = self._unknown, True
        with Boundary("judging a step"):
            if not success(result):
                self._failure = Failure(semconv.TOOL_ERROR, "")
            self._unknown = said


def end_steps_of(run: Run) -> None:
    """End the steps of a run that are still current when it ends: see `StepRecording._leave`."""
    current = get_current()
    step: Any = current.get(STEP_KEY)
    while step is not None and step.is_of(run):
        step.close()
        before, current = current, get_current()
        step = None if current is before else current.get(STEP_KEY)


class StepRecorder:
    """Records the calls of one function as steps."""

    __slots__ = ("_action", "_again", "_arguments", "_run", "_spec")

    def __init__(
        self,
        spec: StepSpec,
        arguments: Arguments,
        run: Run | None,
        action: str | None,
        again: Callable[..., Any],
    ) -> None:
        self._spec = spec
        self._action = action
        self._again = again
        self._arguments = arguments
        self._run = run

    def remake(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Return what decorates a function like this in another process, and what it is told besides the function."""
        return self._again, (self._spec, self._action)

    def prepare(self, instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> StepRecording:
        """Return the recording of one call, with the action and in full the arguments as they are at the call."""
        settings = _state.settings
        recording = StepRecording(self._spec, self._run)
        if (self._spec.capture or settings.capture) == "none":
            return recording
        try:
            recording.describe_call(self._arguments, instance, args, kwargs, settings)
        except Exception as error:  # noqa: BLE001  # the boundary, in the hot path
            report(error, "rendering the arguments of a step")
        return recording
