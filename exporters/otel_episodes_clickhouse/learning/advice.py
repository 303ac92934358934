"""What an agent asks in the middle of a run: how likely is it to go well from here, and what led to success."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn

from otel_episodes.exceptions import UsageError
from otel_episodes_clickhouse.config import Target
from otel_episodes_clickhouse.learning import similar as search
from otel_episodes_clickhouse.learning import values
from otel_episodes_clickhouse.learning.ranking import Asked, Done, Place, contexts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otel_episodes import Episode
    from otel_episodes_clickhouse.learning.similar import SimilarTask
    from otel_episodes_clickhouse.store.store import Store


# A brief says nothing of a step that fewer runs took.
_FEWEST_RUNS: Final = 3
_CHARACTERS_A_TOKEN: Final = 4


@dataclass(frozen=True)
class NextStep:
    """One tool that came next in earlier episodes that had got this far.

    ``lift`` ranks: how many times better runs went after this tool than after whatever else was done here, 1 where
    nothing is known of it. ``value`` is what runs earn after it, between 0 and 1, ``low`` and ``high`` its interval at
    95 %; ``usual`` how likely it is to come next by habit alone. ``seen`` are the runs in which it came next in the
    most specific context that knows it, ``won`` those of them that went well.
    """

    tool: str
    lift: float
    value: float
    usual: float
    seen: int
    won: int
    low: float
    high: float


@dataclass(frozen=True)
class Advice:
    """What the past says of a run that has come this far.

    ``probability`` is how likely it is to succeed; ``domain_rate`` and ``task_rate`` are how often episodes of the
    domain and of this very task did, out of ``episodes`` and ``task_episodes``. Of a task with no past the rate is the
    domain's, of a domain with none 0.5. ``similar`` are tasks of the domain that are like this one.
    """

    probability: float
    domain_rate: float
    task_rate: float
    episodes: int
    task_episodes: int
    next_steps: tuple[NextStep, ...]
    similar: tuple[SimilarTask, ...] = ()

    def brief(self, budget: int = 600) -> str:
        """Return what is sure enough to be told to an agent, in at most about ``budget`` tokens; empty: nothing is.

        Counts, ids of episodes and names of tools alone: what a run said is text that somebody else wrote.
        """
        lines = [*map(_alike, self.similar[:2]), *filter(None, map(self._step, self.next_steps))]
        room, kept = budget * _CHARACTERS_A_TOKEN, []
        for line in lines:
            room -= len(line) + 1
            if room < 0:
                break
            kept.append(line)
        return "\n".join(kept)

    def _step(self, step: NextStep) -> str:
        sure = f"{step.low:.0%} to {step.high:.0%}; {self.domain_rate:.0%} of all"
        runs = f"{step.won} of {step.seen} runs went well ({sure})"
        if step.seen >= _FEWEST_RUNS and step.low > self.domain_rate:
            return f"From here {step.tool}: {runs}."
        if step.seen >= _FEWEST_RUNS and step.high < self.domain_rate:
            return f"Not {step.tool} from here: {runs}."
        return ""


def advise(
    episode: Episode | str = "",
    *,
    domain: str = "",
    task: str = "",
    tools: Sequence[str] = (),
    limit: int = 5,
    dsn: str | None = None,
) -> Advice:
    """Ask what the past says of an episode that runs, given as itself or by its id.

    Or of one that could be, given by its ``domain``, its ``task`` (word for word) and the ``tools`` used so far, in
    order; beside an episode, ``tools`` are those it is about to use. What was learned is as of the last `jobs run`;
    the episode's own steps are read as they are now. The store is opened for the call and closed again: about a
    second for the embedded engine, which this then loads into the agent's process.

    Raises:
        UsageError: no episode of that id is recorded.
        StoreError: the store does not answer, or another process holds it.
    """
    from otel_episodes_clickhouse.store.store import Store  # noqa: PLC0415  # with the engine

    identifier = episode if isinstance(episode, str) else episode.id
    if not identifier and not isinstance(episode, str):
        raise UsageError("the episode has not started, or nothing records it: advise within it, after configure()")
    so_far = {"episode": "", "domain": domain, "task": task, "tools": list(tools), "ended": False}
    with Store.open(Target.resolve(dsn)) as store:
        store.drain()
        if identifier:
            so_far = of_episode(store, identifier, tools) or _not_recorded(store, identifier)
            so_far["ended"] = False
        return _advice(store, so_far, limit)


async def aadvise(
    episode: Episode | str = "",
    *,
    domain: str = "",
    task: str = "",
    tools: Sequence[str] = (),
    limit: int = 5,
    dsn: str | None = None,
) -> Advice:
    """Ask what `advise` answers, in a thread: the loop goes on meanwhile."""
    asked = partial(advise, episode, domain=domain, task=task, tools=tools, limit=limit, dsn=dsn)
    return await asyncio.to_thread(asked)


def of_episode(store: Store, identifier: str, about_to_use: Sequence[str]) -> dict[str, Any] | None:
    """Return what `outlook` and `next_steps` are asked about an episode as it is now; None where it is not recorded."""
    rows = store.query_named("run_so_far", {"episode": identifier})
    if not rows:
        return None
    (run,) = rows
    # What it is about to do is asked of a run that goes on.
    ended = run["Ended"] and not about_to_use
    tools = [*run["Tools"], *about_to_use]
    return {
        "episode": identifier, "domain": run["Domain"], "task": run["Task"], "tools": tools, "ended": ended,
        "tenant": run["Tenant"],
        "failed": [*run["Failed"], *(False for _ in about_to_use)],
    }  # fmt: skip


def _not_recorded(store: Store, identifier: str) -> NoReturn:
    raise UsageError(f"no episode {identifier} is recorded in {store.target}: record it there, with configure(dsn=...)")


def next_steps(store: Store, so_far: Mapping[str, Any], limit: int) -> list[NextStep]:
    """Return the tools by what runs earned after them, given what was done so far, the best first.

    What can be done from here is known only by what was done from here: where three steps or more followed the last
    tool, tools that never did come after those that have.
    """
    # Of a run that is described it is not told whether its steps failed: they worked.
    failed = so_far.get("failed") or [False] * len(so_far["tools"])
    past = [Done(tool, fail) for tool, fail in zip(so_far["tools"], failed, strict=True) if tool][-3:]
    tenant = so_far.get("tenant", "")
    ids = contexts(so_far["domain"], so_far["task"], past, tenant)
    known = values.ask_about(store, so_far["domain"], ids, tenant)
    place = Place(known, ids)
    ranked = [(tool, place.worth(Asked(tool))) for tool in known.tools]
    elsewhere = place.is_known()
    ranked.sort(key=lambda each: (elsewhere and not place.followed(each[0]), -each[1].lift, -each[1].usual, each[0]))
    return [
        NextStep(tool, worth.lift, worth.value, worth.usual, worth.seen, worth.won, worth.low, worth.high)
        for tool, worth in ranked[:limit]
    ]


def _alike(task: SimilarTask) -> str:
    told = f"A task {task.likeness:.0%} like this one went well in {task.successes} of {task.episodes} runs"
    best = f"; the best is episode {task.best}" if task.best else ""
    failed = f"; the latest that failed, not to be followed, is {task.last_failed}" if task.last_failed else ""
    return f"{told}{best}{failed}."


def _advice(store: Store, so_far: dict[str, Any], limit: int) -> Advice:
    outlook = store.query_named("outlook", so_far)[0]
    return Advice(
        probability=outlook["Probability"],
        domain_rate=outlook["DomainRate"],
        task_rate=outlook["TaskRate"],
        episodes=outlook["Episodes"],
        task_episodes=outlook["TaskEpisodes"],
        next_steps=tuple(next_steps(store, so_far, limit)),
        similar=tuple(search.find(store, so_far["task"], domain=so_far["domain"], tenant=so_far.get("tenant", ""))),
    )
