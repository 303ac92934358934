"""A session as one episode for each of its prompts.

The first part keeps the session's own id, and so the ids that its spans have where the session is whole; the others are
numbered within it. What was told of the end is told of the last part, which is the only one that has it.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace
from typing import TYPE_CHECKING

from otel_episodes import semconv
from otel_episodes_clickhouse.importers.builder import total
from otel_episodes_clickhouse.importers.run_rows import with_ids

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_episodes_clickhouse.importers.run import Run


def by_prompt(run: Run) -> Iterator[Run]:
    """Yield the parts of a session, one for each prompt, in their order; each but the first follows the one before."""
    run = with_ids(run)
    starts = [time for time, _ in run.prompts]
    tasks = [run.task, *(text for _, text in run.prompts)]
    ids = [run.id, *(f"{run.id}/prompt-{place}" for place in range(2, len(tasks) + 1))]
    for place, task in enumerate(tasks):
        steps = tuple(step for step in run.steps if bisect_right(starts, step.start_time) == place)
        calls = tuple(call for call in run.model_calls if bisect_right(starts, call.start_time) == place)
        part = replace(
            run,
            task=task,
            id=ids[place],
            whole_id=run.id,
            follows_id=ids[place - 1] if place else "",
            start_time=starts[place - 1] if place else run.start_time,
            end_time=starts[place] if place < len(starts) else run.end_time,
            steps=steps,
            model_calls=calls,
            # Where the source tells of model calls, the tokens of steps are among theirs.
            usage=total(one.usage for one in (calls or steps)),
            sub_agents=tuple(agent for agent in run.sub_agents if bisect_right(starts, agent.start_time) == place),
            prompts=(),
            attributes={**run.attributes, semconv.DIVIDED: "prompt"},
        )
        if place < len(starts):
            part = replace(
                part, outcome="", outcome_source="", verdict="", ended_how="", reward=None, cost=None, artifacts=(),
                done=0, not_done=0,
            )  # fmt: skip
        yield part
