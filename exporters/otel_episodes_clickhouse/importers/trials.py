"""Trials of Harbor: what ``result.json`` says of the run that an agent logged beneath it, whatever it logged it as.

A trial's directory has ``result.json`` (reward, exception, totals) and ``agent/``: the trajectory that Harbor made of
the agent's log, and often the log itself, which is the same run once more.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from otel_episodes_clickhouse.importers import outcomes, values
from otel_episodes_clickhouse.importers.documents import decoded
from otel_episodes_clickhouse.importers.run import Usage

if TYPE_CHECKING:
    from pathlib import Path

    from otel_episodes_clickhouse.importers.reading import Place
    from otel_episodes_clickhouse.importers.run import Run

TRAJECTORY: Final = "agent/trajectory.json"
_RESULT: Final = "result.json"
_AGENT: Final = "agent"
_OF_TRIALS: Final = ("verifier_result", "agent_result", "agent_info", "exception_info")
# An agent's own log lies deeper: agent/sessions/projects/<folder>, agent/sessions/<year>/<month>/<day>.
_DEEPEST: Final = 8


def is_trial(directory: Path) -> bool:
    """Return True for a directory with the trajectory of one trial."""
    return (directory / TRAJECTORY).is_file()


def with_result(run: Run, place: Place) -> Run:
    """Return a run with what the trial says that it was; unchanged where it was none, or is another run's part."""
    if place.source.path is None or run.parent_id:
        return run
    result = _result_over(place.source.path, place.seen)
    if not result:
        return run
    ending = outcomes.ending_of(
        {key: result.get(key) for key in ("verifier_result", "exception_info", "reward", "verdict")},
        replace(place.options, reward=""),
    )
    told = ending.outcome and not place.options.reward
    about = {
        "harbor.task": result.get("task_name"),
        "harbor.trial": result.get("trial_name"),
        "harbor.source": result.get("source"),
    }
    spent = values.fields(result.get("agent_result"))
    return replace(
        run,
        **({**ending.fields(), "ended_how": ending.how or run.ended_how} if told else {}),
        cost=run.cost or values.amount(spent.get("cost_usd")),
        usage=run.usage
        or Usage(
            values.count(spent.get("n_input_tokens")),
            values.count(spent.get("n_output_tokens")),
            values.count(spent.get("n_cache_tokens")),
        ),
        attributes={**run.attributes, **{key: value for key, value in about.items() if isinstance(value, str)}},
    )


def _result_over(path: Path, seen: dict[Any, Any]) -> dict[str, Any]:
    """Return the result of the trial that a file, or the directory of a trial, belongs to; empty where it has none."""
    if path.is_dir():
        return _result_in(path, seen)
    beside = _result_in(path.parent, seen)
    if beside or _AGENT not in path.parts:
        return beside
    for above in path.parents[:_DEEPEST]:
        if above.name == _AGENT:
            return _result_in(above.parent, seen)
    return {}


def _result_in(directory: Path, seen: dict[Any, Any]) -> dict[str, Any]:
    key = (_RESULT, directory)
    if key not in seen:
        found: Any = {}
        with suppress(OSError, ValueError):
            found = decoded((directory / _RESULT).read_bytes())
        sound = isinstance(found, dict) and any(isinstance(found.get(name), dict) for name in _OF_TRIALS)
        seen[key] = found if sound else {}
    known: dict[str, Any] = seen[key]
    return known
