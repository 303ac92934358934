"""`otel-episodes patterns`: what was learned across episodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from otel_episodes_clickhouse.cli import options, output
from otel_episodes_clickhouse.cli.choices import PatternType, Verdict
from otel_episodes_clickhouse.cli.opening import reading
from otel_episodes_clickhouse.errors import StoreError
from otel_episodes_clickhouse.learning import claims

if TYPE_CHECKING:
    from collections.abc import Sequence


_WIDE = 110
# More that may be chance is a list nobody can act on.
_PROMISING = 10
# So many patterns are read for one that is listed: most are other wordings of one that is.
_WORDINGS = 10

patterns_app = typer.Typer(invoke_without_command=True, help="List what was learned across episodes.")


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    patterns_app.callback()(patterns)
    options.add(patterns_app, show)
    app.add_typer(patterns_app, name="patterns")


def patterns(  # options
    context: typer.Context,
    kind: Annotated[PatternType | None, typer.Option("--type", help="Only of this type.", show_default=False)] = None,
    domain: options.Domain = "",
    verdict: Annotated[Verdict | None, typer.Option(help="Only with this verdict.", show_default=False)] = None,
    support: Annotated[int, typer.Option(help="At least so many episodes.", min=2)] = 2,
    q: Annotated[
        float, typer.Option(help="At most this share of false findings (Benjamini-Hochberg).", min=0, max=1)
    ] = 1.0,
    everything: Annotated[
        bool, typer.Option("--all", help="What is open or was not tested too, as a filter or --json does.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000)] = 30,
    dsn: options.Dsn = None,
    json: options.Json = False,
    csv: options.Csv = False,
) -> None:
    """List what was learned across episodes: what is sure, then the ten most promising.

    Sure is what chance explains in one of ten such lists at most. Of what looks promising it is
    said how many runs more would settle the best. What the same runs show in several wordings is
    listed once.
    """
    if context.invoked_subcommand is not None:
        return
    whole = bool(everything or kind or verdict or q < 1 or support > 2 or json or csv)  # noqa: PLR2004  # the least there is
    parameters = {
        "type": kind or "", "domain": domain, "verdict": verdict or "", "support": support, "q": q,
        "limit": limit if whole else limit * _WORDINGS,
    }  # fmt: skip
    with reading(dsn) as store:
        rows = store.query_named("patterns_list", parameters)
    if output.rows(rows, as_json=json, as_csv=csv):
        return
    if not rows:
        output.line("Nothing learned yet that fits: otel-episodes jobs run (a pattern needs two episodes).")
        return
    _print_patterns(rows if whole else _worth_a_look(claims.distinct(rows))[:limit], hidden=not whole)


def _worth_a_look(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    promising = [row for row in rows if row["State"] == "promising"]
    return [*(row for row in rows if row["State"] == "sure"), *promising[:_PROMISING]]


def _print_patterns(rows: Sequence[dict[str, Any]], *, hidden: bool) -> None:
    sure = sum(row["State"] == "sure" for row in rows)
    if rows:
        output.console().print(_patterns_table(rows))
    promising = [row for row in rows if row["State"] == "promising"]
    if promising:
        best = min(promising, key=lambda row: row["MoreRuns"])
        more = f"about {best['MoreRuns']:,} runs more would settle {best['PatternId'][:8]}"
        output.note(f"{output.plural(sure, 'pattern')} sure, {len(promising)} promising: {more}, if its rate stays")
    elif not sure:
        output.line("Nothing is sure yet, and nothing looks promising: more runs are needed.")
    if hidden:
        output.note("the rest: otel-episodes patterns --all")


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
            raise StoreError(f"{which} begins with {pattern!r}: see `otel-episodes patterns`")
        parameters = {"id": found[0]["PatternId"], "limit": limit}
        episodes = store.query_named("pattern_episodes", parameters)
    if json:
        output.json({**found[0], "Episodes": episodes})
        return
    console = output.console()
    console.print(_patterns_table(found))
    table = output.table("EPISODE", "OUTCOME", "REWARD", "STARTED", "TASK")
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


def _patterns_table(rows: Sequence[dict[str, Any]]) -> Any:
    from rich.table import Table  # noqa: PLC0415  # 50 ms

    wide = output.console().width >= _WIDE
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold", expand=True)
    for name in ("ID", "STATE", "VERDICT"):
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
            row["PatternId"][:8], row["State"], row["Verdict"],
            _what(row["Type"], [output.one_line(part) for part in row["Key"]]),
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
