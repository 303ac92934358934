"""`otel-episodes episodes`: a list, newest first."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from otel_episodes import UsageError
from otel_episodes_clickhouse import times
from otel_episodes_clickhouse.cli import output
from otel_episodes_clickhouse.cli.choices import AnyOutcome
from otel_episodes_clickhouse.cli.opening import NOTHING_YET, reading
from otel_episodes_clickhouse.cli.options import Csv, Dsn, Json, Since, add

Row = dict[str, Any]


_TIMES = ("StartTime", "EndTime")
_LIMIT = 2**32 - 1


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    add(app, episodes)


def episodes(
    outcome: Annotated[AnyOutcome | None, typer.Option(help="Only episodes that ended so.", show_default=False)] = None,
    tool: Annotated[str, typer.Option(help="Only episodes that used this tool.")] = "",
    tag: Annotated[str, typer.Option(help="Only episodes with this tag.")] = "",
    task: Annotated[str, typer.Option(metavar="TEXT", help="Only episodes with this text in their task.")] = "",
    since: Since = "",
    tenant: Annotated[str, typer.Option(metavar="ID", help="Only of this tenant: resource attribute tenant.id.")] = "",
    limit: Annotated[int, typer.Option(help="How many at most.")] = 20,
    dsn: Dsn = None,
    json: Json = False,
    csv: Csv = False,
) -> None:
    """List episodes, newest first.

    Examples:
      otel-episodes episodes
      otel-episodes episodes --outcome failure --tool cargo --since 7d
      otel-episodes episodes --task "flaky" --json
    """
    if not 0 < limit <= _LIMIT:
        raise UsageError(f"--limit {limit} must be a whole number, 1 or more")
    filters = {
        "outcome": outcome or "", "tool": tool, "tag": tag, "task": task, "since": times.since(since), "tenant": tenant,
        "limit": limit, "ids": [],
    }  # fmt: skip
    with reading(dsn) as store:
        rows = store.query_named("list_episodes", filters)
        found = None if rows else store.query_named("count_episodes")[0]["Episodes"]
    if output.rows([for_json(row) for row in rows], as_json=json, as_csv=csv):
        return
    if rows:
        _print_episodes(rows)
    else:
        output.note(f"none of {found} episodes matches" if found else NOTHING_YET)


def _print_episodes(rows: list[Row]) -> None:
    from otel_episodes_clickhouse.cli.tree import episodes_table  # noqa: PLC0415  # with rich

    console = output.console()
    console.print(episodes_table(rows, console, datetime.now().astimezone()))


def for_json(row: Row) -> Row:
    """Return a row with its times as ISO 8601."""
    return {key: output.iso_time(value) if key in _TIMES else value for key, value in row.items()}
