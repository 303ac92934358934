"""Ranking, in an agent's own process, the calls that it could make next.

`Advisor` holds what is known of one domain and answers from memory: it opens no store while it is asked, and never the
embedded engine, whose counts it reads from the files that `jobs run` leaves. What it knows is as of the last
`jobs run`; a run begun after that knows the new counts.
"""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from otel_episodes._for_store import OBSERVATION_LIMIT, Words, call_key, masked_text, template, told_arguments
from otel_episodes_clickhouse.config import Target, gives_advice
from otel_episodes_clickhouse.learning import values
from otel_episodes_clickhouse.learning.ranking import Asked, Done, Place, Worth, contexts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType
    from typing import Self

    from otel_episodes_clickhouse.learning.values import Values


@dataclass(frozen=True)
class Call:
    """A tool and what it is called with, by name."""

    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Option(Worth):
    """A call that could be made, and what it is worth here."""

    call: Call


class AdvisedRun:
    """One run that is going on: what it was told, did and saw, and so where it is. Threads may share it."""

    def __init__(self, known: Values, task: str) -> None:
        # What it is compared with was masked and cut when it was recorded.
        self._task = masked_text(task, OBSERVATION_LIMIT)
        self._values = known
        self._told = Words(self._task)
        self._seen = Words()
        self._past: list[Done] = []
        self._made: set[int] = set()
        self._lock = threading.Lock()

    def rank(self, calls: Iterable[Call | str] | None = None, *, limit: int | None = None) -> list[Option]:
        """Return what these calls are worth from here, the best first; of equals, in the order given.

        Without calls, the tools that are known in the domain: those that came next from here before all others, where
        that is known of three steps or more. A tool that is given by its name alone is judged whatever its arguments.
        """
        with self._lock:
            known = self._values
            place = Place(known, contexts(known.domain, self._task, self._past[-3:], known.tenant))
            asked = known.tools if calls is None else calls
            options = [self._option(place, call) for call in asked]
        elsewhere = calls is None and place.is_known()
        options.sort(key=lambda option: (elsewhere and not place.followed(option.call.tool), -option.lift))
        return options[:limit]

    async def arank(self, calls: Iterable[Call | str] | None = None, *, limit: int | None = None) -> list[Option]:
        """Return what `rank` does; it takes well under a millisecond, and so does not leave the loop."""
        return self.rank(calls, limit=limit)

    def observe(self, call: Call | str, *, observation: object = "", success: bool | None = True) -> None:
        """Note a step that was taken, what came of it and whether it worked (None: nobody can tell).

        Of the observation as much is looked at as a recorded step keeps of it.
        """
        call = Call(call) if isinstance(call, str) else call
        text = masked_text(observation, OBSERVATION_LIMIT) if observation else ""
        with self._lock:
            self._past.append(Done(call.tool, failed=success is False))
            self._made.add(call_key(call.tool, _recorded(call)))
            self._seen.add(text)

    async def aobserve(self, call: Call | str, *, observation: object = "", success: bool | None = True) -> None:
        """Do what `observe` does."""
        self.observe(call, observation=observation, success=success)

    def _option(self, place: Place, call: Call | str) -> Option:
        if isinstance(call, str):
            return Option(**vars(place.worth(Asked(call))), call=Call(call))
        return Option(**vars(place.worth(Asked(call.tool, self._template(call)))), call=call)

    def template(self, call: Call) -> str:
        """Return what kind of call it is from here: each argument by where its value came from."""
        with self._lock:
            return self._template(call)

    def _template(self, call: Call) -> str:
        arguments = _recorded(call)
        again = call_key(call.tool, arguments) in self._made
        return template(arguments, told=self._told, seen=self._seen, again=again)


class Advisor:
    """What is known of a domain, and what calls are worth by it. Threads and tasks may share one.

    Open it once, for as long as the process runs::

        with Advisor.open(domain="retail") as advisor:
            run = advisor.run(task="cancel order 7")
            best = run.rank([Call("find_order", {"id": "7"}), Call("cancel_order", {"id": "7"})])[0]
            run.observe(best.call, observation="...", success=True)
    """

    def __init__(self, target: Target, known: Values) -> None:
        self._target = target
        self._values = known
        self._read = _written(target, known.domain, known.tenant)

    @classmethod
    def open(cls, *, domain: str = "", tenant: str = "", dsn: str | None = None) -> Self:
        """Load what is known of a domain; of one that nobody knows yet, nothing, and every call is worth the same.

        So it is where ``OTEL_EPISODES_ADVICE`` is off.

        Raises `StoreError` where a server does not answer.
        """
        target = Target.resolve(dsn)
        return cls(target, _load(target, domain, tenant))

    @classmethod
    async def aopen(cls, *, domain: str = "", tenant: str = "", dsn: str | None = None) -> Self:
        """Do what `open` does, without keeping the loop."""
        return await asyncio.to_thread(cls.open, domain=domain, tenant=tenant, dsn=dsn)

    @property
    def domain(self) -> str:
        """The domain it was opened for."""
        return self._values.domain

    def run(self, *, task: str = "") -> AdvisedRun:
        """Begin a run; ``task`` as it is recorded, word for word: it tells which arguments were told."""
        return AdvisedRun(self._current(), task)

    def refresh(self) -> None:
        """Load what was learned since, which of files is done as a run begins; runs that go on keep what they have."""
        self._read = _written(self._target, self.domain, self._values.tenant)
        self._values = _load(self._target, self.domain, self._values.tenant)

    async def arefresh(self) -> None:
        """Do what `refresh` does, without keeping the loop."""
        await asyncio.to_thread(self.refresh)

    def close(self) -> None:
        """Forget what was loaded."""
        self._values = values.from_rows(self.domain, (), (), self._values.tenant)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _current(self) -> Values:
        if self._target.embedded and _written(self._target, self.domain, self._values.tenant) != self._read:
            self.refresh()
        return self._values


def _recorded(call: Call) -> dict[str, Any]:
    """Return the arguments of a call as a recorded step keeps them: masked, and long values cut."""
    kept = told_arguments(dict(call.arguments))
    return json.loads(kept) if kept else {}


def _load(target: Target, domain: str, tenant: str) -> Values:
    if not gives_advice():
        return values.from_rows(domain, (), (), tenant)
    if target.embedded:
        return values.read_file(target, domain, tenant)
    from otel_episodes_clickhouse.store.store import Store  # noqa: PLC0415  # with the client

    with Store.open(target) as store:
        return values.ask(store, domain, tenant)


def _written(target: Target, domain: str, tenant: str) -> int:
    """Return when the file of a domain was written; 0 where there is none."""
    if not target.embedded:
        return 0
    try:
        return values.file_of(target, domain, tenant).stat().st_mtime_ns
    except FileNotFoundError:
        return 0
