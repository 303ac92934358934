"""Measure what learning costs: tables built on insert, full recomputes, and bringing 1,000 new episodes up to date.

Usage: python benchmarks/learning.py [STEPS] [--keep DIRECTORY] [--only new|inserts] [--statements] [--json]

STEPS is the size of the generated history (default 1,000,000; 12 steps an episode, 2,778 episodes a day). Everything
runs in the embedded engine, in a temporary directory or in one that is kept: there a history that is long enough is
used again (each run adds 3,000 episodes to it), and only what was learned from it is thrown away. CPU seconds are those
of all threads: on a machine that does other work too they say more than the clock.

The new episodes come when a week is about half over: a week is added up as a whole, so that they would be cheap in one
that has just begun. --only new keeps what was learned and measures them alone; --statements says what each statement
cost. --only inserts compares inserts into a plain `otel_traces` and into all tables, in pairs, and adds to the history.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any, cast

from table import show as show_table

from otel_episodes_clickhouse import Store, Target, sql
from otel_episodes_clickhouse.learning import jobs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

STATEMENTS = {
    statement.name: statement for statement in sql.parse((Path(__file__).parent / "sql" / "learning.sql").read_text())
}
STEPS_AN_EPISODE = 12
# One insert of the benchmark, in episodes and spans.
CHUNK, SPANS_OF_CHUNK = 10_000, 140_000
INSERT_PAIRS = 24
NEW_EPISODES = 1_000
DAY_SECONDS = 86_400
# Between two episodes, see learning.sql.
SECONDS_BETWEEN = 31.102
# Days of the week that are over when the new episodes come, and how many more may be.
MIDWEEK, LATER = 3, 1.5
LEARNED = (
    "internal_facts", "internal_sequences", "internal_domain_scales", "internal_rewards", "internal_reflections",
    "internal_pattern_observations", "internal_pattern_buckets", "internal_pattern_totals",
    "internal_pattern_evidence", "internal_pattern_keys", "internal_values",
    "internal_job_runs", "internal_job_worklist",
)  # fmt: skip


@dataclass
class Cost:
    """Seconds by the clock, and of all processors."""

    seconds: float = 0.0
    cpu: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.seconds + other.seconds, self.cpu + other.cpu)


class CostByJob:
    """A progress that notes what each job costs from its first batch on."""

    def __init__(self) -> None:
        self.jobs: dict[str, Cost] = {}
        self._last = now()

    def __call__(self, job: str, _done: int, _total: int, /) -> None:
        moment = now()
        # What lies between two jobs belongs to the one that begins.
        self.jobs[job] = self.jobs.get(job, Cost()) + Cost(
            moment.seconds - self._last.seconds, moment.cpu - self._last.cpu
        )
        self._last = moment

    def end(self) -> dict[str, Cost]:
        """Return the cost of each job; what came after the last batch belongs to the last job."""
        self(list(self.jobs)[-1], 1, 1)
        return self.jobs


class CostByStatement:
    """A store that notes what each statement of a job costs."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.statements: dict[str, Cost] = {}

    def execute(self, statement: sql.Statement, parameters: Mapping[str, Any] | None = None) -> None:
        """Run it."""
        self._note(statement.name, cost(lambda: self._store.execute(statement, parameters)))

    def query_named(self, name: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Run it and return its rows."""
        found: list[dict[str, Any]] = []
        self._note(name, cost(lambda: found.extend(self._store.query_named(name, parameters))))
        return found

    def _note(self, name: str, spent: Cost) -> None:
        self.statements[name] = self.statements.get(name, Cost()) + spent


def now() -> Cost:
    """Return the clock and the processor time used so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Cost(time.perf_counter(), used.ru_utime + used.ru_stime)


def cost(action: Callable[[], Any]) -> Cost:
    """Run it and return what it cost."""
    before = now()
    action()
    after = now()
    return Cost(after.seconds - before.seconds, after.cpu - before.cpu)


def generate(store: Store, name: str, first: int, episodes: int) -> Cost:
    """Insert generated episodes into that table."""
    total = Cost()
    for start in range(first, first + episodes, CHUNK):
        count = min(CHUNK, first + episodes - start)
        parameters = {"table": name, "first": start, "episodes": count}
        total += cost(lambda p=parameters: store.execute(STATEMENTS["generate"], p))
    return total


def insert_pairs(store: Store, first: int, *, pairs: int, episodes: int) -> list[tuple[Cost, Cost]]:
    """Insert the same into a table with nothing behind it, and into otel_traces, by turns; what each pair cost."""
    store.execute(STATEMENTS["plain_table"])
    found = []
    for number in range(pairs):
        names = ("plain_traces", "otel_traces") if number % 2 else ("otel_traces", "plain_traces")
        spent = {name: generate(store, name, first + number * episodes, episodes) for name in names}
        found.append((spent["plain_traces"], spent["otel_traces"]))
    store.execute(STATEMENTS["drop_plain_table"])
    return found


def measure_inserts(path: Path) -> dict[int, dict[str, list[float]]]:
    """Return by spans an insert how many times the plain one all tables cost: the quartiles of its pairs."""
    found = {}
    with Store.open(Target.resolve(f"chdb://{path}")) as store:
        store.migrate()
        for episodes in (CHUNK, CHUNK * 50_000 // SPANS_OF_CHUNK):
            # The first few are not representative: the tables are empty.
            insert_pairs(store, episodes_in(store), pairs=2, episodes=episodes)
            pairs = insert_pairs(store, episodes_in(store), pairs=INSERT_PAIRS, episodes=episodes)
            found[episodes * SPANS_OF_CHUNK // CHUNK] = {
                what: quantiles(getattr(built, what) / getattr(plain, what) for plain, built in pairs)
                for what in ("cpu", "seconds")
            }
    return found


def episodes_in(store: Store) -> int:
    """Return how many episodes there are; they are numbered from 0."""
    return int(store.query(STATEMENTS["count_episodes"].text)[0]["Episodes"])


def fill_week(store: Store) -> None:
    """Let the history go on until a week is half over."""
    days = (
        store.query(STATEMENTS["latest_start"].text)[0]["Seconds"] / DAY_SECONDS + 3
    ) % 7  # 1970 began on a Thursday
    if not MIDWEEK <= days < MIDWEEK + LATER:
        missing = (MIDWEEK - days) % 7 * DAY_SECONDS / SECONDS_BETWEEN
        generate(store, "otel_traces", episodes_in(store), round(missing))


def measure(path: Path, steps: int, *, all_of_it: bool) -> dict[str, Any]:
    """Generate a history in that directory, unless it is there, and measure everything on it, or the new ones alone."""
    with Store.open(Target.resolve(f"chdb://{path}")) as store:
        store.migrate()
        figures: dict[str, Any] = {"steps": steps}
        done = episodes_in(store)
        if done < steps // STEPS_AN_EPISODE:
            generate(store, "otel_traces", done, steps // STEPS_AN_EPISODE - done)
        if all_of_it:
            for name in LEARNED:
                store.execute(STATEMENTS["forget"], {"table": name})
            figures |= full_costs(store)
        figures |= incremental_costs(store)
    figures["peak_gigabytes"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2)
    return figures


def full_costs(store: Store) -> dict[str, Any]:
    """Learn from everything: nothing is there yet, so all of it is a full recompute and all of it is written."""
    first, metered = CostByJob(), cast("Store", CostByStatement(store))
    from_the_steps_on = cost(lambda: jobs.run(metered, "rewards", progress=first))
    by_job = first.end()
    # No overlap: what the first run wrote moments ago is not new to these.
    again = cost(lambda: jobs.run(store, "facts", "rewards", full=True, overlap_seconds=0))
    from_facts = cost(lambda: jobs.run(store, "rewards", full=True, overlap_seconds=0))
    rest = CostByJob()
    jobs.run(metered, progress=rest, overlap_seconds=0)
    by_job = rest.end() | by_job
    listing = cost(lambda: store.query("SELECT count() FROM patterns"))
    return {
        "facts": by_job["facts"],
        "rewards, from facts": by_job["rewards"],
        "rewards, from the steps on": from_the_steps_on,
        "the same once more (jobs run facts rewards --full)": again,
        "rewards once more (jobs run rewards --full)": from_facts,
        "sequences": by_job["sequences"],
        "reflections": by_job["reflections"],
        "patterns, observations": by_job["observations"],
        "patterns, sums": by_job["patterns"],
        "patterns, all": by_job["observations"] + by_job["patterns"],
        "listing the patterns": listing,
        "statements of all": metered.statements,
    }


def incremental_costs(store: Store) -> dict[str, Any]:
    """Bring 1,000 new episodes up to date, three times; the median."""
    fill_week(store)
    jobs.run(store, overlap_seconds=0)
    runs, by_statement = [], []
    for _ in range(3):
        generate(store, "otel_traces", episodes_in(store), NEW_EPISODES)
        metered = CostByStatement(store)
        runs.append(cost(partial(jobs.run, cast("Store", metered), overlap_seconds=0)))
        by_statement.append(metered.statements)
    names = dict.fromkeys(name for statements in by_statement for name in statements)
    medians = {name: middle([each.get(name, Cost()) for each in by_statement]) for name in names}
    return {"1,000 new episodes, all jobs": middle(runs), "statements of 1,000 new episodes": medians}


def middle(costs: Sequence[Cost]) -> Cost:
    """Return the medians of both figures."""
    return Cost(median(each.seconds for each in costs), median(each.cpu for each in costs))


def show(figures: dict[str, Any]) -> None:
    """Print the figures as a table."""
    rows = [
        [name, f"{value.seconds:.1f}", f"{value.cpu:.1f}", ""]
        for name, value in figures.items()
        if isinstance(value, Cost)
    ]
    note = f"{figures['steps']:,} steps; most memory {figures['peak_gigabytes']} GB"
    show_table("What learning costs", ["what", "seconds", "CPU seconds", ""], rows, note=note)


def show_inserts(figures: dict[int, dict[str, list[float]]]) -> None:
    """Print how many times a plain insert all tables cost."""
    rows = [
        [f"{spans:,}", *(f"{middle:.2f} ({low:.2f} to {high:.2f})" for low, middle, high in found.values())]
        for spans, found in figures.items()
    ]
    columns = ["spans an insert", "times the CPU (quartiles)", "times the clock"]
    show_table("Inserts into all tables, beside a plain one", columns, rows)


def show_statements(figures: dict[str, Any]) -> None:
    """Print what each statement cost."""
    for title, statements in figures.items():
        if isinstance(statements, dict):
            rows = [[name, f"{value.seconds:.2f}", f"{value.cpu:.2f}", ""] for name, value in statements.items()]
            show_table(title, ["statement", "seconds", "CPU seconds", ""], rows)


def main() -> None:
    """Parse the arguments, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", nargs="?", type=int, default=1_000_000)
    parser.add_argument("--keep", type=Path, help="use this directory and leave it there")
    parser.add_argument("--only", choices=["new", "inserts"], help="measure the new episodes alone, or inserts")
    parser.add_argument("--statements", action="store_true", help="print what each statement cost, too")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    path = arguments.keep or Path(tempfile.mkdtemp(prefix="otel-episodes-"))
    try:
        figures: dict[Any, Any] = (
            measure_inserts(path)
            if arguments.only == "inserts"
            else measure(path, arguments.steps, all_of_it=arguments.only is None)
        )
    finally:
        if not arguments.keep:
            shutil.rmtree(path, ignore_errors=True)
    if arguments.json:
        json.dump(figures, sys.stdout, indent=2, default=asdict)
        sys.stdout.write("\n")
    elif arguments.only == "inserts":
        show_inserts(figures)
    else:
        show(figures)
        if arguments.statements:
            show_statements(figures)


if __name__ == "__main__":
    main()
