"""`otel-episodes next`: which tools are worth using from here."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from otel_episodes_clickhouse.cli import options, output
from otel_episodes_clickhouse.cli.opening import reading
from otel_episodes_clickhouse.cli.outlook import so_far_of
from otel_episodes_clickhouse.learning import advice

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
    failed: Annotated[bool, typer.Option("--failed", help="The last of these tools failed.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 5,
    dsn: options.Dsn = None,
    json: options.Json = False,
    csv: options.Csv = False,
) -> None:
    """Rank the tools by how much better runs went after them than after what else was done from here."""
    with reading(dsn) as store:
        steps = advice.next_steps(store, so_far_of(store, episode, domain, task, tool, failed=failed), limit)
    rows = [{name.title(): value for name, value in asdict(step).items()} for step in steps]
    if output.rows(rows, as_json=json, as_csv=csv):
        return
    if not steps:
        output.line("Nothing known from here: otel-episodes jobs run")
        return
    output.console().print(table_of(steps))


def table_of(steps: Sequence[advice.NextStep]) -> Table:
    """Return ranked tools as a table: how much better runs went, what they earned, the habit, the counts."""
    table: Table = output.table("TOOL", "LIFT", "VALUE", "USUAL", "SEEN", "WON")
    for step in steps:
        table.add_row(
            output.one_line(step.tool), f"{step.lift:.2f}", f"{step.value:.0%}", f"{step.usual:.0%}", str(step.seen),
            str(step.won),
        )  # fmt: skip
    return table
