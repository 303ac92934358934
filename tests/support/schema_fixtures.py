"""Stores of other versions and of collectors, made in the engine a test has open."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from otel_episodes_clickhouse import Store, Target, sql

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION_0_1 = Path(__file__).parents[1] / "data" / "schema-0.1"

# The second generation of the collector's tables, as far as it differs in shape: another engine and other keys for the
# lookup table, and columns beside those that are inserted.
SECOND_GENERATION = (
    """CREATE TABLE otel_traces
    (
        Timestamp DateTime64(9), TraceId String, SpanId String, ParentSpanId String, TraceState String,
        SpanName LowCardinality(String), SpanKind LowCardinality(String), ServiceName LowCardinality(String),
        ResourceAttributes Map(LowCardinality(String), String), ScopeName String, ScopeVersion String,
        SpanAttributes Map(LowCardinality(String), String), Duration UInt64 CODEC(T64, ZSTD(1)),
        StatusCode LowCardinality(String), StatusMessage String,
        Events Nested
            (Timestamp DateTime64(9), Name LowCardinality(String), Attributes Map(LowCardinality(String), String)),
        Links Nested
            (TraceId String, SpanId String, TraceState String, Attributes Map(LowCardinality(String), String)),
        SpanAttributeItems Array(String)
            ALIAS arrayMap(kv -> concat(kv.1, '=', kv.2), CAST(SpanAttributes, 'Array(Tuple(String, String))'))
    )
    ENGINE = MergeTree PARTITION BY toDate(Timestamp) PRIMARY KEY (ServiceName, SpanName, toDateTime(Timestamp))
    ORDER BY (ServiceName, SpanName, toDateTime(Timestamp), Timestamp)
    SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1""",
    """CREATE TABLE otel_traces_trace_id_ts
    (TraceId String, Start SimpleAggregateFunction(min, DateTime), End SimpleAggregateFunction(max, DateTime))
    ENGINE = AggregatingMergeTree PARTITION BY toStartOfWeek(Start) ORDER BY TraceId""",
    """CREATE MATERIALIZED VIEW otel_traces_trace_id_ts_mv TO otel_traces_trace_id_ts
    AS SELECT TraceId, min(toDateTime(Timestamp)) AS Start, max(toDateTime(Timestamp)) AS End
    FROM otel_traces WHERE TraceId != '' GROUP BY TraceId""",
)


@contextmanager
def copied(migrated: Path, place: Path) -> Iterator[Store]:
    """Open a copy of a store that has all tables inside the block: a quarter of the work of making them."""
    shutil.copytree(migrated, place, symlinks=True)
    with Store.open(Target.resolve(f"chdb://{place}")) as store:
        yield store


def emptied(store: Store) -> Store:
    """Drop everything in the store and return it."""
    rows = store.query(
        "SELECT name, engine FROM system.tables WHERE database = currentDatabase() ORDER BY engine LIKE '%View' DESC"
    )
    for row in rows:
        store.sql(f"DROP TABLE IF EXISTS {row['name']} SYNC", read_only=False)
    return store


def made_by_0_1(store: Store) -> Store:
    """Make the tables of version 0.1 in place of what the store has, and return it."""
    emptied(store)
    for folder in ("schema", "views"):
        for file in sorted((VERSION_0_1 / folder).glob("*.sql")):
            for statement in sql.parse(file.read_text()):
                store.execute(statement)
    store.sql("INSERT INTO episode_settings (Name, Value) VALUES ('schema_version', 'that of 0.1')", read_only=False)
    return store


def made_by_a_collector(store: Store) -> Store:
    """Make the collector's tables of the second generation in place of what the store has, and return it."""
    emptied(store)
    for statement in SECOND_GENERATION:
        store.sql(statement, read_only=False)
    return store
