"""Making and updating the tables: ``migrate``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from otel_episodes import UsageError
from otel_episodes_clickhouse.cli import output
from otel_episodes_clickhouse.cli.options import Dsn, Json, add
from otel_episodes_clickhouse.config import Target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_episodes_clickhouse.schema.ddl import Layout
    from otel_episodes_clickhouse.schema.migrations import Migration
    from otel_episodes_clickhouse.store.store import Store

_DONE = {
    "create": "made", "add": "extended", "replace": "replaced", "rebuild": "made anew", "set": "set",
    "migrate": "migrated", "drop": "dropped",
}  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    add(app, migrate)


_Cluster = Annotated[str, typer.Option(metavar="NAME", help="Shard and replicate over this cluster of the server's.")]
_Replicated = Annotated[
    bool, typer.Option("--replicated", help="Replicated engines, for a database that is Replicated itself.")
]
_KeepDays = Annotated[
    int | None, typer.Option(min=0, help="Drop raw spans older than this; 0 for never. Episodes and steps stay.")
]
_KeepEpisodes = Annotated[
    int | None,
    typer.Option(
        min=0, metavar="DAYS", help="Drop episodes, and what was learned from them, this long after their end."
    ),
]
_ReadFrom = Annotated[
    str,
    typer.Option(
        metavar="[DATABASE.]TABLE", help="Also read the spans of this table, which is not ours: now and from now on."
    ),
]


def migrate(
    plan: Annotated[bool, typer.Option("--plan", help="Say what would be done, and why; do nothing.")] = False,
    print_: Annotated[bool, typer.Option("--print", help="Print all of the SQL instead of running it.")] = False,
    cluster: _Cluster = "",
    replicated: _Replicated = False,
    keep_days: _KeepDays = None,
    keep_episodes: _KeepEpisodes = None,
    read_from: _ReadFrom = "",
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Make or update the tables and views.

    Safe to repeat. Commands that read or import do this by themselves, except for the database itself. How the tables
    lie on a cluster is in docs/how-to/cluster.md; it is remembered, and need not be said again.

    Examples:
      otel-episodes migrate --plan
      otel-episodes migrate
      otel-episodes migrate --print --cluster main > schema.sql
      otel-episodes migrate --keep-days 90 --keep-episodes 730
      otel-episodes --dsn clickhouse://host/episodes migrate --read-from default.otel_traces
    """
    target = Target.resolve(dsn)
    layout = _layout(target, cluster, replicated=replicated)
    if print_:
        _print(target, layout)
    elif plan:
        _plan(target, layout, json=json)
    else:
        _apply(target, layout, keep_days, json=json)
        if keep_episodes is not None:
            _keep_episodes(target, keep_episodes, json=json)
        if read_from:
            _read_from(target, read_from)


def _layout(target: Target, cluster: str, *, replicated: bool) -> Layout | None:
    from otel_episodes_clickhouse.schema.ddl import Layout  # noqa: PLC0415  # not for the other commands

    if cluster and replicated:
        raise UsageError("--cluster has Replicated engines already: leave --replicated out")
    if not cluster and not replicated:
        return None
    if target.embedded:
        raise UsageError("the embedded engine has no cluster: name a server with --dsn or OTEL_EPISODES_DSN")
    return Layout(cluster=cluster, replicated=replicated)


def _apply(target: Target, layout: Layout | None, keep_days: int | None, *, json: bool) -> None:
    from otel_episodes_clickhouse.learning import refreshable_views  # noqa: PLC0415  # with the engine
    from otel_episodes_clickhouse.schema import migrations  # noqa: PLC0415  # with the engine

    with _opened(target) as store:
        done = store.migrate(layout)
        anew = refreshable_views.install(store) if refreshable_views.outdated(store) else []
        if keep_days is not None:
            migrations.keep_traces(store, keep_days)
    if json:
        output.json(_for_json(done))
        return
    for line in _lines(done):
        output.line(line)
    if anew:
        output.line(f"replaced: {', '.join(anew)}")
    if done.names("rebuild", "migrate"):
        output.line("fill what was made anew: otel-episodes jobs run")
    for name, reason in done.refused:
        output.note(f"left out {name}, which is optional: {output.one_line(reason)}")
    if not done.changes and not anew:
        output.line(f"{target} is up to date")
    if keep_days is not None:
        output.line(f"raw spans and log records are kept {f'for {keep_days} days' if keep_days else 'for ever'}")


def _keep_episodes(target: Target, days: int, *, json: bool) -> None:
    from otel_episodes_clickhouse.learning import removal  # noqa: PLC0415  # likewise

    with _opened(target) as store:
        removal.keep_for(store, days)
    if not json:
        output.line(f"episodes are kept {f'for {days} days after their end' if days else 'for ever'}")


def _read_from(target: Target, name: str) -> None:
    with _opened(target) as store:
        spans = store.read_from(name)
    output.note(f"reads {name} from now on; {output.plural(spans, 'span')} brought in")


def _opened(target: Target) -> Store:
    from otel_episodes_clickhouse.errors import MissingDatabaseError  # noqa: PLC0415  # likewise
    from otel_episodes_clickhouse.store.store import Store  # noqa: PLC0415  # with the engine

    try:
        return Store.open(target)
    except MissingDatabaseError:
        Store.create_database(target)
        output.note(f"made the database {target.database}")
        return Store.open(target)


def _lines(done: Migration) -> Iterator[str]:
    for action, word in _DONE.items():
        names = dict.fromkeys(done.names(action))
        if names:
            yield f"{word}: {', '.join(names)}"


def _plan(target: Target, layout: Layout | None, *, json: bool) -> None:
    from otel_episodes_clickhouse.schema import migrations  # noqa: PLC0415  # with the engine
    from otel_episodes_clickhouse.store.store import Store  # noqa: PLC0415  # likewise

    with Store.open(target) as store:
        planned = migrations.plan(store, layout)
    if json:
        output.json(_for_json(planned))
    elif planned.changes:
        _print_plan(planned)
    else:
        output.line(f"{target} is up to date")
    if planned.names("refuse"):
        raise typer.Exit(1)


def _for_json(migration: Migration) -> dict[str, object]:
    return {
        "changes": [
            {
                "action": change.action, "name": change.name, "why": change.why,
                "sql": [statement.text for statement in change.statements],
            }
            for change in migration.changes
        ],
        "refused": [{"name": name, "why": why} for name, why in migration.refused],
    }  # fmt: skip


def _print_plan(planned: Migration) -> None:
    from rich.table import Table  # noqa: PLC0415  # only for people
    from rich.text import Text  # noqa: PLC0415  # likewise

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("DO", "WHAT", "WHY"):
        table.add_column(column, overflow="fold")
    for change in planned.changes:
        style = "red" if change.action == "refuse" else ""
        table.add_row(Text(change.action, style=style), Text(change.name), Text(output.one_line(change.why)))
    output.console().print(table)


def _print(target: Target, layout: Layout | None) -> None:
    from otel_episodes_clickhouse.schema import ddl, migrations  # noqa: PLC0415  # not for the other commands

    for name, text in migrations.script(layout or ddl.Layout(), database="" if target.embedded else target.database):
        output.line(f"-- {name}\n{text};\n")
