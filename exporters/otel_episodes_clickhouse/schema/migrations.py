"""The tables and views: what a store lacks, and bringing it up to date.

What a store should have is read from the CREATE statements in ``sql/schema`` and ``sql/views`` (see `ddl`), what it has
from the engine; ``internal_settings`` keeps a hash of the statement each was made from, and of what the engine made of
a view's. A missing column or index is added in place, a view made from another statement is replaced, and so are one
that somebody else has replaced and a table that only our own jobs fill, which then fill it again. What a collector
makes too is never altered. Whatever else differs is refused, with what to do.

What no comparison can find, a numbered file of ``sql/migrations`` does once: ``NNN_pre_*.sql`` after missing tables are
made and before views are, ``NNN_post_*.sql`` after both. The number of the last is kept in ``internal_settings`` too; a
new store starts with it. Each file may be run again, since a migration that was cut short is.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Protocol

from otel_episodes import __version__
from otel_episodes_clickhouse import sql
from otel_episodes_clickhouse.errors import NewerStoreError, QueryError, SchemaError
from otel_episodes_clickhouse.schema import ddl
from otel_episodes_clickhouse.schema.ddl import Layout, Made

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

_HASH: Final = "schema_of_"
_AS_MADE: Final = "schema_made_"
_ONE_SERVER: Final = Layout()
_KEEPS_NOTHING: Final = frozenset(("View", "Null", "LiveView"))
_ELSEWHERE: Final = (
    "keep ours in another database and read this table from there, `otel-episodes --dsn .../episodes migrate "
    "--read-from DATABASE.TABLE`"
)
_FOR_EVER: Final = ("keep_traces_for_ever", "keep_trace_ids_for_ever", "keep_logs_for_ever")
# Columns that a collector fills from the day they are there, of a table that an older one made.
_LATER: Final = {"otel_logs": frozenset(("EventName",))}
_VIEWS: Final = {"view": "View", "materialized view": "MaterializedView"}
# Before 0.2 they were kept under another name.
_SETTINGS: Final = ("episode_settings", "internal_settings")


class Engine(Protocol):
    """What a migration needs of a store."""

    def query_named(self, name: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Run a statement of ours that returns rows."""
        ...

    def execute(self, statement: sql.Statement, parameters: Mapping[str, Any] | None = None) -> None:
        """Run a statement of ours that returns none."""
        ...


@dataclass(frozen=True)
class Change:
    """One thing that is not as it should be.

    ``action`` is create, add (a column or index), replace (a view), rebuild (a table that the jobs fill), set, migrate
    (a statement of a numbered migration), drop (a view that no version needs any more) or refuse (nothing is done,
    ``why`` says what to do).
    """

    action: str
    name: str
    why: str
    statements: tuple[sql.Statement, ...] = ()


@dataclass(frozen=True)
class Migration:
    """What a migration did, or would do. Empty: the store had everything already.

    ``refused`` names the optional statements the engine would not run, with its reason.
    """

    changes: tuple[Change, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()

    def names(self, *actions: str) -> tuple[str, ...]:
        """Return what these actions apply to."""
        return tuple(change.name for change in self.changes if change.action in actions)


@dataclass(frozen=True)
class Found:
    """What a store has."""

    tables: dict[str, dict[str, Any]]
    columns: dict[str, dict[str, str]]
    indexes: dict[str, set[str]]
    settings: dict[str, str]

    @property
    def layout(self) -> Layout:
        """The layout it was made in."""
        return Layout.parse(self.settings.get("schema_layout", ""))

    @property
    def migration(self) -> int:
        """The number of the last migration that was run; of a new store the last there is."""
        if self.tables.keys().isdisjoint(_SETTINGS):
            return ddl.last_migration()
        return int(self.settings.get("schema_migration", 1))


def statements(layout: Layout = _ONE_SERVER) -> tuple[sql.Statement, ...]:
    """Return every statement of the schema, tables before views."""
    return ddl.statements(layout)


@cache
def version() -> str:
    """Return a fingerprint of the schema this package was built with."""
    migrating = [statement for migration in ddl.migrations() for statement in migration.statements]
    return _hash("\0".join(statement.text for statement in (*statements(), *migrating, *_conventions())))


def is_current(engine: Engine) -> bool:
    """Tell whether the store has this schema: one query, two when all is there."""
    if _missing(engine):
        return False
    return engine.query_named("schema_version") == [{"Version": version()}]


def plan(engine: Engine, layout: Layout | None = None) -> Migration:
    """Return what a migration would do, doing nothing. None: the layout the store was made in.

    Raises `NewerStoreError` for a store that a newer version made.
    """
    found = _look(engine, layout)
    return Migration(tuple(_changes(found, found.layout if layout is None else layout)))


def migrate(engine: Engine, layout: Layout | None = None) -> Migration:
    """Create what is missing and bring the rest up to date; safe to repeat, and by several processes at once.

    Raises `SchemaError` for what cannot be changed in place, before anything is changed, and `NewerStoreError`.
    """
    found = _look(engine, layout)
    wanted = found.layout if layout is None else layout
    changes = tuple(_changes(found, wanted))
    impossible = [f"{change.name}: {change.why}" for change in changes if change.action == "refuse"]
    if impossible:
        raise SchemaError("; ".join(impossible))
    refused: list[tuple[str, str]] = []
    for change in changes:
        for statement in change.statements:
            _run(engine, statement, refused)
    made = _as_made(engine, wanted) if changes else {name: row["AsMade"] for name, row in _views(found, wanted).items()}
    settings = {**settings_of(wanted), **{_AS_MADE + name: hashed for name, hashed in made.items()}}
    if changes or any(found.settings.get(name) != value for name, value in settings.items()):
        engine.execute(sql.named("set_schema"), {"names": [*settings], "values": [*settings.values()]})
    return Migration(changes, tuple(refused))


def settings_of(layout: Layout) -> dict[str, str]:
    """Return what a migration writes down in ``internal_settings``."""
    return {
        **{_HASH + statement.name: _hash(statement.text) for statement in statements(layout)},
        "schema_conventions": _hash("\0".join(statement.text for statement in _conventions())),
        "schema_layout": str(layout),
        "schema_migration": str(ddl.last_migration()),
        "schema_package": __version__,
        "schema_version": version(),
    }


def layout_of(engine: Engine) -> Layout:
    """Return how the tables of a store lie."""
    return _look(engine, None).layout


def keep_traces(engine: Engine, days: int) -> None:
    """Let the engine drop raw spans and log records that are older; 0 keeps them for ever. Episodes and steps stay."""
    layout = _look(engine, None).layout
    suffix = "_local" if layout.cluster else ""
    if days:
        for name in ("keep_traces", "keep_trace_ids", "keep_logs"):
            engine.execute(ddl.altered(sql.named(name), layout), {"days": days})
        return
    names = [f"otel_traces{suffix}", f"otel_traces_trace_id_ts{suffix}", f"otel_logs{suffix}"]
    expiring = {row["Name"] for row in engine.query_named("tables_with_ttl", {"names": names})}
    for name, statement in zip(names, _FOR_EVER, strict=True):
        if name in expiring:
            engine.execute(ddl.altered(sql.named(statement), layout))


def _run(engine: Engine, statement: sql.Statement, refused: list[tuple[str, str]]) -> None:
    try:
        engine.execute(statement)
    except QueryError as error:
        if not statement.optional:
            raise
        refused.append((statement.name, str(error)))


def _as_made(engine: Engine, layout: Layout) -> dict[str, str]:
    """Return a hash of what the engine made of each view's statement."""
    names = [statement.name for statement in statements(layout) if _is_view(statement)]
    return {row["Name"]: row["AsMade"] for row in engine.query_named("schema_tables", {"names": names})}


def _views(found: Found, layout: Layout) -> dict[str, dict[str, Any]]:
    names = {statement.name for statement in statements(layout) if _is_view(statement)}
    return {name: row for name, row in found.tables.items() if name in names}


def _missing(engine: Engine) -> set[str]:
    names = {statement.name for statement in statements() if statement.creates}
    return names - {row["Name"] for row in engine.query_named("schema_objects", {"names": sorted(names)})}


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


# --- what is there -----------------------------------------------------------------------------------------------


def _look(engine: Engine, layout: Layout | None) -> Found:
    names = {statement.name for each in (_ONE_SERVER, layout or _ONE_SERVER) for statement in statements(each)}
    settings = _settings(engine)
    if _number(settings.get("schema_package", "")) > _number(__version__):
        raise NewerStoreError(
            f"this store was made by otel-episodes {settings['schema_package']}, and this is {__version__}: "
            "upgrade it (nothing was changed)"
        )
    found = Layout.parse(settings.get("schema_layout", ""))
    names |= {statement.name for statement in statements(found)}
    names |= {name.removeprefix(_HASH) for name in settings if name.startswith(_HASH)}
    names |= {statement.when for migration in ddl.migrations() for statement in migration.statements}
    asked = {"names": sorted(names)}
    tables = {row["Name"]: row for row in engine.query_named("schema_tables", asked)}
    columns: dict[str, dict[str, str]] = {}
    for row in engine.query_named("schema_columns", asked):
        columns.setdefault(row["Table"], {})[row["Name"]] = row["Type"]
    indexes: dict[str, set[str]] = {}
    for row in engine.query_named("schema_indexes", asked):
        indexes.setdefault(row["Table"], set()).add(row["Name"])
    return Found(tables, columns, indexes, settings)


def _settings(engine: Engine) -> dict[str, str]:
    there = {row["Name"] for row in engine.query_named("schema_objects", {"names": list(_SETTINGS)})}
    settings: dict[str, str] = {}
    for table in _SETTINGS:
        if table in there:
            rows = engine.query_named("schema_settings_in", {"table": table})
            settings.update((row["Name"], row["Value"]) for row in rows)
    return settings


def _number(release: str) -> tuple[int, ...]:
    found = re.match(r"\d+(?:\.\d+)*", release)
    return tuple(map(int, found[0].split("."))) if found else ()


# --- what is to be done ------------------------------------------------------------------------------------------


def _changes(found: Found, layout: Layout) -> Iterator[Change]:
    wanted = statements(layout)
    objects = {statement.name: ddl.made(statement) for statement in wanted if statement.creates}
    tables = [statement for statement in wanted if not _is_view(statement)]
    views = [statement for statement in wanted if _is_view(statement)]
    changes = [change for statement in tables for change in _change(statement, objects, found, layout)]
    changes += _loaded(found, layout)
    changes += _migrated("pre", found, layout)
    changed = {statement.name for statement in tables if _differs(statement, found)}
    changes += _renewed(views, changed, objects, found, layout)
    changes += _unfed(objects, found, layout)
    changes += _migrated("post", found, layout)
    yield from changes
    # What the jobs read or write means something else now.
    relearn = {change.name for change in changes if change.action in ("rebuild", "replace")}
    if any(objects[name].kind != "materialized view" for name in relearn) and "internal_job_runs" in found.tables:
        forget = sql.named("forget_job_runs")
        yield Change("set", "internal_job_runs", "emptied: the next run of the jobs reads everything", (forget,))
    text = "\0".join(
        statement.text for change in changes if change.action == "migrate" for statement in change.statements
    )
    yield from (change for change in _left_over(wanted, found, layout) if change.name not in text)


def _conventions() -> tuple[sql.Statement, ...]:
    """Return the statements that put the shipped conventions into their table."""
    return sql.folder("conventions")


def _loaded(found: Found, layout: Layout) -> Iterator[Change]:
    name = "schema_conventions"
    if found.settings.get(name) != settings_of(layout)[name]:
        yield Change("set", "internal_conventions", "the conventions that are shipped have changed", _conventions())


def _is_view(statement: sql.Statement) -> bool:
    return statement.creates and ddl.made(statement).kind in _VIEWS


def _migrated(when: str, found: Found, layout: Layout) -> Iterator[Change]:
    """Return what is left to run of the migrations before or after the views are made."""
    for migration in ddl.migrations():
        if migration.when != when or migration.number <= found.migration:
            continue
        for statement in migration.statements:
            if not statement.when or statement.when in found.tables:
                yield Change("migrate", statement.name, migration.why, ddl.spread(statement, layout))


def _renewed(
    views: Sequence[sql.Statement],
    changed: AbstractSet[str],
    objects: Mapping[str, Made],
    found: Found,
    layout: Layout,
) -> Iterator[Change]:
    """Return what is to be done to the views, each after those it reads.

    A view keeps the columns that `*` was when it was made: one that reads a view which changes is made again, too, and
    so is one that reads a table which has changed since a migration last came to its end.
    """
    renewed = set(changed)
    for statement in views:
        changes = list(_change(statement, objects, found, layout))
        if (
            not changes
            and objects[statement.name].kind == "view"
            and renewed.intersection(re.findall(r"\b(?:FROM|JOIN)\s+(\w+)", statement.text))
        ):
            changes = [Change("replace", statement.name, "what it reads has changed", (statement,))]
        if changes and objects[statement.name].kind == "view":
            renewed.add(statement.name)
        yield from changes


def _change(statement: sql.Statement, objects: Mapping[str, Made], found: Found, layout: Layout) -> Iterator[Change]:
    if not statement.creates:
        yield from _setting(statement, found)
        return
    wanted = objects[statement.name]
    there = found.tables.get(wanted.name)
    if there is None:
        yield Change("create", wanted.name, f"there is no such {wanted.kind}", (statement,))
    elif wanted.kind in _VIEWS:
        yield from _view(wanted, there, found)
    elif statement.shared and wanted.engine != "Distributed":
        yield from _shared(wanted, found.columns[wanted.name], there["Engine"])
    else:
        columns = objects[wanted.target].columns if wanted.target else wanted.columns
        yield from _table(wanted, columns, found, layout)


def _setting(statement: sql.Statement, found: Found) -> Iterator[Change]:
    table, setting = ddl.setting(statement)
    there = found.tables.get(table)
    if there is not None:
        # An engine that refused it once is not asked again.
        takes_it = "MergeTree" in there["Engine"] or _differs(statement, found)
        if setting in there["Definition"] or not takes_it:
            return
    yield Change("set", table, setting, (statement,))


def _view(wanted: Made, there: Mapping[str, Any], found: Found) -> Iterator[Change]:
    statement, name = wanted.statement, wanted.name
    if there["Engine"] != _VIEWS[wanted.kind]:
        yield Change("refuse", name, f"a {there['Engine']} has the name of our {wanted.kind}: rename it, then repeat")
        return
    if statement.shared or not (_differs(statement, found) or _is_replaced(name, there, found)):
        return
    why = "its definition has changed" if _differs(statement, found) else "somebody has replaced it by another"
    # In place: between a DROP and a CREATE an insert would pass it by.
    yield Change("replace", name, why, (statement if wanted.kind == "view" else ddl.select_anew(wanted),))


def _is_replaced(name: str, there: Mapping[str, Any], found: Found) -> bool:
    """Return True if the engine has another definition than it made; another release writes the same differently."""
    made, has = found.settings.get(_AS_MADE + name, ""), str(there["AsMade"])
    return made.partition(" ")[0] == has.partition(" ")[0] and made != has


def _differs(statement: sql.Statement, found: Found) -> bool:
    return found.settings.get(_HASH + statement.name) != _hash(statement.text)


def _shared(wanted: Made, there: Mapping[str, str], engine: str) -> Iterator[Change]:
    if wanted.name == "otel_traces" and engine in _KEEPS_NOTHING:
        why = f"it is a {engine}, in which there is nothing to look at: {_ELSEWHERE}"
        yield Change("refuse", wanted.name, why)
        return
    later = _LATER.get(wanted.name, frozenset())
    for item in wanted.columns:
        if item.name in later and item.name not in there:
            why = f"an older collector made it without {item.name}, and fills it once it is there"
            yield Change("add", wanted.name, why, (ddl.add(wanted, item),))
    missing = [item.name for item in wanted.columns if item.name not in there and item.name not in later]
    if missing:
        why = f"has no column {', '.join(missing)}, so it is none of the collector's: {_ELSEWHERE}"
        yield Change("refuse", wanted.name, why)
    other = [item.name for item in wanted.columns if item.name in there and _is_other(item.type, there[item.name])]
    if other:
        why = f"{', '.join(f'{name} is {there[name]}' for name in other)}: {_ELSEWHERE}"
        yield Change("refuse", wanted.name, why)


def _is_other(wanted: str, there: str) -> bool:
    """Return True if our statements cannot read a column of the collector's table of that type."""
    if any(kind in there for kind in ("JSON", "Dynamic", "Variant", "Object(")):
        return True
    return any((shape in wanted) != (shape in there) for shape in ("Map(", "Array("))


def _unfed(objects: Mapping[str, Made], found: Found, layout: Layout) -> Iterator[Change]:
    """Make the views anew that read a table which was renamed, or dropped and made again, under them."""
    if layout != _ONE_SERVER:
        return
    for made in objects.values():
        if made.kind != "materialized view" or made.name not in found.tables:
            continue
        # The table that feeds it comes last; before it may stand what the view only looks up.
        read = [name for name in re.findall(r"\bFROM\s+(\w+)", made.select) if name in found.tables]
        if read and not any(made.name in found.tables[name]["Feeds"] for name in read):
            why = (
                f"{read[-1]}, renamed or made again, does not feed it; for what came meanwhile: otel-episodes backfill"
            )
            yield Change("replace", made.name, why, (ddl.drop(made.name, ""), made.statement))


def _table(wanted: Made, columns: Sequence[ddl.Item], found: Found, layout: Layout) -> Iterator[Change]:
    name, there, derived = wanted.name, found.columns.get(wanted.name, {}), wanted.statement.derived
    missing = [item for item in columns if item.name not in there]
    other = [item for item in columns if item.name in there and ddl.plain(there[item.name]) != item.type]
    keys = _keys(wanted, found.tables[name], layout)
    if derived:
        if missing or other or keys or _differs(wanted.statement, found):
            yield Change("rebuild", name, "its definition has changed; the jobs fill it again", (ddl.replaced(wanted),))
        return
    if keys:
        why = f"{keys}: RENAME TABLE {name} TO {name}_old, repeat this, then INSERT INTO {name} SELECT from it"
        yield Change("refuse", name, why)
        return
    for item in other:
        why = f"column {item.name} is {there[item.name]}, not {item.type}: run {ddl.modify(wanted, item).text}"
        yield Change("refuse", name, why)
    for item in missing:
        yield Change("add", name, f"there is no column {item.name}", (ddl.add(wanted, item),))
    for item in wanted.indexes:
        if item.name not in found.indexes.get(name, ()):
            made = (ddl.add(wanted, item), ddl.materialize(wanted, item))
            yield Change("add", name, f"there is no index {item.name}", made)


def _keys(wanted: Made, there: Mapping[str, Any], layout: Layout) -> str:
    """Say what about a table's engine or keys is not what it should be; empty: nothing."""
    # A managed service makes Shared or Replicated ones of plain ones.
    engine = there["Engine"] if layout != _ONE_SERVER else re.sub(r"^(Replicated|Shared)", "", there["Engine"])
    if re.sub(r"^Shared", "Replicated", engine) != wanted.engine:
        return f"its engine is {there['Engine']}, not {wanted.engine}"
    if wanted.engine == "Distributed":
        return ""
    for what, has, wants in (
        ("ORDER BY", there["OrderBy"], wanted.order_by),
        ("PARTITION BY", there["PartitionBy"], wanted.partition_by),
    ):
        if ddl.plain(has) != wants:
            return f"its {what} is ({has}), not ({wants})"
    return ""


def _left_over(wanted: Sequence[sql.Statement], found: Found, layout: Layout) -> Iterator[Change]:
    """Drop views of an earlier version; its tables are left, they may hold what is nowhere else."""
    names = {statement.name for statement in wanted}
    on_cluster = ddl.on_cluster(layout)
    for setting in sorted(found.settings):
        name = setting.removeprefix(_HASH)
        there = found.tables.get(name)
        if setting.startswith(_HASH) and name not in names and there and there["Engine"] in _VIEWS.values():
            yield Change("drop", name, "this version has no such view", (ddl.drop(name, on_cluster),))


# --- for those who run it themselves -----------------------------------------------------------------------------


def script(layout: Layout = _ONE_SERVER, *, database: str = "") -> Iterator[tuple[str, str]]:
    """Return all of the SQL, named and in order; for clickhouse-client, which keeps what SET sets."""
    if database:
        yield from ddl.database(database, layout)
    for statement in (*statements(layout), *_conventions()):
        yield statement.name, statement.text
    settings = settings_of(layout)
    for name, values in (("names", settings), ("values", settings.values())):
        yield f"what the next statement takes as {name}", ddl.parameter(name, tuple(values))
    yield "set_schema", sql.named("set_schema").text
