"""Gemini's API (lists of contents) and Gemini CLI's sessions (``~/.gemini/tmp/<hash>/chats/session-*``)."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from otel_episodes_clickhouse.importers import parts, values
from otel_episodes_clickhouse.importers.builder import RunBuilder
from otel_episodes_clickhouse.importers.folders import domain_of
from otel_episodes_clickhouse.importers.reading import Place, Reader, Refused, each
from otel_episodes_clickhouse.importers.run import ModelCall, RecordError, Run, Usage
from otel_episodes_clickhouse.importers.transcripts import Dialect, Said, answered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_episodes_clickhouse.importers.documents import Record

_CLI: Final = "gemini-cli"


# --- contents ------------------------------------------------------------------------------------------------------


def is_content(message: dict[str, Any]) -> bool:
    """Return True for a content: parts that are text or calls, without types."""
    found = parts.of(message)
    return bool(found) and not any("type" in part for part in found) and (
        message.get("role") in ("user", "model", "function") or any(parts.call_in(part) for part in found)
    )  # fmt: skip


def feed(messages: list[Any], builder: RunBuilder, said: Said) -> None:
    """Read contents in their order."""
    for message in messages:
        before, time = builder.now, values.time_of(message)
        builder.tell_time(time)
        parts.read(message, builder, time)
        if message.get("role") == "model":
            said.turns += 1
            answered(builder, message, before=before, time=time)
        elif not any(map(parts.response_in, parts.of(message))):
            said.user(parts.text_of(message))


READER: Final = Dialect("gemini", is_content, feed).reader()


# --- sessions of the command line ----------------------------------------------------------------------------------


def _is_cli_message(message: Any) -> bool:
    return isinstance(message, dict) and message.get("type") == "gemini" and "id" in message and "content" in message


def _is_head(record: Any) -> bool:
    return isinstance(record, dict) and isinstance(record.get("sessionId"), str) and "projectHash" in record


def is_cli_record(record: Any) -> bool:
    """Return True for a session in one document."""
    return _is_head(record) and isinstance(record.get("messages"), list)


def is_cli_line(record: Any) -> bool:
    """Return True for a line of a session: its head, or an answer."""
    return (_is_head(record) and "messages" not in record) or _is_cli_message(record)


def read_cli(record: Any, place: Place) -> Iterator[Run]:
    """Read a session in one document."""
    yield _cli_run(record, values.objects(record["messages"]), place)


def cli_session(records: Iterator[Record], place: Place) -> Iterator[Run | Refused]:
    """Read a session a line a message: a later line with the same id replaces the earlier."""
    head: dict[str, Any] = {}
    messages: dict[str, dict[str, Any]] = {}

    def take(record: Record) -> None:
        line = values.fields(record.value)
        if isinstance(line.get("$set"), dict):
            head.update(line["$set"])
            for message in values.objects(line["$set"].get("messages")):
                _take(message, messages)
        elif "$rewindTo" in line:
            _rewind(messages, line["$rewindTo"])
        elif isinstance(line.get("id"), str) and "type" in line:
            _take(line, messages)
        elif _is_head(line):
            head.update(line)

    yield from each(records, take)
    yield _cli_run(head, list(messages.values()), place)


def _take(message: dict[str, Any], messages: dict[str, dict[str, Any]]) -> None:
    """Take a message, or what it has become; a history that is written again without its calls takes none away."""
    name = values.string(message.get("id"))
    if not (name in messages and messages[name].get("toolCalls") and not message.get("toolCalls")):
        messages[name] = message


def _rewind(messages: dict[str, dict[str, Any]], to: Any) -> None:
    """Drop what follows a message, and the prompt that it is: the user asked something else instead."""
    kept = list(messages)
    if to not in messages:
        return
    first = kept.index(to) + (messages[to].get("type") != "user")
    for name in kept[first:]:
        del messages[name]


def _folder_of(place: Place) -> str:
    """Return the folder that a session is about: kept two directories up, in newer versions."""
    path = place.source.beside("..", ".project_root") or place.source.beside("..", "..", ".project_root")
    if path is None:
        return ""
    with suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace").strip()
    return ""


def _cli_run(head: dict[str, Any], messages: list[dict[str, Any]], place: Place) -> Run:
    builder, said = RunBuilder(values.nanoseconds(head.get("startTime")) or place.fallback_time), Said()
    errors = 0
    builder.tell_time(values.nanoseconds(head.get("startTime")))
    for message in messages:
        before, time = builder.now, values.nanoseconds(message.get("timestamp"))
        builder.tell_time(time)
        errors += message.get("type") == "error"
        if message.get("type") == "user":
            content = message.get("content")
            if not any(map(parts.response_in, values.objects(content))):
                said.user(values.text_of(content), builder.now)
        elif message.get("type") == "gemini":
            said.turns += 1
            _cli_answer(message, builder, before, time)
    builder.tell_time(values.nanoseconds(head.get("lastUpdated")))
    steps, session_id = builder.steps(), values.string(head.get("sessionId"))
    if not (said.task or steps or said.turns):
        raise RecordError("no prompt, no call and no answer in this session")
    title = head.get("summary")
    folder = domain_of(_folder_of(place))
    is_agent = head.get("kind") == "subagent"
    # The file of a sub-agent lies in a directory that is called like the session that started it.
    parent = place.source.path.parent.name if is_agent and place.source.path is not None else ""
    return Run(
        task=said.task,
        start_time=builder.start_time,
        end_time=builder.end_time,
        id=session_id,
        format=_CLI,
        agent="subagent" if is_agent else place.options.agent or _CLI,
        model=builder.first_model(),
        usage=builder.usage,
        options={
            **({"conversation_id": parent or session_id} if session_id else {}),
            **({"domain": folder} if folder else {}),
        },
        attributes={
            **({"gemini_cli.title": title} if isinstance(title, str) and title else {}),
            **({"gemini_cli.errors": errors} if errors else {}),
        },
        steps=steps,
        model_calls=builder.model_calls(),
        prompts=tuple(said.prompts),
        parent_id="" if parent == "chats" else parent,
        times_made_up=builder.made_up,
    )


def _cli_answer(message: dict[str, Any], builder: RunBuilder, before: int, time: int | None) -> None:
    tokens = values.fields(message.get("tokens"))
    thoughts = values.count(tokens.get("thoughts"))
    usage = Usage(
        values.count(tokens.get("input")) + values.count(tokens.get("tool")),
        values.count(tokens.get("output")) + thoughts,
        values.count(tokens.get("cached")), 0, thoughts,
    )  # fmt: skip
    builder.model_call(
        ModelCall(
            before if time is not None else builder.now, builder.now, id=values.string(message.get("id")),
            model=values.string(message.get("model")), provider="gcp.gemini", usage=usage,
        )
    )  # fmt: skip
    for call in values.objects(message.get("toolCalls")):
        call_id, status = values.string(call.get("id")), call.get("status")
        builder.call(values.string(call.get("name")), call.get("args") or "", call_id=call_id, time=time)
        if status not in ("success", "error", "cancelled"):
            continue
        given = call.get("result")
        responses = [parts.response_in(part).get("response") for part in values.objects(given)]
        shown = values.string(given) or values.string(call.get("resultDisplay"))
        said = parts.answer(responses[0]) if responses else {"observation": shown}
        succeeded = status == "success" and not parts.command_failed(call.get("name"), said["observation"])
        agent = call.get("agentId")
        builder.answer(
            said["observation"], call_id=call_id, success=succeeded,
            time=values.nanoseconds(call.get("timestamp")), error_type="cancelled" if status == "cancelled" else "",
            sub_agent_ids=(agent,) if isinstance(agent, str) else (),
        )  # fmt: skip


CLI: Final = Reader(
    _CLI,
    is_record=is_cli_record,
    record=read_cli,
    is_session=is_cli_line,
    session=cli_session,
    homes=(".gemini/tmp/*/chats",),
)
