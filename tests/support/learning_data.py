"""Episodes as rows of ``otel_traces``, for the tests of what is learned from them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from otel_episodes_clickhouse.spool.row import Row

SHARED = Path(__file__).resolve().parents[3] / "shared"
AIRLINE = SHARED / "data" / "tau_airline" / "episodes.jsonl"
T0 = 1_767_225_600_000_000_000  # 2026-01-01, a Thursday
SECOND = 1_000_000_000

Step = tuple[str, bool]


@dataclass
class Episode:
    """One episode to be stored; ``outcome`` None leaves it running. ``errors`` and ``actions`` go by step position."""

    id: str
    outcome: str | None = "success"
    steps: list[Step] = field(default_factory=list)
    seconds: float = 60
    task: str = ""
    domain: str = ""
    complexity: str = ""
    task_type: str = ""
    language: str = ""
    tags: list[str] = field(default_factory=list)
    artifacts: list[str] = field(default_factory=list)
    completed: int = 0
    failed: int = 0
    stopped_at: int = 0
    reward: float | None = None
    tokens: int = 0
    start: int = T0
    segment: int = 0
    errors: dict[int, str] = field(default_factory=dict)
    actions: dict[int, str] = field(default_factory=dict)
    kinds: dict[int, str] = field(default_factory=dict)
    observations: dict[int, str] = field(default_factory=dict)
    step_seconds: dict[int, float] = field(default_factory=dict)
    extra: dict[str, str] = field(default_factory=dict)


class Given(list[Episode]):
    """What a module learns from, once for all of its tests; what each of them has is in a domain of its own."""

    def __call__(self, *episodes: Episode) -> tuple[Episode, ...]:
        """Add these, and return them."""
        self.extend(episodes)
        return episodes


def airline_episode(run: dict[str, Any], domain: str) -> Episode:
    """Return a benchmark run as an episode; the trials are a day apart.

    One call a message and the answer right after it; the ids of the calls repeat within a run, so they match nothing.
    """
    answers = [str(m["content"]) for m in run["messages"] if m["role"] == "tool"]
    calls = [call for m in run["messages"] for call in m.get("tool_calls") or ()]
    return Episode(
        f"{domain}-{run['task_id']}-{run['trial']}",
        outcome="success" if run["reward"] >= 1 else "failure",
        reward=run["reward"],
        steps=[(c["function"]["name"], not a.startswith("Error")) for c, a in zip(calls, answers, strict=True)],
        task=run["instruction"],
        domain=domain,
        start=T0 + run["trial"] * 86_400 * SECOND + run["task_id"] * 60 * SECOND,
    )


def rows_of(episode: Episode, *, marker: bool = True) -> list[Row]:
    """Return the rows of an episode: start marker, steps in order, and the root if it has ended."""
    trace = f"{episode.id}-{episode.segment}"
    identity = {"episode.id": episode.id, "episode.segment": str(episode.segment), "gen_ai.agent.name": "coder"}
    about = _about(episode)
    rows = []
    if marker:
        attributes = {**identity, **about, "episode.span": "start"}
        rows.append(_row(episode, trace, "start", episode.start, 0, attributes))
    rows += [_step_row(episode, trace, identity, position) for position in range(len(episode.steps))]
    if episode.outcome is not None:
        attributes = {**identity, **about, **_outcome(episode), "episode.span": "episode"}
        rows.append(_row(episode, trace, "root", episode.start, round(episode.seconds * SECOND), attributes))
    return rows


def _about(episode: Episode) -> dict[str, str]:
    texts = {
        "episode.task": episode.task, "episode.domain": episode.domain, "episode.complexity": episode.complexity,
        "episode.task_type": episode.task_type, "episode.language": episode.language,
        "episode.tags": json.dumps(episode.tags) if episode.tags else "",
    }  # fmt: skip
    return {name: text for name, text in texts.items() if text}


def _outcome(episode: Episode) -> dict[str, str]:
    values: dict[str, Any] = {
        "episode.outcome": episode.outcome, "episode.artifacts": json.dumps(episode.artifacts),
        "episode.completed": episode.completed, "episode.failed": episode.failed,
        "episode.stopped_at_step": episode.stopped_at, "episode.tokens.input": episode.tokens,
    }  # fmt: skip
    if episode.reward is not None:
        values["episode.reward"] = episode.reward
    return {**{name: str(value) for name, value in values.items()}, **episode.extra}


def _step_row(episode: Episode, trace: str, identity: dict[str, str], position: int) -> Row:
    tool, ok = episode.steps[position]
    attributes = {
        **identity,
        "episode.span": "step",
        "episode.step.index": str(position + 1),
        "episode.step.kind": episode.kinds.get(position, "tool_use"),
        "episode.step.action": episode.actions.get(position, f"{tool} something"),
        "episode.step.observation": episode.observations.get(position, ""),
        "episode.step.success": "true" if ok else "false",
        "gen_ai.tool.name": tool,
    }
    duration = round(episode.step_seconds.get(position, 0.001) * SECOND)
    message = "" if ok else episode.errors.get(position, "it failed")
    start = episode.start + position * SECOND // 1000
    return _row(episode, trace, f"s{position:06d}", start, duration, attributes, message)


def _row(  # the columns that differ
    episode: Episode, trace: str, span: str, start: int, duration: int, attributes: dict[str, str], message: str = ""
) -> Row:
    return Row(
        timestamp=start,
        trace_id=trace,
        span_id=span,
        span_name=attributes["episode.span"],
        service_name="tests",
        span_attributes=attributes,
        duration=duration,
        status_code="Error" if message else "Unset",
        status_message=message,
    )
