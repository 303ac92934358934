"""LangChain's messages, as its models dump them, as ``messages_to_dict`` writes them, or serialised (``lc``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_episodes_clickhouse.importers import values
from otel_episodes_clickhouse.importers.failures import succeeded
from otel_episodes_clickhouse.importers.readers.chat import call_of
from otel_episodes_clickhouse.importers.transcripts import Dialect, Said, answered, arguments_of

if TYPE_CHECKING:
    from otel_episodes_clickhouse.importers.builder import RunBuilder

_KINDS: Final = {
    "human": "human", "ai": "ai", "tool": "tool", "system": "system", "function": "tool", "HumanMessage": "human",
    "AIMessage": "ai", "AIMessageChunk": "ai", "ToolMessage": "tool", "SystemMessage": "system",
    "FunctionMessage": "tool", "HumanMessageChunk": "human", "ToolMessageChunk": "tool",
}  # fmt: skip


def _unwrapped(message: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the kind of a message and its fields; an empty kind for what is none."""
    if message.get("lc") and isinstance(message.get("kwargs"), dict):
        names = message.get("id")
        return _KINDS.get(str(names[-1]), "") if isinstance(names, list) and names else "", message["kwargs"]
    if "role" in message:
        return "", {}
    kind = _KINDS.get(str(message.get("type")), "")
    data = message.get("data")
    return (kind, data) if isinstance(data, dict) else (kind, message) if "content" in message else ("", {})


def is_message(message: dict[str, Any]) -> bool:
    """Return True for a message of a kind that LangChain has, without a role."""
    return _unwrapped(message)[0] in ("human", "ai", "tool")


def feed(messages: list[Any], builder: RunBuilder, said: Said) -> None:
    """Read messages in their order."""
    for message in messages:
        kind, fields = _unwrapped(message)
        before, time = builder.now, values.time_of(fields)
        builder.tell_time(time)
        text = values.text_of(fields.get("content"))
        if kind == "human":
            said.user(text)
        elif kind == "ai":
            said.turns += 1
            answered(builder, fields, before=before, time=time)
            calls = fields.get("tool_calls") or values.lookup(fields, "additional_kwargs.tool_calls")
            for call in values.objects(calls):
                name, arguments = call_of(call)
                builder.call(name, arguments_of(arguments), call_id=values.string(call.get("id")), time=time)
        elif kind == "tool":
            builder.answer(
                text, call_id=values.string(fields.get("tool_call_id")), tool=values.string(fields.get("name")),
                success=succeeded(fields, text), time=time,
            )  # fmt: skip


READER: Final = Dialect("langchain", is_message, feed).reader()
