"""Sample episodes: ``demo``."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from otel_episodes_clickhouse import config
from otel_episodes_clickhouse.cli import episodes, next_steps, output, show
from otel_episodes_clickhouse.cli.opening import reading, recording
from otel_episodes_clickhouse.cli.options import Dsn, add
from otel_episodes_clickhouse.config import Target

if TYPE_CHECKING:
    import typer

    from otel_episodes_clickhouse.cli.tree import EpisodeTree
    from otel_episodes_clickhouse.learning.advice import NextStep
    from otel_episodes_clickhouse.store.store import Store

_SHOWN = "Fix the failing parser tests"
_DOMAIN = "parser"
# What the next run has done when it asks, and that it failed.
_SO_FAR = "cargo"


@dataclass(frozen=True)
class _Learned:
    """What the jobs found in the demo's store, as the other commands show it."""

    episodes: int
    patterns: list[dict[str, Any]]
    next_steps: list[NextStep]


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    add(app, demo)


def demo(dsn: Dsn = None) -> None:
    """Record sample episodes, show them, learn from them and advise the next run.

    A coding agent's day, and two weeks before it, go through the API that agents use into a store of its own beside
    yours, unless you name one with --dsn: made-up runs must not teach your agents. Each run adds another day there; to
    be rid of them, delete the directory it names.

    Example:
      otel-episodes demo
    """
    place = dsn or f"chdb://{config.home() / 'demo'}"
    started = time.perf_counter()
    identifiers = _record(place)
    with reading(place) as store:
        filters = {"outcome": "", "tool": "", "tag": "", "task": "", "since": 0, "tenant": ""}
        filters |= {"limit": 100, "ids": identifiers}
        rows = store.query_named("list_episodes", filters)
        total = store.query_named("count_episodes")[0]["Episodes"]
        example = next(row for row in rows if row["Task"] == _SHOWN)
        tree = show.load(store, store.query_named("find_episodes", {"prefix": example["EpisodeId"]})[0])
        learned = _learn(store)
    taken = time.perf_counter() - started
    _print(rows, tree)
    _print_learned(learned)
    _print_what_next(place, example["EpisodeId"], given=dsn is not None, total=total, taken=taken)


def _record(place: str) -> list[str]:
    from otel_episodes_clickhouse.cli.demo_day import a_day, weeks_before  # noqa: PLC0415  # with the SDK
    from otel_episodes_clickhouse.importers.replay import replay  # noqa: PLC0415  # likewise

    runs = a_day(until=time.time_ns())
    with recording(place):
        for run in weeks_before(until=runs[0].start_time):
            replay(run)
        return [replay(run, marker=True).id for run in runs]


def _learn(store: Store) -> _Learned:
    from otel_episodes_clickhouse.learning import advice, jobs  # noqa: PLC0415  # with the engine

    jobs.run(store)
    shown = {"type": "", "domain": _DOMAIN, "verdict": "", "support": 5, "q": 1.0, "limit": 1000}
    sequences = [row for row in store.query_named("patterns_list", shown) if row["Type"] == "tool_sequence"]
    asked = {"domain": _DOMAIN, "task": _SHOWN, "tools": [_SO_FAR], "failed": [True]}
    return _Learned(
        episodes=store.query_named("count_episodes")[0]["Episodes"],
        patterns=sorted(sequences, key=lambda row: -row["SuccessRateLow"])[:2],
        next_steps=advice.next_steps(store, asked, 3),
    )


def _print(rows: list[episodes.Row], tree: EpisodeTree) -> None:
    from otel_episodes_clickhouse.cli.tree import draw, episodes_table  # noqa: PLC0415  # with rich

    console = output.console()
    console.print("A coding agent's day, as episodes:\n")
    console.print(episodes_table(rows, console, datetime.now().astimezone()))
    console.print("\nOne of them, step by step:\n")
    draw(tree, console)


def _print_learned(learned: _Learned) -> None:
    console = output.console()
    console.print(
        f"\nLearned from {output.plural(learned.episodes, 'episode')} in this store (otel-episodes patterns):\n"
    )
    for row in learned.patterns:
        console.print(
            f"  {' → '.join(row['Key'])}: {row['Successes']} of {row['Support']} such runs succeeded"
            f" ({row['SuccessRateLow']:.0%} to {row['SuccessRateHigh']:.0%})", highlight=False,
        )  # fmt: skip
    console.print(f"\nThe next run of that task, once {_SO_FAR} has failed, is told (otel-episodes next):\n")
    console.print(next_steps.table_of(learned.next_steps))


def _print_what_next(place: str, example: str, *, given: bool, total: int, taken: float) -> None:
    where = Target.resolve(place).describe()
    output.line(f"\nStored in {where} ({output.plural(total, 'episode')} there now); all of this took {taken:.1f} s.")
    output.line("\nTry next:")
    option = f" --dsn {shlex.quote(place)}"
    if given and where != place:
        # It may hold a password, which is not repeated.
        output.line("  export OTEL_EPISODES_DSN=...    # what you gave as --dsn")
        option = ""
    for command in (
        "episodes --outcome failure",
        f"show {example[:8]}",
        "patterns",
        'sql "SELECT Tool, count() FROM steps GROUP BY Tool"',
        "doctor",
    ):
        output.line(f"  {_program()} {command}{option}")
    output.line("\nYour own agent: `with episode(...) as ep:` in Python, `otel-episodes start` in a shell,")
    output.line("`otel-episodes import` for runs you have; the --help of each has examples.")


def _program() -> str:
    """Return what to type for this command: its name where that finds it, else the path it was called by."""
    called = sys.argv[0]
    return "otel-episodes" if shutil.which("otel-episodes") or "/" not in called else shlex.quote(called)
