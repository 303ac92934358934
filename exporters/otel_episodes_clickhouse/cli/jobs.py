"""`otel-episodes jobs`: bring what is learned up to date, and keep it so."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path  # typer reads it
from typing import TYPE_CHECKING, Annotated, Any

import typer

from otel_episodes.exceptions import UsageError
from otel_episodes_clickhouse.cli import options, output, walls
from otel_episodes_clickhouse.cli.choices import Job
from otel_episodes_clickhouse.cli.opening import reading, writing
from otel_episodes_clickhouse.errors import StoreUnavailableError
from otel_episodes_clickhouse.times import pause, since_in_utc

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_episodes_clickhouse.learning import jobs as runner


# What a job looks at, where that is not episodes.
_SEEN = {"prices": "model", "patterns": "week"}

jobs_app = typer.Typer(help="Bring what is learned up to date.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    for function in (run, watch, status, install, uninstall):
        options.add(jobs_app, function)
    app.add_typer(jobs_app, name="jobs")


_Names = Annotated[list[Job] | None, typer.Argument(show_default=False, help="All of them by default.")]
_Full = Annotated[
    bool,
    typer.Option(
        "--full",
        help="Read everything, not only what changed: of named jobs from what they build on, `facts rewards` "
        "and none named from the steps on.",
    ),
]
_Since = Annotated[
    str,
    typer.Option(
        metavar="WHEN",
        help="Look back that far: 30m, 2h, 7d, or a date. What arrived since the last run is read in any case.",
    ),
]
_Prices = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.toml",
        help="Prices of models of your own, used from now on; an empty file forgets them. Others are those of "
        "genai-prices: pip install 'otel-episodes[prices]'.",
        show_default=False,
    ),
]


def run(  # options
    names: _Names = None,
    full: _Full = False,
    formula: options.Formula = None,
    reward: options.Reward = None,
    success_at: options.SuccessAt = None,
    since: _Since = "",
    prices: _Prices = None,
    dsn: options.Dsn = None,
    json: options.Json = False,
) -> None:
    """Score episodes, reflect on them and learn patterns, from what changed since the last run."""
    from otel_episodes_clickhouse.learning import formulas  # noqa: PLC0415  # with the engine
    from otel_episodes_clickhouse.learning import jobs as runner  # noqa: PLC0415  # likewise
    from otel_episodes_clickhouse.learning import prices as price_lists  # noqa: PLC0415  # likewise

    # Read before the walls, behind which its file is not.
    read = formulas.formula_named(formula) if formula else None
    own = price_lists.read(prices) if prices is not None else None
    price_lists.load()
    walls.confine(dsn)
    with reading(dsn) as store, _bars(quiet=json) as progress:
        reports = runner.run(
            store, *(names or []), full=full, formula=read, reward=reward, success_at=success_at, prices=own,
            since=since_in_utc(since), progress=progress,
        )  # fmt: skip
    if json:
        output.json([asdict(report) for report in reports])
    else:
        _print_reports(reports)


def watch(
    every: Annotated[str, typer.Option(help="Such as 30s, 5m, 1h; a year at most.")] = "30s",
    formula: options.Formula = None,
    times: Annotated[int, typer.Option(help="Stop after so many runs; 0: never.", min=0)] = 0,
    dsn: options.Dsn = None,
) -> None:
    """Run the jobs again and again; the store is let go of in between, and tried again if it is away or in use."""
    from otel_episodes_clickhouse.learning import formulas  # noqa: PLC0415  # with the engine
    from otel_episodes_clickhouse.learning import jobs as runner  # noqa: PLC0415  # likewise
    from otel_episodes_clickhouse.learning import prices as price_lists  # noqa: PLC0415  # likewise

    read = formulas.formula_named(formula) if formula else None
    price_lists.load()
    seconds, done = pause(every), 0
    while True:
        done += 1
        # Each time: a process that served the store, behind walls of its own, may have ended.
        walls.confine(dsn)
        try:
            with reading(dsn) as store:
                _print_reports(runner.run(store, formula=read))
        except StoreUnavailableError as error:
            if error.lasting or done == times:
                raise
            output.problem(f"{error} (next try in {every})")
        if done == times:
            return
        time.sleep(seconds)


def status(dsn: options.Dsn = None, json: options.Json = False, csv: options.Csv = False) -> None:
    """Show how far each job has come; with --json the latest runs too."""
    from otel_episodes_clickhouse.learning.formulas import active_formula, reward_use  # noqa: PLC0415  # with the engine

    with reading(dsn) as store:
        use, formula = reward_use(store), active_formula(store)
        judged = store.query_named("rewards_judged")[0]
        states = store.query_named("job_states")
        pending = store.query_named("job_pending")[0]["Episodes"]
        history = store.query_named("job_history", {"limit": 10})
    if csv:
        output.rows(states, as_json=json, as_csv=csv)
        return
    if json:
        rewards = {**asdict(use), "formula": formula, "episodes": judged["Episodes"], "judged": judged["Judged"]}
        output.json({"pending_episodes": pending, "rewards": rewards, "jobs": states, "runs": history})
        return
    if not states:
        output.line("No job has run yet: otel-episodes jobs run")
        return
    table = output.table("JOB", "FORMULA", "UP TO DATE AT", "LAST RUN", "RUNS")
    for row in states:
        table.add_row(
            row["Job"], row["Formula"] or "-", output.when(row["UpToDateAt"]),
            output.state(row["LastState"], row["Message"]), str(row["Runs"]),
        )  # fmt: skip
    console = output.console()
    console.print(table)
    console.print(f"{output.plural(pending, 'episode')} changed since.")
    console.print(
        f"Rewards in use: {use} (formula {formula}); "
        f"{output.count(judged['Judged'])} of {output.plural(judged['Episodes'], 'episode')} scored from outside."
    )


def install(dsn: options.Dsn = None, json: options.Json = False) -> None:
    """Keep rewards, reflections and patterns fresh on the server itself, by refreshable views every minute."""
    from otel_episodes_clickhouse.learning import refreshable_views as installation  # noqa: PLC0415  # with the engine

    with writing(dsn) as store:
        if store.target.embedded:
            raise UsageError("the embedded engine only works while a command runs: use `otel-episodes jobs watch`")
        names = installation.install(store)
    output.json(names) if json else output.line(f"Installed: {', '.join(names)}")


def uninstall(dsn: options.Dsn = None, json: options.Json = False) -> None:
    """Take the refreshable views out again; what they wrote stays."""
    from otel_episodes_clickhouse.learning import refreshable_views as installation  # noqa: PLC0415  # with the engine

    with writing(dsn) as store:
        names = installation.uninstall(store)
    output.json(names) if json else output.line(f"Removed: {', '.join(names) or 'nothing was installed'}")


@contextmanager
def _bars(*, quiet: bool) -> Iterator[runner.Progress]:
    """Show on stderr how far each job is, while the block runs."""
    from rich.progress import Progress  # noqa: PLC0415  # 50 ms

    console = output.console(stderr=True)
    # Where there is no terminal nothing is drawn, and rich would end with an empty line.
    with Progress(console=console, transient=True, disable=quiet or not console.is_terminal) as bars:
        tasks: dict[str, Any] = {}

        def step(job: str, done: int, total: int, /) -> None:
            if job not in tasks:
                tasks[job] = bars.add_task(job, total=max(1, total))
            bars.update(tasks[job], completed=done if total else 1)

        yield step


def _print_reports(reports: Sequence[runner.JobReport]) -> None:
    table = output.table("JOB", "READ", "LOOKED AT", "CHANGED", "SECONDS")
    for report in reports:
        name = f"{report.job} ({report.formula})" if report.formula else report.job
        table.add_row(
            name, "everything" if report.full else "what changed",
            output.plural(report.seen, _SEEN.get(report.job, "episode")),
            output.plural(report.written, "row"), f"{report.seconds:.1f}",
        )  # fmt: skip
    output.console().print(table)
