"""The items of OpenAI's Responses API: one reader for its transcripts and for Codex's rollouts.

A call and its output are items of their own, matched by ``call_id``; tools that the API runs itself are one item with
the answer in it.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, Final

import orjson

from otel_episodes_clickhouse.importers import values
from otel_episodes_clickhouse.importers.failures import exit_code_in, flagged, says_failure
from otel_episodes_clickhouse.importers.transcripts import Said, arguments_of, compact

if TYPE_CHECKING:
    from otel_episodes_clickhouse.importers.builder import RunBuilder

# Calls that wait for an output item, with the tool's name where the item has none.
_CALLS: Final = {
    "function_call": "", "custom_tool_call": "", "local_shell_call": "shell", "shell_call": "shell",
    "apply_patch_call": "apply_patch", "computer_call": "computer", "tool_search_call": "tool_search",
}  # fmt: skip
_OUTPUTS: Final = frozenset((*(f"{name}_output" for name in _CALLS), "tool_search_output"))
# Calls that the API answers itself, in the same item.
_SELF_ANSWERED: Final = {
    "web_search_call": "web_search", "file_search_call": "file_search", "code_interpreter_call": "code_interpreter",
    "image_generation_call": "image_generation", "mcp_call": "mcp",
}  # fmt: skip
TYPES: Final = frozenset((*_CALLS, *_OUTPUTS, *_SELF_ANSWERED, "reasoning", "compaction", "item_reference"))
# A shell, one of these, and what it runs.
_RUNS: Final = ("-c", "-lc", "-ic")
_WORDS: Final = 3
_FAILED: Final = frozenset(("failed", "incomplete", "cancelled"))


def is_item(item: Any) -> bool:
    """Return True for an item that only this API has."""
    return isinstance(item, dict) and item.get("type") in TYPES and "content_block" not in item


def read(item: dict[str, Any], builder: RunBuilder, said: Said, time: int | None) -> None:
    """Take one item, at its time."""
    kind = item.get("type")
    if kind in _CALLS:
        _call(item, _CALLS[kind], builder, time)
    elif kind in _OUTPUTS:
        builder.answer(**answer(item), time=time)
    elif kind in _SELF_ANSWERED:
        _self_answered(item, _SELF_ANSWERED[kind], builder, time)
    elif item.get("role") == "user":
        said.user(values.text_of(item.get("content")))
    elif item.get("role") == "assistant":
        said.turns += 1


def call_id_of(item: dict[str, Any]) -> str:
    """Return the id by which a call and its output know each other."""
    return values.string(item.get("call_id")) or values.string(item.get("id"))


def _call(item: dict[str, Any], tool: str, builder: RunBuilder, time: int | None) -> None:
    if builder.is_known(call_id_of(item)):
        return  # a history that is sent again with every request
    given = next((item[name] for name in ("arguments", "input", "action", "operation") if item.get(name)), "")
    name = values.string(item.get("name")) or tool
    space = values.string(item.get("namespace"))
    arguments = one_line_command(arguments_of(given))
    builder.call(f"{space}.{name}" if space else name, arguments, call_id=call_id_of(item), time=time)


def one_line_command(arguments: object) -> object:
    """Return arguments in which a command in words is as one types it; of ``bash -lc`` what it runs."""
    command = arguments.get("command") if isinstance(arguments, dict) else None
    if not isinstance(command, list) or not all(isinstance(word, str) for word in command):
        return arguments
    shell = len(command) == _WORDS and command[1] in _RUNS
    return {**values.fields(arguments), "command": command[-1] if shell else shlex.join(command)}


def answer(item: dict[str, Any]) -> dict[str, Any]:
    """Return what an output item says of its call, as `RunBuilder.answer` takes it."""
    output = item.get("output", item.get("tools"))
    told = flagged({key: value for key, value in item.items() if key != "output"})
    duration: int | None = None
    if isinstance(output, str) and output.startswith('{"output"'):
        output, code, duration = _of_shell(output)
        told = told if code is None else code == 0
    elif isinstance(output, list) and any(isinstance(part, dict) and "outcome" in part for part in output):
        codes = [values.lookup(part, "outcome.exit_code") for part in values.objects(output)]
        told = all(code == 0 for code in codes)
        output = "\n".join(f"{part.get('stdout', '')}{part.get('stderr', '')}" for part in values.objects(output))
    elif isinstance(output, dict) and told is None:
        told = flagged(output)
    text = (
        output if isinstance(output, str) else values.text_of(output) if isinstance(output, list) else compact(output)
    )
    if told is None:
        code = exit_code_in(text)
        told = not says_failure(text) if code is None else code == 0
    found: dict[str, Any] = {"call_id": call_id_of(item), "observation": text, "success": told}
    if duration is not None:
        found["told_duration"] = duration
    return found


def _of_shell(output: str) -> tuple[str, int | None, int | None]:
    """Return text, exit code and duration of an output in JSON that older agents write."""
    try:
        decoded = orjson.loads(output)
    except ValueError:
        return output, None, None
    about = decoded.get("metadata") if isinstance(decoded, dict) else None
    if not isinstance(about, dict):
        return output, None, None
    code, seconds = about.get("exit_code"), about.get("duration_seconds")
    duration = round(seconds * 1e9) if isinstance(seconds, (int, float)) else None
    return values.text_of(decoded.get("output")), code if isinstance(code, int) else None, duration


def _self_answered(item: dict[str, Any], tool: str, builder: RunBuilder, time: int | None) -> None:
    identifier = values.string(item.get("id")) or values.string(item.get("call_id"))
    if builder.is_known(identifier):
        return
    if item["type"] == "mcp_call":
        tool = "__".join(
            filter(None, ("mcp", values.string(item.get("server_label")), values.string(item.get("name"))))
        )
    given = next((item[name] for name in ("arguments", "action", "queries", "code", "prompt") if item.get(name)), "")
    builder.call(tool, arguments_of(given), call_id=identifier, time=time)
    error = item.get("error")
    result = next((item[name] for name in ("output", "results", "outputs", "result") if item.get(name)), None)
    text = compact(error or result) if error or result is not None else None
    failed = bool(error) or item.get("status") in _FAILED
    builder.answer(text, call_id=identifier, success=not failed, time=time)
