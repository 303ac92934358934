"""The parts of Gemini's contents: one reader for the API's transcripts and for Qwen Code's sessions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from otel_episodes_clickhouse.importers import values
from otel_episodes_clickhouse.importers.failures import flagged, says_failure
from otel_episodes_clickhouse.importers.transcripts import compact

if TYPE_CHECKING:
    from otel_episodes_clickhouse.importers.builder import RunBuilder

_SHELL: Final = "run_shell_command"
_EXIT_CODE: Final = re.compile(r"^Exit Code: (-?\d+)$", re.MULTILINE)
_CODE_WITHIN: Final = 400


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


def command_failed(tool: Any, answer: str) -> bool:
    """Return True for a command whose answer tells a code other than 0; "success" says only that the tool ran."""
    code = _EXIT_CODE.search(answer[-_CODE_WITHIN:]) if tool == _SHELL else None
    return code is not None and code[1] != "0"


def answer(response: Any) -> dict[str, Any]:
    """Return what a function's response says of its call, as `RunBuilder.answer` takes it."""
    fields = values.fields(response)
    given = next((fields[name] for name in ("output", "result", "error") if fields.get(name)), response)
    text = compact(given if given is not None else "")
    told = flagged(fields)
    return {"observation": text, "success": not says_failure(text) if told is None else told}
