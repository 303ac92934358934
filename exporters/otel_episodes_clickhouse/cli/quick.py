"""``start``, ``step`` and ``complete`` in a fifth of their time: a hook on every tool call of an agent feels it.

Typer, the SDK and what they import take 0.2 s of a processor; this takes what Python itself does, and as much again.
It does the plain case only, and leaves the rest to the ordinary way (`record`), which prints every message and does
everything that is asked for: help and wrong use, servers, settings in the environment, resumed episodes, a spool that
is full. The two ways write the same spans; a test compares them.
"""

from __future__ import annotations

import os
import sys
import time
from zlib import crc32

from otel_episodes import __version__, semconv
from otel_episodes._for_shell import Redactor, masked_list, masked_name, short_line, short_text
from otel_episodes.exceptions import UsageError
from otel_episodes_clickhouse.cli.record_options import OPTIONS, check, tokens_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    Fields = tuple[str, int, int, str, str, str, str, int, str, Mapping[str, Any]]

# Settings that change what is recorded are left to the ordinary way; these two do not, and a name of a service is read.
_HARMLESS = ("OTEL_EPISODES_HOME", "OTEL_EPISODES_DSN", "OTEL_EPISODES_SHIP", "OTEL_SERVICE_NAME")
_TELLING = (
    "OTEL_EPISODES_",
    "OTEL_SDK_",
    "OTEL_RESOURCE_",
    "OTEL_SPAN_",
    "OTEL_ATTRIBUTE_",
    "OTEL_INSTRUMENTATION_GENAI_",
)
_SERVICE_NAME = "otel-episodes"
_SCOPE = "otel_episodes"
_TASK_LIMIT = _OBSERVATION_LIMIT = 1024
_ACTION_LIMIT = 256
_NAME_LIMIT = 128
_MOST_BYTES = 2**30  # of what waits in a spool; whether that is too much is looked at more closely
_SPAN_NAMES = {
    "tool_use": semconv.EXECUTE_TOOL,
    "decision_point": "decide",
    "error_handling": "recover",
    "milestone": "milestone",
}
_TASK_ATTRIBUTES = {
    "task_type": semconv.TASK_TYPE,
    "domain": semconv.DOMAIN,
    "language": semconv.LANGUAGE,
    "framework": semconv.FRAMEWORK,
    "complexity": semconv.COMPLEXITY,
}
_UNSET, _ERROR = 0, 2
_INTERNAL = 0
_HEX = frozenset("0123456789abcdef")
_HANDLE_PARTS = 5
# What stands for itself in a handle; anything else is written as %XX there.
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-~")


class _NotPlainError(Exception):
    """The ordinary way has to do it."""


def run(arguments: Sequence[str]) -> bool:
    """Do what the command says and return True; False, with nothing done, where the ordinary way has to."""
    try:
        command, given = _read(arguments)
        spool = _spool_of(given["dsn"])
        printed, span = {"start": _start, "step": _step, "complete": _complete}[command](given)
        _write(spool, _lines(span))
    except (_NotPlainError, UsageError, ValueError, OSError, ImportError):
        return False
    if printed:
        sys.stdout.write(f"{printed}\n")
    return True


# --- what was typed ------------------------------------------------------------------------------------------------


def _read(arguments: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Return the command and all its options; anything that is not as the table has it is not plain."""
    command = arguments[0] if arguments else ""
    if command not in OPTIONS or any(not argument.isprintable() and not _encodes(argument) for argument in arguments):
        raise _NotPlainError
    given: dict[str, Any] = {option.name: None if option.many else option.default for option in OPTIONS[command]}
    flags = {option.flag: option for option in OPTIONS[command] if not option.positional}
    positional = [option for option in OPTIONS[command] if option.positional]
    missing = {option.name for option in OPTIONS[command] if option.required}
    rest = iter(arguments[1:])
    for argument in rest:
        if argument.startswith("-") and argument != "-":
            name, equals, value = argument.partition("=")
            option = flags.get(name)
            if option is None or (equals and option.kind is bool):
                raise _NotPlainError
            if option.kind is bool:
                given[option.name] = True
                continue
            text = value if equals else next(rest, None)
        else:
            option, text = (positional.pop(0), argument) if positional else (None, None)
        if option is None or text is None:
            raise _NotPlainError
        typed = _typed(option.kind, text)
        if option.choices and typed not in option.choices:
            raise _NotPlainError
        given[option.name] = [*(given[option.name] or []), typed] if option.many else typed
        missing.discard(option.name)
    if missing:
        raise _NotPlainError
    check(command, given)
    return command, given


def _typed(kind: type, text: str) -> str | int | float:
    if kind is str:
        return text
    # Only as most people write numbers; others are for the ordinary way to judge.
    if not text.isascii() or not text.replace(".", "", 1).isdigit():
        raise _NotPlainError
    return int(text) if kind is int else float(text)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _spool_of(dsn: str | None) -> str:
    """Return the spool of the embedded store, which is where most episodes of a shell go."""
    environ = os.environ
    if not sys.platform.startswith("linux") or any(
        name.startswith(_TELLING) and name not in _HARMLESS for name in environ
    ):
        raise _NotPlainError
    place = (environ.get("OTEL_EPISODES_DSN", "") if dsn is None else dsn).strip() or "chdb://"
    path = place.removeprefix("chdb://")
    if path == place or "?" in path or "#" in path or path[:1] not in ("", "/"):
        raise _NotPlainError
    if not path.strip("/"):
        path = f"{_home()}/chdb"
    return f"{os.path.normpath(path)}/spool"


def _home() -> str:
    # The platform's data directory, as platformdirs has it; importing that takes half as long as all of this.
    home = os.environ.get("OTEL_EPISODES_HOME", "").strip()
    if home:
        return os.path.abspath(os.path.expanduser(home))  # noqa: PTH100, PTH111  # pathlib takes a while to import
    data = os.environ.get("XDG_DATA_HOME", "")
    return f"{data if data.strip() else os.path.expanduser('~/.local/share')}/otel-episodes"  # noqa: PTH111  # likewise


# --- spans ---------------------------------------------------------------------------------------------------------


def _start(given: Mapping[str, Any]) -> tuple[str, Fields]:
    if given["resume"] or len(given["agent"]) > _NAME_LIMIT:
        raise _NotPlainError
    redactor = Redactor()
    trace_id, root_id, now = os.urandom(16).hex(), os.urandom(8).hex(), time.time_ns()
    attributes: dict[str, Any] = {semconv.SPAN: semconv.SPAN_START, semconv.EPISODE_ID: trace_id}
    agent = masked_name(given["agent"], redactor)
    if agent:
        attributes[semconv.AGENT] = agent
    attributes[semconv.TASK] = short_text(given["task"], _TASK_LIMIT, redactor)
    attributes.update(
        (key, short_text(given[name], _NAME_LIMIT, redactor)) for name, key in _TASK_ATTRIBUTES.items() if given[name]
    )
    if given["tag"]:
        attributes[semconv.TAGS] = masked_list(given["tag"], redactor)
    handle = f"00-{trace_id}-{root_id}-01.{now:x}.0..{_encoded(agent)}"
    return handle, ("episode.start", now, 1, trace_id, os.urandom(8).hex(), root_id, "", _UNSET, "", attributes)


def _step(given: Mapping[str, Any]) -> tuple[str, Fields]:
    trace_id, root_id, _, identity = _joined(given["handle"])
    redactor = Redactor()
    kind, action = given["kind"], given["action"]
    if action[:1] == "{" and action[-1:] == "}":
        raise _NotPlainError  # arguments as JSON: each is masked by its name and cut for itself
    tool = masked_name(given["tool"], redactor) or short_line(action, 64, redactor)
    if len(tool) > _NAME_LIMIT:
        raise _NotPlainError
    attributes: dict[str, Any] = {semconv.SPAN: semconv.SPAN_STEP, semconv.STEP_KIND: kind, **identity}
    attributes[semconv.STEP_SUCCESS] = not given["failed"]
    if kind == "tool_use":
        attributes[semconv.GEN_AI_OPERATION_NAME] = semconv.EXECUTE_TOOL
    if tool and kind in ("tool_use", "error_handling"):
        attributes[semconv.GEN_AI_TOOL_NAME] = tool
    if action:
        told = _json(short_text(action, _ACTION_LIMIT, redactor))
        attributes[semconv.GEN_AI_TOOL_CALL_ARGUMENTS] = f'{{"action": {told}}}'
    status, message = _UNSET, ""
    if given["failed"]:
        status, message = _ERROR, short_line(given["observation"], _ACTION_LIMIT, redactor)
        attributes[semconv.ERROR_TYPE] = masked_name(given["error_type"] or semconv.TOOL_ERROR, redactor)
    if given["observation"]:
        attributes[semconv.GEN_AI_TOOL_CALL_RESULT] = short_text(given["observation"], _OBSERVATION_LIMIT, redactor)
    if given["tokens"]:
        tokens = tokens_of(given["tokens"])
        attributes[semconv.STEP_TOKENS_INPUT], attributes[semconv.STEP_TOKENS_OUTPUT] = tokens
    duration = round(given["latency_ms"] * 1e6) or 1
    start, name = time.time_ns() - duration, f"{_SPAN_NAMES[kind]} {tool}".rstrip()
    return "", (name, start, duration, trace_id, os.urandom(8).hex(), root_id, "", status, message, attributes)


def _complete(given: Mapping[str, Any]) -> tuple[str, Fields]:
    trace_id, root_id, start, identity = _joined(given["handle"])
    redactor = Redactor()
    outcome, verdict = given["outcome"], short_text(given["verdict"], _OBSERVATION_LIMIT, redactor)
    attributes: dict[str, Any] = {
        semconv.SPAN: semconv.SPAN_EPISODE,
        semconv.GEN_AI_OPERATION_NAME: semconv.INVOKE_AGENT,
        **identity,
        semconv.OUTCOME: outcome,
        semconv.OUTCOME_SOURCE: semconv.TOLD,
    }
    if verdict:
        attributes[semconv.VERDICT] = verdict
        reason = "error" if outcome == "failure" else "stop"
        message = f'{{"role": "assistant", "parts": [{{"type": "text", "content": {_json(verdict)}}}], '
        attributes[semconv.GEN_AI_OUTPUT_MESSAGES] = f'[{message}"finish_reason": "{reason}"}}]'
    if given["artifact"]:
        attributes[semconv.ARTIFACTS] = masked_list(given["artifact"], redactor)
    if outcome == "partial":
        attributes[semconv.COMPLETED], attributes[semconv.FAILED] = given["done"] or 0, given["not_done"] or 0
    if given["reward"] is not None:
        attributes[semconv.REWARD] = given["reward"]
    failed = outcome == "failure"
    if failed:
        attributes[semconv.ERROR_TYPE] = "_OTHER"
    name = f"{semconv.INVOKE_AGENT} {identity.get(semconv.GEN_AI_AGENT_NAME, '')}".rstrip()
    status, message = (_ERROR, verdict) if failed else (_UNSET, "")
    return "", (name, start, time.time_ns() - start, trace_id, root_id, "", "", status, message, attributes)


def _joined(handle: str) -> tuple[str, str, int, dict[str, Any]]:
    """Return trace, root span, start and identity of the episode that a handle stands for."""
    parts = handle.strip().split(".")
    if len(parts) != _HANDLE_PARTS:
        raise _NotPlainError
    parent, start, segment, episode_id, agent = parts
    version, trace_id, root_id, flags = parent.split("-")
    written = (len(version), len(trace_id), len(root_id)) == (2, 32, 16) and (version, flags) == ("00", "01")
    ids = trace_id.strip("0") and root_id.strip("0") and _HEX.issuperset(trace_id + root_id + start)
    if not (written and ids and segment.isdigit() and _PLAIN.issuperset(episode_id + agent)):
        raise _NotPlainError
    identity: dict[str, Any] = {semconv.EPISODE_ID: episode_id or trace_id}
    if int(segment):
        identity[semconv.SEGMENT] = int(segment)
    if agent:
        identity[semconv.GEN_AI_AGENT_NAME] = agent
    return trace_id, root_id, int(start, 16), identity


def _encoded(text: str) -> str:
    if _PLAIN.issuperset(text):
        return text
    from urllib.parse import quote  # noqa: PLC0415  # not for the plain names

    return quote(text, safe="").replace(".", "%2E")


# --- the spool -----------------------------------------------------------------------------------------------------


def _lines(span: Fields) -> bytes:
    """Return the lines of a segment with this span in it, as `SpanEncoder` writes them."""
    name, start, duration, trace_id, span_id, parent_id, state, status, message, attributes = span
    resource = {"service.name": os.environ.get("OTEL_SERVICE_NAME", "").strip() or _SERVICE_NAME}
    fields = [
        start, duration, trace_id, span_id, parent_id, state, name, _INTERNAL, 0, 0, status, message, attributes,
    ]  # fmt: skip
    lines = [["r", 0, resource], ["s", 0, _SCOPE, __version__], fields]
    return b"".join(map(_summed, lines))


def _summed(fields: list[Any]) -> bytes:
    line = f"{_json(fields)[:-1]}".encode()
    # The sum of the same line without it.
    return b"%b,%d]\n" % (line, crc32(line + b"]"))


def _json(value: Any) -> str:
    from _json import encode_basestring  # noqa: PLC0415  # what `json` uses; the package itself is not needed

    if isinstance(value, str):
        return str(encode_basestring(value))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, dict):
        return f"{{{','.join(f'{_json(key)}:{_json(item)}' for key, item in value.items())}}}"
    return f"[{','.join(map(_json, value))}]"


def _write(spool: str, lines: bytes) -> None:
    """Write a segment with these lines, in the place and by the rules of `spool.directory`."""
    from otel_episodes_clickhouse.spool.directory import create_segment  # noqa: PLC0415  # once it is known to be needed

    waiting = 0
    if os.path.isdir(spool):  # noqa: PTH112  # pathlib takes a while to import
        with os.scandir(spool) as entries:
            waiting = sum(entry.stat(follow_symlinks=False).st_size for entry in entries)
        disk = os.statvfs(spool)
        if waiting > min(_MOST_BYTES, disk.f_blocks * disk.f_frsize // 20, disk.f_bavail * disk.f_frsize):
            raise _NotPlainError
    descriptor, _, name = create_segment(spool)
    try:
        if os.write(descriptor, lines) != len(lines):
            # Half a line is nobody's: the ordinary way says what is wrong.
            os.unlink(f"{spool}/{name}")  # noqa: PTH108  # likewise
            raise _NotPlainError
    finally:
        os.close(descriptor)
