"""`otel-episodes tools`: which tools were used, how they did, and what the models in them cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_episodes_clickhouse import times
from otel_episodes_clickhouse.cli import options, output
from otel_episodes_clickhouse.cli.opening import NOTHING_YET, reading
from otel_episodes_clickhouse.wording import count, dollars, duration, one_line

if TYPE_CHECKING:
    import typer


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    options.add(app, tools)


def tools(
    by: options.By = None,
    since: options.Since = "",
    dsn: options.Dsn = None,
    json: options.Json = False,
    csv: options.Csv = False,
) -> None:
    """Show which tools were used: calls, failures, times, and tokens and cost of the models called in them.

    Examples:
      otel-episodes tools
      otel-episodes tools --by agent --since 30d
    """
    with reading(dsn) as store:
        rows = store.query_named("tools_used", {"by": by or "", "since": times.since(since)})
    if output.rows(rows, as_json=json, as_csv=csv):
        return
    if not rows:
        output.note(NOTHING_YET)
        return
    table = output.table(*((by.upper(),) if by else ()), "TOOL", "CALLS", "FAILED", "P50", "P95", "TOKENS", "COST")
    for row in rows:
        table.add_row(
            *((one_line(row["Part"]) or "-",) if by else ()), one_line(row["Tool"]), count(row["Calls"]),
            count(row["Failures"]), duration(row["P50Ns"]), duration(row["P95Ns"]),
            count(row["Tokens"]) if row["Tokens"] else "-", dollars(row["Cost"]) or "-",
        )  # fmt: skip
    output.console().print(table)
