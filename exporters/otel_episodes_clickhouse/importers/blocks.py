"""The content blocks of Anthropic's messages: one reader for Claude Code's sessions and the Messages API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_episodes_clickhouse.importers import values
from otel_episodes_clickhouse.importers.failures import flagged, says_failure

if TYPE_CHECKING:
    from otel_episodes_clickhouse.importers.builder import RunBuilder

CALLS: Final = frozenset(("tool_use", "server_tool_use", "mcp_tool_use"))
_REJECTED: Final = "The user doesn't want to proceed"
_INTERRUPTED: Final = "[Request interrupted"


def is_result(block: dict[str, Any]) -> bool:
    """Return True for a block that answers a call."""
    return isinstance(block.get("tool_use_id"), str) and str(block.get("type", "")).endswith("tool_result")


def of(message: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the content of a message as blocks."""
    content = message.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return values.objects(content)


def read_calls(blocks: list[dict[str, Any]], builder: RunBuilder, time: int | None, **attributes: Any) -> None:
    """Add the calls in an assistant's message; calls of the server's own tools are answered in the same message."""
    for block in blocks:
        if block.get("type") in CALLS:
            name, server = values.string(block.get("name")), values.string(block.get("server_name"))
            builder.call(
                f"mcp__{server}__{name}" if server else name,
                block.get("input") or "",
                call_id=values.string(block.get("id")),
                time=time,
                **attributes,
            )
        elif is_result(block):
            builder.answer(**answer(block), time=None)


def answer(block: dict[str, Any], *, flags_only: bool = False) -> dict[str, Any]:
    """Return what a block says of its call, as `RunBuilder.answer` takes it.

    ``flags_only``: the writer sets is_error whenever a call failed, so that no text is searched for words.
    """
    content = block.get("content")
    told: bool | None = not block["is_error"] if isinstance(block.get("is_error"), bool) else None
    error_type = ""
    if isinstance(content, dict):
        # Of a server's tool: the result, or {"type": "web_search_tool_result_error", "error_code": ...}.
        if str(content.get("type", "")).endswith("_error"):
            told, error_type = False, values.string(content.get("error_code"))
        elif told is None:
            told = flagged(content)
    text = error_type or values.text_of(content)
    if text.startswith(_REJECTED):
        told, error_type = False, "rejected"
    elif text.startswith(_INTERRUPTED):
        told, error_type = False, "interrupted"
    elif told is None or (told and text.startswith("<tool_use_error>")):
        told = not text.startswith("<tool_use_error>") if flags_only else not says_failure(text)
    return {"call_id": block["tool_use_id"], "observation": text, "success": told, "error_type": error_type}
