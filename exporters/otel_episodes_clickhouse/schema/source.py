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
    from collections.abc import Mapping

VIEW: Final = "internal_source_mv"
_NAME: Final = re.compile(r"(?:([A-Za-z0-9_-]+)\.)?([A-Za-z0-9_-]+)")
_NEEDED: Final = ("Timestamp", "TraceId", "SpanId", "SpanAttributes")
_MAP: Final = "Map(LowCardinality(String), String)"
_TEXTS: Final = (
    "TraceId", "SpanId", "ParentSpanId", "TraceState", "SpanName", "SpanKind", "ServiceName", "ScopeName",
    "ScopeVersion", "StatusCode", "StatusMessage",
)  # fmt: skip
# The parts of what a span has many of, by their kind.
_NESTED: Final = {
    "Events": {"Timestamp": "time", "Name": "text", "Attributes": "map"},
    "Links": {"TraceId": "text", "SpanId": "text", "TraceState": "text", "Attributes": "map"},
}
_EMPTY: Final = {"time": "Array(DateTime64(9))", "text": "Array(String)", "map": f"Array({_MAP})"}


@dataclass(frozen=True)
class Source:
    """A table of spans and the types of its columns."""

    database: str
    table: str
    columns: Mapping[str, str]

    def select(self) -> str:
        """Return the SELECT of its spans with the columns of ``otel_traces``."""
        columns = ",\n    ".join(f"{expression} AS `{name}`" for name, expression in self._expressions())
        return f"SELECT\n    {columns}\nFROM `{self.database}`.`{self.table}`"

    def statements(self) -> tuple[sql.Statement, ...]:
        """Return what makes the view anew, and what brings in the spans that were there before."""
        names = ", ".join(f"`{name}`" for name, _ in self._expressions())
        missing = "(TraceId, SpanId) NOT IN (SELECT TraceId, SpanId FROM otel_traces)"
        return (
            sql.Statement(VIEW, f"DROP VIEW IF EXISTS {VIEW}"),
            sql.Statement(VIEW, f"CREATE MATERIALIZED VIEW {VIEW} TO otel_traces AS\n{self.select()}"),
            sql.Statement(
                "spans_before",
                f"INSERT INTO otel_traces ({names})\nSELECT * FROM (\n{self.select()}\n)\nWHERE {missing}\n"
                "SETTINGS max_partitions_per_insert_block = 0",
            ),
        )

    def _expressions(self) -> list[tuple[str, str]]:
        found = [("Timestamp", "toDateTime64(Timestamp, 9)")]
        found += [(name, f"toString({name})" if name in self.columns else "''") for name in _TEXTS]
        for name in ("ResourceAttributes", "SpanAttributes"):
            type_name = self.columns.get(name)
            found.append((name, _as_map(name, type_name) if type_name else f"CAST(map(), '{_MAP}')"))
        found.append(("Duration", "toUInt64(Duration)" if "Duration" in self.columns else "toUInt64(0)"))
        for group, parts in _NESTED.items():
            found += [(f"{group}.{part}", self._many(group, part, kind)) for part, kind in parts.items()]
        return found

    def _many(self, group: str, part: str, kind: str) -> str:
        name = f"{group}.{part}"
        # Of a group that is one column, its parts are subcolumns.
        type_name = self.columns.get(name) or self.columns.get(group)
        if type_name is None:
            return f"CAST([], '{_EMPTY[kind]}')"
        each = {"time": "toDateTime64(x, 9)", "text": "toString(x)", "map": _as_map("x", type_name)}[kind]
        return f"arrayMap(x -> {each}, `{name}`)" if name in self.columns else f"arrayMap(x -> {each}, {name})"


def source(name: str, columns: Mapping[str, str], database: str) -> Source:
    """Return the source of that name; raise `SchemaError` where its columns do not tell what a span was."""
    missing = [column for column in _NEEDED if column not in columns]
    if missing:
        raise SchemaError(f"{name} has no column {', '.join(missing)}: it is not a table of spans that can be read")
    for column in ("ResourceAttributes", "SpanAttributes"):
        type_name = columns.get(column, "Map")
        if not type_name.startswith(("Map(", "Map", "JSON")):
            raise SchemaError(f"{name}: {column} is {type_name}, and neither Map nor JSON can be read from it")
    return Source(database, parsed(name)[1], columns)


def parsed(name: str) -> tuple[str, str]:
    """Return database and table of a name, the database empty where it has none; raise `SchemaError` for another."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise SchemaError(f"{name!r} is not the name of a table: use TABLE or DATABASE.TABLE")
    return found[1] or "", found[2]


def _as_map(expression: str, type_name: str) -> str:
    if "JSON" in type_name:
        return f"CAST(mapFromArrays(JSONAllPaths({expression}), JSONAllValues({expression})), '{_MAP}')"
    return f"CAST(mapApply((k, v) -> (toString(k), toString(v)), {expression}), '{_MAP}')"
