"""Records with a list of messages in them, whatever the messages look like: the part that all such formats share.

A dialect says what one of its messages looks like and feeds the messages to a builder; the frame around them (task,
score, outcome, tokens of the whole) is read here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import orjson

from otel_episodes._for_store import masked_json
from otel_episodes_clickhouse.importers import outcomes, values
from otel_episodes_clickhouse.importers.builder import KEPT_IN_FULL, RunBuilder, cut
from otel_episodes_clickhouse.importers.reading import Reader
from otel_episodes_clickhouse.importers.run import NO_USAGE, ModelCall, RecordError, Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_episodes_clickhouse.importers.reading import Place
    from otel_episodes_clickhouse.importers.run import Usage

# Looked at first; a list of messages under any other name is found as well.
_USUAL: Final = (
    "messages", "traj", "trajectory", "conversation", "conversations", "history", "contents", "items", "input",
    "dialog", "chat", "transcript",
)  # fmt: skip
_TASKS: Final = ("task", "instruction", "prompt", "problem_statement", "question", "query")
_IDS: Final = ("session_id", "sessionId", "run_id", "conversation_id", "thread_id", "trajectory_id", "chat_id")
_AGENTS: Final = ("agent", "agent_name", "assistant")
_MODELS: Final = ("model", "modelVersion", "model_name", "info.model", "metadata.model", "config.model")
_LOOKED_AT: Final = 50
# What a user's turn begins with that nobody typed.
INJECTED: Final = re.compile(
    r"\s*<(?:environment_context|user_instructions|system-reminder|command-name|command-message|local-command|turn_aborted|INSTRUCTIONS"
    r"|permissions|user_action|ide_|bash-input|bash-stdout|task-notification|subagent_notification|skill|hook|session_context)"
    r"|\s*# AGENTS\.md instructions|\s*\[Request interrupted|\s*Caveat: The messages below",
)


@dataclass
class Said:
    """What the messages say of their run beside calls: its task, its model, how it ended.

    ``prompts`` are what the user said after the task, and when.
    """

    task: str = ""
    model: str = ""
    turns: int = 0
    how: str = ""
    usage: Usage = NO_USAGE
    prompts: list[tuple[int, str]] = field(default_factory=list)

    def user(self, text: str, time: int = 0) -> None:
        """Take what a user said: the first that somebody typed is the task, what comes later a prompt."""
        if not text.strip() or INJECTED.match(text):
            return
        if self.task:
            self.prompts.append((time, cut(text) or ""))
        else:
            self.task = cut(text) or ""


@dataclass(frozen=True)
class Dialect:
    """One form of messages: what only its messages look like, and how they are read."""

    name: str
    is_message: Callable[[dict[str, Any]], bool]
    feed: Callable[[list[Any], RunBuilder, Said], None]

    def reader(self, **more: Any) -> Reader:
        """Return the reader of records with such messages; ``more`` is what else it reads."""
        return Reader(self.name, **{"is_record": self.is_record, "record": partial(read, self), **more})

    def is_record(self, record: Any) -> bool:
        """Return True if messages of this dialect are in the record."""
        return self.messages(record) is not None

    def messages(self, record: Any) -> tuple[str, list[Any]] | None:
        """Return the list of messages and the field it is in."""
        for name, messages in _lists(record):
            objects = [message for message in messages[:_LOOKED_AT] if isinstance(message, dict)]
            if any(map(self.is_message, objects)):
                return name, messages
        return None


def _lists(record: Any) -> Iterator[tuple[str, list[Any]]]:
    if isinstance(record, list):
        yield "", record
    elif isinstance(record, dict):
        usual = [name for name in _USUAL if isinstance(record.get(name), list)]
        others = [name for name, value in record.items() if isinstance(value, list) and name not in _USUAL]
        for name in usual + others:
            # What a model was asked is a list of such lists in some frameworks.
            found = record[name][0] if len(record[name]) == 1 and isinstance(record[name][0], list) else record[name]
            if found and isinstance(found[0], dict):
                yield name, found


def read(dialect: Dialect, record: Any, place: Place) -> Iterator[Run]:
    """Read one transcript.

    Transcripts seldom carry times. Where this one does not, it starts at the place's time, its steps follow each
    other with no duration, and it says that its times are made up.
    """
    found = dialect.messages(record)
    if found is None:
        fields = ", ".join(map(str, record)) if isinstance(record, dict) else ""
        raise RecordError(f"no list of messages in it; its fields are {fields or 'none'}")
    name, messages = found
    frame = record if isinstance(record, dict) else {}
    if not all(isinstance(message, dict) for message in messages):
        raise RecordError("a message that is not an object")
    builder, said = RunBuilder(values.time_of(frame) or place.fallback_time), Said()
    first = next((time for message in messages if (time := values.time_of(message)) is not None), None)
    if first is not None:
        builder.now = first
    dialect.feed(messages, builder, said)
    yield framed(dialect.name, frame, builder, said, place, but={name})


def framed(
    format_: str,
    frame: dict[str, Any],
    builder: RunBuilder,
    said: Said,
    place: Place,
    *,
    but: set[str] = frozenset(),  # type: ignore[assignment]
) -> Run:
    """Return the run of a record, from what its messages said and what stands around them."""
    options = place.options
    steps = builder.steps()
    task, task_field = task_of(frame, options.task, said.task)
    if not (task or steps or said.turns):
        raise RecordError("neither a task nor a call nor an answer of an assistant in it")
    model = said.model or builder.first_model() or first_string(frame, _MODELS)
    known = values.episode_options(frame)
    if options.id:
        known["id"] = str(values.required(frame, options.id, "--id"))
    ending = outcomes.ending_of(frame, options)
    usage = values.usage_in(frame)
    counted = builder.usage
    left_out = {*but, task_field, options.id, "outcome", "agent", "verdict", "model", *known}
    return Run(
        task=task,
        start_time=builder.start_time,
        end_time=builder.end_time,
        id=first_string(frame, _IDS),
        format=format_,
        agent=options.agent or first_string(frame, _AGENTS),
        model=model,
        usage=max((usage, counted, said.usage), key=lambda tokens: tokens.input + tokens.output),
        options=known,
        attributes=values.scalars(frame, but=left_out),
        steps=steps,
        model_calls=builder.model_calls(),
        times_made_up=builder.made_up and values.time_of(frame) is None,
        **{**ending.fields(), "ended_how": ending.how or said.how},
    )


def task_of(frame: dict[str, Any], named: str, said: str) -> tuple[str, str]:
    """Return the task and the field it is in: the one named, else a usual one, else what the user said first."""
    if named:
        return values.text_of(values.required(frame, named, "--task")), named
    for name in _TASKS:
        if isinstance(frame.get(name), str) and frame[name].strip():
            return frame[name], name
    return said, ""


def first_string(frame: dict[str, Any], names: tuple[str, ...]) -> str:
    """Return the first of these fields that is a text."""
    return next((found for name in names if (found := values.string(values.lookup(frame, name)))), "")


def answered(builder: RunBuilder, message: dict[str, Any], *, before: int, time: int | None, model: str = "") -> None:
    """Take the tokens and the model of an assistant's message, where it names them: the answer of a model."""
    usage = values.usage_in(message)
    named = first_string(
        message, ("model", "model_name", "extra.response.model", "response_metadata.model_name", "info.model")
    )
    if usage or named:
        identifier = values.string(message.get("id")) or values.string(values.lookup(message, "extra.response.id"))
        cost = values.lookup(message, "extra.cost") or message.get("cost")
        builder.model_call(
            ModelCall(
                start_time=before if time is not None else builder.now,
                end_time=builder.now,
                # One id on several messages would make them one call: only formats that say so rely on it.
                id=f"{identifier}@{before}" if identifier else "",
                model=named or model,
                usage=usage,
                finish_reason=first_string(
                    message, ("stop_reason", "finish_reason", "response_metadata.finish_reason")
                ),
                cost=float(cost) if isinstance(cost, (int, float)) and cost > 0 else None,
            )
        )


def arguments_of(arguments: object) -> object:
    """Return a call's arguments decoded: a model wrote them, so what is not JSON is kept as text."""
    if isinstance(arguments, str) and arguments[:1] in ("{", "["):
        try:
            return orjson.loads(arguments)
        except ValueError:
            return arguments
    return arguments


def compact(value: object) -> str:
    """Return any JSON value as text that is not longer than what is kept."""
    if isinstance(value, str):
        return value[:KEPT_IN_FULL]
    try:
        return orjson.dumps(value).decode()[:KEPT_IN_FULL]
    except TypeError:  # nested deeper than it goes, or a number beyond 64 bits
        return masked_json(value, KEPT_IN_FULL)
