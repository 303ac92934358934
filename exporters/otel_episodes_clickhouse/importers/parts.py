"""The parts of Gemini's contents: one reader for the API's transcripts and for Qwen Code's sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_episodes_clickhouse.importers import values
from otel_episodes_clickhouse.importers.failures import flagged, says_failure
from otel_episodes_clickhouse.importers.transcripts import compact

if TYPE_CHECKING:
    from otel_episodes_clickhouse.importers.builder import RunBuilder


def of(message: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the parts of a content."""
    return values.objects(message.get("parts"))


def call_in(part: dict[str, Any]) -> dict[str, Any]:
    """Return the call in a part, and an empty object where there is none."""
    return values.fields(part.get("functionCall") or part.get("function_call"))


def response_in(part: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to a call in a part, and an empty object where there is none."""
    return values.fields(part.get("functionResponse") or part.get("function_response"))


def text_of(message: dict[str, Any]) -> str:
    """Return what was said in a content, thoughts left out."""
    return "\n".join(
        values.string(part.get("text")) for part in of(message) if part.get("text") and not part.get("thought")
    )


def read(message: dict[str, Any], builder: RunBuilder, time: int | None) -> None:
    """Take the calls and answers in a content, in their order."""
    for part in of(message):
        call, response = call_in(part), response_in(part)
        if call:
            builder.call(
                values.string(call.get("name")),
                call.get("args") or "",
                call_id=values.string(call.get("id")),
                time=time,
            )
        elif response:
            builder.answer(
                call_id=values.string(response.get("id")), tool=values.string(response.get("name")), time=time,
                **answer(response.get("response")),
            )  # fmt: skip


def answer(response: Any) -> dict[str, Any]:
    """Return what a function's response says of its call, as `RunBuilder.answer` takes it."""
    fields = values.fields(response)
    given = next((fields[name] for name in ("output", "result", "error") if fields.get(name)), response)
    text = compact(given if given is not None else "")
    told = flagged(fields)
    return {"observation": text, "success": not says_failure(text) if told is None else told}
