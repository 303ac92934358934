"""Messages of Vercel's AI SDK: of its user interface (parts with types), of its models, and the older invocations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_episodes_clickhouse.importers import values
from otel_episodes_clickhouse.importers.failures import flagged, says_failure
from otel_episodes_clickhouse.importers.transcripts import Dialect, Said, answered, arguments_of, compact

if TYPE_CHECKING:
    from otel_episodes_clickhouse.importers.builder import RunBuilder

_OUTPUTS: Final = ("output", "result")
_ANSWERED: Final = frozenset(("output-available", "output-error", "output-denied", "output-redacted", "result"))


def _parts(message: dict[str, Any]) -> list[dict[str, Any]]:
    parts = values.objects(message.get("parts")) or values.objects(message.get("content"))
    return parts + [
        {"type": "tool-invocation", "toolInvocation": one} for one in values.objects(message.get("toolInvocations"))
    ]


def _is_tool(part: dict[str, Any]) -> bool:
    if "toolCallId" in part or isinstance(part.get("toolInvocation"), dict):
        return True
    # Some writers leave the id out, or call it otherwise.
    kind = values.string(part.get("type"))
    return "state" in part and (kind == "dynamic-tool" or kind.startswith("tool-"))


def is_message(message: dict[str, Any]) -> bool:
    """Return True for a message with typed parts, or a part with a call in it."""
    if "role" not in message:
        return False
    typed = any("type" in part for part in values.objects(message.get("parts")))
    return typed or any(map(_is_tool, _parts(message)))


def feed(messages: list[Any], builder: RunBuilder, said: Said) -> None:
    """Read messages in their order."""
    for message in messages:
        before, time = builder.now, values.time_of(message)
        builder.tell_time(time)
        parts, role = _parts(message), message.get("role")
        if role == "assistant":
            said.turns += 1
            answered(builder, {**message, **values.fields(message.get("metadata"))}, before=before, time=time)
        elif role == "user":
            texts = [values.string(part.get("text")) for part in parts if part.get("type") == "text"]
            said.user("\n".join(texts) or values.text_of(message.get("content")))
        for part in parts:
            if _is_tool(part):
                _tool(values.fields(part.get("toolInvocation")) or part, builder, time)


def _tool(part: dict[str, Any], builder: RunBuilder, time: int | None) -> None:
    call_id, kind = values.string(part.get("toolCallId") or part.get("id")), values.string(part.get("type"))
    name = values.string(part.get("toolName")) or kind.removeprefix("tool-")
    if kind != "tool-result":
        given = next((part[key] for key in ("input", "args", "rawInput") if part.get(key)), "")
        builder.call(name, arguments_of(given), call_id=call_id, time=time)
        if part.get("state") not in _ANSWERED:
            return
    output: Any = next((part[key] for key in _OUTPUTS if part.get(key) is not None), None)
    state = values.string(part.get("state"))
    if isinstance(output, dict) and set(output) == {"type", "value"}:
        # Of a model's message: {"type": "error-text", "value": ...}.
        state, output = "output-error" if str(output["type"]).startswith("error") else state, output["value"]
    error = values.string(part.get("errorText"))
    text = error or ("" if output is None else compact(output))
    told = flagged(output) if isinstance(output, dict) else None
    failed = bool(error) or state in ("output-error", "output-denied") or part.get("isError") is True
    success = not failed and (not says_failure(text) if told is None else told)
    builder.answer(
        text, call_id=call_id, success=success, time=time if kind == "tool-result" else None,
        error_type="rejected" if state == "output-denied" else "",
    )  # fmt: skip


READER: Final = Dialect("vercel", is_message, feed).reader()
