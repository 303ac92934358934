"""`otel-episodes sql`: a question of one's own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from otel_episodes import UsageError
from otel_episodes_clickhouse.cli import output, walls
from otel_episodes_clickhouse.cli.opening import reading
from otel_episodes_clickhouse.cli.options import Csv, Dsn, Json, add

if TYPE_CHECKING:
    from otel_episodes_clickhouse.store.confined_sql import Result


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    add(app, sql)


def sql(
    statement: Annotated[str, typer.Argument(metavar="SQL", help="One statement.")],
    param: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE", help="Value of {NAME:Type} in the statement; may be repeated.", show_default=False
        ),
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Allow statements that change something.")] = False,
    dsn: Dsn = None,
    json: Json = False,
    csv: Csv = False,
) -> None:
    """Ask the store in ClickHouse's SQL.

    Relations: episodes, steps, rewards, reflections and patterns (a row for each), otel_traces (the spans).
    Those whose names begin with internal_ may change with any version.

    Examples:
      otel-episodes sql "SELECT Outcome, count() FROM episodes GROUP BY Outcome"
      otel-episodes sql "SELECT Tool, count() AS n, countIf(NOT Success) AS failed
                         FROM steps GROUP BY Tool ORDER BY n DESC"
      otel-episodes sql "SELECT Task FROM episodes WHERE has(Tools, {tool:String})" --param tool=cargo
      otel-episodes sql --write "OPTIMIZE TABLE otel_traces"
    """
    if not statement.strip().rstrip(";"):
        raise UsageError('give a statement: otel-episodes sql "SELECT count() FROM episodes"')
    parameters = dict(_parameter(text) for text in param or [])
    result = _written(dsn, statement, parameters) if write else walls.ask(dsn, statement, parameters)
    if not output.rows([dict(zip(result.columns, row, strict=True)) for row in result.rows], as_json=json, as_csv=csv):
        _print_result(result)


def _written(dsn: str | None, statement: str, parameters: dict[str, str]) -> Result:
    with reading(dsn) as store:
        return store.sql(statement, parameters, read_only=False)


def _parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise UsageError(f"--param {text} must be NAME=VALUE, for {{NAME:Type}} in the statement")
    return name, value


def _print_result(result: Result) -> None:
    from rich.table import Table  # noqa: PLC0415  # only for people
    from rich.text import Text  # noqa: PLC0415  # likewise

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, kind in zip(result.columns, result.types, strict=True):
        numeric = re.search(r"Int\d|Float|Decimal", kind) is not None and not kind.startswith(("Array", "Map", "Tuple"))
        table.add_column(Text(output.one_line(name)), justify="right" if numeric else "left", overflow="fold")
    for row in result.rows:
        table.add_row(*(Text(_cell(value)) for value in row))
    output.console().print(table)
    output.note(f"({output.plural(len(result.rows), 'row')})")


def _cell(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, float):
        return f"{value:.6g}"
    return output.one_line(str(value))
