"""Comparing what the readers make of files with what a person wrote down beside them, in ``expected.json``.

``files`` has, for each file or directory of the folder, its episodes in order, sub-agents after the run that started
them (``of``: where its directory is read, it is not read by itself): task, outcome (null: nobody said), totals, and
steps (tool, success, latency, tokens, parts of action and observation).
What an expectation leaves out is not compared.
"""

from __future__ import annotations

import json
import os
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otel_episodes_clickhouse.importers import dispatch
from otel_episodes_clickhouse.importers.options import ImportOptions
from otel_episodes_clickhouse.importers.run_rows import RowMaker, with_ids

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_episodes_clickhouse.importers.run import Run

ROOT = Path(__file__).parents[2]
OWN = Path(__file__).parents[1] / "data" / "transcripts"
# Handed to the project, no part of it: named by the environment, or beside the checkout.
HANDED = next(
    filter(Path.is_dir, (
        Path(os.environ.get("OTEL_EPISODES_TRANSCRIPTS", "-")),
        *(beside / "shared" / "cases" / "transcripts" for beside in ROOT.parents[:2]),
    )),
    OWN / "none",
)  # fmt: skip


def read(*paths: Path, problems: list[str] | None = None, **options: Any) -> list[Run]:
    """Return the runs in files and directories, each followed by those it started."""

    def refused(problem: dispatch.Problem) -> None:
        assert problems is not None, problem
        problems.append(problem.reason)

    reading = dispatch.Reading(ImportOptions(**options), refused)
    found = [run for _, run in reading.runs(dispatch.found_under(list(paths), {}))]
    return [flat for run in found for flat in _flat(with_ids(run))] if found else []


def _flat(run: Run) -> Iterator[Run]:
    yield run
    for agent in chain((agent for step in run.steps for agent in step.sub_agents), run.sub_agents):
        yield from _flat(agent)


def differences(folder: Path) -> dict[str, list[str]]:
    """Return, for each file of a folder, where its runs are not as expected."""
    expected = json.loads((folder / "expected.json").read_text())["files"]
    found: dict[str, list[str]] = {}
    before: list[dict[str, Any]] = []
    for name, file in expected.items():
        episodes = file["episodes"] if isinstance(file["episodes"], list) else before[:1]
        found[name] = list(_of_file(folder / name, episodes, before))
        before = episodes
    return found


def _of_file(path: Path, episodes: list[dict[str, Any]], before: list[dict[str, Any]]) -> Iterator[str]:
    runs = read(path)
    if len(runs) != len(episodes):
        yield f"{len(runs)} episodes, not {len(episodes)}"
    for number, (run, episode) in enumerate(zip(runs, episodes, strict=False)):
        wanted = dict(episode)
        if isinstance(wanted.get("steps"), str):  # as in the file before
            wanted["steps"] = before[number]["steps"]
        assert len({row.span_id for row in RowMaker().rows(run)}) == sum(1 for _ in RowMaker().rows(run))
        yield from (f"episode {number}: {difference}" for difference in _of_run(run, wanted))


def _of_run(run: Run, wanted: dict[str, Any]) -> Iterator[str]:
    said = {
        "task": run.task,
        "outcome": run.outcome or None,
        "input_tokens": run.usage.input,
        "output_tokens": run.usage.output,
        "cache_read_tokens": run.usage.cache_read,
        "cache_creation_tokens": run.usage.cache_write,
        "reasoning_tokens": run.usage.reasoning,
        "agent": run.agent,
        "model": run.model,
        "conversation_id": run.options.get("conversation_id"),
        "domain": run.options.get("domain"),
        "task_type": run.options.get("task_type"),
        "reward": run.reward,
        "cost_usd": run.cost,
        "ended_how": run.ended_how,
        "parent": run.parent_id,
        "started": run.start_time,
        "ended": run.end_time,
    }
    for name, value in said.items():
        expected = wanted.get(name, value)
        if isinstance(expected, str) and name in ("started", "ended"):
            expected = _time(expected)
        if value != expected and not (
            isinstance(value, float) and expected is not None and abs(value - expected) < 1e-9
        ):
            yield f"{name} is {value!r}, not {expected!r}"
    prompts = [text for _, text in run.prompts]
    if prompts != wanted.get("prompts", prompts):
        yield f"prompts are {prompts}"
    if wanted.get("verdict_contains", "") not in run.verdict:
        yield f"verdict is {run.verdict!r}"
    if len(run.steps) != len(wanted["steps"]):
        yield f"{len(run.steps)} steps, not {len(wanted['steps'])}"
    for number, (step, expected) in enumerate(zip(run.steps, wanted["steps"], strict=False)):
        yield from (f"step {number}: {difference}" for difference in _of_step(step, expected))


def _of_step(step: Any, wanted: dict[str, Any]) -> Iterator[str]:
    said = {
        "tool": step.tool,
        "success": step.success,
        "latency_ms": step.duration / 1e6 if wanted.get("latency_ms") is not None else None,
        "input_tokens": step.usage.input,
        "output_tokens": step.usage.output,
        "error_type": step.error_type,
        "unanswered": step.unanswered,
    }
    for name, value in said.items():
        if value != wanted.get(name, value):
            yield f"{name} is {value!r}, not {wanted[name]!r}"
    action = step.arguments if isinstance(step.arguments, str) else json.dumps(step.arguments)
    if (wanted.get("action_contains") or "") not in action:
        yield f"action is {action!r}"
    if (wanted.get("observation_contains") or "") not in (step.observation or ""):
        yield f"observation is {step.observation!r}"
    agents = [agent.id.rpartition("/")[2] for agent in step.sub_agents] + list(step.sub_agent_ids)
    if wanted.get("sub_agent") and wanted["sub_agent"] not in agents:
        yield f"sub-agents are {agents}"


def _time(text: str) -> int:
    from otel_episodes_clickhouse.importers.values import nanoseconds

    found = nanoseconds(text)
    assert found is not None
    return found
