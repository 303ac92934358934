"""Claude Code's sessions: ``~/.claude/projects/<folder>/<session>.jsonl``, sub-agents in files of their own.

A line is a message or something about the session. One answer of the model is several lines, a block each, with the
same message id and usage. Sub-agents are found in ``<session>/subagents``, beside the session, or in the same file
(``isSidechain``), whatever the version. The file does not say how a session went.
"""

from __future__ import annotations

import re
from collections import defaultdict
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from otel_episodes_clickhouse.importers import blocks, values
from otel_episodes_clickhouse.importers.builder import RunBuilder, cut
from otel_episodes_clickhouse.importers.documents import decoded
from otel_episodes_clickhouse.importers.documents import records as records_of
from otel_episodes_clickhouse.importers.folders import domain_of
from otel_episodes_clickhouse.importers.reading import Place, Reader, Refused, each
from otel_episodes_clickhouse.importers.run import NO_USAGE, ModelCall, RecordError, Run
from otel_episodes_clickhouse.importers.sources import from_file
from otel_episodes_clickhouse.importers.transcripts import INJECTED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from otel_episodes_clickhouse.importers.documents import Record

_NAME: Final = "claude-code"
_SYNTHETIC: Final = "<synthetic>"
_COMMAND: Final = re.compile(r"<command-name>(.*?)</command-name>", re.DOTALL)
_COMMAND_ARGUMENTS: Final = re.compile(r"<command-args>(.*?)</command-args>", re.DOTALL)
_TITLES: Final = {"ai-title": "aiTitle", "custom-title": "customTitle"}
_ABOUT: Final = (
    ("cwd", "claude_code.cwd"), ("gitBranch", "claude_code.git_branch"), ("version", "gen_ai.agent.version"),
)  # fmt: skip
_KINDS: Final = frozenset(("user", "assistant", "system", "result"))
_AGENT_FILE: Final = re.compile(r"agent-(.+)\.jsonl$")


def is_session(record: Any) -> bool:
    """Return True for a line with a message in Anthropic's form and the ids that Claude Code gives."""
    if not isinstance(record, dict) or record.get("type") not in ("user", "assistant"):
        return False
    message = record.get("message")
    known = isinstance(record.get("sessionId"), str) or isinstance(record.get("session_id"), str)
    return known and isinstance(message, dict) and "content" in message and "role" in message


def session(records: Iterator[Record], place: Place) -> Iterator[Run | Refused]:
    """Read a session with its sub-agents, or the file of a sub-agent alone."""
    talks: dict[str, _Talk] = {}
    yield from _read(records, place, talks)
    main = talks.pop("", None)
    agent_file = _AGENT_FILE.search(place.source.path.name) if place.source.path is not None else None
    if main is None:
        # The file of a sub-agent: its parent is read elsewhere, and linked by its id.
        yield from (talk.run(place, agent_file) for talk in talks.values() if not talk.is_empty())
        return
    if main.is_empty():
        raise RecordError("no prompt, no call and no answer in this session")
    agents = _Agents(main, talks, place)
    yield main.with_agents(agents).run(place, agent_file)
    yield from agents.refused


def _read(records: Iterable[Record], place: Place, talks: dict[str, _Talk]) -> Iterator[Refused]:
    """Fill in the talks of a file: of the session itself (under an empty name) and of agents in the same file."""
    chains: dict[str, str] = {}

    def take(record: Record) -> None:
        line = record.value
        if not isinstance(line, dict):
            return
        name = _talk_of(line, chains)
        if name not in talks:
            talks[name] = _Talk(place.fallback_time, name)
        talks[name].read(line, place.seen)

    yield from each(records, take)
    if "" in talks and len(talks) > 1 and talks[""].is_empty():
        del talks[""]


def _talk_of(line: dict[str, Any], chains: dict[str, str]) -> str:
    """Return which talk a line belongs to: the session's (empty), or an agent's by its id or its first line."""
    if not line.get("isSidechain"):
        return values.string(line.get("parent_tool_use_id"))
    name = values.string(line.get("agentId"))
    if name:
        return name
    uuid, parent = values.string(line.get("uuid")), values.string(line.get("parentUuid"))
    chains[uuid] = chains.get(parent, uuid)
    return chains[uuid]


class _Talk:
    """What one agent said and did, of the session itself or of a sub-agent."""

    def __init__(self, fallback_time: int, agent_id: str) -> None:
        self.agent_id = agent_id
        self.session_ids: dict[str, None] = {}
        self.builder = RunBuilder(fallback_time)
        self.task = self.command = self.title = self.ended_how = ""
        self.prompts: list[tuple[int, str]] = []
        self.agent_of_call: dict[str, tuple[str, str]] = {}
        self.prompt_of_call: dict[str, str] = {}
        self.attributes: dict[str, Any] = {}
        self.domain = ""
        self.cost: float | None = None
        self.sub_agents: list[Run] = []
        self._errors = self._compactions = 0
        self._parents: dict[str, str] = {}
        self._prompts_after: defaultdict[str, list[str]] = defaultdict(list)
        self._line_of_call: dict[str, str] = {}

    @property
    def session_id(self) -> str:
        return next(reversed(self.session_ids), "")

    def is_empty(self) -> bool:
        return self.builder.is_empty() and not self.task and not self.command

    # --- lines -----------------------------------------------------------------------------------------------------

    def read(self, line: dict[str, Any], seen: dict[Any, Any]) -> None:
        kind = line.get("type")
        if kind in _TITLES:
            self.title = values.string(line.get(_TITLES[kind])) or self.title
            return
        if kind not in _KINDS or self._is_repeated(line, seen):
            return
        before = self.builder.now
        time = values.nanoseconds(line.get("timestamp"))
        if time is not None or kind != "system":
            self.builder.tell_time(time)
        if len(self.attributes) < len(_ABOUT):
            self._about(line)
        message = line.get("message")
        if kind == "result":
            self._result(line)
        elif kind == "system":
            self._compactions += line.get("subtype") == "compact_boundary"
        elif isinstance(message, dict) and kind == "assistant":
            self._assistant(line, message, time, before)
        elif isinstance(message, dict):
            self._user(line, message, time)

    def _is_repeated(self, line: dict[str, Any], seen: dict[Any, Any]) -> bool:
        """Return True for a line of another session that this one goes on from, or one that is there twice."""
        session_id = values.string(line.get("sessionId")) or values.string(line.get("session_id"))
        uuid = values.string(line.get("uuid"))
        if uuid and (uuid in self._parents or seen.setdefault(_key(line), session_id) != session_id):
            return True
        if session_id:
            self.session_ids[session_id] = self.session_ids.pop(session_id, None)
        self._parents[uuid] = values.string(line.get("parentUuid"))
        return False

    def _about(self, line: dict[str, Any]) -> None:
        if not self.domain:
            self.domain = domain_of(values.string(line.get("cwd")))
        for field, key in _ABOUT:
            if key not in self.attributes and values.string(line.get(field)):
                self.attributes[key] = line[field]

    def _assistant(self, line: dict[str, Any], message: dict[str, Any], time: int | None, before: int) -> None:
        if line.get("isApiErrorMessage") or message.get("model") == _SYNTHETIC:
            self._errors += bool(line.get("isApiErrorMessage"))
            return
        self.ended_how = ""
        usage = message.get("usage")
        identifier = values.string(message.get("id"))
        self.builder.model_call(
            ModelCall(
                start_time=before if time is not None else self.builder.now,
                end_time=self.builder.now,
                id=":".join(filter(None, (identifier, values.string(line.get("requestId")))))
                or values.string(line.get("uuid")),
                model=values.string(message.get("model")),
                provider="anthropic",
                usage=values.usage_of(usage) if isinstance(usage, dict) else NO_USAGE,
                finish_reason=values.string(message.get("stop_reason")),
                cost=line["costUSD"] if isinstance(line.get("costUSD"), (int, float)) else None,
            )
        )
        content = blocks.of(message)
        blocks.read_calls(content, self.builder, time)
        for block in content:
            if block.get("type") == "tool_use" and isinstance(block.get("id"), str):
                self._line_of_call[block["id"]] = values.string(line.get("uuid"))
                asked = block.get("input")
                if isinstance(asked, dict) and isinstance(asked.get("prompt"), str):
                    self.prompt_of_call[block["id"]] = asked["prompt"]

    def _user(self, line: dict[str, Any], message: dict[str, Any], time: int | None) -> None:
        content = blocks.of(message)
        results = [block for block in content if blocks.is_result(block)]
        beside = line.get("toolUseResult")
        for block in results:
            self._answer(block, beside if len(results) == 1 else None, time)
        if results:
            return
        text = values.text_of([block for block in content if block.get("type") == "text"])
        if text.startswith("[Request interrupted"):
            self.ended_how = "interrupted"
            return
        if line.get("isMeta") or line.get("isCompactSummary"):
            return
        command = _COMMAND.search(text)
        if command is not None:
            given = _COMMAND_ARGUMENTS.search(text)
            self.command = self.command or f"{command[1].strip()} {given[1].strip() if given else ''}".strip()
        if not text.strip() or INJECTED.match(text):
            return
        self._prompt(line, cut(text) or "")

    def _prompt(self, line: dict[str, Any], text: str) -> None:
        self.ended_how = ""
        self._prompts_after[values.string(line.get("parentUuid"))].append(values.string(line.get("uuid")))
        if not self.task:
            self.task = text
        else:
            self.prompts.append((self.builder.now, text))

    def _answer(self, block: dict[str, Any], beside: Any, time: int | None) -> None:
        found = blocks.answer(block, flags_only=True)
        if isinstance(beside, str) and beside.startswith("Error:") and not found["error_type"]:
            found["success"] = False
        if isinstance(beside, dict):
            if beside.get("interrupted") is True:
                found["success"], found["error_type"] = False, "interrupted"
            if isinstance(beside.get("agentId"), str):
                self.agent_of_call[found["call_id"]] = (beside["agentId"], values.string(beside.get("agentType")))
        self.builder.answer(**found, time=time)

    def _result(self, line: dict[str, Any]) -> None:
        """Read the last line of ``claude -p --output-format stream-json``."""
        self.ended_how = values.string(line.get("subtype"))
        if isinstance(line.get("total_cost_usd"), (int, float)):
            self.cost = float(line["total_cost_usd"])

    # --- the run ---------------------------------------------------------------------------------------------------

    def with_agents(self, agents: _Agents) -> _Talk:
        """Find the runs of the agents that this one started."""
        for call_id, (agent_id, kind) in self.agent_of_call.items():
            run = agents.take(agent_id, kind, call_id)
            if run is not None:
                self.builder.change(call_id, sub_agents=(run,))
        for call_id, prompt in self.prompt_of_call.items():
            run = agents.take_by_prompt(prompt, call_id)
            if run is not None:
                self.builder.change(call_id, sub_agents=(run,))
        if not self.agent_id:
            self.sub_agents = agents.rest()
        return self

    def run(self, place: Place, agent_file: re.Match[str] | None, kind: str = "") -> Run:
        """Return what was read as a run."""
        stem = place.source.path.name.partition(".")[0] if place.source.path is not None else ""
        session_id = stem if stem in self.session_ids else self.session_id
        agent_id = self.agent_id or (agent_file[1] if agent_file and stem not in self.session_ids else "")
        steps = self.builder.steps()
        dead = self._abandoned([step.id for step in steps])
        if dead:
            steps = tuple(
                replace(step, attributes={**step.attributes, "episode.step.abandoned": True})
                if step.id in dead
                else step
                for step in steps
            )
        for key, value in (("claude_code.title", self.title), ("claude_code.api_errors", self._errors),
                           ("claude_code.compactions", self._compactions)):  # fmt: skip
            if value:
                self.attributes[key] = value
        unanswered = steps and steps[-1].unanswered
        return Run(
            task=self.task or self.command,
            start_time=self.builder.start_time,
            end_time=self.builder.end_time,
            id=f"{session_id}/{agent_id}" if agent_id else session_id,
            format=_NAME,
            agent=(kind or "subagent") if agent_id else place.options.agent or _NAME,
            model=self.builder.first_model(),
            ended_how=self.ended_how or ("unanswered call" if unanswered else ""),
            cost=self.cost,
            usage=self.builder.usage,
            options={"conversation_id": session_id, **({"domain": self.domain} if self.domain else {})},
            attributes=self.attributes,
            steps=steps,
            model_calls=self.builder.model_calls(),
            sub_agents=tuple(self.sub_agents),
            prompts=tuple(self.prompts),
            parent_id=session_id if agent_id else "",
            times_made_up=self.builder.made_up,
        )

    def _abandoned(self, calls: list[str]) -> set[str]:
        """Return the calls on branches that the user left by going back to an earlier prompt."""
        left = {uuid for parent, found in self._prompts_after.items() if parent for uuid in found[:-1]}
        if not left:
            return set()
        on_left: dict[str, bool] = {"": False}
        dead = set()
        for call in calls:
            uuid, path = self._line_of_call.get(call, ""), []
            while uuid not in on_left and uuid not in left:
                path.append(uuid)
                on_left[uuid] = False
                uuid = self._parents.get(uuid, "")
            is_left = uuid in left or on_left[uuid]
            on_left.update(dict.fromkeys(path, is_left))
            if is_left:
                dead.add(call)
        return dead


def _key(line: dict[str, Any]) -> int:
    """Return what a line has in common with its copy in another session's file."""
    message = line.get("message")
    content = message.get("content") if isinstance(message, dict) else ""
    block = content[0] if isinstance(content, list) and content else {"text": content}
    parts = (
        [str(block.get(name))[:200] for name in ("type", "id", "tool_use_id", "name", "text")]
        if isinstance(block, dict)
        else []
    )
    return hash((_NAME, line.get("uuid"), line.get("timestamp"), *parts))


class _Agents:
    """The sub-agents of a session, wherever its version keeps them; each is given out once."""

    def __init__(self, main: _Talk, inside: dict[str, _Talk], place: Place) -> None:
        self._inside = inside
        self._place = place
        self._session = main.session_id
        self._files: dict[str, Path] = {}
        self.refused: list[Refused] = []
        path = place.source.path
        if path is None:
            return
        folder = path.parent / path.name.partition(".")[0] / "subagents"
        for file in sorted(folder.rglob("agent-*.jsonl*")) if folder.is_dir() else ():
            self._found(file)
        self._older = path.parent

    def _found(self, file: Path) -> None:
        match = _AGENT_FILE.search(file.name)
        if match is not None:
            self._files[match[1]] = file

    def take(self, agent_id: str, kind: str, call_id: str) -> Run | None:
        """Return the run of an agent; None where it is nowhere, or was given out before."""
        if agent_id in self._inside:
            return self._run_of(self._inside.pop(agent_id), kind, call_id)
        file = self._files.pop(agent_id, None)
        if file is None and self._place.source.path is not None:
            beside = self._older / f"agent-{agent_id}.jsonl"
            file = beside if beside not in self._place.claimed and beside.is_file() else None
        return None if file is None else self._of_file(file, agent_id, kind, call_id)

    def take_by_prompt(self, prompt: str, call_id: str) -> Run | None:
        """Return the run of an agent in the same file without an id: its task is the prompt of the call."""
        for name, talk in self._inside.items():
            if name == call_id or (talk.task and talk.task == prompt):
                return self._run_of(self._inside.pop(name), "", call_id)
        return None

    def rest(self) -> list[Run]:
        """Return the agents that no call names: of workflows, of calls whose answer is missing."""
        found = [self.take(agent_id, "", "") for agent_id in [*self._files, *self._inside]]
        return [run for run in found if run is not None]

    def _of_file(self, file: Path, agent_id: str, kind: str, call_id: str) -> Run | None:
        self._place.claimed.add(file)
        source = from_file(file)
        talks: dict[str, _Talk] = {}
        with source.open() as opened:
            bad = list(_read(records_of(opened), self._place, talks))
        self.refused += [Refused(one.line, f"{file.name}: {one.reason}") for one in bad]
        talk = talks.get(agent_id) or next(iter(talks.values()), None)
        if talk is None or talk.is_empty():
            return None
        about: Any = {}
        with suppress(OSError, ValueError):
            beside = file.with_name(f"agent-{agent_id}.meta.json")
            about = decoded(beside.read_bytes())
            self._place.claimed.add(beside)
        talk.agent_id = agent_id
        return self._run_of(talk, kind or values.string(about.get("agentType")), call_id)

    def _run_of(self, talk: _Talk, kind: str, call_id: str) -> Run:
        talk.session_ids = {self._session: None}
        talk.agent_id = talk.agent_id or call_id
        run = talk.with_agents(self).run(self._place, None, kind)
        return replace(run, parent_call_id=call_id)


READER: Final = Reader(
    _NAME, is_session=is_session, session=session, homes=("CLAUDE_CONFIG_DIR:projects", ".claude/projects")
)
