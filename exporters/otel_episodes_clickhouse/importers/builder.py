"""What readers have in common: matching answers to calls, keeping the clock, counting a model's answers once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from otel_episodes._for_store import CONTENT_LIMIT, OBSERVATION_LIMIT, capture
from otel_episodes_clickhouse.importers.run import NO_USAGE, ModelCall, Run, Step, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Where a source has no times, what comes later in it is a little later.
TICK: Final = 1000
# More of an answer is never stored; what a session of hundreds of MB holds beyond must not stay in memory.
# Masking reads a few times as far as what it shows.
KEPT: Final = 6 * OBSERVATION_LIMIT
KEPT_IN_FULL: Final = CONTENT_LIMIT + 1024


@dataclass(slots=True)
class OpenCall:
    """A call that waits for its answer."""

    id: str
    tool: str
    arguments: object
    start_time: int
    timed: bool
    place: int
    usage: Usage = NO_USAGE
    kind: str = "tool_use"
    attributes: dict[str, Any] = field(default_factory=dict)


class RunBuilder:
    """Collect the calls, answers and model calls of one run in the order of the source.

    Steps come out in the order of the calls, whatever the order of the answers.
    """

    def __init__(self, start_time: int) -> None:
        self.now = start_time
        self.first: int | None = None
        self.last: int | None = None
        self.untimed = 0
        self._fallback = start_time
        self._open: dict[int, OpenCall] = {}
        self._steps: dict[int, Step] = {}
        self._places = 0
        self._model_calls: dict[str, ModelCall] = {}
        self._waiting_usage = NO_USAGE
        self._places_of: dict[str, int] = {}

    # --- time ------------------------------------------------------------------------------------------------------

    def tell_time(self, time: int | None) -> bool:
        """Move the clock to the time of the next thing in the source; return False where it has none."""
        if time is None:
            self.untimed += 1
            self.now += TICK
            return False
        if self.first is None:
            self.first = self.now = time
        else:
            self.first = min(self.first, time)
        self.last = time if self.last is None else max(self.last, time)
        self.now = max(self.now, time)
        return True

    @property
    def start_time(self) -> int:
        """When the run began."""
        return self._fallback if self.first is None else self.first

    @property
    def end_time(self) -> int:
        """When the last thing in the source happened."""
        return self.now if self.last is None else self.last

    @property
    def made_up(self) -> bool:
        """Whether the source had no time at all."""
        return self.first is None

    # --- calls -----------------------------------------------------------------------------------------------------

    def call(
        self,
        tool: str,
        arguments: object,
        *,
        call_id: str = "",
        time: int | None = None,
        kind: str = "tool_use",
        **attributes: Any,
    ) -> OpenCall:
        """Add a call, which waits for its answer; a call with an id that is there already is the same call."""
        known = self._open.get(self._places_of.get(call_id, -1)) if call_id else None
        if known is not None:
            return known
        place = self._next_place()
        made = OpenCall(
            call_id, tool or "unknown", cut_arguments(arguments), self.now if time is None else time, time is not None,
            place, self._waiting_usage, kind, attributes,
        )  # fmt: skip
        self._waiting_usage = NO_USAGE
        self._open[place] = made
        if call_id:
            self._places_of[call_id] = place
        return made

    def waiting(self, call_id: str = "", tool: str = "") -> OpenCall | None:
        """Return the open call with this id, else the first one of this tool, else the first one."""
        if call_id and call_id in self._places_of:
            return self._open.get(self._places_of[call_id])
        for call in self._open.values():
            if (not call_id or not call.id) and tool in ("", call.tool):
                return call
        return None

    def give_up_without_id(self) -> None:
        """Wait no longer for calls without an id: an answer that comes now is to a later one."""
        for call in [call for call in self._open.values() if not call.id]:
            self._give_up(call)

    def _give_up(self, call: OpenCall) -> None:
        del self._open[call.place]
        self._steps[call.place] = Step(
            call.tool, call.start_time, 0, call.arguments, None, None, "", call.kind, call.id, call.usage,
            call.attributes,
        )  # fmt: skip

    def is_known(self, call_id: str) -> bool:
        """Return True if a call with this id has been seen, answered or not."""
        return call_id in self._places_of

    def answer(
        self,
        observation: str | None,
        *,
        call_id: str = "",
        tool: str = "",
        success: bool | None = True,
        time: int | None = None,
        duration: int | None = None,
        told_duration: int | None = None,
        error_type: str = "",
        sub_agents: Sequence[Run] = (),
        sub_agent_ids: Sequence[str] = (),
        **attributes: Any,
    ) -> None:
        """Answer a call.

        An answer to a call that is not in the source, which was cut, is a step all the same. How long it took is
        ``duration``, else what lies between the times of both, else ``told_duration``.
        """
        if call_id and call_id in self._places_of and self._places_of[call_id] not in self._open:
            return  # answered before: the source repeats itself
        call = self.waiting(call_id, tool) or self.call(tool or "unknown", "", call_id=call_id, time=time)
        del self._open[call.place]
        if duration is None:
            timed = time is not None and call.timed
            duration = max(0, time - call.start_time) if timed and time is not None else told_duration or 0
        self._steps[call.place] = Step(
            call.tool, call.start_time, duration, call.arguments, cut(observation), success, error_type, call.kind,
            call.id, call.usage, {**call.attributes, **attributes}, (), tuple(sub_agents), tuple(sub_agent_ids),
        )  # fmt: skip

    def add(self, step: Step) -> None:
        """Add a step that is complete."""
        if self._waiting_usage and not step.usage:
            step = replace(step, usage=self._waiting_usage)
            self._waiting_usage = NO_USAGE
        place = self._next_place()
        if step.id:
            self._places_of[step.id] = place
        self._steps[place] = step

    def change(self, call_id: str, **fields: Any) -> bool:
        """Change what is known of a step that has been answered; return False where there is none with this id."""
        place = self._places_of.get(call_id, -1)
        step = self._steps.get(place)
        if step is None:
            return False
        self._steps[place] = replace(step, **fields)
        return True

    def step(self, call_id: str) -> Step | None:
        """Return the answered step with this id."""
        return self._steps.get(self._places_of.get(call_id, -1))

    def _next_place(self) -> int:
        self._places += 1
        return self._places

    # --- models ----------------------------------------------------------------------------------------------------

    def model_call(self, call: ModelCall, *, counts_for_step: bool = True) -> bool:
        """Add an answer of a model, once by its id; its tokens go to the next call, which it asked for."""
        key = call.id or f"#{len(self._model_calls)}"
        known = self._model_calls.get(key)
        if known is not None:
            # One answer over several lines: the last of them has the final count.
            grown = call.usage - known.usage
            if grown:
                self._waiting_usage += grown
            self._model_calls[key] = replace(
                known,
                end_time=max(known.end_time, call.end_time),
                usage=known.usage + grown,
                finish_reason=call.finish_reason or known.finish_reason,
            )
            return False
        self._model_calls[key] = call
        # What an answer without a call used is the run's alone.
        self._waiting_usage = call.usage if counts_for_step else NO_USAGE
        return True

    def give_usage_to_first_since(self, place: int, usage: Usage) -> None:
        """Give tokens that are told after the calls they asked for to the first call added after ``place``."""
        for number in range(place + 1, self._places + 1):
            if number in self._open:
                self._open[number].usage += usage
                return
            if number in self._steps:
                step = self._steps[number]
                self._steps[number] = replace(step, usage=step.usage + usage)
                return

    @property
    def places(self) -> int:
        """How many calls and steps have been added."""
        return self._places

    @property
    def usage(self) -> Usage:
        """The tokens of all model calls."""
        return sum((call.usage for call in self._model_calls.values()), NO_USAGE)

    # --- the end ---------------------------------------------------------------------------------------------------

    def steps(self) -> tuple[Step, ...]:
        """Return all steps; calls that still wait were never answered."""
        for call in list(self._open.values()):
            self._give_up(call)
        return tuple(self._steps[place] for place in sorted(self._steps))

    def model_calls(self) -> tuple[ModelCall, ...]:
        """Return the model calls in order."""
        return tuple(self._model_calls.values())

    def first_model(self) -> str:
        """Return the name of the first model that answered."""
        return next((call.model for call in self._model_calls.values() if call.model), "")

    def is_empty(self) -> bool:
        """Return True if neither a step nor a model call was found."""
        return not (self._steps or self._open or self._model_calls)


def cut(text: str | None) -> str | None:
    """Return a text without what is never stored of it."""
    if text is None or len(text) <= KEPT:
        return text
    return text[: KEPT_IN_FULL if capture() == "full" else KEPT]


def cut_arguments(arguments: object) -> object:
    """Return arguments without what is never stored of them: a file's whole text, say."""
    if isinstance(arguments, str):
        return cut(arguments)
    if isinstance(arguments, dict) and any(
        isinstance(value, str) and len(value) > KEPT for value in arguments.values()
    ):
        return {key: cut(value) if isinstance(value, str) else value for key, value in arguments.items()}
    return arguments


def total(usages: Iterable[Usage]) -> Usage:
    """Return the sum of tokens."""
    return sum(usages, NO_USAGE)
