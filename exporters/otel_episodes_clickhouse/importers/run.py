"""A run as a reader found it: what every format is turned into before rows are made of it.

Times are nanoseconds since 1970, durations nanoseconds. Nothing here is cut or masked: `run_rows` does both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from otel_episodes import _for_store

if TYPE_CHECKING:
    from collections.abc import Mapping


class RecordError(ValueError):
    """A record that cannot be read as a run; the message says why."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of model calls. ``input`` includes what came from a cache and what was written to one."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input + other.input,
            self.output + other.output,
            self.cache_read + other.cache_read,
            self.cache_write + other.cache_write,
            self.reasoning + other.reasoning,
        )

    def __sub__(self, other: Usage) -> Usage:
        return Usage(
            max(0, self.input - other.input),
            max(0, self.output - other.output),
            max(0, self.cache_read - other.cache_read),
            max(0, self.cache_write - other.cache_write),
            max(0, self.reasoning - other.reasoning),
        )

    def __bool__(self) -> bool:
        return self.input > 0 or self.output > 0

    def recorded(self) -> _for_store.Usage:
        """Return these as the recorder counts them."""
        return _for_store.Usage(self.input, self.output, self.cache_read, self.cache_write, self.reasoning)


NO_USAGE = Usage()


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One answer of a model. ``id`` tells it apart within its run; empty: its place does."""

    start_time: int
    end_time: int
    id: str = ""
    model: str = ""
    provider: str = ""
    usage: Usage = NO_USAGE
    finish_reason: str = ""
    cost: float | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One action of a burst that is one step."""

    action: str
    latency_ms: float = 0.0
    success: bool = True
    observation: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a run.

    ``arguments`` is what was done: text, or the arguments of the call. ``success`` is None where nobody knows: a call
    that was never answered, or an answer that says nothing. ``id`` is the call's own, empty where it has none.
    ``observation`` is None where there was no answer. A step with ``batch`` is a burst. ``sub_agent_ids`` are ids of
    runs that this step started and that come from elsewhere, ``sub_agents`` such runs themselves.
    """

    tool: str
    start_time: int
    duration: int = 0
    arguments: object = ""
    observation: str | None = None
    success: bool | None = True
    error_type: str = ""
    kind: str = "tool_use"
    id: str = ""
    usage: Usage = NO_USAGE
    attributes: Mapping[str, Any] = field(default_factory=dict)
    batch: tuple[BatchItem, ...] = ()
    sub_agents: tuple[Run, ...] = ()
    sub_agent_ids: tuple[str, ...] = ()

    @property
    def unanswered(self) -> bool:
        """Whether nothing says what came of the call."""
        return self.success is None and self.observation is None


@dataclass(frozen=True, slots=True)
class Run:
    """One run of an agent.

    ``id`` is the session's own id, empty where it has none; with ``format`` all ids of the run are drawn from it.
    ``outcome`` is empty where nobody said how the run ended, ``outcome_source`` says who did (told, score,
    exception, rule), ``ended_how`` is the format's own word for the end. ``options`` are those of
    `otel_episodes.episode` (task_type, domain, tags, conversation_id, id). ``usage`` is that of the whole run,
    sub-agents left out. ``parent_id`` is the id of the run that started this one, in the same format, and
    ``parent_call_id`` of the step that did. ``prompts`` are what the user said after the task, and when.
    ``times_made_up``: the source had none. Of a part of a session, ``whole_id`` is the session's id and ``follows_id``
    that of the part before.
    """

    task: str
    start_time: int
    end_time: int = 0
    id: str = ""
    format: str = ""
    agent: str = ""
    model: str = ""
    outcome: str = ""
    outcome_source: str = ""
    verdict: str = ""
    ended_how: str = ""
    reward: float | None = None
    cost: float | None = None
    usage: Usage = NO_USAGE
    options: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    model_calls: tuple[ModelCall, ...] = ()
    sub_agents: tuple[Run, ...] = ()
    prompts: tuple[tuple[int, str], ...] = ()
    parent_id: str = ""
    parent_call_id: str = ""
    artifacts: tuple[str, ...] = ()
    done: int = 0
    not_done: int = 0
    times_made_up: bool = False
    whole_id: str = ""
    follows_id: str = ""
