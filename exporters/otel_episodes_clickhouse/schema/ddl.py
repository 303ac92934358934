"""What our own CREATE statements make, and the same statements for another layout.

The ``.sql`` files say everything once. This reads them, far enough to compare a store with them (columns, indexes,
keys) and to derive what brings a store up to date: a column's own text in an ALTER, a view's own SELECT in another.
It reads only the shape our files are written in; the tests run every statement of every layout through the engine's
parser.

Layouts: ``Layout()`` is one server, or the embedded engine. ``Layout(replicated=True)`` uses Replicated engines, for a
database whose own engine is Replicated. ``Layout(cluster="name")`` shards, see docs/how-to/cluster.md: tables that
spans are inserted into (directly, or through materialized views) are called ``<name>_local`` on every node with a
Distributed table ``<name>`` over them; tables that the jobs fill are whole on every node.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Final

from otel_episodes_clickhouse import sql
from otel_episodes_clickhouse.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

_FOLDERS: Final = ("schema", "views")
_CREATE: Final = re.compile(
    r"CREATE (?:OR REPLACE )?(?P<kind>TABLE|MATERIALIZED VIEW|VIEW) (?:IF NOT EXISTS )?(?P<name>\w+)\b"
)
_TABLE: Final = re.compile(
    r"\n\(\n(?P<items>.*?)\n\)\nENGINE = (?P<engine>\w+)(?:\((?P<arguments>[^()]*)\))?(?P<rest>.*)\Z", re.DOTALL
)
_FILLING: Final = re.compile(r" TO (?P<target>\w+)\s+AS (?P<select>.*)\Z", re.DOTALL)
_KEY: Final = r"^{} (?P<key>.*?)(?=\n(?:ORDER BY|PARTITION BY|PRIMARY KEY|TTL|SETTINGS|COMMENT)\b|\Z)"
_COMMENT_LINE: Final = re.compile(r"^[ \t]*--.*\n", re.MULTILINE)
_AFTER_TYPE: Final = re.compile(r"\s(?:DEFAULT|MATERIALIZED|ALIAS|EPHEMERAL|CODEC|COMMENT|TTL|STATISTICS)\b")
_NESTED: Final = re.compile(r"Nested\s*\((?P<items>.*)\)\Z", re.DOTALL)
_NO_COLUMN: Final = frozenset(("INDEX", "PROJECTION", "CONSTRAINT"))
# Strings and brackets that a comma may stand in.
_PIECE: Final = re.compile(r"'(?:[^'\\]|\\.|'')*'|[(),]|[^'(),]+", re.DOTALL)
_CLUSTER: Final = re.compile(r"[A-Za-z_][\w.-]*")
_DATABASE: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_LOCAL: Final = "_local"


@dataclass(frozen=True)
class Item:
    """A column or an index of a table, with its whole text."""

    name: str
    type: str
    text: str


@dataclass(frozen=True)
class Made:
    """What a CREATE statement makes. Keys and types are texts without spaces, for comparing."""

    statement: sql.Statement
    name: str
    kind: str
    columns: tuple[Item, ...] = ()
    indexes: tuple[Item, ...] = ()
    engine: str = ""
    order_by: str = ""
    partition_by: str = ""
    target: str = ""
    select: str = ""

    @property
    def on_cluster(self) -> str:
        """The ON CLUSTER clause of the statement, with a space before it; empty where there is none."""
        found = re.match(rf"{_CREATE.pattern}(?P<clause> ON CLUSTER \S+)?", self.statement.text)
        return (found["clause"] or "") if found else ""


@dataclass(frozen=True)
class Layout:
    """How the tables lie: on one server, replicated, or sharded over a cluster."""

    cluster: str = ""
    replicated: bool = False

    def __post_init__(self) -> None:
        if self.cluster and not _CLUSTER.fullmatch(self.cluster):
            raise ConfigurationError(f"--cluster {self.cluster!r} is no name of a cluster: see system.clusters")

    @classmethod
    def parse(cls, text: str) -> Layout:
        """Return the layout of `str(layout)`."""
        kind, _, name = text.partition(" ")
        return cls(cluster=name if kind == "cluster" else "", replicated=kind == "replicated")

    def __str__(self) -> str:
        return f"cluster {self.cluster}" if self.cluster else "replicated" if self.replicated else ""


@cache
def statements(layout: Layout = Layout()) -> tuple[sql.Statement, ...]:
    """Return every statement of the schema in that layout, tables before views."""
    ours = tuple(statement for folder in _FOLDERS for statement in sql.folder(folder))
    if not layout.cluster:
        return tuple(_replicated(statement, "", "") for statement in ours) if layout.replicated else ours
    return tuple(_over(ours, layout.cluster))


@dataclass(frozen=True)
class NumberedMigration:
    """A file of ``sql/migrations``; ``when`` is pre or post, ``why`` its first comment."""

    number: int
    when: str
    why: str
    statements: tuple[sql.Statement, ...]


@cache
def migrations() -> tuple[NumberedMigration, ...]:
    """Return the migrations in the order of their numbers."""
    found = []
    for name, text in sql.files("migrations"):
        number, when, _ = name.split("_", 2)
        comment = " ".join(line.removeprefix("-- ") for line in text.partition("\n\n")[0].splitlines())
        found.append(NumberedMigration(int(number), when, comment, sql.parse(text)))
    return tuple(found)


def last_migration() -> int:
    """Return the number of the last migration: that of a new store."""
    return max(migration.number for migration in migrations())


@cache
def made(statement: sql.Statement) -> Made:
    """Read a CREATE statement."""
    text = _COMMENT_LINE.sub("", statement.text)
    head = _CREATE.match(text)
    if head is None:
        raise ValueError(f"{statement.name} makes nothing")
    tail = re.sub(r"\A ON CLUSTER \S+", "", text[head.end() :])
    base = Made(statement, head["name"], head["kind"].lower())
    if base.kind == "table":
        return _table(base, tail)
    if base.kind == "view":
        return base
    view = _FILLING.match(tail)
    if view is None:
        raise ValueError(f"{statement.name} is not written as the other materialized views are")
    return replace(base, target=view["target"], select=view["select"])


def _table(base: Made, tail: str) -> Made:
    if copied := re.match(r"\nAS (?P<local>\w+)\nENGINE = Distributed", tail):
        return replace(base, engine="Distributed", target=copied["local"])
    body = _TABLE.match(tail)
    if body is None:
        raise ValueError(f"{base.name} is not written as the other tables are")
    columns, indexes = [], []
    for text in _split(body["items"]):
        word, rest = text.split(None, 1)
        if word in _NO_COLUMN:
            indexes += [Item(rest.split(None, 1)[0], "", text)] if word == "INDEX" else []
        else:
            columns += _columns(word, rest, text)
    return replace(
        base,
        columns=tuple(columns),
        indexes=tuple(indexes),
        engine=body["engine"],
        order_by=_clause("ORDER BY", body["rest"]),
        partition_by=_clause("PARTITION BY", body["rest"]),
    )


def _columns(name: str, rest: str, text: str) -> list[Item]:
    kind = _AFTER_TYPE.split(rest, maxsplit=1)[0]
    if nested := _NESTED.match(kind):
        parts = [part.split(None, 1) for part in _split(nested["items"])]
        return [Item(f"{name}.{part}", plain(f"Array({inner})"), text) for part, inner in parts]
    return [Item(name, plain(kind), text)]


def _split(items: str) -> list[str]:
    """Split at the commas that stand in no bracket and no string."""
    found, depth = [""], 0
    for piece in _PIECE.findall(items):
        depth += (piece == "(") - (piece == ")")
        if piece == "," and not depth:
            found.append("")
        else:
            found[-1] += piece
    return [text.strip() for text in found if text.strip()]


def _clause(word: str, rest: str) -> str:
    found = re.search(_KEY.format(word), rest, re.MULTILINE | re.DOTALL)
    return plain(found["key"]) if found else ""


def plain(text: str) -> str:
    """Return a type or key without what does not matter to it: spaces, and brackets around the whole of it."""
    text = re.sub(r"[\s`]+", "", text)
    whole = re.fullmatch(r"\((.*)\)", text)
    return whole[1] if whole and _balanced(whole[1]) else text


def _balanced(text: str) -> bool:
    depth = 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if depth < 0:
            return False
    return depth == 0


# --- statements derived from these -------------------------------------------------------------------------------


def add(table: Made, item: Item) -> sql.Statement:
    """Return the ALTER that adds a column or an index as the table's own statement has it."""
    what = "" if item in table.indexes else "COLUMN "
    word = "INDEX " if item in table.indexes else ""
    definition = item.text.removeprefix("INDEX ")
    return sql.Statement(
        f"{table.name}.{item.name}",
        f"ALTER TABLE {table.name}{table.on_cluster} ADD {what}{word}IF NOT EXISTS {definition}",
    )


def materialize(table: Made, index: Item) -> sql.Statement:
    """Return the ALTER that makes an index of the rows that are there; the engine does it in the background."""
    return sql.Statement(
        f"{table.name}.{index.name}",
        f"ALTER TABLE {table.name}{table.on_cluster} MATERIALIZE INDEX {index.name}",
        optional=True,
    )


def modify(table: Made, item: Item) -> sql.Statement:
    """Return the ALTER that makes a column what the table's own statement says."""
    return sql.Statement(
        f"{table.name}.{item.name}", f"ALTER TABLE {table.name}{table.on_cluster} MODIFY COLUMN {item.text}"
    )


def select_anew(view: Made) -> sql.Statement:
    """Return the ALTER that gives a materialized view its SELECT; no insert falls in between."""
    return sql.Statement(view.name, f"ALTER TABLE {view.name}{view.on_cluster} MODIFY QUERY {view.select}")


def drop(view: str, on_cluster: str) -> sql.Statement:
    """Return the statement that drops a view."""
    return sql.Statement(view, f"DROP VIEW IF EXISTS {view}{on_cluster}")


def replaced(table: Made) -> sql.Statement:
    """Return the statement that makes a table anew, empty, in place of one of the same name."""
    text = table.statement.text.replace("CREATE TABLE IF NOT EXISTS ", "CREATE OR REPLACE TABLE ", 1)
    return replace(table.statement, text=text)


# --- other layouts -----------------------------------------------------------------------------------------------


def altered(statement: sql.Statement, layout: Layout) -> sql.Statement:
    """Return a statement of ours that alters a table, or deletes from one, for that layout."""
    return _moved(statement, sharded(), layout.cluster) if layout.cluster else statement


def spread(statement: sql.Statement, layout: Layout) -> tuple[sql.Statement, ...]:
    """Return a statement of a migration for that layout; what inserts goes through the Distributed tables as it is."""
    if not layout.cluster or statement.text.startswith("INSERT "):
        return (statement,)
    clause = on_cluster(layout)
    head, names = re.split(r"(?<=IF EXISTS)\s+", statement.text, maxsplit=1) if "DROP " in statement.text else ("", "")
    if not names:
        return (replace(statement, text=re.sub(r"^(ALTER TABLE \w+)", rf"\1{_LOCAL}{clause}", statement.text)),)
    spread_out = [replace(statement, text=f"{head} {names}{clause}")]
    if head.startswith("DROP TABLE"):
        local = re.sub(r"\w+", lambda found: found[0] + _LOCAL, names)
        spread_out.append(replace(statement, text=f"{head} {local}{clause}"))
    return tuple(spread_out)


def database(name: str, layout: Layout) -> Iterator[tuple[str, str]]:
    """Return the statements that make the database and make it the one in use."""
    if not _DATABASE.fullmatch(name):
        raise ConfigurationError(f"{name!r} as the name of a database: use letters, digits and _")
    engine = f" ENGINE = Replicated('/clickhouse/databases/{name}', '{{shard}}', '{{replica}}')"
    yield "database", f"CREATE DATABASE IF NOT EXISTS {name}{on_cluster(layout)}{engine if layout.replicated else ''}"
    yield "use", f"USE {name}"


def parameter(name: str, values: tuple[str, ...]) -> str:
    """Return the SET that gives a parameter of a later statement a list of plain words."""
    # Hashes, names, versions: whatever else would need quoting is no word of ours.
    strange = [value for value in values if not re.fullmatch(r"[\w. -]*", value)]
    if strange:
        raise ValueError(f"{strange} would need quoting")
    return f"SET param_{name} = '[" + ", ".join(f"\\'{value}\\'" for value in values) + "]'"


def setting(statement: sql.Statement) -> tuple[str, str]:
    """Return the table and the setting of an ALTER that sets one."""
    found = re.fullmatch(r"ALTER TABLE (\w+)(?: ON CLUSTER \S+)? MODIFY SETTING (\w+ = \w+)", statement.text)
    if found is None:
        raise ValueError(f"{statement.name} sets nothing")
    return found[1], found[2]


@cache
def sharded() -> frozenset[str]:
    """Return the tables that are filled on insert: the collector's, and what materialized views write to."""
    ours = [made(statement) for statement in statements() if statement.creates]
    targets = {view.target for view in ours if view.kind == "materialized view"}
    return frozenset(targets | {table.name for table in ours if table.kind == "table" and table.statement.shared})


def _over(ours: tuple[sql.Statement, ...], cluster: str) -> Iterator[sql.Statement]:
    local = sharded()
    for statement in ours:
        moved = _moved(statement, local, cluster)
        if not statement.creates or made(statement).kind != "table":
            yield moved
        elif statement.name in local:
            # Each shard has its own rows; {uuid} is the same on all nodes since the statement runs ON CLUSTER.
            yield _replicated(moved, "/clickhouse/tables/{uuid}/{shard}", "{replica}")
            yield _distributed(made(statement), cluster)
        else:
            # Filled by one job on one node: every node is a replica of the one shard.
            yield _replicated(moved, "/clickhouse/tables/{uuid}/all", "{shard}-{replica}")


def _moved(statement: sql.Statement, local: frozenset[str], cluster: str) -> sql.Statement:
    """Return the statement ON CLUSTER, on local tables; plain views read the Distributed ones, and so stay."""
    text = statement.text
    name = statement.name
    head = re.match(rf"(?:{_CREATE.pattern}|(?:ALTER TABLE|DELETE FROM) (?P<altered>\w+))", text)
    if head is None:
        raise ValueError(f"{statement.name} is neither a CREATE nor an ALTER TABLE nor a DELETE")
    subject = head["name"] or head["altered"]
    rest = text[head.end() :]
    if head["kind"] != "VIEW":
        rest = re.sub(rf"\b(FROM|JOIN|TO) ({'|'.join(sorted(local))})\b", rf"\1 \2{_LOCAL}", rest)
    moved = f"{subject}{_LOCAL}" if subject in local else subject
    if head["name"] in local:
        name = moved
    start = head.end() - len(subject)
    text = f"{text[:start]}{moved} ON CLUSTER {_quoted(cluster)}{rest}"
    text = text.replace("non_replicated_deduplication_window", "replicated_deduplication_window")
    return replace(statement, name=name, text=text)


def _replicated(statement: sql.Statement, path: str, replica: str) -> sql.Statement:
    def engine(found: re.Match[str]) -> str:
        own = found["arguments"] or ""
        arguments = ", ".join(filter(None, (path and f"'{path}', '{replica}'", own)))
        return f"\nENGINE = Replicated{found['engine']}" + (f"({arguments})" if arguments else "")

    text = re.sub(r"\nENGINE = (?P<engine>\w*MergeTree)(?:\((?P<arguments>[^()]*)\))?", engine, statement.text, count=1)
    text = text.replace("non_replicated_deduplication_window", "replicated_deduplication_window")
    return replace(statement, text=text)


def _distributed(table: Made, cluster: str) -> sql.Statement:
    key = next(item.name for name in ("TraceId", "EpisodeId") for item in table.columns if item.name == name)
    name, on = table.name, _quoted(cluster)
    return replace(
        table.statement,
        text=f"CREATE TABLE IF NOT EXISTS {name} ON CLUSTER {on}\nAS {name}{_LOCAL}\n"
        f"ENGINE = Distributed({on}, currentDatabase(), {name}{_LOCAL}, cityHash64({key}))",
    )


def _quoted(cluster: str) -> str:
    return f"`{cluster}`"


def on_cluster(layout: Layout) -> str:
    """Return the ON CLUSTER clause of that layout, with a space before it."""
    return f" ON CLUSTER {_quoted(layout.cluster)}" if layout.cluster else ""
