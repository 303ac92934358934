"""Anthropic's Messages API: content blocks, calls as ``tool_use``, answers as blocks of the user's next message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_episodes_clickhouse.importers import blocks, values
from otel_episodes_clickhouse.importers.transcripts import Dialect, Said, answered

if TYPE_CHECKING:
    from otel_episodes_clickhouse.importers.builder import RunBuilder

_OWN_BLOCKS: Final = frozenset(("thinking", "redacted_thinking", "tool_result", *blocks.CALLS))


def is_message(message: dict[str, Any]) -> bool:
    """Return True for a message with a block that only this API has."""
    content = message.get("content")
    return (
        "role" in message
        and isinstance(content, list)
        and any(
            isinstance(block, dict) and (block.get("type") in _OWN_BLOCKS or blocks.is_result(block))
            for block in content
        )
    )


def feed(messages: list[Any], builder: RunBuilder, said: Said) -> None:
    """Read messages in their order."""
    for message in messages:
        before = builder.now
        time = values.time_of(message)
        builder.tell_time(time)
        content = blocks.of(message)
        if message.get("role") == "assistant":
            said.turns += 1
            answered(builder, message, before=before, time=time)
            blocks.read_calls(content, builder, time)
            continue
        for block in content:
            if blocks.is_result(block):
                builder.answer(**blocks.answer(block), time=time)
        if message.get("role") == "user" and not any(map(blocks.is_result, content)):
            said.user(values.text_of(message.get("content")))


DIALECT: Final = Dialect("anthropic", is_message, feed)
READER: Final = DIALECT.reader()
