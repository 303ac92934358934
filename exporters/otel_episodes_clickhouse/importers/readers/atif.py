"""The Agent Trajectory Interchange Format, versions 1.0 to 1.8, as Harbor and others write it: one object is one run.

What the format leaves open is read so: the task is the first message of the user; a turn's tool calls start at its
timestamp and end at the next one's. The format has no outcome: Harbor keeps it in the trial's ``result.json``, one
directory up; others under ``extra``. A trajectory that goes on in another file (``continued_trajectory_ref``) is one
run, sub-agents are embedded or in files of their own.
"""

from __future__ import annotations

import re
from collections import defaultdict
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from otel_episodes_clickhouse.importers import outcomes, trials, values
from otel_episodes_clickhouse.importers.builder import cut, cut_arguments
from otel_episodes_clickhouse.importers.documents import decoded
from otel_episodes_clickhouse.importers.failures import flagged, says_failure
from otel_episodes_clickhouse.importers.options import ImportOptions
from otel_episodes_clickhouse.importers.reading import Place, Reader
from otel_episodes_clickhouse.importers.run import NO_USAGE, ModelCall, RecordError, Run, Step, Usage
from otel_episodes_clickhouse.importers.sources import from_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NAME: Final = "atif"
_VERSION: Final = re.compile(r"ATIF-v1\.\d+")
_SOURCES: Final = frozenset(("user", "agent", "system"))
_TICK: Final = 1000
_MOST_CONTINUATIONS: Final = 1000


def is_record(record: Any) -> bool:
    """Return True for an object with steps that come from a user, an agent or the system, or one that names ATIF."""
    if not isinstance(record, dict) or not isinstance(record.get("steps"), list):
        return False
    if str(record.get("schema_version", "")).startswith("ATIF"):
        return True
    steps = values.objects(record["steps"])
    return (
        isinstance(record.get("agent"), dict) and bool(steps) and all(step.get("source") in _SOURCES for step in steps)
    )


def read(record: Any, place: Place) -> Iterator[Run]:
    """Read one trajectory, its embedded sub-agents and what Harbor keeps beside it included."""
    if not isinstance(record, dict) or not isinstance(record.get("steps"), list):
        raise RecordError("not an ATIF trajectory: it has no list of steps")
    record = _with_continuations(record, place)
    run = _Reading(record, place.options, place.fallback_time, place).run()
    if not (run.task or run.steps or run.model_calls or any(step.get("source") == "agent" for step in record["steps"])):
        raise RecordError("neither a task nor a call nor a turn of an agent in it")
    yield run


def _with_continuations(record: dict[str, Any], place: Place) -> dict[str, Any]:
    """Return a trajectory with the steps of those that go on where it stops."""
    steps, following, last = list(record["steps"]), record, record
    for _ in range(_MOST_CONTINUATIONS):
        reference = following.get("continued_trajectory_ref")
        path = place.source.beside(reference) if isinstance(reference, str) and reference else None
        if path is None or path in place.claimed or path == place.source.path:
            break
        place.claimed.add(path)
        following = _loaded(path)
        if not isinstance(following.get("steps"), list):
            break
        steps += following["steps"]
        last = following
    if last is record:
        return record
    # Each has the totals up to its own end.
    return {**record, "steps": steps, "final_metrics": last.get("final_metrics") or record.get("final_metrics")}


def _loaded(path: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        return values.fields(decoded(path.read_bytes()))
    return {}


def directory(path: Path, place: Place) -> Iterator[Run]:
    """Read the trajectory of a trial; what else its agent logged is the same run once more."""
    file = path / trials.TRAJECTORY
    inside = replace(place, source=from_file(file))
    record = _loaded(file)
    if not record:
        raise RecordError(f"{trials.TRAJECTORY} is not JSON")
    yield from read(record, inside)
    for other in sorted(file.parent.glob("trajectory.*.json")):
        found = {} if other in place.claimed else _loaded(other)
        if is_record(found) and not found.get("continued_from_trajectory_ref"):
            yield from read(found, replace(place, source=from_file(other)))


class _Reading:
    """Goes through the steps of one trajectory."""

    def __init__(self, record: dict[str, Any], options: ImportOptions, fallback_time: int, place: Place) -> None:
        version = record.get("schema_version")
        if version is not None and not (isinstance(version, str) and _VERSION.fullmatch(version)):
            raise RecordError(f"schema_version is {version!r}: this reads ATIF-v1.0 to ATIF-v1.8")
        self._record = record
        self._options = options
        self._place = place
        # Steps copied from an earlier trajectory were recorded there.
        turns = [values.as_object(turn, "a step") for turn in record["steps"]]
        self._turns = [turn for turn in turns if not turn.get("is_copied_context")]
        self._told = [values.nanoseconds(turn.get("timestamp")) for turn in self._turns]
        self._times = _times(self._told, fallback_time)
        self._embedded = {
            str(values.as_object(sub_agent, "a sub-agent").get("trajectory_id", position)): sub_agent
            for position, sub_agent in enumerate(record.get("subagent_trajectories") or [])
        }
        self._of_embedded = NO_USAGE

    def run(self) -> Run:
        agent = values.as_object(self._record.get("agent") or {}, "agent")
        steps = [step for position in range(len(self._turns)) for step in self._steps(position)]
        calls = tuple(call for position in range(len(self._turns)) if (call := self._model_call(position)))
        others = tuple(self._sub_agent(name, self._times[0]) for name in list(self._embedded))
        ending = outcomes.ending_of(_where_outcomes_are(self._record), self._options)
        session = values.string(self._record.get("session_id"))
        trajectory = values.string(self._record.get("trajectory_id"))
        return Run(
            task=self._task(),
            start_time=self._times[0],
            end_time=self._times[-1],
            id="/".join(filter(None, (session, trajectory))),
            format=_NAME,
            agent=self._options.agent or str(agent.get("name") or ""),
            model=values.string(agent.get("model_name")),
            cost=values.amount(values.lookup(self._record, "final_metrics.total_cost_usd")),
            usage=self._usage(calls),
            options=self._episode_options(),
            attributes=self._attributes(agent),
            steps=tuple(steps),
            model_calls=calls,
            sub_agents=others,
            times_made_up=not any(time is not None for time in self._told),
            **ending.fields(),
        )

    def _task(self) -> str:
        if self._options.task:
            return values.text_of(values.required(self._record, self._options.task, "--task"))
        said = (turn.get("message") for turn in self._record["steps"] if turn.get("source") == "user")
        return values.text_of(next(said, ""))

    def _episode_options(self) -> dict[str, Any]:
        said = values.episode_options(values.as_object(self._record.get("extra") or {}, "extra"))
        if self._options.id:
            said["id"] = str(values.required(self._record, self._options.id, "--id"))
        # One session can have several trajectories, so it is not the episode's id.
        if isinstance(self._record.get("session_id"), str):
            said["conversation_id"] = self._record["session_id"]
        return said

    def _attributes(self, agent: dict[str, Any]) -> dict[str, Any]:
        found = {
            "gen_ai.agent.version": agent.get("version"),
            "atif.trajectory_id": self._record.get("trajectory_id"),
            "atif.notes": self._record.get("notes"),
        }
        extra = values.scalars(self._record.get("extra") or {}, but={"outcome", "verdict", "reward"})
        return {**extra, **{key: value for key, value in found.items() if isinstance(value, (str, int, float))}}

    # --- steps -----------------------------------------------------------------------------------------------------

    def _steps(self, position: int) -> list[Step]:
        turn = self._turns[position]
        calls = [values.as_object(call, "a tool call") for call in turn.get("tool_calls") or []]
        results = values.lookup(turn, "observation.results") or []
        results = [values.as_object(result, "an observation") for result in results]
        if not calls and (not results or turn.get("source") == "user"):
            return []
        usage = _usage(turn)
        if not calls:
            # What an agent did without a tool call, or the system by itself (a delegation, a reset).
            tool = "action" if turn.get("source") == "agent" else "system"
            return [self._made(position, tool, values.text_of(turn.get("message")), "", results, usage)]
        answers = _matched(calls, results)
        made = []
        for number, call in enumerate(calls):
            name = call.get("function_name")
            if not isinstance(name, str):
                raise RecordError("a tool call without function_name")
            identifier = values.string(call.get("tool_call_id"))
            made.append(self._made(
                position, name, call.get("arguments", ""), identifier, answers[number],
                NO_USAGE if number else usage,
            ))  # fmt: skip
        return made

    def _made(
        self, position: int, tool: str, arguments: object, identifier: str, results: list[dict[str, Any]], usage: Usage
    ) -> Step:
        start = self._times[position]
        following = self._told[position + 1] if position + 1 < len(self._told) else None
        timed = self._told[position] is not None and following is not None
        answer = "\n".join(filter(None, (values.text_of(result.get("content")) for result in results)))
        agents, elsewhere = self._sub_agents(results, start)
        return Step(
            tool=tool,
            start_time=start,
            duration=max(0, following - start) if timed and following is not None else 0,
            arguments=cut_arguments(arguments),
            observation=cut(answer) if results else None,
            success=_succeeded(self._turns[position], results) if results else None,
            id=identifier,
            usage=usage,
            sub_agents=tuple(agents),
            sub_agent_ids=tuple(elsewhere),
        )

    def _model_call(self, position: int) -> ModelCall | None:
        turn = self._turns[position]
        usage, cost = _usage(turn), values.amount(values.lookup(turn, "metrics.cost_usd"))
        if turn.get("source") != "agent" or turn.get("llm_call_count") == 0 or not (usage or cost):
            return None
        model = turn.get("model_name") or values.lookup(self._record, "agent.model_name")
        began = self._times[position - 1] if position and self._told[position] is not None else self._times[position]
        return ModelCall(
            start_time=began, end_time=self._times[position], model=values.string(model), usage=usage, cost=cost
        )

    def _usage(self, calls: tuple[ModelCall, ...]) -> Usage:
        """Return the run's own tokens: the totals of a trajectory may include those of its sub-agents."""
        own = sum((call.usage for call in calls), NO_USAGE)
        final = self._record.get("final_metrics") or {}
        told = Usage(
            values.count(final.get("total_prompt_tokens")),
            values.count(final.get("total_completion_tokens")),
            values.count(final.get("total_cached_tokens")),
        )
        left = told - self._of_embedded
        return Usage(
            max(own.input, left.input), max(own.output, left.output), max(own.cache_read, left.cache_read),
            own.cache_write, own.reasoning,
        )  # fmt: skip

    # --- sub-agents ------------------------------------------------------------------------------------------------

    def _sub_agents(self, results: list[dict[str, Any]], start: int) -> tuple[list[Run], list[str]]:
        """Return the runs that results refer to: those that can be read, and the ids of those that cannot."""
        found: list[Run] = []
        elsewhere = []
        for result in results:
            references = result.get("subagent_trajectory_ref") or []
            for reference in references if isinstance(references, list) else [references]:
                reference = values.as_object(reference, "a sub-agent's reference")  # noqa: PLW2901  # the same, checked
                name = str(reference.get("trajectory_id"))
                if name in self._embedded:
                    found.append(self._sub_agent(name, start))
                    continue
                read = self._of_file(reference, start)
                if read is not None:
                    found.append(read)
                elif isinstance(reference.get("session_id"), str):
                    elsewhere.append(reference["session_id"])
        return found, elsewhere

    def _sub_agent(self, name: str, start: int) -> Run:
        run = self._inner(self._embedded.pop(name), start)
        self._of_embedded += run.usage
        return run

    def _of_file(self, reference: dict[str, Any], start: int) -> Run | None:
        name = reference.get("trajectory_path")
        path = self._place.source.beside(name) if isinstance(name, str) and name else None
        if path is None or path in self._place.claimed or path == self._place.source.path:
            return None
        record = _loaded(path)
        if not is_record(record):
            return None
        self._place.claimed.add(path)
        return self._inner(record, start)

    def _inner(self, record: dict[str, Any], start: int) -> Run:
        if not isinstance(record.get("steps"), list):
            raise RecordError("a sub-agent without a list of steps")
        # What names a field or an agent is about the outer trajectory.
        return _Reading(record, ImportOptions(success_at=self._options.success_at), start, self._place).run()


def _where_outcomes_are(record: dict[str, Any]) -> dict[str, Any]:
    """Return a trajectory without what only looks like a statement of its outcome."""
    final = record.get("final_metrics") or {}
    extra = final.get("extra") if isinstance(final, dict) else None
    return {**record, "status": None, "result": extra if isinstance(extra, dict) else None}


def _times(told: list[int | None], fallback: int) -> list[int]:
    """Return when each turn began; a turn without a time began a little after the one before."""
    now = next((time for time in told if time is not None), fallback)
    times = []
    for time in told:
        now = max(now, time) if time is not None else now + _TICK
        times.append(now)
    return times or [fallback]


def _usage(turn: dict[str, Any]) -> Usage:
    metrics = turn.get("metrics")
    return values.usage_of(metrics) if isinstance(metrics, dict) else NO_USAGE


def _matched(calls: list[dict[str, Any]], results: list[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    """Return the results of each call: by id, else one each in order, else all with the last call."""
    places = {call.get("tool_call_id"): number for number, call in reversed(list(enumerate(calls)))}
    matched: dict[int, list[dict[str, Any]]] = defaultdict(list)
    loose = []
    for result in results:
        place = places.get(result.get("source_call_id"))
        if result.get("source_call_id") is None or place is None:
            loose.append(result)
        else:
            matched[place].append(result)
    if len(loose) == len(calls) and not matched:
        return defaultdict(list, {number: [result] for number, result in enumerate(loose)})
    if loose:
        matched[len(calls) - 1].extend(loose)
    return matched


def _succeeded(turn: dict[str, Any], results: list[dict[str, Any]]) -> bool:
    told = [flagged(values.as_object(result.get("extra") or {}, "extra")) for result in results]
    if len(turn.get("tool_calls") or []) == 1:
        # Harbor's own agents keep the flag of their one call beside the turn.
        beside = values.as_object(turn.get("extra") or {}, "extra")
        told.append(flagged(beside))
        told.append(
            flagged(beside["tool_result_metadata"]) if isinstance(beside.get("tool_result_metadata"), dict) else None
        )
    if False in told:
        return False
    if True in told:
        return True
    return not any(says_failure(values.text_of(result.get("content"))) for result in results)


READER: Final = Reader(_NAME, is_record=is_record, record=read, is_directory=trials.is_trial, directory=directory)
