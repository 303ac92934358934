"""OpenAI-style transcripts: messages with tool calls, and the tools' answers."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from otel_episodes import semconv
from otel_episodes._for_store import usage_of
from otel_episodes_clickhouse.importers import values
from otel_episodes_clickhouse.importers.trajectory import RecordError, Trajectory, TrajectoryStep

if TYPE_CHECKING:
    from otel_episodes_clickhouse.importers.options import ImportOptions

MESSAGE_FIELDS: Final = ("messages", "traj", "trajectory", "conversation", "conversations")
_TASK_FIELDS: Final = ("task", "instruction", "prompt")
_REWARD_FIELDS: Final = ("reward", "score")
_SUCCESS_FIELDS: Final = ("success", "resolved", "passed")
# Runs without times are laid out one after the other, so that what comes later in the file sorts later.
_TICK: Final = 1000


def matches(record: object) -> bool:
    """Tell whether this looks like a transcript: a list of messages, or an object with one."""
    if isinstance(record, list):
        return bool(record) and all(isinstance(message, dict) and "role" in message for message in record)
    return isinstance(record, dict) and any(isinstance(record.get(name), list) for name in MESSAGE_FIELDS)


def parse(record: Any, options: ImportOptions, fallback_time: int) -> Trajectory:  # decoded JSON
    """Read one transcript.

    Transcripts seldom carry times. Where this one does not, it starts at ``fallback_time``, its steps follow each
    other with no duration, and it says that its times are made up.
    Raises `RecordError` for what is no transcript.
    """
    if isinstance(record, list):
        record = {"messages": record}
    name = next((name for name in MESSAGE_FIELDS if isinstance(record.get(name), list)), None)
    if name is None:
        raise RecordError(f"no list of messages in it; its fields are {', '.join(map(str, record)) or 'none'}")
    messages = record[name]
    turns = _Turns(messages, values.time_of(record) or fallback_time)
    task, task_field = _task(record, messages, options)
    reward, reward_field = _reward(record, options)
    outcome, verdict = outcome_of(record, reward, options.success_at)
    known = {name, task_field, reward_field, options.id, "outcome", "agent", "verdict", *_SUCCESS_FIELDS}
    said = values.episode_options(record)
    if options.id:
        said["id"] = str(values.required(record, options.id, "--id"))
    return Trajectory(
        task=task,
        start_time=turns.start_time,
        end_time=turns.now,
        agent=options.agent or _string(record.get("agent")),
        outcome=outcome,
        verdict=verdict,
        reward=reward,
        options=said,
        attributes=values.scalars(record, but=known | set(said)),
        steps=tuple(turns.steps),
        other_tokens=turns.other_tokens,
        times_made_up=turns.made_up,
    )


def outcome_of(record: dict[str, Any], reward: float | None, success_at: float) -> tuple[str, str]:
    """Return outcome and verdict: by the reward, else by a field that says it, else a success."""
    verdict = _string(record.get("verdict"))
    if reward is not None:
        if reward >= success_at:
            return "success", verdict
        return "failure", verdict or f"reward {reward:g} is below {success_at:g}"
    if record.get("outcome") in semconv.OUTCOMES:
        return record["outcome"], verdict
    said = next((record[name] for name in _SUCCESS_FIELDS if isinstance(record.get(name), bool)), True)
    return ("success" if said else "failure"), verdict


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _task(record: dict[str, Any], messages: list[Any], options: ImportOptions) -> tuple[str, str]:
    if options.task:
        return values.text_of(values.required(record, options.task, "--task")), options.task
    for name in _TASK_FIELDS:
        if isinstance(record.get(name), str) and record[name].strip():
            return record[name], name
    users = (message for message in messages if isinstance(message, dict) and message.get("role") in ("user", "human"))
    return values.text_of(next(users, {}).get("content")), ""


def _reward(record: dict[str, Any], options: ImportOptions) -> tuple[float | None, str]:
    if options.reward:
        return values.number(values.required(record, options.reward, "--reward"), options.reward), options.reward
    for name in _REWARD_FIELDS:
        if isinstance(record.get(name), (int, float)) and not isinstance(record[name], bool):
            return values.number(record[name], name), name
    return None, ""


@dataclass(frozen=True)
class _Call:
    """A tool call as a message carries it."""

    id: str
    tool: str
    arguments: object
    tokens: tuple[int, int]
    start_time: int


class _Turns:
    """Goes through the messages: matches answers to calls, and keeps the clock."""

    def __init__(self, messages: list[Any], start_time: int) -> None:
        self.start_time = self.now = start_time
        self.steps: list[TrajectoryStep] = []
        self.other_tokens = (0, 0)
        self.made_up = False
        self._open: list[_Call] = []
        timed = [values.time_of(message) for message in messages if isinstance(message, dict)]
        first = next((time for time in timed if time is not None), None)
        if first is not None:
            self.start_time = self.now = first
        for message in messages:
            if not isinstance(message, dict):
                raise RecordError("a message that is no object")
            self._read(message)
        self._give_up_waiting()

    def _read(self, message: dict[str, Any]) -> None:
        time = values.time_of(message)
        self.now = max(self.now, time) if time is not None else self.now + _TICK
        self.made_up |= time is None
        role = message.get("role")
        if role in ("tool", "function"):
            self._answer(message)
        elif role == "assistant":
            self._give_up_waiting()
            self._call(message)

    def _call(self, message: dict[str, Any]) -> None:
        usage = usage_of(message)
        tokens = (usage.input, usage.output) if usage else (0, 0)
        calls = message.get("tool_calls") or []
        if isinstance(message.get("function_call"), dict):
            calls = [{"function": message["function_call"]}]
        if not isinstance(calls, list):
            raise RecordError("tool_calls is no list")
        for call in calls:
            self._open.append(_call(call, tokens, self.now))
            tokens = (0, 0)
        if any(tokens):
            self.other_tokens = (self.other_tokens[0] + tokens[0], self.other_tokens[1] + tokens[1])

    def _answer(self, message: dict[str, Any]) -> None:
        call = self._called(message)
        answer = values.text_of(message.get("content"))
        failed = message.get("is_error") is True or values.says_failure(answer)
        self.steps.append(_step(call, answer, self.now, failed=failed, timed=not self.made_up))

    def _called(self, message: dict[str, Any]) -> _Call:
        wanted = message.get("tool_call_id")
        name = _string(message.get("name"))
        for call in self._open:
            if call.id == wanted if wanted and call.id else name in ("", call.tool):
                self._open.remove(call)
                return call
        # An answer to a call that is not in the file, which was cut: it happened all the same.
        return _Call(_string(wanted), name or "unknown", "", (0, 0), self.now)

    def _give_up_waiting(self) -> None:
        """Record calls that were never answered."""
        for call in self._open:
            self.steps.append(_step(call, None, call.start_time, failed=False, timed=False))
        self._open.clear()


def _step(call: _Call, answer: str | None, now: int, *, failed: bool, timed: bool) -> TrajectoryStep:
    return TrajectoryStep(
        tool=call.tool,
        start_time=call.start_time,
        duration=max(0, now - call.start_time) if timed else 0,
        action=call.arguments,
        observation=answer,
        success=not failed,
        input_tokens=call.tokens[0],
        output_tokens=call.tokens[1],
        attributes={"episode.step.unanswered": True} if answer is None else {},
    )


def _call(call: object, tokens: tuple[int, int], now: int) -> _Call:
    function = call.get("function", call) if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise RecordError("a tool call without a function name")
    arguments = function.get("arguments", call.get("input", ""))  # type: ignore[attr-defined]  # a dict, see above
    if isinstance(arguments, str):
        with suppress(ValueError):  # a model wrote it: what is no JSON is kept as text
            arguments = orjson.loads(arguments)
    return _Call(_string(call.get("id")), function["name"], arguments, tokens, now)  # type: ignore[attr-defined]
