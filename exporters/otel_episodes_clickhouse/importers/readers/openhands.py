"""OpenHands: the events of a conversation, of version 0 (one list, or rows of an evaluation) and 1 (a file an event).

In version 0 an observation answers the action that is its cause, and tokens are told as running totals; in version 1
calls have ids, and the totals are in ``base_state.json``.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from otel_episodes import semconv
from otel_episodes_clickhouse.importers import outcomes, values
from otel_episodes_clickhouse.importers.builder import RunBuilder
from otel_episodes_clickhouse.importers.documents import decoded
from otel_episodes_clickhouse.importers.failures import says_failure
from otel_episodes_clickhouse.importers.outcomes import Ending
from otel_episodes_clickhouse.importers.reading import ODD, Place, Reader, Refused, said_of
from otel_episodes_clickhouse.importers.run import NO_USAGE, ModelCall, RecordError, Run, Usage
from otel_episodes_clickhouse.importers.transcripts import Said, arguments_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otel_episodes_clickhouse.importers.documents import Record

_NAME: Final = "openhands"
_NO_STEPS: Final = frozenset((
    "system", "message", "recall", "change_agent_state", "think", "null", "condensation", "condensation_request",
    "start", "stop", "pause", "resume",
))  # fmt: skip
# What is said about a call, not what it was called with.
_ABOUT: Final = frozenset((
    "thought", "hidden", "blocking", "confirmation_state", "is_input", "security_risk", "is_confirmed", "is_static",
    "cwd", "translated_ipython_code", "impl_source", "include_extra", "return_axtree", "image_urls",
    "wait_for_response",
))  # fmt: skip
_KINDS: Final = frozenset((
    "SystemPromptEvent", "MessageEvent", "ActionEvent", "ObservationEvent", "AgentErrorEvent", "UserRejectObservation",
    "Condensation", "CondensationRequest", "PauseEvent", "ConversationStateUpdateEvent", "ConversationErrorEvent",
    "ACPToolCallEvent", "InterruptEvent",
))  # fmt: skip
_STATUS: Final = "execution_status"
_FULL_STATE: Final = "full_state"


# --- what is recognised --------------------------------------------------------------------------------------------


def _is_event(event: Any) -> bool:
    return (
        isinstance(event, dict)
        and "source" in event
        and ("action" in event or "observation" in event)
        and "kind" not in event
    )


def _is_new_event(event: Any) -> bool:
    return isinstance(event, dict) and event.get("kind") in _KINDS and "source" in event


def _may_be_new_event(event: Any) -> bool:
    """Return True also for a kind that only later versions have: of a hook, of a token."""
    return isinstance(event, dict) and isinstance(event.get("kind"), str) and "source" in event and "timestamp" in event


def _events(history: Any) -> list[dict[str, Any]]:
    """Return events in order; older evaluations pair each action with its observation."""
    flat: list[Any] = []
    for event in history if isinstance(history, list) else []:
        flat += event if isinstance(event, list) else [event]
    return values.objects(flat)


def is_record(record: Any) -> bool:
    """Return True for a list of events, or a row of an evaluation with such a history."""
    history = record.get("history") if isinstance(record, dict) else record
    events = _events(history)[:5]
    if not events:
        return False
    return all(map(_is_event, events)) or (any(map(_is_new_event, events)) and all(map(_may_be_new_event, events)))


def read(record: Any, place: Place) -> Iterator[Run | Refused]:
    """Read one conversation in one document."""
    frame = record if isinstance(record, dict) else {}
    events = _events(frame.get("history") if frame else record)
    if _may_be_new_event(events[0]):
        yield from _new_run(events, {}, place)
    else:
        yield _old_run(events, frame, place)


def session(records: Iterator[Record], place: Place) -> Iterator[Run | Refused]:
    """Read the events of a conversation of version 1, a line each."""
    yield from _new_run([record.value for record in records if isinstance(record.value, dict)], {}, place)


def is_directory(path: Path) -> bool:
    """Return True for the directory of a conversation, or its ``events``."""
    folder = path if path.name == "events" else path / "events"
    return folder.is_dir() and next(folder.glob("event-*.json"), None) is not None


def directory(path: Path, place: Place) -> Iterator[Run | Refused]:
    """Read the conversation of a directory."""
    folder = path if path.name == "events" else path / "events"
    events = []
    for file in sorted(folder.glob("event-*.json")):
        # A file that is being written: the conversation goes on.
        with suppress(ValueError):
            events.append(decoded(file.read_bytes()))
    state: Any = {}
    with suppress(OSError, ValueError):
        state = decoded((folder.parent / "base_state.json").read_bytes())
    yield from _new_run(values.objects(events), {"id": folder.parent.name, **values.fields(state)}, place)


# --- version 0 -----------------------------------------------------------------------------------------------------


def _old_run(events: list[dict[str, Any]], frame: dict[str, Any], place: Place) -> Run:
    reading = _Old(place)
    for event in events:
        reading.read(event)
    builder, options = reading.builder, place.options
    steps = builder.steps()
    ending = outcomes.ending_of({key: value for key, value in frame.items() if key != "history"}, options)
    if not ending.outcome and reading.rejected:
        ending = Ending("abstained", "told", reading.verdict, None, "reject")
    task = values.string(frame.get("instruction")) or reading.task
    if not (task or steps):
        raise RecordError("neither a task nor an action in it")
    instance = frame.get("instance_id")
    metadata = values.fields(frame.get("metadata"))
    known = {"id": str(values.required(frame, options.id, "--id"))} if options.id else {}
    return Run(
        task=task,
        start_time=builder.start_time,
        end_time=builder.end_time,
        format=_NAME,
        agent=options.agent or reading.agent or values.string(metadata.get("agent_class")) or _NAME,
        model=reading.model or values.string(values.lookup(metadata, "llm_config.model")),
        cost=reading.cost or values.amount(values.lookup(frame, "metrics.accumulated_cost")),
        usage=reading.total,
        options=known,
        attributes={semconv.SOURCE_ID: str(instance), "instance_id": str(instance)} if instance else {},
        steps=steps,
        model_calls=builder.model_calls(),
        times_made_up=builder.made_up,
        **{
            **ending.fields(),
            "verdict": ending.verdict or reading.verdict,
            "ended_how": ending.how or reading.ended_how,
        },
    )


class _Old:
    """Goes through the events of a conversation of version 0."""

    def __init__(self, place: Place) -> None:
        self.builder = RunBuilder(place.fallback_time)
        self.task = self.agent = self.model = self.ended_how = self.verdict = ""
        self.total, self.rejected = NO_USAGE, False
        self.cost: float | None = None
        self._before = place.fallback_time

    def read(self, event: dict[str, Any]) -> None:
        before = self.builder.now
        time = values.nanoseconds(event.get("timestamp"))
        self.builder.tell_time(time)
        if "observation" in event:
            self._observation(event, time)
            return
        action, arguments = values.string(event.get("action")), values.fields(event.get("args"))
        if action == "system":
            self.agent = values.string(arguments.get("agent_class"))
        elif action == "message" and event.get("source") == "user":
            self.task = self.task or values.string(arguments.get("content")) or values.string(event.get("message"))
        if event.get("source") != "agent":
            return
        self._tokens(event, before)
        if action and action not in _NO_STEPS:
            self._action(event, action, arguments, time)

    def _tokens(self, event: dict[str, Any], before: int) -> None:
        """Take what the running totals have grown by: the model call that asked for this action."""
        metrics = values.fields(event.get("llm_metrics"))
        total = values.usage_of(values.fields(metrics.get("accumulated_token_usage")))
        answered = values.fields(values.lookup(event, "tool_call_metadata.model_response"))
        self.model = self.model or values.string(answered.get("model"))
        if not total or total == self.total:
            return
        cost = values.amount(metrics.get("accumulated_cost"))
        own = (cost or 0) - (self.cost or 0)
        self.builder.model_call(
            ModelCall(
                before, self.builder.now, model=self.model, usage=total - self.total, cost=own if own > 0 else None
            )
        )
        self.total, self.cost = total, cost or self.cost

    def _action(self, event: dict[str, Any], action: str, arguments: dict[str, Any], time: int | None) -> None:
        metadata = values.fields(event.get("tool_call_metadata"))
        tool = values.string(metadata.get("function_name")) or action
        kept = {key: value for key, value in arguments.items() if key not in _ABOUT and value not in (None, "", {}, [])}
        self.builder.call(tool, kept or "", call_id=str(event.get("id", "")), time=time)
        if action in ("finish", "reject"):
            self.ended_how, self.rejected = action, action == "reject"
            self.verdict = values.string(arguments.get("final_thought")) or values.string(arguments.get("reason"))
            self.builder.answer(None, call_id=str(event.get("id", "")), success=True, time=None)

    def _observation(self, event: dict[str, Any], time: int | None) -> None:
        kind, extras = event.get("observation"), values.fields(event.get("extras"))
        if kind == "agent_state_changed":
            self.ended_how = self.ended_how or values.string(extras.get("agent_state"))
            return
        cause = str(event.get("cause", ""))
        if self.builder.waiting(cause) is None or not self.builder.is_known(cause):
            return
        text = values.text_of(event.get("content"))
        code = values.lookup(extras, "metadata.exit_code")
        code = extras.get("exit_code") if code is None else code
        if kind == "error":
            success = False
        elif isinstance(code, int) and code >= 0:
            success = code == 0
        elif isinstance(event.get("success"), bool):
            success = event["success"]
        else:
            success = not (extras.get("error") or says_failure(text))
        error_type = values.string(extras.get("error_id")) if kind == "error" else ""
        rejected = kind == "user_rejected"
        self.builder.answer(
            text, call_id=cause, success=success and not rejected, time=time,
            error_type="rejected" if rejected else error_type,
        )  # fmt: skip


# --- version 1 -----------------------------------------------------------------------------------------------------


def _new_run(events: list[dict[str, Any]], state: dict[str, Any], place: Place) -> Iterator[Run | Refused]:
    builder, said = RunBuilder(place.fallback_time), Said()
    state = {**_state_in(events), **state}
    for number, event in enumerate(events, start=1):
        try:
            _new_event(event, builder, said)
        except ODD as error:
            yield Refused(number, f"event {number} is not in the form it seems to have: {said_of(error)}")
    steps = builder.steps()
    if not (said.task or steps or said.turns):
        raise RecordError("neither a task nor an action in this conversation")
    metrics = [values.fields(one) for one in values.fields(values.lookup(state, "stats.usage_to_metrics")).values()]
    used = (values.usage_of(values.fields(one.get("accumulated_token_usage"))) for one in metrics)
    usage: Usage = sum(used, NO_USAGE)
    cost = sum(values.amount(one.get("accumulated_cost")) or 0 for one in metrics)
    status = values.string(state.get(_STATUS)) or values.string(state.get("agent_status"))
    failed = status in ("error", "stuck") if status else bool(said.how)
    yield Run(
        task=said.task,
        start_time=builder.start_time,
        end_time=builder.end_time,
        id=values.string(state.get("id")),
        format=_NAME,
        agent=place.options.agent or _NAME,
        model=values.string(values.lookup(state, "agent.llm.model")) or builder.first_model(),
        outcome="failure" if failed else "",
        outcome_source="exception" if failed else "",
        verdict=said.how or status if failed else "",
        ended_how=status or said.how,
        cost=cost or None,
        usage=usage or builder.usage,
        options={"conversation_id": state["id"]} if isinstance(state.get("id"), str) else {},
        steps=steps,
        model_calls=builder.model_calls(),
        prompts=tuple(said.prompts),
        times_made_up=builder.made_up,
    )


def _state_in(events: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the last that events say of the conversation's state."""
    state: dict[str, Any] = {}
    for event in events:
        if event.get("kind") == "ConversationStateUpdateEvent":
            key, value = event.get("key"), event.get("value")
            state |= values.fields(value) if key == _FULL_STATE else {key: value} if key in (_STATUS, "stats") else {}
    return state


def _acp_call(event: dict[str, Any], builder: RunBuilder, time: int | None) -> None:
    """Take a call that another agent made, which answers in the same event or in a later one with its id."""
    call_id, status = values.string(event.get("tool_call_id")), event.get("status")
    builder.call(
        values.string(event.get("title")) or "unknown", event.get("raw_input") or "", call_id=call_id, time=time
    )
    if status in ("completed", "failed"):
        given = event.get("raw_output") or event.get("content")
        success = status == "completed" and event.get("is_error") is not True
        builder.answer(values.text_of(given), call_id=call_id, success=success, time=time)


def _new_event(event: dict[str, Any], builder: RunBuilder, said: Said) -> None:
    kind, before = event.get("kind"), builder.now
    time = values.nanoseconds(event.get("timestamp"))
    builder.tell_time(time)
    call_id = values.string(event.get("tool_call_id")) or values.string(event.get("action_id"))
    if kind == "MessageEvent":
        message = values.fields(event.get("llm_message"))
        if message.get("role") == "user":
            said.how = ""
            said.user(values.text_of(message.get("content")), builder.now)
        else:
            said.turns += 1
    elif kind == "ActionEvent":
        asked = values.string(event.get("llm_response_id"))
        if asked:
            builder.model_call(ModelCall(before, builder.now, id=asked))
        action = {key: value for key, value in values.fields(event.get("action")).items() if key != "kind"}
        arguments = arguments_of(values.lookup(event, "tool_call.arguments")) or action
        builder.call(values.string(event.get("tool_name")), arguments, call_id=call_id, time=time)
    elif kind == "ObservationEvent":
        _new_observation(event, builder, call_id, time)
    elif kind == "AgentErrorEvent":
        tool = values.string(event.get("tool_name"))
        builder.answer(
            values.text_of(event.get("error")),
            call_id=call_id,
            tool=tool,
            success=False,
            time=time,
            error_type=str(kind),
        )
    elif kind == "UserRejectObservation":
        reason = values.text_of(event.get("rejection_reason"))
        builder.answer(reason, call_id=call_id, success=False, time=time, error_type="rejected")
    elif kind == "ACPToolCallEvent":
        _acp_call(event, builder, time)
    elif kind == "ConversationErrorEvent":
        told = (values.string(event.get(name)) for name in ("code", "detail"))
        said.how = ": ".join(filter(None, told)) or str(kind)


def _new_observation(event: dict[str, Any], builder: RunBuilder, call_id: str, time: int | None) -> None:
    observation = values.fields(event.get("observation"))
    content = observation.get("content", observation.get("output"))
    code = observation.get("exit_code", values.lookup(observation, "metadata.exit_code"))
    if isinstance(code, int) and code >= 0:
        success = code == 0
    else:
        success = observation.get("is_error") is not True and observation.get("error") in (None, "", False)
    timed_out = observation.get("timeout") is True
    builder.answer(
        values.text_of(content), call_id=call_id, tool=values.string(event.get("tool_name")),
        success=success and not timed_out, time=time, error_type="timeout" if timed_out else "",
    )  # fmt: skip


READER: Final = Reader(
    _NAME,
    is_record=is_record,
    record=read,
    is_session=_is_new_event,
    session=session,
    is_directory=is_directory,
    directory=directory,
    homes=(".openhands/conversations", ".openhands/sessions"),
)
