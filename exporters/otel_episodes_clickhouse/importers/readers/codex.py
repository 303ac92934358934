"""Codex's rollouts: ``~/.codex/sessions/<year>/<month>/<day>/rollout-<time>-<id>.jsonl``.

A line is an item of the Responses API, an event, or something about the session. Items make the steps; events add what
items do not say (exit codes, durations, tokens). A sub-agent has a file of its own that names its parent. The file does
not say how a session went.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from otel_episodes_clickhouse.importers import items, values
from otel_episodes_clickhouse.importers.builder import RunBuilder, cut
from otel_episodes_clickhouse.importers.folders import domain_of
from otel_episodes_clickhouse.importers.reading import Place, Reader, Refused, each
from otel_episodes_clickhouse.importers.run import NO_USAGE, ModelCall, RecordError, Run, Step, Usage
from otel_episodes_clickhouse.importers.transcripts import INJECTED, Said, compact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_episodes_clickhouse.importers.documents import Record

_NAME: Final = "codex"
_LINES: Final = frozenset(("session_meta", "turn_context", "response_item", "event_msg", "compacted"))
_RUNNING: Final = re.compile(r"^Process running with session ID (\d+)", re.MULTILINE)
_EXITED: Final = re.compile(r"^Process exited with code (-?\d+)", re.MULTILINE)
_THREAD: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
# Whatever namespace they are in.
# Ids of version 7, whose order is that of their times.
_ORDERED: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_STARTERS: Final = frozenset(("spawn_agent", "spawn_agents"))
_TWINS: Final = frozenset(("exec_command_end", "patch_apply_end", "mcp_tool_call_end"))
_ABORTED: Final = re.compile(r"^aborted by user", re.MULTILINE)
_UNKNOWN_TOOL: Final = "unsupported call:"


def is_session(record: Any) -> bool:
    """Return True for a line of a rollout, or the first line of an old one."""
    if not isinstance(record, dict):
        return False
    if record.get("type") in _LINES and isinstance(record.get("payload"), dict):
        return True
    return record.keys() >= {"id", "timestamp", "instructions"} and "messages" not in record and "type" not in record


def session(records: Iterator[Record], place: Place) -> Iterator[Run | Refused]:
    """Read one rollout."""
    reading = _Rollout(place)
    yield from each(records, lambda record: reading.read(values.fields(record.value)))
    yield reading.run()


class _Rollout:
    """Goes through the lines of one file."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._builder = RunBuilder(place.fallback_time)
        self._said = Said()
        self._meta: dict[str, Any] = {}
        self._forked_from: set[str] = set()
        self._prompts: list[tuple[int, str]] = []
        self._task = self._model = self._ended_how = ""
        self._last_user = ("", "")
        self._twins: dict[str, dict[str, Any]] = {}
        self._running: dict[str, str] = {}
        self._total = self._total_before = NO_USAGE
        self._replaying = self._in_history = False
        self._calls_before = 0
        self._asked = place.fallback_time
        self._compactions = self._errors = 0

    def read(self, line: dict[str, Any]) -> None:
        kind, payload = line.get("type"), line.get("payload")
        time = values.nanoseconds(line.get("timestamp"))
        if not isinstance(payload, dict):
            # An old rollout: what is about the session first, then the items as they are.
            kind, payload = ("response_item", line) if "type" in line else ("session_meta", line)
        if self._is_history(line, payload) and kind != "session_meta":
            if payload.get("type") == "token_count":
                self._tokens(payload.get("info"))
            return
        if time is not None or kind == "response_item":
            self._builder.tell_time(time)
        if kind == "session_meta":
            # The first is the file's own; a second one is that of a session whose history this one begins with.
            forked = (
                payload.get("forked_from_id"),
                payload.get("parent_thread_id"),
                payload.get("id") if self._meta else "",
            )
            self._forked_from.update(values.string(name) for name in forked if name)
            self._meta = self._meta or payload
        elif kind == "turn_context":
            self._model = values.string(payload.get("model")) or self._model
        elif kind == "response_item":
            self._item(payload, time)
        elif kind == "event_msg":
            self._event(payload, time)
        elif kind == "compacted":
            self._compactions += 1

    def _is_history(self, line: dict[str, Any], payload: dict[str, Any]) -> bool:
        """Return True for a line of the session that this one was forked from, with which it begins."""
        if not self._forked_from:
            return False
        first, ordinal = self._meta.get("subagent_history_start_ordinal"), line.get("ordinal")
        own, turn = values.string(self._meta.get("id")), values.string(payload.get("turn_id"))
        if isinstance(first, int) and isinstance(ordinal, int):
            self._in_history = ordinal < first
        elif _ORDERED.fullmatch(own) and _ORDERED.fullmatch(turn):
            # A turn that is older than this session.
            self._in_history = turn < own
        return self._in_history

    # --- items -----------------------------------------------------------------------------------------------------

    def _item(self, item: dict[str, Any], time: int | None) -> None:
        if self._is_of_another(item):
            self._replaying = True
            return
        kind = str(item.get("type", ""))
        if kind.endswith("_output"):
            self._output(item, time)
            return
        if kind.endswith("_call"):
            self._replaying = False
            self._note_stdin(item)
        items.read(item, self._builder, self._said, time)
        if item.get("role") == "user":
            self._asked = self._builder.now

    def _output(self, item: dict[str, Any], time: int | None) -> None:
        found = items.answer(item)
        text, call_id = found["observation"], found["call_id"]
        running, exited = _RUNNING.search(text), _EXITED.search(text)
        if text.startswith(("Script failed", _UNKNOWN_TOOL)):
            found["success"] = False
        elif running is not None and exited is None:
            found["success"] = None
            self._running[running[1]] = call_id
        waiting = self._builder.waiting(call_id)
        if waiting is not None and waiting.tool.rpartition(".")[2] in _STARTERS:
            found["sub_agent_ids"] = tuple(dict.fromkeys(_THREAD.findall(text)))
        if "rejected by user" in text[:200]:
            found["success"], found["error_type"] = False, "rejected"
        elif _ABORTED.search(text[:200]):
            found["success"], found["error_type"] = False, "interrupted"
        self._builder.answer(**found, time=time)
        if exited is not None:
            self._ended(call_id, success=exited[1] == "0", time=time)
        self._asked = self._builder.now

    def _is_of_another(self, item: dict[str, Any]) -> bool:
        """Return True for an item of the session that this one was forked from, and was read before."""
        call_id = values.string(item.get("call_id"))
        own = values.string(self._meta.get("id"))
        return bool(call_id) and self._place.seen.setdefault((_NAME, call_id), own) in self._forked_from

    def _note_stdin(self, item: dict[str, Any]) -> None:
        if item.get("name") == "write_stdin":
            found = re.search(r'"session_id"\s*:\s*"?(\d+)', values.string(item.get("arguments")))
            if found is not None and found[1] in self._running:
                self._running[f"stdin {items.call_id_of(item)}"] = self._running[found[1]]

    def _ended(self, call_id: str, *, success: bool, time: int | None) -> None:
        """Tell the call that started a process how the process ended, where another call saw it."""
        first = self._running.pop(f"stdin {call_id}", "")
        step = self._builder.step(first)
        if step is not None and step.success is None:
            duration = max(0, time - step.start_time) if time is not None else step.duration
            self._builder.change(first, success=success, duration=duration)

    # --- events ----------------------------------------------------------------------------------------------------

    def _event(self, event: dict[str, Any], time: int | None) -> None:
        kind = event.get("type")
        if kind == "item_completed":
            # Of newer versions, which tell of everything that a turn has in this way.
            self._turn_item(values.fields(event.get("item")), time)
        elif kind == "user_message":
            self._user(values.string(event.get("message")), "event")
        elif kind == "token_count":
            self._tokens(event.get("info"))
        elif kind == "task_complete":
            error = values.string(values.fields(event.get("error")).get("message"))
            self._ended_how = f"error: {error}" if error else "task_complete"
            self._errors += bool(error)
        elif kind == "turn_aborted":
            self._ended_how = f"turn_aborted: {values.string(event.get('reason'))}"
        elif kind in ("task_started", "turn_started"):
            self._ended_how = ""
        elif kind == "error":
            self._errors += 1
        elif kind in _TWINS and isinstance(event.get("call_id"), str):
            self._twins[event["call_id"]] = {**event, "time": time}

    def _turn_item(self, item: dict[str, Any], time: int | None) -> None:
        if item.get("type") == "UserMessage":
            texts = (values.string(part.get("text")) for part in values.objects(item.get("content")))
            self._user("".join(texts), "item")
        event = _as_event(item)
        if event and event["call_id"]:
            self._twins[event["call_id"]] = {**event, "time": time}

    def _user(self, text: str, told_by: str) -> None:
        if not text.strip() or INJECTED.match(text):
            return
        if self._last_user == (text, "item" if told_by == "event" else "event"):
            return  # told in both ways
        self._last_user = (text, told_by)
        self._asked = self._builder.now
        if not self._task:
            self._task = cut(text) or ""
        else:
            self._prompts.append((self._builder.now, cut(text) or ""))

    def _tokens(self, info: Any) -> None:
        if not isinstance(info, dict):
            return
        total = values.usage_of(values.fields(info.get("total_token_usage")))
        if total == self._total:
            return
        last = values.usage_of(values.fields(info.get("last_token_usage"))) or total - self._total
        first, self._total = not self._total, total
        if self._replaying or self._in_history:
            self._total_before = total
            return
        if first:
            # A fork counts on from the session that it was forked from.
            self._total_before = total - last
        self._builder.give_usage_to_first_since(self._calls_before, last)
        self._calls_before = self._builder.places
        self._builder.model_call(
            ModelCall(self._asked, self._builder.now, model=self._model, provider="openai", usage=last),
            counts_for_step=False,
        )
        self._asked = self._builder.now

    def _add_twins(self) -> None:
        """Add what events say of calls; a call without an item is a step all the same."""
        for call_id, event in self._twins.items():
            told = _twin_success(event)
            if self._builder.waiting(call_id) is not None and self._builder.is_known(call_id):
                self._builder.answer(_twin_text(event), call_id=call_id, success=told, time=event["time"])
                continue
            step = self._builder.step(call_id)
            if step is not None:
                self._builder.change(call_id, **_told_of(step, event, told=told))
                continue
            tool, arguments = _twin_call(event)
            end = event["time"] or self._builder.now
            duration = _duration(event.get("duration"))
            self._builder.call(tool, arguments, call_id=call_id, time=end - duration)
            self._builder.answer(_twin_text(event), call_id=call_id, success=told, time=end)

    # --- the run ---------------------------------------------------------------------------------------------------

    def run(self) -> Run:
        """Return what was read as a run."""
        self._add_twins()
        steps = self._builder.steps()
        task = self._task or self._said.task
        if not (task or steps or self._said.turns):
            raise RecordError("no prompt, no call and no answer in this session")
        meta = self._meta
        source = values.fields(values.fields(meta.get("source")).get("subagent"))
        spawned = values.fields(source.get("thread_spawn"))
        is_agent = bool(source) or meta.get("thread_source") == "subagent"
        parent = (
            spawned.get("parent_thread_id")
            or meta.get("parent_thread_id")
            or (meta.get("forked_from_id") if is_agent else "")
        )
        agent = spawned.get("agent_role") or spawned.get("agent_nickname") or ("subagent" if is_agent else _NAME)
        git = values.fields(meta.get("git"))
        domain = domain_of(values.string(meta.get("cwd")), values.string(git.get("repository_url")))
        conversation = values.string(parent) or values.string(meta.get("id"))
        return Run(
            task=task,
            start_time=self._builder.start_time,
            end_time=self._builder.end_time,
            id=values.string(meta.get("id")),
            format=_NAME,
            agent=str(agent) if is_agent else self._place.options.agent or _NAME,
            model=self._model,
            ended_how=self._ended_how,
            usage=self._used(),
            options={"conversation_id": conversation, **({"domain": domain} if domain else {})},
            attributes=self._attributes(git),
            steps=steps,
            model_calls=self._builder.model_calls(),
            prompts=tuple(self._prompts),
            parent_id=values.string(parent) if is_agent else "",
            times_made_up=self._builder.made_up,
        )

    def _used(self) -> Usage:
        return self._total - self._total_before if self._total else self._builder.usage

    def _attributes(self, git: dict[str, Any]) -> dict[str, Any]:
        found = {
            "codex.cwd": self._meta.get("cwd"), "codex.git_branch": git.get("branch"),
            "codex.git_commit": git.get("commit_hash"), "gen_ai.agent.version": self._meta.get("cli_version"),
            "codex.originator": self._meta.get("originator"), "codex.compactions": self._compactions,
            "codex.errors": self._errors, "codex.forked_from": self._meta.get("forked_from_id"),
        }  # fmt: skip
        return {key: value for key, value in found.items() if value and isinstance(value, (str, int))}


def _as_event(item: dict[str, Any]) -> dict[str, Any]:
    """Return an item of a turn in the form of the event that told of it in older versions; empty for other items."""
    kind, status = item.get("type"), values.string(item.get("status"))
    call_id = values.string(item.get("id"))
    ended = {"call_id": call_id, "duration": item.get("duration"), "status": status}
    if kind == "CommandExecution":
        told = ("exit_code", "aggregated_output", "stdout", "command")
        return {**ended, "type": "exec_command_end", **{name: item.get(name) for name in told}}
    if kind == "FileChange":
        return {**ended, "type": "patch_apply_end", "changes": item.get("changes"), "stdout": item.get("stdout")}
    if kind == "McpToolCall":
        called = {name: item.get(name) for name in ("server", "tool", "arguments")}
        error = item.get("error")
        result = {"Err": error} if error else {"Ok": item["result"]} if item.get("result") else None
        return {**ended, "type": "mcp_tool_call_end", "invocation": called, "result": result}
    if kind == "DynamicToolCall":
        name = ".".join(filter(None, (values.string(item.get("namespace")), values.string(item.get("tool")))))
        said = values.text_of(item.get("content_items") or item.get("error") or "")
        return {**ended, "type": kind, "tool": name, "arguments": item.get("arguments"), "stdout": said}
    if kind == "CollabAgentToolCall" and item.get("tool") in ("spawn_agent", "spawnAgent"):
        started = [one for one in item.get("receiver_thread_ids") or [] if isinstance(one, str)]
        return {**ended, "type": kind, "tool": "spawn_agent", "arguments": item.get("prompt"), "agents": started}
    return {}


def _told_of(step: Step, event: dict[str, Any], *, told: bool | None) -> dict[str, Any]:
    """Return what an event adds to a step that has been answered."""
    found: dict[str, Any] = {}
    if told is not None:
        found["success"] = told
        if step.success is None and event["time"] is not None:
            # The answer said that it was still running.
            found["duration"] = max(0, event["time"] - step.start_time)
    if event.get("status") == "declined":
        found["error_type"] = "rejected"
    if event.get("agents"):
        found["sub_agent_ids"] = tuple(event["agents"])
    return found


def _twin_success(event: dict[str, Any]) -> bool | None:
    if isinstance(event.get("exit_code"), int):
        return bool(event["exit_code"] == 0)
    if isinstance(event.get("success"), bool):
        return bool(event["success"])
    result = event.get("result")
    if isinstance(result, dict):
        return "Err" not in result and not values.fields(result.get("Ok")).get("isError")
    status = event.get("status")
    return True if status == "completed" else False if status in ("failed", "declined") else None


def _twin_text(event: dict[str, Any]) -> str:
    result = values.fields(event.get("result"))
    if result:
        return (
            compact(result["Err"])
            if "Err" in result
            else values.text_of(values.fields(result.get("Ok")).get("content"))
        )
    return values.string(event.get("aggregated_output")) or values.string(event.get("stdout"))


def _twin_call(event: dict[str, Any]) -> tuple[str, object]:
    invocation = values.fields(event.get("invocation"))
    if invocation:
        return f"mcp__{invocation.get('server')}__{invocation.get('tool')}", invocation.get("arguments") or ""
    if event["type"] == "patch_apply_end":
        return "apply_patch", {"files": list(values.fields(event.get("changes")))}
    if event["type"] == "exec_command_end":
        return "exec_command", items.one_line_command({"command": event["command"]}) if event.get("command") else ""
    return event["tool"], event.get("arguments") or ""


def _duration(told: Any) -> int:
    fields = values.fields(told)
    return values.count(fields.get("secs")) * 1_000_000_000 + values.count(fields.get("nanos"))


READER: Final = Reader(
    _NAME,
    is_session=is_session,
    session=session,
    homes=("CODEX_HOME:sessions", "CODEX_HOME:archived_sessions", ".codex/sessions", ".codex/archived_sessions"),
)
