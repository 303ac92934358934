"""Whether a tool's answer is a failure: by what stands beside it (flags), else by what it says (text)."""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

_LARGEST_JSON_ANSWER: Final = 200_000
_HEAD: Final = 400
_TAIL: Final = 400
_NOTHING: Final = frozenset(("", "none", "null", "false", "no", "0", "ok", "n/a"))
_FAILED_STATUS: Final = frozenset((
    "error", "errored", "failed", "failure", "fail", "timeout", "timed_out", "cancelled", "canceled", "rejected",
    "denied", "aborted", "interrupted", "incomplete", "output-error", "output-denied", "declined",
))  # fmt: skip
# Of an answer, with words beside it: a reservation is cancelled, a payment has failed, and the call went well.
_ERROR_STATUS: Final = frozenset(("error", "failed", "failure", "fail"))
_SAYS_WHY: Final = frozenset(("message", "error", "reason", "detail", "details", "error_message", "msg"))
_FEW: Final = 2
_GOOD_STATUS: Final = frozenset(("success", "succeeded", "ok", "passed", "output-available"))
_ERRORS: Final = ("error", "errors", "exception", "exception_info", "errorText", "error_message", "errorMessage")
_ERROR_FLAGS: Final = ("is_error", "isError", "tool_result_is_error")
_SUCCESS_FLAGS: Final = ("success", "ok", "succeeded")
_CODES: Final = (
    "exit_code", "exitCode", "returncode", "return_code", "returnCode", "exit_status", "exitStatus", "status_code_exit",
)  # fmt: skip
_INSIDE: Final = ("extra", "metadata", "additional_kwargs")
_DEEPEST: Final = 2
# What JSON must hold somewhere before it is worth reading.
_WORTH_READING: Final = re.compile(
    r'"(?:errors?|exception|is_?error|success|succeeded|ok|status|exit_?(?:code|status)|return_?code|error_?message)"',
    re.IGNORECASE,
)

# A line that tells the exit code of a process, in the words of shells and agents.
_EXIT_CODE: Final = re.compile(
    r"^\W{0,3}(?:(?:the )?(?:process|command|script|program)\b[^\n]{0,40}?\s)?"
    r"(?:exit(?:ed)?|exit[ _-]?code|exit[ _-]?status|return[ _-]?code|completed|finished|terminated)"
    r"\]?(?: with)?(?: an?)?(?: non-zero)?(?: exit)?(?: code| status)?\s?[:=]?\s?(-?\d{1,10})\b[^\n]{0,12}$",
    re.IGNORECASE | re.MULTILINE,
)
_TAGGED_CODE: Final = re.compile(r"<(?:returncode|exit_?code|return_code)>\s*(-?\d{1,10})\s*</", re.IGNORECASE)
# "Error: x", "ValueError: x", "an error occurred", "EXECUTION FAILED: no"; not "Errors: 0", "ErrorBoundary.tsx".
_SAYS_ERROR: Final = re.compile(
    r"\s*(?:\[|<|\*\*)?(?:"
    r"(?:(?:[\w.]*(?:Error|Exception|Panic|Fault)|error|fatal(?: error)?|exception|err|failure|panic)"
    r"(?:\s?[\[(][\w .:-]{1,40}[\])])?\]?\s?[:!]"
    r"|(?:[A-Za-z_]+\s){1,4}failed\s?:|failed\s?:|failed to \w+)"
    r"(?!\s{0,3}(?:0\b|(?:none|null|false|nothing)\s*(?:\n|\Z)))"
    r"|(?:an? )?(?:\w+ )?error (?:occurred|executing|calling|invoking|running|while|during|when|reading|writing"
    r"|fetching|processing|parsing|in (?:tool|function)|from)\b"
    r"|traceback \(most recent call last\)|tool_use_error>|error>|uncaught \w*(?:error|exception))",
    re.IGNORECASE,
)
_MAKE: Final = re.compile(r"^make(?:\[\d+\])?: \*\*\* ", re.MULTILINE)
_TRACEBACK: Final = re.compile(r"^Traceback \(most recent call last\):$", re.MULTILINE)
_EXCEPTION_LINE: Final = re.compile(r"[\w.]*(?:Error|Exception|Interrupt|Exit|Warning)(?::|$)")


def says_failure(answer: str) -> bool:
    """Return True if the text of an answer says that the call failed."""
    start = answer.lstrip()[:1]
    if start in ("{", "["):
        found = _said_in_json(answer)
        if found is not None:
            return found
    code = exit_code_in(answer)
    if code is not None:
        return code != 0
    return (
        _SAYS_ERROR.match(answer) is not None or _ends_in_traceback(answer) or _MAKE.search(answer[-_TAIL:]) is not None
    )


def exit_code_in(answer: str) -> int | None:
    """Return the exit code that a text tells at its beginning or its end."""
    for part in (answer[:_HEAD], answer[-_TAIL:]) if len(answer) > _HEAD else (answer,):
        match = _TAGGED_CODE.search(part) or _EXIT_CODE.search(part)
        if match is not None:
            return int(match[1])
    return None


def _ends_in_traceback(answer: str) -> bool:
    if "Traceback (most" not in answer:
        return False
    last = answer.rstrip()[-_TAIL:].rpartition("\n")[2]
    return _EXCEPTION_LINE.match(last) is not None and _TRACEBACK.search(answer) is not None


def _said_in_json(answer: str) -> bool | None:
    if len(answer) > _LARGEST_JSON_ANSWER or not _WORTH_READING.search(answer):
        return None
    try:
        value = orjson.loads(answer)
    except ValueError:
        return None
    if isinstance(value, list):
        # A list of records in which some say "error" is data; one of nothing but errors is a failure.
        told = [said_in(item) for item in value if isinstance(item, dict)]
        return True if told and all(failed is False for failed in told) else None
    success = said_in(value) if isinstance(value, dict) else None
    return None if success is None else not success


def said_in(answer: dict[str, Any]) -> bool | None:
    """Return what an answer in JSON says of its call: as `flagged`, but a status may be that of what was looked up."""
    status = answer.get("status")
    if isinstance(status, str) and not (
        status.lower() in _ERROR_STATUS and (_SAYS_WHY & answer.keys() or len(answer) <= _FEW)
    ):
        answer = {key: value for key, value in answer.items() if key != "status"}
    return flagged(answer)


def flagged(fields: dict[str, Any], *, depth: int = 0) -> bool | None:
    """Return whether the fields beside or in an answer say success; None where they say nothing."""
    for name in _ERROR_FLAGS:
        if isinstance(fields.get(name), bool):
            return not fields[name]
    codes = [fields[name] for name in _CODES if type(fields.get(name)) is int]
    if codes:
        return not any(codes)
    if any(_is_something(fields[name]) for name in _ERRORS if name in fields):
        return False
    told = next((fields[name] for name in _SUCCESS_FLAGS if isinstance(fields.get(name), bool)), None)
    if told is None:
        told = _of_status(fields.get("status"))
    if told is None and depth < _DEEPEST:
        inner = (flagged(fields[name], depth=depth + 1) for name in _INSIDE if isinstance(fields.get(name), dict))
        told = next((said for said in inner if said is not None), None)
    return True if told is None and fields.get("error") is False else told


def _of_status(status: object) -> bool | None:
    word = status.lower() if isinstance(status, str) else ""
    return False if word in _FAILED_STATUS else True if word in _GOOD_STATUS else None


def _is_something(error: object) -> bool:
    if isinstance(error, str):
        return error.strip().lower() not in _NOTHING
    return bool(error)


def succeeded(fields: dict[str, Any], answer: str) -> bool:
    """Return whether a call succeeded: by the fields beside its answer, else by the answer's text."""
    told = flagged(fields)
    return not says_failure(answer) if told is None else told
