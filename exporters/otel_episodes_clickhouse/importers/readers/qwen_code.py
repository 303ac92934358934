"""Qwen Code's sessions (``~/.qwen/projects/*/chats``): the frame of Claude Code's lines, the parts of Gemini's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_episodes_clickhouse.importers import parts, values
from otel_episodes_clickhouse.importers.builder import RunBuilder
from otel_episodes_clickhouse.importers.folders import domain_of
from otel_episodes_clickhouse.importers.reading import Place, Reader, Refused, each
from otel_episodes_clickhouse.importers.run import ModelCall, RecordError, Run
from otel_episodes_clickhouse.importers.transcripts import Said

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_episodes_clickhouse.importers.documents import Record

_NAME: Final = "qwen-code"


def is_session(record: Any) -> bool:
    """Return True for a line of Qwen Code: the frame of Claude Code's around the parts of Gemini's."""
    if not isinstance(record, dict) or not isinstance(record.get("sessionId"), str):
        return False
    return isinstance(values.fields(record.get("message")).get("parts"), list)


def session(records: Iterator[Record], place: Place) -> Iterator[Run | Refused]:
    """Read one session."""
    builder, said = RunBuilder(place.fallback_time), Said()
    about: dict[str, Any] = {}
    seen: set[str] = set()

    def take(record: Record) -> None:
        line = values.fields(record.value)
        uuid = values.string(line.get("uuid"))
        if uuid in seen:
            return
        seen.update(filter(None, (uuid,)))
        for name in ("sessionId", "cwd", "version", "gitBranch"):
            about.setdefault(name, line.get(name))
        _line(line, builder, said)

    yield from each(records, take)
    steps, session_id = builder.steps(), values.string(about.get("sessionId"))
    if not (said.task or steps or said.turns):
        raise RecordError("no prompt, no call and no answer in this session")
    found = {
        "qwen_code.cwd": about.get("cwd"), "qwen_code.git_branch": about.get("gitBranch"),
        "gen_ai.agent.version": about.get("version"),
    }  # fmt: skip
    domain = domain_of(values.string(about.get("cwd")))
    yield Run(
        task=said.task,
        start_time=builder.start_time,
        end_time=builder.end_time,
        id=session_id,
        format=_NAME,
        agent=place.options.agent or _NAME,
        model=builder.first_model(),
        usage=builder.usage,
        options={"conversation_id": session_id, **({"domain": domain} if domain else {})},
        attributes={key: value for key, value in found.items() if isinstance(value, str) and value},
        steps=steps,
        model_calls=builder.model_calls(),
        prompts=tuple(said.prompts),
        times_made_up=builder.made_up,
    )


def _line(line: dict[str, Any], builder: RunBuilder, said: Said) -> None:
    before, time = builder.now, values.nanoseconds(line.get("timestamp"))
    builder.tell_time(time)
    message, kind = values.fields(line.get("message")), line.get("type")
    if kind == "assistant":
        said.turns += 1
        builder.model_call(
            ModelCall(
                before if time is not None else builder.now, builder.now, id=values.string(line.get("uuid")),
                model=values.string(line.get("model")), provider="qwen", usage=values.usage_in(line),
            )
        )  # fmt: skip
        parts.read(message, builder, time)
    elif kind == "tool_result":
        told = values.fields(line.get("toolCallResult"))
        parts.read(message, builder, time)
        call_id = values.string(told.get("callId"))
        if told.get("status") in ("error", "cancelled"):
            kinds = {"error_type": "cancelled"} if told["status"] == "cancelled" else {}
            builder.change(call_id, success=False, **kinds)
        elif told.get("status") == "success":
            step = builder.step(call_id)
            failed = step is not None and parts.command_failed(step.tool, step.observation or "")
            builder.change(call_id, success=not failed)
    elif kind == "user":
        said.user(parts.text_of(message), builder.now)


READER: Final = Reader(
    _NAME, is_session=is_session, session=session, homes=(".qwen/projects/*/chats", ".qwen/tmp/*/chats")
)
