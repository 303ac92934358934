"""`otel-episodes similar`: which tasks of the past are like one."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from otel_episodes_clickhouse.cli import options, output
from otel_episodes_clickhouse.cli.opening import reading
from otel_episodes_clickhouse.learning import similar as search


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    options.add(app, similar)


def similar(  # options
    text: Annotated[str, typer.Argument(help="A task, in your words.")],
    domain: options.Domain = "",
    outcome: Annotated[str, typer.Option(help="Only tasks with such an episode: any, success or failure.")] = "any",
    limit: Annotated[int, typer.Option(min=1, max=20)] = 5,
    dsn: options.Dsn = None,
    json: options.Json = False,
    csv: options.Csv = False,
) -> None:
    """Find the tasks most like a text, with what became of them and the episodes to look at."""
    with reading(dsn) as store:
        found = search.find(store, text, domain=domain, outcome=outcome, limit=limit)
    rows = [{name.title().replace("_", ""): value for name, value in asdict(task).items()} for task in found]
    if output.rows(rows, as_json=json, as_csv=csv):
        return
    if not found:
        output.line("No task of the past is like it (otel-episodes jobs run learns new ones)")
        return
    table = output.table("LIKE", "SUCCEEDED", "BEST", "LAST FAILED", "TASK")
    for task in found:
        table.add_row(
            f"{task.likeness:.2f}", f"{task.successes} of {task.episodes}", task.best[:8], task.last_failed[:8],
            output.one_line(task.task),
        )  # fmt: skip
    output.console().print(table)
