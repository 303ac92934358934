"""Looking at what is stored: ``episodes``, ``show``, ``sql``."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer

from otel_episodes import UsageError, semconv
from otel_episodes_clickhouse.cli import output, times, walls
from otel_episodes_clickhouse.cli.choices import AnyOutcome
from otel_episodes_clickhouse.cli.opening import NOTHING_YET, reading
from otel_episodes_clickhouse.cli.options import Csv, Dsn, Json, Since, add
from otel_episodes_clickhouse.errors import StoreError

if TYPE_CHECKING:
    from otel_episodes_clickhouse.cli.tree import EpisodeTree
    from otel_episodes_clickhouse.store.confined_sql import Result
    from otel_episodes_clickhouse.store.store import Store

Row = dict[str, Any]

# Steps of an episode on the screen at once.
_PAGE: Final = 500
_ALL: Final = 2**63

_TIMES = ("StartTime", "EndTime")
_LIMIT = 2**32 - 1


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    add(app, episodes)
    add(app, show)
    add(app, sql)


def episodes(
    outcome: Annotated[AnyOutcome | None, typer.Option(help="Only episodes that ended so.", show_default=False)] = None,
    tool: Annotated[str, typer.Option(help="Only episodes that used this tool.")] = "",
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
        "outcome": outcome or "", "tool": tool, "task": task, "since": times.since(since), "tenant": tenant,
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


def show(
    identifier: Annotated[
        str, typer.Argument(metavar="ID", help="An episode's or trace's id; its beginning is enough.")
    ],
    first: Annotated[
        int, typer.Option("--from", help="The first step to show, counted from 1.", min=1, show_default=False)
    ] = 1,
    limit: Annotated[
        int | None, typer.Option(help="At most so many steps: 500 for people, with --json all.", min=1)
    ] = None,
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Show one episode as a tree of steps.

    With a bar for the time of each, and the sub-agents it started.

    Examples:
      otel-episodes show 4f1c
      otel-episodes show 4f1c --from 501
      otel-episodes show 4f1c --json
    """
    if not identifier.strip():
        raise UsageError("name an episode by the beginning of its id: see `otel-episodes episodes`")
    with reading(dsn) as store:
        tree = load(store, find(store, identifier.strip()), first, limit or (_ALL if json else _PAGE))
    if json:
        output.json(_tree_json(tree))
        return
    from otel_episodes_clickhouse.cli.tree import draw  # noqa: PLC0415  # with rich

    draw(tree, output.console())
    last, steps = first + len(tree.steps) - 1, tree.episode["Steps"]
    if first > 1 or last < steps:
        more = f"; the next: --from {last + 1}" if tree.steps and last < steps else ""
        output.note(f"(steps {first:,} to {last:,} of {steps:,}{more})")


def find(store: Store, identifier: str) -> Row:
    """Return the one episode whose id or trace is or begins with that. Raises ``StoreError`` for none or several."""
    candidates = store.query_named("find_episodes", {"prefix": identifier})
    exact = [row for row in candidates if identifier in (row["EpisodeId"], row["TraceId"])]
    found = exact or candidates
    if len(found) != 1:
        _not_one(identifier, candidates)
    return found[0]


def _not_one(identifier: str, candidates: list[Row]) -> NoReturn:
    shown = output.one_line(identifier)[:40]
    if not candidates:
        raise StoreError(f"no episode's id begins with {shown}: see `otel-episodes episodes`")
    for row in candidates:
        output.note(f"  {row['EpisodeId']}  {row['Outcome']:<9}  {output.one_line(row['Task'])[:30]}")
    raise StoreError(f"{shown} is the beginning of {len(candidates)} ids or more, those above: give more of it")


def load(store: Store, episode: Row, first: int = 1, limit: int = _ALL) -> EpisodeTree:
    """Read everything about an episode that is shown, of its steps so many from the first one."""
    from otel_episodes_clickhouse.cli.tree import EpisodeTree  # noqa: PLC0415  # with rich

    identifier = {"id": episode["EpisodeId"]}
    steps = store.query_named("steps_of_episode", {**identifier, "limit": limit, "offset": first - 1})
    segments = store.query_named("episode_segments", identifier)
    traces = sorted({row["TraceId"] for row in (*steps, *segments)})
    spans = store.query_named("trace_spans", {"trace_ids": traces})
    below: dict[str, list[Row]] = {}
    started = {
        trace: span["SpanId"]
        for span in spans
        for trace, kind in zip(span["LinkTraceIds"], span["LinkKinds"], strict=True)
        if kind == semconv.LINK_DELEGATES
    }
    known = {step["SpanId"] for step in steps}
    for row in store.query_named("sub_agents", identifier):
        starter = started.get(row["TraceId"], "")
        below.setdefault(starter if starter in known else "", []).append(row)
    parents = {span["SpanId"]: span["ParentSpanId"] for span in spans}
    return EpisodeTree(episode, steps, segments, parents, below)


def _tree_json(tree: EpisodeTree) -> Row:
    sub_agents = [{**for_json(row), "StartedByStep": span} for span, rows in tree.sub_agents.items() for row in rows]
    return {
        **for_json(tree.episode),
        "SegmentList": [for_json(row) for row in tree.segments],
        "StepList": [for_json(row) for row in tree.steps],
        "SubAgents": sub_agents,
    }


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
