"""OpenAI-style transcripts: messages with tool calls, and the tools' answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_episodes_clickhouse.importers import values
from otel_episodes_clickhouse.importers.failures import succeeded
from otel_episodes_clickhouse.importers.run import RecordError
from otel_episodes_clickhouse.importers.transcripts import Dialect, Said, answered, arguments_of

if TYPE_CHECKING:
    from otel_episodes_clickhouse.importers.builder import RunBuilder

_TOOL_ROLES: Final = ("tool", "function", "tool_response", "observation")
_USER_ROLES: Final = ("user", "human")
_ASSISTANT_ROLES: Final = ("assistant", "ai", "model", "agent", "bot")
_ROLES: Final = frozenset((*_TOOL_ROLES, *_USER_ROLES, *_ASSISTANT_ROLES, "system", "developer", "exit"))


def is_message(message: dict[str, Any]) -> bool:
    """Return True for a message with a role that messages have."""
    return message.get("role") in _ROLES


def feed(messages: list[Any], builder: RunBuilder, said: Said) -> None:
    """Read messages in their order."""
    for message in messages:
        before = builder.now
        time = values.time_of(message)
        builder.tell_time(time)
        role = message.get("role")
        if role in _TOOL_ROLES:
            _answer(message, builder, time)
            continue
        if role in _USER_ROLES:
            said.user(values.text_of(message.get("content")))
        elif role in _ASSISTANT_ROLES:
            said.turns += 1
            answered(builder, message, before=before, time=time)
        if role in _ASSISTANT_ROLES or message.get("tool_calls"):
            # A simulated user has tools too.
            _calls(message, builder, time, by="user" if role in _USER_ROLES else "")


def _calls(message: dict[str, Any], builder: RunBuilder, time: int | None, *, by: str = "") -> None:
    calls = message.get("tool_calls") or []
    if isinstance(message.get("function_call"), dict):
        calls = [{"function": message["function_call"]}]
    if not isinstance(calls, list):
        raise RecordError("tool_calls is not a list")
    if calls:
        builder.give_up_without_id()
    for call in calls:
        name, arguments = call_of(call)
        attributes = {"episode.step.by": by} if by else {}
        builder.call(name, arguments_of(arguments), call_id=values.string(call.get("id")), time=time, **attributes)


def call_of(call: Any) -> tuple[str, Any]:
    """Return the name and the arguments of a call: ``function`` is an object, or the name, or missing."""
    if not isinstance(call, dict):
        raise RecordError("a tool call without a function name")
    function = call.get("function", call)
    if isinstance(function, str):
        function = {"name": function, "arguments": call.get("arguments")}
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise RecordError("a tool call without a function name")
    for name in ("arguments", "args", "input", "parameters"):
        for fields in (function, call):
            if fields.get(name) is not None:
                return function["name"], fields[name]
    return function["name"], ""


def _answer(message: dict[str, Any], builder: RunBuilder, time: int | None) -> None:
    identifier = values.string(message.get("tool_call_id"))
    if not identifier and builder.is_known(values.string(message.get("id"))):
        identifier = message["id"]
    text = values.text_of(message.get("content"))
    error = message.get("error")
    if not text and error and not isinstance(error, bool):
        text = error if isinstance(error, str) else values.string(error.get("message")) or values.text_of(error)
    kind = values.string(error.get("type")) if isinstance(error, dict) else ""
    name = values.string(message.get("name")) or values.string(message.get("function"))
    builder.answer(text, call_id=identifier, tool=name, success=succeeded(message, text), time=time, error_type=kind)


DIALECT: Final = Dialect("chat", is_message, feed)
READER: Final = DIALECT.reader()
