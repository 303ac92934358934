"""Tables of spans that are not ours: what works on each, and what is said of those on which nothing does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from schema_fixtures import emptied

from otel_episodes_clickhouse.errors import SchemaError

if TYPE_CHECKING:
    from otel_episodes_clickhouse import Store

TEXTS = "TraceId String, SpanId String, ParentSpanId String, TraceState String, SpanName LowCardinality(String), "
REST = "SpanKind String, ServiceName String, Duration UInt64, StatusCode String, StatusMessage String"
MAP = "Map(LowCardinality(String), String)"
# How each is made, and how rows get in.
VARIANTS = {
    "attributes as JSON": f"Timestamp DateTime64(9), {TEXTS}{REST}, ResourceAttributes JSON, SpanAttributes JSON, "
    "ScopeName String, ScopeVersion String, `Events.Timestamp` Array(DateTime64(9)), `Events.Name` Array(String), "
    "`Events.Attributes` Array(JSON)",
    "few paths of JSON": f"Timestamp DateTime64(9), {TEXTS}{REST}, ResourceAttributes JSON, "
    "SpanAttributes JSON(max_dynamic_paths=2)",
    "partly JSON": f"Timestamp DateTime64(9), {TEXTS}{REST}, ResourceAttributes JSON, SpanAttributes {MAP}",
    "another name": f"Timestamp DateTime64(9), {TEXTS}{REST}, ResourceAttributes {MAP}, SpanAttributes {MAP}",
    "no scope, events, links": f"Timestamp DateTime64(3), {TEXTS}{REST}, ResourceAttributes Map(String, String), "
    "SpanAttributes Map(String, String)",
}
SPAN = """INSERT INTO {table}
    (Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName, Duration, StatusCode,
     ResourceAttributes, SpanAttributes)
SELECT now64(9), '{trace}', '{span}', '{parent}', 'execute_tool grep', 'Internal', 'svc', 5, 'Unset',
    CAST({resource}, '{resource_type}'), CAST({attributes}, '{type}')"""


def insert(store: Store, table: str, columns: str, trace: str) -> None:
    """Insert a step and the end of its episode."""
    types = [
        "JSON" if f"{name} JSON" in columns else "Map(String, String)"
        for name in ("ResourceAttributes", "SpanAttributes")
    ]
    step = {"episode.id": trace, "episode.span": "step", "episode.step.kind": "tool_use", "gen_ai.tool.name": "grep"}
    step |= {"episode.step.success": "true", "episode.step.index": "1", "gen_ai.operation.name": "execute_tool"}
    root = {"episode.id": trace, "episode.span": "episode", "episode.outcome": "success", "episode.task": "find it"}
    for span, parent, attributes in (("1" * 16, "2" * 16, step), ("2" * 16, "", root)):
        literals = [
            _literal(kind, what) for kind, what in zip(types, ({"service.name": "svc"}, attributes), strict=True)
        ]
        text = SPAN.format(
            table=table, trace=trace, span=span, parent=parent, resource=literals[0], resource_type=types[0],
            attributes=literals[1], type=types[1],
        )  # fmt: skip
        store.sql(text, read_only=False)


def _literal(kind: str, attributes: dict[str, str]) -> str:
    if kind == "JSON":
        return "'{" + ", ".join(f'"{name}": "{value}"' for name, value in attributes.items()) + "}'"
    return "map(" + ", ".join(f"'{name}', '{value}'" for name, value in attributes.items()) + ")"


def stored(store: Store) -> list[dict[str, object]]:
    return store.query("SELECT TraceId, Task, Outcome, Steps, Tools FROM episodes ORDER BY TraceId")


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("engine", ["MergeTree ORDER BY tuple()", "Null"])
def test_spans_of_other_tables_are_read_live_and_from_before(storage_store: Store, variant: str, engine: str) -> None:
    columns, store = VARIANTS[variant], emptied(storage_store)
    store.sql(f"CREATE TABLE spans ({columns}) ENGINE = {engine}", read_only=False)
    insert(store, "spans", columns, "a" * 32)
    store.migrate()
    kept = engine != "Null"
    assert store.read_from("spans") == (2 if kept else 0)
    insert(store, "spans", columns, "b" * 32)
    wanted = [
        {"TraceId": trace * 32, "Task": "find it", "Outcome": "success", "Steps": 1, "Tools": ["grep"]}
        for trace in "ab"
    ]
    assert stored(store) == wanted[0 if kept else 1 :]
    # Again: nothing twice.
    assert store.read_from("spans") == 0
    assert store.query("SELECT count() AS n FROM otel_traces") == [{"n": 4 if kept else 2}]


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ("CREATE VIEW otel_traces AS SELECT 1 AS Timestamp", "it is a View"),
        ("CREATE TABLE otel_traces AS spans ENGINE = Null", "it is a Null"),
        (
            "CREATE TABLE otel_traces AS wrong ENGINE = Memory",
            "SpanAttributes is JSON.max_dynamic_paths=8.",
        ),
    ],
)
def test_what_cannot_be_ours_is_refused_before_anything_is_done(storage_store: Store, made: str, why: str) -> None:
    store = emptied(storage_store)
    store.migrate()
    store.sql("RENAME TABLE otel_traces TO spans", read_only=False)
    store.sql("CREATE TABLE wrong AS spans", read_only=False)
    for index in ("res_attr_key", "res_attr_value", "span_attr_key", "span_attr_value"):
        store.sql(f"ALTER TABLE wrong DROP INDEX IF EXISTS idx_{index}", read_only=False)
    for column in ("ResourceAttributes", "SpanAttributes"):
        store.sql(f"ALTER TABLE wrong MODIFY COLUMN {column} JSON(max_dynamic_paths=8)", read_only=False)
    store.sql(made, read_only=False)
    with pytest.raises(SchemaError, match=why) as refused:
        store.migrate()
    assert "--read-from DATABASE.TABLE" in str(refused.value)


def test_a_table_renamed_under_the_views_is_seen_and_made_right(storage_store: Store) -> None:
    store = emptied(storage_store)
    store.migrate()
    store.sql("RENAME TABLE otel_traces TO before", read_only=False)
    store.sql("CREATE TABLE otel_traces AS before", read_only=False)
    done = store.migrate()
    assert "internal_steps_mv" in done.names("replace")
    insert(store, "otel_traces", MAP, "c" * 32)
    assert [row["Steps"] for row in stored(store)] == [1]
    assert store.migrate().changes == ()
