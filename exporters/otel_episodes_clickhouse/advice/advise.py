"""What the past says to a run: asked once, held back from some, and recorded in the run."""

from __future__ import annotations

import asyncio
import functools
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from otel_episodes import current_episode, semconv
from otel_episodes._for_store import capture, one_of, unit_of
from otel_episodes.exceptions import UsageError
from otel_episodes_clickhouse import config
from otel_episodes_clickhouse.advice import items, pitfalls
from otel_episodes_clickhouse.advice import policy as policies
from otel_episodes_clickhouse.advice.advisor import AdvisedRun, Call
from otel_episodes_clickhouse.advice.record import InRun, InSpool, new_id, told
from otel_episodes_clickhouse.advice.shapes import error_shape
from otel_episodes_clickhouse.config import Target
from otel_episodes_clickhouse.learning import advice as learned
from otel_episodes_clickhouse.learning import similar as search
from otel_episodes_clickhouse.learning import values
from otel_episodes_clickhouse.learning.ranking import without_literals

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from otel_episodes import Episode
    from otel_episodes_clickhouse.advice.advisor import Option
    from otel_episodes_clickhouse.advice.arms import Policy
    from otel_episodes_clickhouse.advice.items import Item
    from otel_episodes_clickhouse.advice.record import Recorder
    from otel_episodes_clickhouse.learning.advice import NextStep
    from otel_episodes_clickhouse.store.store import Store

P = ParamSpec("P")
R = TypeVar("R")

_CHARACTERS_A_TOKEN: Final = 4
# The likest of a brief, and the tools it speaks of.
_SIMILAR: Final = 2
_WARNING, _RECOVERY = semconv.ADVICE_PLACES[1:]
OFF: Final = "off"


@dataclass(frozen=True)
class Given:
    """How an advice was given: by which draw, at which place of which unit, and where it is recorded."""

    share: float = 1.0
    policy: str = ""
    place: str = "brief"
    unit: str = ""
    domain: str = ""
    task: str = ""
    recorder: Recorder | None = None


@dataclass(frozen=True)
class Advice:
    """What the past says of a run that has come this far.

    ``probability`` is how likely it is to succeed; ``domain_rate`` and ``task_rate`` are how often episodes of the
    domain and of this very task did, out of ``episodes`` and ``task_episodes``. Of a task with no past the rate is the
    domain's, of a domain with none 0.5. ``next_steps`` are ranked tools, ``options`` the candidates that were given,
    ranked with their arguments.

    What is for the agent's eyes is `brief`, and the items it is made of: ``similar``, ``steps`` (what led to success
    from here, or did not), ``warnings``, ``recoveries``. Of a run it is held back from, so that its effect can be
    measured, these are empty and ``arm`` is ``held``; else it is ``shown``, also where there is nothing to say, or
    ``off``.
    """

    probability: float
    domain_rate: float
    task_rate: float
    episodes: int
    task_episodes: int
    next_steps: tuple[NextStep, ...]
    similar: tuple[Item, ...] = ()
    steps: tuple[Item, ...] = ()
    warnings: tuple[Item, ...] = ()
    recoveries: tuple[Item, ...] = ()
    options: tuple[Option, ...] = ()
    arm: str = field(default=semconv.SHOWN, compare=False)
    id: str = field(default="", compare=False)
    budget: int = field(default=600, compare=False)
    _found: tuple[Item, ...] = field(default=(), compare=False, repr=False)
    _left_out: frozenset[str] = field(default=frozenset(), compare=False, repr=False)
    _given: Given = field(default_factory=Given, compare=False, repr=False)
    _recorded: list[str] = field(default_factory=list, compare=False, repr=False)

    @property
    def items(self) -> tuple[Item, ...]:
        """All that is said at this place, the most pressing first."""
        if self._given.place == _WARNING:
            return self.warnings
        if self._given.place == _RECOVERY:
            return self.recoveries
        return (*self.similar[:_SIMILAR], *self.steps, *self.warnings, *self.recoveries)

    def brief(self, budget: int | None = None) -> str:
        """Return what is sure enough to be told to an agent, in at most about ``budget`` tokens; empty: nothing is.

        Counts, ids of episodes and names of tools alone: what a run said is text that somebody else wrote. The first
        call records it in the run, also where it is held back.
        """
        shown = _within(self.items, self.budget if budget is None else budget)
        self.record(budget)
        return "\n".join(item.text for item in shown)

    def record(self, budget: int | None = None) -> None:
        """Record in the run that it was told, or was not told, what this holds: once, and only if it holds anything.

        `brief` does it; call it where you show items yourself.
        """
        given = self._given
        found = _within(self._found, self.budget if budget is None else budget)
        if given.recorder is None or self._recorded or not found or self.arm == OFF:
            return
        self._recorded.append(self.id)
        shown = [item for item in found if item.id not in self._left_out]
        text = "\n".join(item.text for item in shown)
        attributes: dict[str, Any] = {
            semconv.SPAN: semconv.SPAN_ADVICE, semconv.ADVICE_ID: self.id, semconv.ADVICE_PLACE: given.place,
            semconv.ADVICE_ARM: self.arm, semconv.ADVICE_SHARE: given.share, semconv.ADVICE_UNIT: given.unit,
            semconv.ADVICE_POLICY: given.policy, semconv.ADVICE_ITEMS: [item.id for item in found],
            semconv.ADVICE_SHOWN: [item.id for item in shown], semconv.DOMAIN: given.domain,
            semconv.TASK: told(given.task), semconv.ADVICE_TEXT: told(text) if capture() != "none" else "",
        }  # fmt: skip
        known = {key: value for key, value in attributes.items() if value != ""}
        given.recorder.write(f"advice {given.place}", known)


def advise(
    episode: Episode | str = "",
    *,
    domain: str = "",
    task: str = "",
    tenant: str = "",
    tools: Sequence[str] = (),
    about_to_use: Call | str | None = None,
    candidates: Sequence[Call | str] = (),
    error: str = "",
    limit: int = 5,
    budget: int = 600,
    place: str = "brief",
    asked: bool = False,
    dsn: str | None = None,
) -> Advice:
    """Ask what the past says of an episode that runs, given as itself or by its id.

    Or of one that could be, given by its ``domain``, its ``task`` (word for word) and the ``tools`` used so far, in
    order; ``tenant`` keeps to the runs of one, as a recorded episode does by itself. Beside an episode, ``tools`` are
    those it is about to use. Inside a recorded episode that is the one advised.
    An id that nobody has recorded yet, with a domain or a task, is that of a run about to begin. What was learned is as
    of the last `jobs run`; the episode's own steps are read as they are now. The store is opened for the call and
    closed again: about a second for the embedded engine, which this then loads into the agent's process.

    With the call it is ``about_to_use`` come warnings of that call, else of the calls of the domain that usually fail;
    after a failed step, or one of ``tools`` of which the last ended with this ``error``, come recoveries from it, else
    from the most frequent failures. ``candidates`` are calls that could be made next: each is ranked.

    From a fifth of the runs what is said is held back, so that its effect can be measured; from none where the agent
    ``asked`` for it. ``place`` is brief, warning or recovery: what it is judged by. ``budget`` is in tokens.
    ``OTEL_EPISODES_ADVICE=off`` says nothing at all.

    Raises:
        UsageError: no episode of that id is recorded, or an unknown place.
        StoreError: the store does not answer, or another process holds it.
    """
    one_of("place", place, semconv.ADVICE_PLACES)
    identifier = episode if isinstance(episode, str) else episode.id
    if not identifier and not isinstance(episode, str):
        raise UsageError("the episode has not started, or nothing records it: advise within it, after configure()")
    if not config.gives_advice():
        return replace(_NOTHING, arm=OFF)
    from otel_episodes_clickhouse.store.store import Store  # noqa: PLC0415  # with the engine

    run = _run_here(episode)
    with Store.open(Target.resolve(dsn)) as store:
        store.drain()
        so_far = {
            "episode": "", "domain": domain, "task": task, "tools": list(tools), "failed": _failed(tools, error),
            "ended": False, "tenant": tenant,
        }  # fmt: skip
        if identifier:
            so_far = learned.of_episode(store, identifier, tools) or _about_to_begin(store, identifier, so_far)
            so_far["ended"] = False
        return ask(
            store, so_far, about_to_use=about_to_use, candidates=candidates, error=error, limit=limit, budget=budget,
            place=place, asked=asked, run=run,
        )  # fmt: skip


def _failed(tools: Sequence[str], error: str) -> list[bool]:
    """Return of each tool whether it failed: the last one did, where there is an error."""
    return [place == len(tools) and bool(error) for place, _ in enumerate(tools, 1)]


def _in_thread(question: Callable[P, R]) -> Callable[P, Coroutine[Any, Any, R]]:
    @functools.wraps(question)
    async def asked(*args: P.args, **kwargs: P.kwargs) -> R:
        return await asyncio.to_thread(question, *args, **kwargs)

    asked.__name__ = asked.__qualname__ = f"a{question.__name__}"
    asked.__doc__ = f"Ask what `{question.__name__}` answers, in a thread: the loop goes on meanwhile."
    return asked


aadvise = _in_thread(advise)


def ask(
    store: Store,
    so_far: dict[str, Any],
    *,
    about_to_use: Call | str | None = None,
    candidates: Sequence[Call | str] = (),
    error: str = "",
    limit: int = 5,
    budget: int = 600,
    place: str = "brief",
    asked: bool = False,
    outlook: bool = True,
    run: Episode | None = None,
) -> Advice:
    """Answer what `advise` does, of an open store and a run as `learned.of_episode` describes it.

    Without the ``outlook``, which is two thirds of the cost, ``probability`` is the task's plain rate; so it is of a
    tenant, since the outlook is learned from all of them. ``run`` is the episode of this process in which it is
    recorded; without one it goes into the store's spool.
    """
    if not config.gives_advice():
        return replace(_NOTHING, arm=OFF)
    policy = policies.of_store(store)
    # The outlook is learned from the runs of all tenants.
    name = "plain_rates_of_tenant" if so_far.get("tenant") else "outlook" if outlook else "plain_rates"
    rates = store.query_named(name, so_far)[0]
    found = _found(store, so_far, rates, about_to_use, candidates, error, limit)
    found = replace(found, budget=budget, _given=Given(place=place))
    unit, recorder = _unit_and_recorder(store, so_far, run, found.id)
    # Without an episode nobody will know how it went: nothing to measure, and so nothing to hold back.
    measured = run is not None or bool(so_far["episode"])
    shown = not measured or policy.shows(unit, asked=asked)
    share = policy.share(asked=asked) if measured else 1.0
    given = Given(
        share, policy.name, place, unit, so_far["domain"], so_far["task"],
        recorder,
    )  # fmt: skip
    return _as_shown(replace(found, _given=given, _found=found.items), policy, shown=shown)


def _as_shown(advice: Advice, policy: Policy, *, shown: bool) -> Advice:
    """Return the advice with what this run may see of it."""
    if not shown:
        return replace(advice, arm=semconv.HELD, similar=(), steps=(), warnings=(), recoveries=())
    given = advice._given  # noqa: SLF001  # its own module
    if given.share == 1:
        return advice
    left_out = frozenset(item.id for item in advice.items if policy.leaves_out(given.unit, item.id))

    def kept(found: tuple[Item, ...]) -> tuple[Item, ...]:
        return tuple(item for item in found if item.id not in left_out)

    return replace(
        advice, similar=kept(advice.similar), steps=kept(advice.steps), warnings=kept(advice.warnings),
        recoveries=kept(advice.recoveries), _left_out=left_out,
    )  # fmt: skip


def _found(  # what was asked
    store: Store,
    so_far: dict[str, Any],
    rates: dict[str, Any],
    about_to_use: Call | str | None,
    candidates: Sequence[Call | str],
    error: str,
    limit: int,
) -> Advice:
    """Return all that is known, whoever may see it."""
    domain, tenant, tools = so_far["domain"], so_far.get("tenant", ""), so_far["tools"]
    steps = learned.next_steps(store, so_far, limit)
    alike = search.find(store, so_far["task"], domain=domain, tenant=tenant)
    run, failure = _replayed(store, so_far, known=bool(candidates))
    failure = failure or error
    call = Call(about_to_use) if isinstance(about_to_use, str) else about_to_use
    kinds = None if call is None else {call.tool: without_literals(run.template(call)) if call.arguments else ""}
    last = tools[-1] if tools else ""
    blocked = items.blocked(store, tenant)
    return Advice(
        probability=rates["Probability"],
        domain_rate=rates["DomainRate"],
        task_rate=rates["TaskRate"],
        episodes=rates["Episodes"],
        task_episodes=rates["TaskEpisodes"],
        next_steps=tuple(steps),
        options=tuple(run.rank(candidates)) if candidates else (),
        similar=blocked.without(items.similar_items(alike, tenant)),
        steps=blocked.without(items.step_items(steps, rates["DomainRate"], domain, tenant, last)),
        warnings=blocked.without(pitfalls.warnings(store, domain, tenant, kinds)),
        recoveries=blocked.without(
            pitfalls.recoveries(store, domain, tenant, last, error_shape(failure))
            if failure
            else pitfalls.recoveries(store, domain, tenant)
        ),
        id=new_id(),
    )


def _replayed(store: Store, so_far: dict[str, Any], *, known: bool) -> tuple[AdvisedRun, str]:
    """Return the run as the Advisor would have followed it, and the error of its last step; empty: it worked."""
    domain, tenant = so_far["domain"], so_far.get("tenant", "")
    counts = values.ask(store, domain, tenant) if known else values.from_rows(domain, (), (), tenant)
    run = AdvisedRun(counts, so_far["task"])
    rows = store.query_named("steps_so_far", {"episode": so_far["episode"]}) if so_far["episode"] else []
    for row in rows:
        run.observe(
            Call(row["Tool"], _arguments(row["Arguments"])), observation=row["Observation"], success=row["Success"]
        )
    if not rows:
        for tool, failed in zip(so_far["tools"], so_far.get("failed") or [False] * len(so_far["tools"]), strict=True):
            run.observe(tool, success=not failed)
    return run, rows[-1]["Error"] if rows else ""


def _arguments(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _unit_and_recorder(store: Store, so_far: dict[str, Any], run: Episode | None, advice: str) -> tuple[str, Recorder]:
    if run is not None:
        return unit_of(run) or policies.unit_of(store, run.id)[0], InRun(run)
    identifier = so_far["episode"]
    unit, trace_id = policies.unit_of(store, identifier) if identifier else (advice, "")
    if not trace_id and so_far.get("conversation"):
        # Of a session that is about to begin, as it will be recorded: its conversation, and its id for its trace.
        unit, trace_id = so_far["conversation"], identifier
    return unit, InSpool(store.target, identifier, trace_id, so_far.get("tenant", ""))


def _run_here(episode: Episode | str) -> Episode | None:
    """Return the episode of this process that is advised, if that is one."""
    here = current_episode() if isinstance(episode, str) else episode
    if not here.recording or (isinstance(episode, str) and episode not in ("", here.id)):
        return None
    return here


def _about_to_begin(store: Store, identifier: str, so_far: dict[str, Any]) -> dict[str, Any]:
    if not so_far["domain"] and not so_far["task"]:
        raise UsageError(
            f"no episode {identifier} is recorded in {store.target}: record it there, with configure(dsn=...)"
        )
    return {**so_far, "episode": identifier}


def _within(found: Sequence[Item], budget: int) -> list[Item]:
    """Return as many items as there is room for, from the first on."""
    room, kept = budget * _CHARACTERS_A_TOKEN, []
    for item in found:
        room -= len(item.text) + 1
        if room < 0:
            break
        kept.append(item)
    return kept


_NOTHING: Final = Advice(0.5, 0.5, 0.5, 0, 0, ())
