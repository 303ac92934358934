"""`otel-episodes next`: which tools are worth using from here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from otel_episodes_clickhouse.cli import options, output
from otel_episodes_clickhouse.cli.opening import reading
from otel_episodes_clickhouse.cli.outlook import so_far_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    options.add(app, next_steps, "next")


def next_steps(  # options
    episode: Annotated[str, typer.Argument(help="An episode that runs; or give --domain, --task and --tool.")] = "",
    domain: options.Domain = "",
    task: Annotated[str, typer.Option(help="The task, word for word.")] = "",
    tool: options.Tools = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 5,
    dsn: options.Dsn = None,
    json: options.Json = False,
    csv: options.Csv = False,
) -> None:
    """Rank the tools by how much better runs went after them than after what else was done from here."""
    with reading(dsn) as store:
        rows = store.query_named("next_steps", {**so_far_of(store, episode, domain, task, tool), "limit": limit})
    if output.rows(rows, as_json=json, as_csv=csv):
        return
    if not rows:
        output.line("Nothing known from here: otel-episodes jobs run")
        return
    output.console().print(table_of(rows))


def table_of(rows: Sequence[dict[str, Any]]) -> Table:
    """Return ranked tools as a table: how much better runs went, the share that succeeded, the habit, the counts."""
    table: Table = output.table("TOOL", "LIFT", "VALUE", "USUAL", "SEEN", "WON")
    for row in rows:
        table.add_row(
            output.one_line(row["Tool"]), f"{row['Lift']:.2f}", f"{row['Value']:.0%}", f"{row['Usual']:.0%}",
            str(row["Seen"]), str(row["Won"]),
        )  # fmt: skip
    return table
