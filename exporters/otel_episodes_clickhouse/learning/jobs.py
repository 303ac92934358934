"""Turning what was recorded into what is learned: prices, facts, rewards, reflections, patterns, values.

Each job reads what changed upstream since the snapshot of its last finished run (less an overlap, since a row becomes
visible a while after its time was taken), computes those rows anew and writes the ones that differ. Rows carry the
snapshot as their version and the latest replaces the others, so a job that is repeated, killed half-way, or runs
twice at once ends in the same state as one that read everything.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Protocol

from otel_episodes.exceptions import UsageError
from otel_episodes_clickhouse import sql
from otel_episodes_clickhouse.errors import QueryError
from otel_episodes_clickhouse.learning import prices as price_lists
from otel_episodes_clickhouse.learning import removal, values
from otel_episodes_clickhouse.learning.formulas import (
    Formula,
    FormulaError,
    RewardUse,
    active_formula,
    chosen_formula,
    use_reward,
)
from otel_episodes_clickhouse.store import forgotten

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from otel_episodes_clickhouse.store.store import Store


JOBS: Final = ("prices", "facts", "rewards", "reflections", "patterns", "values")
# Longer than the longest insert: a row's time is taken when its insert begins, and it shows when that ends.
OVERLAP_SECONDS: Final = 300
BATCH_EPISODES: Final = 50_000
# What bounds the memory of a full run: less than 2 GB each at 12 steps an episode.
FULL_BATCH_EPISODES: Final = 200_000
# Of jobs that hold no steps that many times as much is no more; planning a batch takes a while too.
_LIGHT: Final = {"facts": 5, "rewards": 5}
# Facts of what other instrumentations wrote hold its steps while they are gathered.
_FACTS_WITH_FOREIGN: Final = 2
# What is named together: the second is read by the first, or belongs to it.
_PART_OF: Final = {"sequences": "facts", "observations": "patterns"}
_EPOCH: Final = "1970-01-01 00:00:00"


@dataclass(frozen=True)
class JobReport:
    """What one job did. ``seen`` are the episodes it looked at (for patterns, weeks), ``written`` rows that changed."""

    job: str
    formula: str
    full: bool
    seen: int
    written: int
    seconds: float


class Progress(Protocol):
    """Called as a job goes on: its name, how many of its parts are done, and how many there are."""

    def __call__(self, job: str, done: int, total: int, /) -> None:
        """Show it."""
        ...


def run(
    store: Store,
    *jobs: str,
    formula: str | Formula | None = None,
    reward: str | None = None,
    success_at: float | None = None,
    prices: str | None = None,
    full: bool = False,
    since: str | None = None,
    progress: Progress | None = None,
    overlap_seconds: int = OVERLAP_SECONDS,
    batch_episodes: int = FULL_BATCH_EPISODES,
) -> list[JobReport]:
    """Bring these jobs up to date (all of them by default), and what they build on before.

    ``full`` reads everything: for all jobs from the steps on; for the named ones from what they build on, which is
    brought up to date: ``run(store, "facts", "rewards", full=True)`` scores anew from the steps on. ``since`` (UTC,
    ``YYYY-MM-DD`` or ``YYYY-MM-DD hh:mm:ss``) also reads what changed since then, where that is before the last run:
    nothing is ever left out. A new formula scores all of history. ``reward`` and ``success_at`` are `use_reward`'s; a
    change of them is a full run of the reflections and patterns. ``prices`` is what `prices.read` made of a file of
    your own, which is kept; without the extra ``prices`` only such prices are known. ``batch_episodes`` bounds the
    memory of a full run.
    Raises `UsageError` for an unknown job or formula, and for a ``since`` that is no time or in the future.
    """
    unknown = [job for job in jobs if job not in JOBS]
    if unknown:
        raise UsageError(f"no job {unknown[0]!r}: there are {', '.join(JOBS)}")
    wanted = jobs or JOBS
    forgotten.sweep(store, resumed=True)
    gone = list(removal.expired(store))
    earliest = _past(store, since) if since else None
    chosen = chosen_formula(store, formula)
    use = use_reward(store, reward, success_at)
    runner = _Runner(
        store, chosen, use, anew=wanted if full else (), since=earliest, progress=progress or _unseen,
        overlap=overlap_seconds, batch=batch_episodes,
    )  # fmt: skip
    reports = runner.prices(prices, asked="prices" in jobs)
    if set(wanted) != {"prices"}:
        reports += _learn(runner, wanted, in_order=chosen.text is not None)
    for asked in gone:
        removal.rest(store, asked)
    if formula is not None and active_formula(store) != chosen.name:
        store.execute(sql.named("set_active_formula"), {"formula": chosen.name})
    return reports


def _learn(runner: _Runner, wanted: Sequence[str], *, in_order: bool) -> Iterator[JobReport]:
    """Run these jobs and what they build on; ``in_order``: the formula reads the steps in order."""
    yield runner.facts()
    # A user's formula may read the steps in order, which the built-in ones do not.
    if in_order or not {"reflections", "patterns", "values"}.isdisjoint(wanted):
        yield runner.sequences()
    if not set(wanted) <= {"prices", "facts"}:
        yield runner.rewards()
    if "reflections" in wanted:
        yield runner.reflections()
    if not {"patterns", "values"}.isdisjoint(wanted):
        yield runner.observations()
    if "patterns" in wanted:
        yield runner.patterns()
    # What `next` asks has come with the patterns from the first.
    if not {"patterns", "values"}.isdisjoint(wanted):
        yield runner.values()


def _past(store: Store, text: str) -> str:
    """Return a time in the past as the store writes it; raise `UsageError` for any other text."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is not None:
        raise UsageError(f"since {text!r} is no time: use 2026-01-31 or '2026-01-31 12:00:00', in UTC")
    written = moment.isoformat(" ")
    now = store.query_named("job_snapshot")[0]["Snapshot"]
    if written > now:
        raise UsageError(f"since {text!r} is in the future: it is {now[:19]} in UTC")
    return max(written, _EPOCH)


def _unseen(_job: str, _done: int, _total: int, /) -> None:
    pass


class _Runner:
    """One run of several jobs, each recorded in ``internal_job_runs``."""

    def __init__(  # what `run` was given
        self,
        store: Store,
        formula: Formula,
        use: RewardUse,
        *,
        anew: Sequence[str],
        since: str | None,
        progress: Progress,
        overlap: int,
        batch: int,
    ) -> None:
        self._store = store
        self._formula = formula
        self._use = use
        self._anew = anew
        self._since = since
        self._progress = progress
        self._overlap = overlap
        self._batch = batch
        self._lows: list[dict[str, Any]] | None = None
        self._run = uuid.uuid4().hex

    def prices(self, file: str | None, *, asked: bool) -> list[JobReport]:
        """Find out what the models cost that were called; nothing is said of it where none was."""
        if not (asked or file is not None or self._store.query_named("prices_wanted")):
            return []
        context = self._begin("prices", "", exclusive=False)
        return [self._finish(context, lambda: price_lists.update(self._store, context["snapshot"], file))]

    def facts(self) -> JobReport:
        """Gather what else is read, one row per episode."""
        return self._batches("facts", "", "internal_facts", ("facts_write",))

    def sequences(self) -> JobReport:
        """Put the steps of each episode in order, beside its facts."""
        return self._batches("sequences", "", "internal_sequences", ("sequences_write",))

    def rewards(self) -> JobReport:
        """Score under the formula, after bringing up to date what is usual in each domain."""
        self._store.execute(sql.named("scales_write"), {"snapshot": self._snapshot()})
        check = self._check if self._formula.text is not None else None
        return self._batches(
            "rewards", self._formula.name, "internal_rewards", ("rewards_write", "rewards_forget"), check=check
        )

    def reflections(self) -> JobReport:
        """Say what each episode teaches."""
        statements = ("reflections_write", "reflections_forget")
        return self._batches("reflections", "", "internal_reflections", statements, exclusive=True)

    def observations(self) -> JobReport:
        """List the patterns each episode shows."""
        statements = ("observations_write", "observations_forget")
        return self._batches(
            "observations", self._formula.name, "internal_pattern_observations", statements, exclusive=True
        )

    def patterns(self) -> JobReport:
        """Add up each week of which an episode changed."""
        context = self._begin("patterns", "", exclusive=False)
        return self._finish(context, lambda: self._weeks(context))

    def values(self) -> JobReport:
        """Add up what calls were worth, and which of them fail, each week of which an episode changed."""
        context = self._begin("values", "", exclusive=False)
        return self._finish(context, lambda: self._values(context))

    # --- one job ---------------------------------------------------------------------------------------------------

    def _batches(  # what makes one job different from the next
        self,
        job: str,
        formula: str,
        table: str,
        statements: Sequence[str],
        *,
        check: Callable[[Mapping[str, Any]], None] | None = None,
        exclusive: bool = False,
    ) -> JobReport:
        # What is kept for one reward only is made anew under another.
        under = ", ".join(filter(None, (formula, str(self._use)))) if exclusive and self._use.external else formula
        context = {**self._begin(job, under, exclusive=exclusive), "formula": formula}

        def work() -> tuple[int, int]:
            seen, batches = self._scopes(job, context)
            self._progress(job, 0, len(batches))
            for number, scope in enumerate(batches, 1):
                parameters = {**context, **scope, "formula_view": self._formula.view}
                if check is not None:
                    check(parameters)
                for statement in statements:
                    self._store.execute(sql.named(statement), parameters)
                self._progress(job, number, len(batches))
            return seen, self._written(table, context)

        return self._finish(context, work)

    def _scopes(self, job: str, context: Mapping[str, Any]) -> tuple[int, list[dict[str, Any]]]:
        """Return how many episodes there are to look at, and which each batch takes.

        A full run goes from id to id, in the order of the primary keys; else a worklist names the episodes.
        """
        if context["full"]:
            table = "internal_known_episodes" if job == "facts" else "internal_facts"
            # Those of one job do for the next: where they lie does not matter, only that all ids are between them.
            episodes = self._store.query_named("job_episodes", {"table": table})[0]["Episodes"]
            if self._lows is None:
                self._lows = self._store.query_named("job_ranges", {"table": table, "size": self._batch})
            lows = [row["Low"] for row in self._lows[:: self._times(job, foreign=context["foreign"])]]
            return episodes, [{"batch": 0, "low": low, "high": high} for low, high in pairwise(["", *lows[1:], ""])]
        self._store.execute(sql.named("worklist_write"), {**context, "size": BATCH_EPISODES})
        found = self._store.query_named("worklist_batches", context)[0]
        return found["Episodes"], [{"batch": batch, "low": "", "high": ""} for batch in range(found["Batches"])]

    def _times(self, job: str, *, foreign: bool) -> int:
        """Return how many times a batch's episodes one of this job may take."""
        # A user's formula may read the steps, and so is not light.
        if job == "rewards" and self._formula.text is not None:
            return 1
        if job == "facts" and foreign:
            return _FACTS_WITH_FOREIGN
        return _LIGHT.get(job, 1)

    def _weeks(self, context: Mapping[str, Any]) -> tuple[int, int]:
        found = self._store.query_named("patterns_weeks", context)
        self._progress("patterns", 0, len(found))
        done = 0
        for weeks in self._chunks(found):
            self._store.execute(sql.named("buckets_write"), {**context, "weeks": weeks})
            done += len(weeks)
            self._progress("patterns", done, len(found))
        if found:
            # Who looks back further does not trust the sums that are kept: they are made from all weeks.
            added = () if context["full"] or self._since else ("totals_add",)
            for statement in (*added, "totals_write"):
                self._store.execute(sql.named(statement), context)
            for weeks in self._chunks(self._store.query_named("evidence_weeks", context)):
                self._store.execute(sql.named("evidence_write"), {**context, "weeks": weeks})
            if self._store.query_named("keys_missing", context)[0]["Missing"]:
                self._store.execute(sql.named("keys_write"), context)
        return len(found), self._written("internal_pattern_buckets", context)

    def _values(self, context: Mapping[str, Any]) -> tuple[int, int]:
        found = self._store.query_named("values_weeks", context)
        self._progress("values", 0, len(found))
        done = 0
        for weeks in self._chunks(found):
            for statement in ("values_write", "mishaps_write"):
                self._store.execute(sql.named(statement), {**context, "weeks": weeks})
            done += len(weeks)
            self._progress("values", done, len(found))
        if found:
            domains = [(row["Domain"], row["Tenant"]) for row in self._store.query_named("values_domains", context)]
            values.write_files(self._store, domains)
        return len(found), self._written("internal_values", context)

    def _chunks(self, found: Sequence[Mapping[str, Any]]) -> list[list[str]]:
        """Put weeks together, up to half a batch of episodes: each of them is dozens of rows here."""
        chunks: list[list[str]] = []
        room = 0
        for row in found:
            if row["Episodes"] > room or not chunks:
                chunks.append([])
                room = self._batch // 2
            chunks[-1].append(row["Week"])
            room -= row["Episodes"]
        return chunks

    def _begin(self, job: str, formula: str, *, exclusive: bool) -> dict[str, Any]:
        snapshot = self._snapshot()
        # An exclusive job keeps the result of one formula only: another one since then means starting over.
        last = self._store.query_named(
            "job_last", {"job": job, "formula": "" if exclusive else formula, "overlap": self._overlap}
        )[0]
        asked = _PART_OF.get(job, job) in self._anew
        full = asked or not last["Runs"] or (exclusive and last["Formula"] != formula)
        # Never later than where the last run left off: this one is recorded as having read all there was.
        since = _EPOCH if full else min(self._since or last["Since"], last["Since"])
        context = {
            "run": self._run, "job": job, "formula": formula, "under": formula, "full": full, "since": since,
            "snapshot": snapshot, "started": time.monotonic(), "foreign": last["Foreign"],
        }  # fmt: skip
        self._record(context, "running")
        return context

    def _finish(self, context: dict[str, Any], work: Callable[[], tuple[int, int]]) -> JobReport:
        try:
            seen, written = work()
        except Exception as error:
            self._record(context, "failed", message=str(error)[:1000])
            raise
        self._record(context, "done", seen=seen, written=written)
        seconds = time.monotonic() - context["started"]
        return JobReport(context["job"], context["under"], context["full"], seen, written, seconds)

    def _record(
        self, context: Mapping[str, Any], state: str, *, seen: int = 0, written: int = 0, message: str = ""
    ) -> None:
        counts = {"seen": seen, "written": written, "message": message}
        self._store.execute(sql.named("job_record"), {**context, "formula": context["under"], "state": state, **counts})

    def _snapshot(self) -> str:
        return str(self._store.query_named("job_snapshot")[0]["Snapshot"])

    def _written(self, table: str, context: Mapping[str, Any]) -> int:
        parameters = {"table": table, "snapshot": context["snapshot"]}
        return int(self._store.query_named("written_rows", parameters)[0]["Rows"])

    def _check(self, parameters: Mapping[str, Any]) -> None:
        """Refuse what a user's formula computed before any of the batch is written."""
        try:
            found = self._store.query_named("rewards_check", parameters)[0]
        except QueryError as error:
            raise FormulaError(f"formula {self._formula.name} fails on the data: {error}") from error
        if found["NotFinite"]:
            raise FormulaError(
                f"formula {self._formula.name} gives NaN, infinity or NULL for {found['NotFinite']} episodes, "
                f"such as {found['Example']}: nothing of this batch was written"
            )
        if found["Repeated"]:
            raise FormulaError(f"formula {self._formula.name} gives an episode more than one row: it needs one each")
        if found["LeftOut"] or found["Unknown"]:
            what = f"no row for {found['LeftOut']}" if found["LeftOut"] else f"a row for {found['Unknown']}, no episode"
            raise FormulaError(f"formula {self._formula.name} gives {what}: it needs one row for each of reward_inputs")
