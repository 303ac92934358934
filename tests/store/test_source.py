"""Tables of spans that are not ours: what works on each, and what is said of those on which nothing does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from schema_fixtures import emptied

from otel_episodes_clickhouse.errors import SchemaError
from otel_episodes_clickhouse.findings import unfed_source
from otel_episodes_clickhouse.store.backfill import backfill

if TYPE_CHECKING:
    from otel_episodes_clickhouse import Store

IDS = "TraceId String, SpanId String, ParentSpanId String"
NAMES = "SpanName LowCardinality(String), SpanKind LowCardinality(String), ServiceName LowCardinality(String)"
STATUS = "StatusCode LowCardinality(String), StatusMessage String"
SCOPE = "TraceState String, ScopeName String, ScopeVersion String"
MAP = "Map(LowCardinality(String), String)"
MAPS = f"ResourceAttributes {MAP}, SpanAttributes {MAP}"
TIME = "Timestamp DateTime64(9)"
MANY = f"Events Nested(Timestamp DateTime64(9), Name LowCardinality(String), Attributes {MAP})"
LINKS = f"Links Nested(TraceId String, SpanId String, TraceState String, Attributes {MAP})"
JSON_EVENTS = "`Events.Timestamp` Array(DateTime64(9)), `Events.Name` Array(String), `Events.Attributes` Array(JSON)"
BASE = f"{IDS}, {NAMES}, {STATUS}, Duration UInt64"
# How each is made.
VARIANTS = {
    "the collector's, first generation": f"{TIME}, {BASE}, {SCOPE}, {MAPS}, {MANY}, {LINKS}",
    "the collector's, second generation": f"{TIME}, {BASE}, {SCOPE}, {MAPS}, {MANY}, {LINKS}, Items Array(String) "
    "ALIAS mapKeys(SpanAttributes), Agent String MATERIALIZED SpanAttributes['gen_ai.agent.name']",
    "the collector's with json: true": f"{TIME}, {BASE}, {SCOPE}, ResourceAttributes JSON, SpanAttributes JSON, "
    f"{JSON_EVENTS}",
    "ClickStack": f"Timestamp DateTime64(9) CODEC(Delta(8), ZSTD(1)), {BASE}, {SCOPE}, ResourceAttributes JSON, "
    f"SpanAttributes JSON(max_dynamic_paths=1024), {JSON_EVENTS}, `__hdx_materialized_rum` String "
    "MATERIALIZED CAST(SpanAttributes.`rum.sessionId`, 'String')",
    "few paths of JSON": f"{TIME}, {BASE}, ResourceAttributes JSON, SpanAttributes JSON(max_dynamic_paths=2)",
    "typed paths of JSON": f"{TIME}, {BASE}, ResourceAttributes Nullable(JSON), "
    "SpanAttributes JSON(`episode.id` String, max_dynamic_types=2, SKIP REGEXP 'zzz')",
    "partly JSON": f"{TIME}, {BASE}, ResourceAttributes JSON, SpanAttributes {MAP}",
    "no scope, events, links; milliseconds": f"Timestamp DateTime64(3), {BASE}, {MAPS}",
    "seconds in a time zone": f"Timestamp DateTime('Europe/Berlin'), {BASE}, {MAPS}",
    "the fewest columns": "Timestamp DateTime64(9), TraceId String, SpanId String, SpanAttributes Map(String, String)",
    "all Nullable": "Timestamp Nullable(DateTime64(9)), TraceId Nullable(String), SpanId Nullable(String), "
    "ParentSpanId Nullable(String), SpanName LowCardinality(Nullable(String)), ServiceName "
    "LowCardinality(Nullable(String)), Duration Nullable(Int64), StatusCode LowCardinality(Nullable(String)), "
    "ResourceAttributes Map(String, Nullable(String)), SpanAttributes "
    "Map(LowCardinality(String), Nullable(String)), `Events.Name` Array(Nullable(String))",
    "fixed lengths and enumerations": "Timestamp DateTime64(6), TraceId FixedString(32), SpanId FixedString(16), "
    "ParentSpanId FixedString(16), SpanKind Enum8('' = 0, 'Internal' = 3), StatusCode Enum8('Unset' = 0, 'Error' = 2), "
    f"{MAPS}",
    "values of several types": f"{TIME}, {BASE}, ResourceAttributes Map(String, Variant(String, Int64)), "
    "SpanAttributes Map(String, Dynamic)",
    "columns that are computed": f"{TIME}, {IDS}, SpanName String MATERIALIZED 'x', ServiceName String ALIAS "
    f"ResourceAttributes['service.name'], ScopeName String EPHEMERAL, {MAPS}",
}
# Types of which nothing tells what a value means, and engines that are not told of every row.
REFUSED_TYPES = {
    "Timestamp is UInt64": f"Timestamp UInt64, {BASE}, {MAPS}",
    "Timestamp is String": f"Timestamp String, {BASE}, {MAPS}",
    "Duration is Float64": f"{TIME}, {IDS}, Duration Float64, {MAPS}",
    "SpanKind is Int8, StatusCode is Int8": f"{TIME}, {IDS}, SpanKind Int8, StatusCode Int8, {MAPS}",
    "TraceId is UUID": f"{TIME}, TraceId UUID, SpanId String, {MAPS}",
    "ResourceAttributes is String, SpanAttributes is Dynamic": f"{TIME}, {IDS}, ResourceAttributes String, "
    "SpanAttributes Dynamic",
    "Events.Attributes is Array.String.": f"{TIME}, {IDS}, {MAPS}, `Events.Attributes` Array(String)",
    "Events is Array.JSON.": f"{TIME}, {IDS}, {MAPS}, Events Array(JSON)",
    "no column Timestamp, SpanAttributes": "timestamp DateTime64(9), TraceId String, SpanId String",
}
REFUSED_ENGINES = {
    "spans is a View": "CREATE VIEW spans AS SELECT * FROM kept",
    "spans is a MaterializedView": "CREATE MATERIALIZED VIEW spans TO kept AS SELECT * FROM kept",
    "spans is a Merge": "CREATE TABLE spans AS kept ENGINE = Merge(currentDatabase(), '^kept$')",
}
SPAN = (
    "INSERT INTO {table} (Timestamp, TraceId, SpanId, SpanAttributes) "
    "SELECT now64(9), '{trace}', '{span}', {attributes}"
)


def insert(store: Store, table: str, columns: str, trace: str) -> None:
    """Insert a step and the end of its episode."""
    as_json = "SpanAttributes JSON" in columns
    step = {"episode.id": trace, "episode.span": "step", "episode.step.kind": "tool_use", "gen_ai.tool.name": "grep"}
    step |= {"episode.step.success": "true", "episode.step.index": "1", "gen_ai.operation.name": "execute_tool"}
    root = {"episode.id": trace, "episode.span": "episode", "episode.outcome": "success", "episode.task": "find it"}
    for span, attributes in (("1" * 16, step), ("2" * 16, root)):
        text = SPAN.format(table=table, trace=trace, span=span, attributes=_literal(attributes, as_json=as_json))
        store.sql(text, read_only=False)


def _literal(attributes: dict[str, str], *, as_json: bool) -> str:
    if as_json:
        return "'{" + ", ".join(f'"{name}": "{value}"' for name, value in attributes.items()) + "}'"
    return "map(" + ", ".join(f"'{name}', '{value}'" for name, value in attributes.items()) + ")"


def stored(store: Store) -> list[dict[str, object]]:
    return store.query("SELECT TraceId, Task, Outcome, Steps, Tools FROM episodes ORDER BY TraceId")


@pytest.fixture
def store(storage_store: Store) -> Store:
    """Return a store that has all of our tables, and nothing in them."""
    for name in ("internal_source_mv", "spans", "kept", "other.otel_traces"):
        storage_store.sql(f"DROP TABLE IF EXISTS {name} SYNC", read_only=False)
    for name in ("otel_traces", "internal_steps", "internal_roots", "internal_agent_spans"):
        storage_store.sql(f"TRUNCATE TABLE {name}", read_only=False)
    return storage_store


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("engine", ["MergeTree ORDER BY tuple()", "Null"])
def test_spans_of_other_tables_are_read_live_and_from_before(store: Store, variant: str, engine: str) -> None:
    columns = VARIANTS[variant]
    store.sql(f"CREATE TABLE spans ({columns}) ENGINE = {engine}", read_only=False)
    insert(store, "spans", columns, "a" * 32)
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


@pytest.mark.parametrize("engine", ["Buffer(currentDatabase(), kept, 1, 60, 60, 1000, 1000, 1000, 1000)", "Memory"])
def test_spans_are_read_from_tables_that_hand_them_on_or_forget_them(store: Store, engine: str) -> None:
    columns = VARIANTS["the collector's with json: true"]
    store.sql(f"CREATE TABLE kept ({columns}) ENGINE = MergeTree ORDER BY tuple()", read_only=False)
    store.sql(f"CREATE TABLE spans AS kept ENGINE = {engine}", read_only=False)
    assert store.read_from("spans") == 0
    insert(store, "spans", columns, "a" * 32)
    assert [row["Steps"] for row in stored(store)] == [1]


def test_json_in_another_database_is_read_and_filled_from_what_was_there(store: Store) -> None:
    columns = VARIANTS["the collector's with json: true"]
    store.sql("CREATE DATABASE IF NOT EXISTS other", read_only=False)
    store.sql(f"CREATE TABLE other.otel_traces ({columns}) ENGINE = MergeTree ORDER BY tuple()", read_only=False)
    insert(store, "other.otel_traces", columns, "a" * 32)
    assert store.read_from("other.otel_traces") == 2
    insert(store, "other.otel_traces", columns, "b" * 32)
    before = stored(store)
    assert [row["Steps"] for row in before] == [1, 1]
    for name in ("internal_steps", "internal_roots"):
        store.sql(f"TRUNCATE TABLE {name}", read_only=False)
    assert sum(one.added for one in backfill(store)) == 4
    assert stored(store) == before


def test_the_doctor_sees_that_another_table_was_made_again(store: Store) -> None:
    columns = VARIANTS["partly JSON"]
    store.sql(f"CREATE TABLE spans ({columns}) ENGINE = MergeTree ORDER BY tuple()", read_only=False)
    store.read_from("spans")
    assert list(unfed_source(store)) == []
    store.sql("RENAME TABLE spans TO kept", read_only=False)
    store.sql("CREATE TABLE spans AS kept", read_only=False)
    (found,) = unfed_source(store)
    assert found.fix == "read it again: otel-episodes migrate --read-from default.spans"
    store.read_from("default.spans")
    insert(store, "spans", columns, "a" * 32)
    assert [row["Steps"] for row in stored(store)] == [1]
    assert list(unfed_source(store)) == []


@pytest.mark.parametrize("why", [*REFUSED_TYPES, *REFUSED_ENGINES])
def test_what_cannot_be_read_whole_is_refused_before_anything_is_done(store: Store, why: str) -> None:
    made = VARIANTS["the collector's, first generation"]
    store.sql(f"CREATE TABLE kept ({made}) ENGINE = MergeTree ORDER BY tuple()", read_only=False)
    if why in REFUSED_TYPES:
        store.sql(f"CREATE TABLE spans ({REFUSED_TYPES[why]}) ENGINE = Null", read_only=False)
    else:
        store.sql(REFUSED_ENGINES[why], read_only=False)
    with pytest.raises(SchemaError, match=why):
        store.read_from("spans")
    assert store.query("SELECT name FROM system.tables WHERE name = 'internal_source_mv'") == []


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
