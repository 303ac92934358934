"""ShareGPT's conversations: turns of ``from`` and ``value``, calls in turns of their own or in Hermes' tags."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from otel_episodes_clickhouse.importers import values
from otel_episodes_clickhouse.importers.failures import flagged, says_failure
from otel_episodes_clickhouse.importers.transcripts import Dialect, Said, arguments_of, compact

if TYPE_CHECKING:
    from otel_episodes_clickhouse.importers.builder import RunBuilder

_USERS: Final = ("human", "user")
_ASSISTANTS: Final = ("gpt", "assistant", "model", "chatgpt", "bot", "bing", "bard", "ai")
_CALLS: Final = ("function_call", "tool_call", "function-call")
_ANSWERS: Final = ("observation", "tool", "function_response", "tool_response", "function-response", "ipython")
_FROM: Final = frozenset((*_USERS, *_ASSISTANTS, *_CALLS, *_ANSWERS, "system"))
_CALL_TAG: Final = re.compile(r"<tool_call>\s*(.*?)\s*</tool_call>", re.DOTALL)
_ANSWER_TAG: Final = re.compile(r"<tool_response>\s*(.*?)\s*</tool_response>", re.DOTALL)


def is_message(message: dict[str, Any]) -> bool:
    """Return True for a turn that says who it is from."""
    return message.get("from") in _FROM and "value" in message


def feed(messages: list[Any], builder: RunBuilder, said: Said) -> None:
    """Read turns in their order."""
    for message in messages:
        time = values.time_of(message)
        builder.tell_time(time)
        speaker, text = message.get("from"), values.text_of(message.get("value"))
        if speaker in _CALLS:
            builder.give_up_without_id()
            _call(text, builder, time)
        elif speaker in _ANSWERS:
            for one in _ANSWER_TAG.findall(text) or [text]:
                _answer(one, builder, time)
        elif speaker in _ASSISTANTS:
            said.turns += 1
            _tagged_calls(text, builder, time)
        elif speaker in _USERS:
            answers = _ANSWER_TAG.findall(text)
            for one in answers:
                _answer(one, builder, time)
            if not answers:
                said.user(text)


def _tagged_calls(text: str, builder: RunBuilder, time: int | None) -> None:
    calls = _CALL_TAG.findall(text)
    if calls:
        builder.give_up_without_id()
    for call in calls:
        _call(call, builder, time)


def _call(text: str, builder: RunBuilder, time: int | None) -> None:
    found = arguments_of(text)
    for call in found if isinstance(found, list) else [found]:
        fields = values.fields(call)
        name = values.string(fields.get("name"))
        given = next(
            (fields[key] for key in ("arguments", "parameters", "args") if fields.get(key)), "" if name else text
        )
        builder.call(name or "unknown", arguments_of(given), call_id=values.string(fields.get("id")), time=time)


def _answer(text: str, builder: RunBuilder, time: int | None) -> None:
    fields = values.fields(arguments_of(text))
    told = flagged(fields)
    content = fields.get("content") if "content" in fields and "name" in fields else None
    shown = text if content is None else compact(content)
    success = not says_failure(shown) if told is None else told
    builder.answer(shown, tool=values.string(fields.get("name")), success=success, time=time)


READER: Final = Dialect("sharegpt", is_message, feed).reader()
