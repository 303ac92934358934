"""mini-swe-agent's trajectories: a list of messages, the commands in fences or in ``extra.actions``.

An exit status of "Submitted" says that the agent took itself to be done, not that it was: no outcome. Whether the patch
is right stands in the benchmark's report.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from otel_episodes import semconv
from otel_episodes_clickhouse.importers import outcomes, values
from otel_episodes_clickhouse.importers.builder import RunBuilder
from otel_episodes_clickhouse.importers.failures import exit_code_in
from otel_episodes_clickhouse.importers.reading import Place, Reader
from otel_episodes_clickhouse.importers.run import RecordError, Run
from otel_episodes_clickhouse.importers.transcripts import Said, answered

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME: Final = "mini-swe-agent"
_FENCE: Final = re.compile(r"```(?:bash|mswea_bash_command)\s*\n(.*?)\n?```", re.DOTALL)
_RETURNCODE: Final = re.compile(r"\s*<returncode>")
_TIMED_OUT: Final = re.compile(r"timed out", re.IGNORECASE)


def is_record(record: Any) -> bool:
    """Return True for a trajectory of any version: it names its format, lists actions, or has fences and codes."""
    if isinstance(record, dict) and str(record.get("trajectory_format", "")).startswith(_NAME):
        return True
    messages = values.objects(_messages(record))
    if any(isinstance(values.lookup(message, "extra.actions"), list) for message in messages):
        return True
    texts = [values.text_of(message.get("content")) for message in messages[:10] if "role" in message]
    return any(map(_FENCE.search, texts)) and any(map(_RETURNCODE.match, texts))


def _messages(record: Any) -> Any:
    return record.get("messages") if isinstance(record, dict) else record


def read(record: Any, place: Place) -> Iterator[Run]:
    """Read one trajectory."""
    messages = values.objects(_messages(record))
    frame = record if isinstance(record, dict) else {}
    info = values.fields(frame.get("info"))
    builder, said = RunBuilder(place.fallback_time), Said()
    first = next((time for message in messages if (time := values.time_of(message)) is not None), None)
    builder.now = first or builder.now
    for message in messages:
        _message(message, builder, said)
    steps = builder.steps()
    if not (said.task or steps or said.turns):
        raise RecordError("neither a task nor a call nor an answer of an assistant in it")
    how = values.string(info.get("exit_status")) or said.how
    ending = outcomes.ending_of({**frame, "info": {**info, "exit_status": how}}, place.options)
    instance = values.string(frame.get("instance_id")) or (
        place.source.path.name.partition(".")[0] if place.source.path is not None and isinstance(record, dict) else ""
    )
    model = values.string(values.lookup(info, "config.model.model_name")) or said.model or builder.first_model()
    attributes = {
        semconv.SOURCE_ID: instance,
        "gen_ai.agent.version": info.get("mini_version"),
        "instance_id": frame.get("instance_id"),
    }
    yield Run(
        task=said.task,
        start_time=builder.start_time,
        end_time=builder.end_time,
        format=_NAME,
        agent=place.options.agent or _NAME,
        model=model,
        cost=values.amount(values.lookup(info, "model_stats.instance_cost")),
        usage=builder.usage,
        options={"id": str(values.required(frame, place.options.id, "--id"))} if place.options.id else {},
        attributes={key: value for key, value in attributes.items() if isinstance(value, str) and value},
        steps=steps,
        model_calls=builder.model_calls(),
        times_made_up=builder.made_up,
        **ending.fields(),
    )


def _message(message: dict[str, Any], builder: RunBuilder, said: Said) -> None:
    before, time = builder.now, values.time_of(message)
    builder.tell_time(time)
    role, extra = message.get("role"), values.fields(message.get("extra"))
    text = values.text_of(message.get("content"))
    if role == "exit":
        said.how = values.string(extra.get("exit_status"))
    elif role == "assistant" or isinstance(extra.get("actions"), list):
        said.turns += 1
        answered(builder, message, before=before, time=time)
        for call_id, command in _actions(extra, text):
            builder.call("bash", {"command": command}, call_id=call_id, time=time)
    elif role in ("tool", "user") or "returncode" in extra:
        _observation(message, extra, text, builder, said, time)


def _actions(extra: dict[str, Any], text: str) -> list[tuple[str, str]]:
    actions = extra.get("actions")
    if isinstance(actions, list):
        return [
            (values.string(action.get("tool_call_id")), values.string(action.get("command")))
            for action in values.objects(actions)
        ]
    commands = _FENCE.findall(text)
    return [("", commands[0])] if len(commands) == 1 else []


def _observation(
    message: dict[str, Any], extra: dict[str, Any], text: str, builder: RunBuilder, said: Said, time: int | None
) -> None:
    call_id = values.string(message.get("tool_call_id")) or values.string(message.get("call_id"))
    code = extra.get("returncode")
    if not isinstance(code, int):
        code = exit_code_in(text)
    if builder.waiting(call_id) is None or (code is None and not call_id and not _TIMED_OUT.search(text)):
        if message.get("role") == "user":
            said.user(text)
        return
    broken = extra.get("exception_info") or code is None
    kind = values.string(extra.get("interrupt_type")) or (
        "timeout" if _TIMED_OUT.search(text[:2000]) and broken else ""
    )
    output = values.string(extra.get("raw_output")) or text
    builder.answer(output, call_id=call_id, success=code == 0 and not broken, time=time, error_type=kind)


READER: Final = Reader(_NAME, is_record=is_record, record=read)
