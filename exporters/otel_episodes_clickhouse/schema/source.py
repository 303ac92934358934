"""Reading spans from a table that is not ours: the columns it has, as the columns that ``otel_traces`` takes.

A materialized view hands on what comes, one INSERT what was there before. The table may have attributes as JSON (the
collector's ``json: true``, ClickStack), another name, no scopes, events or links, or keep nothing itself (Null).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_episodes_clickhouse import sql
from otel_episodes_clickhouse.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VIEW: Final = "internal_source_mv"
_NAME: Final = re.compile(r"(?:([A-Za-z0-9_-]+)\.)?([A-Za-z0-9_-]+)")
_NEEDED: Final = ("Timestamp", "TraceId", "SpanId", "SpanAttributes")
_MAP: Final = "Map(LowCardinality(String), String)"
_TEXTS: Final = (
    "TraceId", "SpanId", "ParentSpanId", "TraceState", "SpanName", "SpanKind", "ServiceName", "ScopeName",
    "ScopeVersion", "StatusCode", "StatusMessage",
)  # fmt: skip
_ATTRIBUTES: Final = ("ResourceAttributes", "SpanAttributes")
# The parts of what a span has many of, by their kind.
_NESTED: Final = {
    "Events": {"Timestamp": "time", "Name": "text", "Attributes": "map"},
    "Links": {"TraceId": "text", "SpanId": "text", "TraceState": "text", "Attributes": "map"},
}
_EMPTY: Final = {"time": "Array(DateTime64(9))", "text": "Array(String)", "map": f"Array({_MAP})"}
# Types that are read, without Nullable and LowCardinality around them. A number has no unit and names no kind: it is
# neither a time nor a text.
_TAKEN: Final = {
    "time": re.compile(r"DateTime(?:64)?(?:\(.*\))?"),
    "text": re.compile(r"String|FixedString\(\d+\)|Enum(?:8|16)\(.*\)", re.DOTALL),
    "number": re.compile(r"U?Int\d+"),
    "map": re.compile(r"(?:Map|JSON)(?:\(.*\))?", re.DOTALL),
}
_WRAPPED: Final = re.compile(r"(?:Nullable|LowCardinality)\((.*)\)", re.DOTALL)
_MANY: Final = re.compile(r"Array\((.*)\)|Nested\(.*\)", re.DOTALL)
# Engines that take no rows themselves, or not all of those that can be read there.
_NOT_FED: Final = {
    "View": "the table it reads", "MaterializedView": "the table that it fills", "LiveView": "the table it reads",
    "WindowView": "the table that it fills", "Merge": "one of the tables that it reads", "Dictionary": "a table",
    "Distributed": "the table of this server that it is spread over",
}  # fmt: skip
# Engines from which a row is read once: what was there before is not read.
_READ_ONCE: Final = re.compile(r"Null|Kafka|NATS|RabbitMQ|FileLog|(?:S3|Azure)Queue|Redis")


@dataclass(frozen=True)
class Source:
    """A table of spans, the types of its columns, and whether it keeps what is inserted."""

    database: str
    table: str
    columns: Mapping[str, str]
    keeps: bool = True

    def select(self) -> str:
        """Return the SELECT of its spans with the columns of ``otel_traces``.

        No value makes it fail: an insert into the other table would fail with it.
        """
        columns = ",\n    ".join(f"{expression} AS `{name}`" for name, expression in self._expressions())
        return f"SELECT\n    {columns}\nFROM `{self.database}`.`{self.table}`"

    def statements(self) -> tuple[sql.Statement, ...]:
        """Return what makes the view anew, and what brings in the spans that were there before."""
        names = ", ".join(f"`{name}`" for name, _ in self._expressions())
        missing = "(TraceId, SpanId) NOT IN (SELECT TraceId, SpanId FROM otel_traces)"
        before = sql.Statement(
            "spans_before",
            f"INSERT INTO otel_traces ({names})\nSELECT * FROM (\n{self.select()}\n)\nWHERE {missing}\n"
            "SETTINGS max_partitions_per_insert_block = 0",
        )
        return (
            sql.Statement(VIEW, f"DROP VIEW IF EXISTS {VIEW}"),
            sql.Statement(VIEW, f"CREATE MATERIALIZED VIEW {VIEW} TO otel_traces AS\n{self.select()}"),
            *((before,) if self.keeps else ()),
        )

    def _expressions(self) -> list[tuple[str, str]]:
        found = [("Timestamp", _as_time("Timestamp", self.columns["Timestamp"]))]
        found += [(name, self._one(name, "text", "''")) for name in _TEXTS]
        found += [
            (name, self._one(name, "map", f"CAST(map(), '{_MAP}')"))
            for name in ("ResourceAttributes", "SpanAttributes")
        ]
        found.append(("Duration", self._one("Duration", "number", "toUInt64(0)")))
        for group, parts in _NESTED.items():
            found += [(f"{group}.{part}", self._many(group, part, kind)) for part, kind in parts.items()]
        return found

    def _one(self, name: str, kind: str, empty: str) -> str:
        return _AS[kind](f"`{name}`", self.columns[name]) if name in self.columns else empty

    def _many(self, group: str, part: str, kind: str) -> str:
        name = f"{group}.{part}"
        if name not in self.columns:
            return f"CAST([], '{_EMPTY[kind]}')"
        return f"arrayMap(x -> {_AS[kind]('x', _inner(self.columns[name]))}, `{name}`)"


def source(name: str, columns: Mapping[str, str], database: str, engine: str) -> Source:
    """Return the source of that name; raise `SchemaError` where spans cannot be read from it, or not all of them."""
    if engine in _NOT_FED:
        raise SchemaError(f"{name} is a {engine}, which is not told of every row: name {_NOT_FED[engine]}")
    missing = [column for column in _NEEDED if column not in columns]
    if missing:
        raise SchemaError(f"{name} has no column {', '.join(missing)}: it is not a table of spans that can be read")
    wrong = [f"{column} is {columns[column]}" for column, kind in _kinds() if not _takes(kind, columns.get(column))]
    # Of a group that is one column nothing would be found.
    wrong += [f"{group} is {columns[group]}" for group in _NESTED if group in columns]
    if wrong:
        raise SchemaError(
            f"{name} cannot be read: {', '.join(wrong)} (fill our otel_traces by a materialized view of your own)"
        )
    return Source(database, parsed(name)[1], columns, keeps=_READ_ONCE.fullmatch(engine) is None)


def parsed(name: str) -> tuple[str, str]:
    """Return database and table of a name, the database empty where it has none; raise `SchemaError` for another."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise SchemaError(f"{name!r} is not the name of a table: use TABLE or DATABASE.TABLE")
    return found[1] or "", found[2]


def _kinds() -> Iterator[tuple[str, str]]:
    """Yield the columns of a table of spans with what they hold; behind ``many`` what an array of them does."""
    yield "Timestamp", "time"
    yield from ((name, "text") for name in _TEXTS)
    yield from ((name, "map") for name in _ATTRIBUTES)
    yield "Duration", "number"
    for group, parts in _NESTED.items():
        yield from ((f"{group}.{part}", f"many {kind}") for part, kind in parts.items())


def _takes(kind: str, type_name: str | None) -> bool:
    if type_name is None:
        return True
    if kind.startswith("many "):
        return _MANY.fullmatch(type_name) is not None and _takes(kind.removeprefix("many "), _inner(type_name))
    return _TAKEN[kind].fullmatch(_plain(type_name)) is not None


def _inner(type_name: str) -> str:
    found = _MANY.fullmatch(type_name)
    return found[1] if found and found[1] else ""


def _plain(type_name: str) -> str:
    """Return a type without Nullable and LowCardinality around it."""
    found = _WRAPPED.fullmatch(type_name)
    return _plain(found[1]) if found else type_name


def _as_time(expression: str, type_name: str) -> str:
    converted = f"toDateTime64({expression}, 9)"
    return f"ifNull({converted}, toDateTime64(0, 9))" if "Nullable(" in type_name else converted


def _as_text(expression: str, type_name: str) -> str:
    # One of a fixed length is filled up with zeros.
    text = f"{'toStringCutToZero' if 'FixedString' in type_name else 'toString'}({expression})"
    return f"ifNull({text}, '')"


def _as_number(expression: str, _type_name: str) -> str:
    return f"toUInt64(greatest(ifNull({expression}, 0), 0))"


def _as_map(expression: str, type_name: str) -> str:
    if "JSON" in type_name:
        return f"CAST(mapFromArrays(JSONAllPaths({expression}), JSONAllValues({expression})), '{_MAP}')"
    return f"CAST(mapApply((k, v) -> (toString(k), ifNull(toString(v), '')), {expression}), '{_MAP}')"


_AS: Final = {"time": _as_time, "text": _as_text, "number": _as_number, "map": _as_map}
