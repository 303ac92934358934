"""What was learned: jobs, patterns, rewards, reflections, the outlook and the next steps."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from otel_episodes.exceptions import UsageError
from otel_episodes_clickhouse.cli import episodes as look
from otel_episodes_clickhouse.cli import options, output
from otel_episodes_clickhouse.cli.opening import reading, writing
from otel_episodes_clickhouse.errors import StoreUnavailableError
from otel_episodes_clickhouse.learning.advice import of_episode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_episodes_clickhouse.learning import evaluate as evaluation
    from otel_episodes_clickhouse.learning import jobs as runner
    from otel_episodes_clickhouse.store.store import Store

_BAR = 40
_WIDE = 110
_TYPES = ("tool_sequence", "decision_point", "error_recovery", "context", "heuristic")
_VERDICTS = ("good", "pitfall", "open")
_DURATION_UNITS = {"s": 1, "m": 60, "h": 3600}
_YEAR_SECONDS = 365 * 86_400

jobs_app = typer.Typer(help="Bring what is learned up to date.", no_args_is_help=True)
patterns_app = typer.Typer(invoke_without_command=True, help="List what was learned across episodes.")

Formula = Annotated[
    str | None, typer.Option(metavar="NAME|FILE.sql", help="v2 (default), parity-1, or a formula of your own.")
]
Reward = Annotated[
    str | None,
    typer.Option(metavar="computed|external", help="Which reward patterns and views use from now on; kept."),
]
SuccessAt = Annotated[
    float | None, typer.Option(help="With external rewards: a success from this score on (1.0); kept.")
]
Domain = Annotated[str, typer.Option(help="Only this domain.")]
Tools = Annotated[list[str] | None, typer.Option("--tool", help="A tool used so far, in order; repeat it.")]
Episode = Annotated[str, typer.Argument(help="An episode: its id, or the beginning of it.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    options.add(jobs_app, run)
    options.add(jobs_app, watch)
    options.add(jobs_app, status)
    options.add(jobs_app, install)
    options.add(jobs_app, uninstall)
    app.add_typer(jobs_app, name="jobs")
    patterns_app.callback()(patterns)
    options.add(patterns_app, show)
    app.add_typer(patterns_app, name="patterns")
    for function, name in ((rewards, None), (reflect, None), (outlook, None), (next_steps, "next"), (evaluate, None)):
        options.add(app, function, name)


# --- jobs ----------------------------------------------------------------------------------------------------------


def run(  # options
    names: Annotated[list[str] | None, typer.Argument(metavar="[facts|rewards|reflections|patterns]...")] = None,
    full: Annotated[
        bool,
        typer.Option(
            "--full",
            help="Read everything, not only what changed: of named jobs from what they build on, `facts rewards` "
            "and none named from the steps on.",
        ),
    ] = False,
    formula: Formula = None,
    reward: Reward = None,
    success_at: SuccessAt = None,
    since: Annotated[
        str,
        typer.Option(
            help="Look back that far, in UTC: 2026-01-31 or '2026-01-31 12:00:00'. What arrived since the last run is "
            "read in any case."
        ),
    ] = "",
    dsn: options.Dsn = None,
    json: options.Json = False,
) -> None:
    """Score episodes, reflect on them and learn patterns, from what changed since the last run."""
    from otel_episodes_clickhouse.learning import jobs as runner  # noqa: PLC0415  # with the engine

    with reading(dsn) as store, _bars(quiet=json) as progress:
        reports = runner.run(
            store, *(names or []), full=full, formula=formula, reward=reward, success_at=success_at,
            since=since or None, progress=progress,
        )  # fmt: skip
    if json:
        output.json([asdict(report) for report in reports])
    else:
        _print_reports(reports)


def watch(
    every: Annotated[str, typer.Option(help="Such as 30s, 5m, 1h; a year at most.")] = "30s",
    formula: Formula = None,
    times: Annotated[int, typer.Option(help="Stop after so many runs; 0: never.", min=0)] = 0,
    dsn: options.Dsn = None,
) -> None:
    """Run the jobs again and again; the store is let go of in between, and tried again if it is away or in use."""
    from otel_episodes_clickhouse.learning import jobs as runner  # noqa: PLC0415  # with the engine

    pause, done = _seconds(every), 0
    while True:
        done += 1
        try:
            with reading(dsn) as store:
                _print_reports(runner.run(store, formula=formula))
        except StoreUnavailableError as error:
            if error.lasting or done == times:
                raise
            output.problem(f"{error} (next try in {every})")
        if done == times:
            return
        time.sleep(pause)


def status(dsn: options.Dsn = None, json: options.Json = False) -> None:
    """Show how far each job has come; with --json the latest runs too."""
    from otel_episodes_clickhouse.learning.formulas import active_formula, reward_use  # noqa: PLC0415  # with the engine

    with reading(dsn) as store:
        use, formula = reward_use(store), active_formula(store)
        judged = store.query_named("rewards_judged")[0]
        states = store.query_named("job_states")
        pending = store.query_named("job_pending")[0]["Episodes"]
        history = store.query_named("job_history", {"limit": 10})
    if json:
        rewards = {**asdict(use), "formula": formula, "episodes": judged["Episodes"], "judged": judged["Judged"]}
        output.json({"pending_episodes": pending, "rewards": rewards, "jobs": states, "runs": history})
        return
    if not states:
        output.line("No job has run yet: otel-episodes jobs run")
        return
    table = _table("JOB", "FORMULA", "UP TO DATE AT", "LAST RUN", "RUNS")
    for row in states:
        table.add_row(
            row["Job"], row["Formula"] or "-", _when(row["UpToDateAt"]), _one(row["LastState"], row["Message"]),
            str(row["Runs"]),
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
    table = _table("JOB", "READ", "LOOKED AT", "CHANGED", "SECONDS")
    for report in reports:
        name = f"{report.job} ({report.formula})" if report.formula else report.job
        table.add_row(
            name, "everything" if report.full else "what changed",
            output.plural(report.seen, "week" if report.job == "patterns" else "episode"),
            output.plural(report.written, "row"), f"{report.seconds:.1f}",
        )  # fmt: skip
    output.console().print(table)


def _seconds(text: str) -> float:
    unit = _DURATION_UNITS.get(text[-1:], 0)
    try:
        seconds = float(text[:-1]) * unit
    except ValueError:
        seconds = 0
    # Nor is nan, of which no comparison is true.
    if not 0 < seconds <= _YEAR_SECONDS:
        raise UsageError(f"--every {text!r} is no pause of up to a year: use 30s, 5m or 1h")
    return seconds


# --- what was learned ----------------------------------------------------------------------------------------------


def patterns(  # options
    context: typer.Context,
    kind: Annotated[
        str, typer.Option("--type", help="tool_sequence, decision_point, error_recovery, context, heuristic.")
    ] = "",
    domain: Domain = "",
    verdict: Annotated[str, typer.Option(help="good, pitfall or open.")] = "",
    support: Annotated[int, typer.Option(help="At least so many episodes.", min=2)] = 2,
    q: Annotated[
        float, typer.Option(help="At most this share of false findings (Benjamini-Hochberg).", min=0, max=1)
    ] = 1.0,
    limit: Annotated[int, typer.Option(min=1, max=100_000)] = 30,
    dsn: options.Dsn = None,
    json: options.Json = False,
) -> None:
    """List what was learned across episodes, the surest first: good ones, pitfalls, and what is still open."""
    if context.invoked_subcommand is not None:
        return
    for name, given, known in (("type", kind, _TYPES), ("verdict", verdict, _VERDICTS)):
        if given and given not in known:
            raise UsageError(f"--{name} {given!r}: there are {', '.join(known)}")
    parameters = {"type": kind, "domain": domain, "verdict": verdict, "support": support, "q": q, "limit": limit}
    with reading(dsn) as store:
        rows = store.query_named("patterns_list", parameters)
    if json:
        output.json(rows)
    elif not rows:
        output.line("Nothing learned yet that fits: otel-episodes jobs run (a pattern needs two episodes).")
    else:
        output.console().print(_patterns_table(rows))


def show(
    pattern: Annotated[str, typer.Argument(help="A pattern's id, or the beginning of it.")],
    limit: Annotated[int, typer.Option(min=1, max=100_000)] = 20,
    dsn: options.Dsn = None,
    json: options.Json = False,
) -> None:
    """Show one pattern and the episodes behind it."""
    with reading(dsn) as store:
        found = store.query_named("pattern_one", {"id": pattern.lower()})
        if len(found) != 1:
            which = "no pattern" if not found else "more than one pattern"
            raise UsageError(f"{which} begins with {pattern!r}: see `otel-episodes patterns`")
        parameters = {"id": found[0]["PatternId"], "limit": limit}
        episodes = store.query_named("pattern_episodes", parameters)
    if json:
        output.json({**found[0], "Episodes": episodes})
        return
    console = output.console()
    console.print(_patterns_table(found))
    table = _table("EPISODE", "OUTCOME", "REWARD", "STARTED", "TASK")
    for row in episodes:
        started = f"{output.local_time(row['StartTime']):%Y-%m-%d %H:%M}"
        table.add_row(
            output.short_id(row["EpisodeId"]),
            row["Outcome"],
            f"{row['Reward']:.2f}",
            started,
            output.one_line(row["Task"])[:60],
        )
    console.print(table)


def rewards(formula: Formula = None, domain: Domain = "", dsn: options.Dsn = None, json: options.Json = False) -> None:
    """Show how rewards are distributed, by domain and over time."""
    from otel_episodes_clickhouse.learning import formulas  # noqa: PLC0415  # with the engine

    with reading(dsn) as store:
        name = formulas.formula_named(formula).name if formula else formulas.active_formula(store)
        use = formulas.reward_use(store)
        parameters = {"formula": name, "domain": domain, "limit": 30}
        domains = store.query_named("rewards_by_domain", parameters)
        days = store.query_named("rewards_by_day", parameters)[::-1]
        bins = store.query_named("rewards_histogram", parameters)
    if json:
        output.json({"formula": name, "reward": asdict(use), "domains": domains, "days": days, "histogram": bins})
        return
    if not domains:
        asked = f" --formula {formula}" if formula else ""
        where = f" of the domain {domain}" if domain else ""
        output.line(f"No rewards{where} under {name} yet: otel-episodes jobs run rewards{asked}")
        return
    title = f"Rewards from outside, else Base of {name}; {use}" if use.external else f"Rewards under {name}"
    _draw_rewards(title, domains, days, bins)


def reflect(episode: Episode, dsn: options.Dsn = None, json: options.Json = False) -> None:
    """Say what one episode teaches: what to keep, what to change, what to know."""
    with reading(dsn) as store:
        identifier = _episode_id(store, episode)
        rows = store.query_named("reflection_of", {"episode": identifier})
        peers = store.query_named("reflection_peers", {"episode": identifier})
    if not rows:
        raise UsageError(f"no reflection on {identifier} yet: it runs, or `otel-episodes jobs run` has not seen it")
    lessons: dict[str, list[str]] = rows[0]
    missing = [
        f"{row['Share']:.0%} of the successful episodes of its kind used {row['Tool']}, "
        f"{row['OthersShare']:.0%} of the others did; this one did not."
        for row in peers
    ]
    lessons["Improvements"] = [*missing, *lessons["Improvements"]][:5]
    if json:
        output.json(lessons)
        return
    for title, sentences in lessons.items():
        output.line(f"{title}:")
        for sentence in sentences or ["(none)"]:
            output.line(f"  - {output.one_line(sentence)}")


def outlook(  # options
    episode: Annotated[str, typer.Argument(help="An episode that runs; or give --domain, --task and --tool.")] = "",
    domain: Domain = "",
    task: Annotated[str, typer.Option(help="The task, word for word.")] = "",
    tool: Tools = None,
    dsn: options.Dsn = None,
    json: options.Json = False,
) -> None:
    """Tell how likely an episode is to succeed, given its steps so far."""
    with reading(dsn) as store:
        so_far = _so_far(store, episode, domain, task, tool)
        row = store.query_named("outlook", so_far)[0]
    if json:
        output.json(row)
        return
    if not row["Episodes"]:
        output.line("Nothing known of this domain yet, so 50% as good as any: otel-episodes jobs run")
        return
    past = [f"in the domain {row['DomainRate']:.0%} of {output.plural(row['Episodes'], 'episode')} did"]
    if row["TaskEpisodes"]:
        past.append(f"with this task {row['TaskRate']:.0%} of {row['TaskEpisodes']}")
    elif so_far["task"]:
        past.append("this task is new")
    output.line(f"{row['Probability']:.0%} likely to succeed ({', '.join(past)})")


def next_steps(  # options
    episode: Annotated[str, typer.Argument(help="An episode that runs; or give --domain, --task and --tool.")] = "",
    domain: Domain = "",
    task: Annotated[str, typer.Option(help="The task, word for word.")] = "",
    tool: Tools = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 5,
    dsn: options.Dsn = None,
    json: options.Json = False,
) -> None:
    """Rank the tools by how much better runs went after them than after what else was done from here."""
    with reading(dsn) as store:
        rows = store.query_named("next_steps", {**_so_far(store, episode, domain, task, tool), "limit": limit})
    if json:
        output.json(rows)
        return
    if not rows:
        output.line("Nothing known from here: otel-episodes jobs run")
        return
    table = _table("TOOL", "LIFT", "VALUE", "USUAL", "SEEN", "WON")
    for row in rows:
        table.add_row(
            output.one_line(row["Tool"]), f"{row['Lift']:.2f}", f"{row['Value']:.0%}", f"{row['Usual']:.0%}",
            str(row["Seen"]), str(row["Won"]),
        )  # fmt: skip
    output.console().print(table)


def evaluate(
    split: Annotated[
        str, typer.Option(help="episode, task (every tested task is new) or time (test the latest).")
    ] = "episode",
    domain: Domain = "",
    folds: Annotated[int, typer.Option(min=2, max=200)] = 5,
    share: Annotated[float, typer.Option(help="With --split time: which share is tested.")] = 0.5,
    dsn: options.Dsn = None,
    json: options.Json = False,
) -> None:
    """Judge the outlook and the next steps on episodes they were not learned from, beside simple baselines."""
    from otel_episodes_clickhouse.learning import evaluate as evaluation  # noqa: PLC0415  # with the engine

    with reading(dsn) as store:
        result = evaluation.evaluate(store, split=split, domain=domain, folds=folds, share=share)
    if not json and not result.tested:
        where = f" in the domain {output.one_line(domain)}" if domain else ""
        output.line(f"Nothing to judge by{where} yet: otel-episodes jobs run")
        return
    output.json(result.as_dict()) if json else _print_evaluation(result)


def _print_evaluation(result: evaluation.Evaluation) -> None:
    output.line(
        f"split by {result.split}: {result.tested} of {result.episodes} episodes tested "
        f"({result.successes} succeeded), {output.plural(result.steps, 'step')}"
    )
    table = _table("FIGURE", "MODEL", "VALUE", "95 %")
    for name, figures in (("AUC", result.auc), ("Brier", result.brier), ("top-1", result.top1), ("top-3", result.top3)):
        for model, figure in figures.items():
            value = "-" if figure.value is None else f"{figure.value:.3f}"
            between = "-" if figure.low is None or figure.high is None else f"{figure.low:.3f} to {figure.high:.3f}"
            table.add_row(name, model, value, between)
    output.console().print(table)


def _so_far(store: Store, episode: str, domain: str, task: str, tools: list[str] | None) -> dict[str, Any]:
    if not episode:
        return {"episode": "", "domain": domain, "task": task, "tools": tools or [], "ended": False}
    about_to_use = tools or []
    # By its whole id it is read by key; the beginning of one has to be looked for in all.
    so_far = of_episode(store, episode, about_to_use)
    return so_far or of_episode(store, look.find(store, episode)["EpisodeId"], about_to_use) or {}


def _episode_id(store: Store, text: str) -> str:
    found = [row["EpisodeId"] for row in store.query_named("episode_like", {"id": text})]
    if text in found:
        return text
    if len(found) != 1:
        what = "more than one episode begins with" if found else "the jobs have not seen an episode that begins with"
        raise UsageError(f"{what} {text!r}: try `otel-episodes jobs run`, or see `otel-episodes episodes`")
    return str(found[0])


# --- drawing -------------------------------------------------------------------------------------------------------


def _table(*names: str) -> Any:  # rich is imported late
    from rich.table import Table  # noqa: PLC0415  # 50 ms

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def _patterns_table(rows: Sequence[dict[str, Any]]) -> Any:
    from rich.table import Table  # noqa: PLC0415  # 50 ms

    wide = output.console().width >= _WIDE
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold", expand=True)
    for name in ("ID", "VERDICT"):
        table.add_column(name, no_wrap=True)
    table.add_column("WHAT", overflow="fold", ratio=1)
    for name in ("EPISODES", "SUCCESS", "Q", *(("TYPE", "DOMAIN", "LIFT", "REWARD") if wide else ())):
        table.add_column(name, no_wrap=True)
    for row in rows:
        success = f"{row['SuccessRate']:.0%} ({row['SuccessRateLow']:.0%}-{row['SuccessRateHigh']:.0%})"
        more = (
            row["Type"], output.one_line(row["Domain"]) or "-", "-" if row["Lift"] is None else f"{row['Lift']:.2f}",
            f"{row['MeanReward']:.2f}",
        )  # fmt: skip
        table.add_row(
            row["PatternId"][:8], row["Verdict"], _what(row["Type"], [output.one_line(part) for part in row["Key"]]),
            output.count(row["Support"]), success, f"{row['QValue']:.3f}", *(more if wide else ()),
        )  # fmt: skip
    return table


def _what(kind: str, key: Sequence[str]) -> str:
    """Say what a pattern is; its parts are those of docs/explanation/patterns.md."""
    if kind == "heuristic":
        return f"after {key[0]} ({key[1]}): {key[2]}"
    if kind == "decision_point":
        return f"{key[0]}: {key[1]}"
    if kind == "error_recovery":
        return f"{key[0]} failed ({key[1]}): {' > '.join(key[2:]) or 'nothing helped'}"
    if kind == "context":
        return f"{key[0]}: with {', '.join(key[1:])}"
    return " > ".join(key)


def _draw_rewards(
    title: str, domains: Sequence[dict[str, Any]], days: Sequence[dict[str, Any]], bins: Sequence[dict[str, Any]]
) -> None:
    console = output.console()
    console.print(title)
    table = _table("DOMAIN", "EPISODES", "SUCCESS", "MEAN", "MEDIAN", "P90", "DEVIATION")
    for row in domains:
        numbers = ["-" if row[name] is None else f"{row[name]:.2f}" for name in ("Mean", "Median", "P90", "Deviation")]
        table.add_row(
            output.one_line(row["Domain"]) or "-", output.count(row["Episodes"]), f"{row['SuccessRate']:.0%}", *numbers
        )
    console.print(table)
    most = max(row["Episodes"] for row in bins)
    plot = _table("REWARD", "", "EPISODES")
    for row in bins:
        plot.add_row(f"{row['Bin']:.1f}", _bar(row["Episodes"] / most), output.count(row["Episodes"]))
    console.print(plot)
    top = max(0.01, *(row["Mean"] for row in days))
    plot = _table("DAY", "", "MEAN", "EPISODES")
    for row in days:
        plot.add_row(row["Day"], _bar(row["Mean"] / top), f"{row['Mean']:.2f}", output.count(row["Episodes"]))
    console.print(plot)


def _bar(share: float) -> str:
    return "#" * max(1, round(share * _BAR)) if share > 0 else ""


def _when(nanoseconds: int) -> str:
    return f"{output.local_time(nanoseconds):%Y-%m-%d %H:%M:%S}" if nanoseconds else "never"


def _one(state: str, message: str) -> str:
    return f"{state}: {output.one_line(message)[:80]}" if message else state
