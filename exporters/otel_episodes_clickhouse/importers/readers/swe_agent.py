"""SWE-agent's trajectories (``.traj``), and rows of datasets that were made of them (nebius).

There are no times, only durations, and no exit codes: whether a shell command succeeded is unknown. "submitted" says
that the agent took itself to be done: no outcome.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import orjson

from otel_episodes import semconv
from otel_episodes_clickhouse.importers import outcomes, values
from otel_episodes_clickhouse.importers.builder import RunBuilder, cut
from otel_episodes_clickhouse.importers.failures import says_failure
from otel_episodes_clickhouse.importers.reading import Place, Reader
from otel_episodes_clickhouse.importers.run import RecordError, Run, Step, Usage
from otel_episodes_clickhouse.importers.transcripts import Dialect, Said, arguments_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME: Final = "swe-agent"
_TASK: Final = re.compile(r"<pr_description>\s*(.*?)\s*</pr_description>|ISSUE:\s*(.*?)\s*INSTRUCTIONS:", re.DOTALL)
_FENCE: Final = re.compile(r"```[a-z]*\n(.*?)\n?```", re.DOTALL)
_WORD: Final = re.compile(r"[\w.-]+")
# Its own commands answer with what went wrong; whatever else is run is the shell's.
_COMMANDS: Final = frozenset((
    "open", "goto", "scroll_up", "scroll_down", "create", "edit", "search_dir", "search_file", "find_file", "submit",
    "str_replace_editor", "insert", "view_image", "exit_forfeit", "undo_edit", "filemap", "review_on_submit_m",
))  # fmt: skip
_EDIT_FAILED: Final = re.compile(
    r"\s*(?:Your proposed edit has introduced|No replacement was performed|Invalid|Usage:)"
)


def is_record(record: Any) -> bool:
    """Return True for an object with turns of an action, what was observed, and what the model said."""
    if not isinstance(record, dict):
        return False
    turns = values.objects(record.get("trajectory"))
    return bool(turns) and all("action" in turn and "observation" in turn for turn in turns[:5])


def read(record: Any, place: Place) -> Iterator[Run]:
    """Read one trajectory."""
    info, history = values.fields(record.get("info")), values.objects(record.get("history"))
    stats = values.fields(info.get("model_stats"))
    now = start = place.fallback_time
    calls = _calls(history)
    steps = []
    for turn in values.objects(record["trajectory"]):
        step = _step(turn, calls, now)
        now += max(step.duration, 1000)
        steps.append(step)
    how = values.string(info.get("exit_status"))
    ending = outcomes.ending_of(record, place.options)
    task = _task(history, record)
    if not (task or steps):
        raise RecordError("neither a task nor a turn in it")
    name = place.source.path.name.partition(".traj")[0] if place.source.path is not None else ""
    instance = values.string(record.get("instance_id")) or name
    yield Run(
        task=task,
        start_time=start,
        end_time=now,
        format=_NAME,
        agent=place.options.agent or _NAME,
        model=_model(record),
        cost=values.amount(stats.get("instance_cost")) or values.amount(stats.get("total_cost")),
        usage=Usage(values.count(stats.get("tokens_sent")), values.count(stats.get("tokens_received"))),
        attributes={key: value for key, value in (
            (semconv.SOURCE_ID, instance), ("gen_ai.agent.version", info.get("swe_agent_version")),
        ) if isinstance(value, str) and value},
        steps=tuple(steps),
        times_made_up=True,
        **{**ending.fields(), "ended_how": how},
    )  # fmt: skip


def _step(turn: dict[str, Any], calls: dict[str, list[dict[str, Any]]], start: int) -> Step:
    action = values.text_of(turn.get("action")).strip()
    waiting = calls.get(action)
    call = waiting.pop(0) if waiting else {}
    function = values.fields(call.get("function"))
    tool = values.string(function.get("name")) or tool_of(action)
    observation = values.text_of(turn.get("observation"))
    seconds = turn.get("execution_time")
    return Step(
        tool=tool,
        start_time=start,
        duration=round(seconds * 1e9) if isinstance(seconds, (int, float)) and seconds > 0 else 0,
        arguments=arguments_of(function.get("arguments")) or cut(action) or "",
        observation=cut(observation),
        success=judged(tool, observation),
        id=values.string(call.get("id")),
    )


def _calls(history: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return the calls in the history by the action they became."""
    found: dict[str, list[dict[str, Any]]] = {}
    for message in history:
        made = values.objects(message.get("tool_calls"))
        if message.get("role") == "assistant" and not message.get("is_demo") and len(made) == 1:
            found.setdefault(values.text_of(message.get("action")).strip(), []).append(made[0])
    return found


def tool_of(action: str) -> str:
    """Return the tool of an action: the first word of what is run."""
    word = _WORD.match(action.strip())
    return word[0] if word is not None else "shell"


def judged(tool: str, observation: str) -> bool | None:
    """Return whether an action succeeded; None for what a shell ran, whose exit code nobody kept."""
    if tool not in _COMMANDS:
        return None
    return not (says_failure(observation) or _EDIT_FAILED.match(observation))


def _task(history: list[dict[str, Any]], record: dict[str, Any]) -> str:
    said = (
        values.text_of(message.get("content"))
        for message in history
        if message.get("role") == "user" and not message.get("is_demo")
    )
    return task_in(next(said, "") or values.string(record.get("problem_statement")))


def task_in(text: str) -> str:
    """Return the issue out of the prompt around it."""
    match = _TASK.search(text)
    return (match[1] or match[2]) if match is not None else text


def _model(record: dict[str, Any]) -> str:
    config: Any = record.get("replay_config")
    if isinstance(config, str):
        with suppress(ValueError):
            config = orjson.loads(config)
    return values.string(values.lookup(values.fields(config), "agent.model.name")) or values.string(
        record.get("model_name")
    )


# --- rows of a dataset -----------------------------------------------------------------------------------------------


def is_row_message(message: dict[str, Any]) -> bool:
    """Return True for a turn of a row: the model is called ai, and what is said is its text."""
    return message.get("role") in ("system", "user", "ai") and "text" in message and "content" not in message


def feed(messages: list[Any], builder: RunBuilder, said: Said) -> None:
    """Read the turns of a row: what the model runs is in a fence, what came of it is the user's next turn."""
    for message in messages:
        builder.tell_time(None)
        text = values.string(message.get("text"))
        if message.get("role") == "ai":
            said.turns += 1
            commands = _FENCE.findall(text)
            if commands:
                builder.give_up_without_id()
                builder.call(tool_of(commands[-1]), commands[-1])
        elif message.get("role") == "user":
            call = builder.waiting()
            if call is not None:
                builder.answer(text, success=judged(call.tool, text))
            else:
                said.user(task_in(text))


READER: Final = Reader(_NAME, is_record=is_record, record=read)
ROWS: Final = Dialect("nebius", is_row_message, feed).reader()
