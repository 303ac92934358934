"""The tables: made once, the same 22 columns the collector writes, repaired when something is missing."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from learning_data import Episode, rows_of
from schema_fixtures import copied, emptied, made_by_0_1, made_by_a_collector

from otel_episodes_clickhouse import Store, Target, sql
from otel_episodes_clickhouse.errors import NewerStoreError, SchemaError
from otel_episodes_clickhouse.learning import jobs
from otel_episodes_clickhouse.schema import migrations
from otel_episodes_clickhouse.schema.migrations import Migration
from otel_episodes_clickhouse.spool.row import COLUMNS, Row

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def storage_store(migrated: Path, tmp_path: Path) -> Iterator[Store]:
    """Return an embedded store with all tables, for one test alone, since it is taken apart."""
    with copied(migrated, tmp_path / "chdb") as store:
        yield store


def test_an_empty_store_gets_every_table_and_view_and_a_second_migration_does_nothing(storage_store: Store) -> None:
    emptied(storage_store)
    objects = sorted(statement.name for statement in migrations.statements() if statement.creates)
    assert sorted(storage_store.migrate().names("create")) == objects
    assert storage_store.migrate() == migrations.plan(storage_store) == Migration()
    engines = {
        (row["name"], row["engine"])
        for row in storage_store.query("SELECT name, engine FROM system.tables WHERE database = currentDatabase()")
    }
    assert engines >= {
        ("otel_traces", "MergeTree"),
        ("otel_traces_trace_id_ts", "MergeTree"),
        ("otel_traces_trace_id_ts_mv", "MaterializedView"),
        ("internal_steps", "ReplacingMergeTree"),
        ("internal_steps_mv", "MaterializedView"),
        ("internal_roots", "ReplacingMergeTree"),
        ("internal_roots_mv", "MaterializedView"),
        ("episodes", "View"),
    }


def test_otel_traces_has_the_columns_rows_are_inserted_by(storage_store: Store) -> None:
    found = storage_store.query("SELECT name FROM system.columns WHERE table = 'otel_traces' ORDER BY position")
    assert tuple(row["name"] for row in found) == COLUMNS


def test_every_table_an_insert_reaches_remembers_tokens(storage_store: Store) -> None:
    found = storage_store.query(
        "SELECT name, create_table_query AS ddl FROM system.tables WHERE engine LIKE '%MergeTree'"
    )
    remembering = {row["name"] for row in found if "non_replicated_deduplication_window = 10000" in row["ddl"]}
    assert remembering >= {"otel_traces", "otel_traces_trace_id_ts", "internal_steps", "internal_roots"}


def test_a_missing_view_is_made_again(storage_store: Store) -> None:
    storage_store.sql("DROP VIEW episodes", read_only=False)
    assert [(change.action, change.name) for change in storage_store.migrate().changes] == [("create", "episodes")]
    assert storage_store.query("SELECT count() AS n FROM episodes") == [{"n": 0}]


EPISODES = [
    Episode(f"m{n}", outcome=("success", "failure")[n % 2], steps=[("a", True), ("b", n % 3 > 0)], domain="x", task="t")
    for n in range(6)
]
# What holds spans and settings, as both versions have it; before 0.2 our tables had other names.
CONTENT = {
    "otel_traces": "SELECT * FROM otel_traces ORDER BY TraceId, SpanId",
    "otel_traces_trace_id_ts": "SELECT TraceId, min(Start) FROM otel_traces_trace_id_ts GROUP BY TraceId ORDER BY 1",
    "steps": "SELECT * FROM {prefix}_steps FINAL ORDER BY TraceId, SpanId",
    "roots": "SELECT *, EndTime FROM {prefix}_roots FINAL ORDER BY TraceId, SpanId",
    "decisions": "SELECT * FROM {prefix}_decisions FINAL ORDER BY TraceId, SpanId",
    "evaluations": "SELECT * FROM {prefix}_evaluations FINAL ORDER BY TraceId, SpanId",
    "changes": "SELECT DISTINCT EpisodeId FROM {prefix}_changes ORDER BY EpisodeId",
    "settings": "SELECT Name, Value FROM {prefix}_settings FINAL WHERE Name = 'reward_formula'",
    "episodes": "SELECT COLUMNS('^(EpisodeId|TraceId|Task|Outcome|Steps|FailedSteps|Tools|DurationNs)$') FROM episodes "
    "ORDER BY EpisodeId",
}


def content(store: Store, prefix: str) -> dict[str, list[dict[str, Any]]]:
    return {name: store.query(statement.replace("{prefix}", prefix)) for name, statement in CONTENT.items()}


def test_a_store_of_0_1_is_brought_up_to_date_and_nothing_is_lost(storage_store: Store) -> None:
    store = made_by_0_1(storage_store)
    rows = [row for episode in EPISODES for row in rows_of(episode)]
    store.insert_rows(rows, token="sent before")
    store.sql("INSERT INTO episode_settings (Name, Value) VALUES ('reward_formula', 'parity-1')", read_only=False)
    before = content(store, "episode")
    assert not migrations.is_current(store)
    planned = migrations.plan(store)
    assert content(store, "episode") == before
    assert planned.names("refuse", "add", "rebuild", "drop") == ()
    assert store.migrate() == planned
    after = content(store, "internal")
    for name, was in before.items():
        kept = [{column: row[column] for column in was[0]} for row in after[name]] if was else after[name]
        assert kept == was, name
    assert migrations.is_current(store)
    assert migrations.plan(store) == Migration()


RELATIONS = """
SELECT name AS Relation, engine AS Engine, sorting_key AS OrderBy, partition_key AS PartitionBy, as_select AS Reads
FROM system.tables
WHERE database = currentDatabase() AND NOT startsWith(name, '.')
ORDER BY name
"""
COLUMNS_OF = """
SELECT table AS Relation, name AS Column, type AS Type, default_expression AS Default, comment AS Meaning
FROM system.columns
WHERE database = currentDatabase() AND NOT startsWith(table, '.')
ORDER BY table, position
"""


def test_the_migrations_of_a_store_of_0_1_end_where_a_new_store_begins(storage_store: Store) -> None:
    relations, columns = storage_store.query(RELATIONS), storage_store.query(COLUMNS_OF)
    made_by_0_1(storage_store).migrate()
    assert storage_store.query(RELATIONS) == relations
    assert storage_store.query(COLUMNS_OF) == columns


def test_a_migration_that_was_cut_short_is_run_again(storage_store: Store) -> None:
    store = made_by_0_1(storage_store)
    store.insert_rows([row for episode in EPISODES for row in rows_of(episode)])
    before = content(store, "episode")
    cut = [change for change in migrations.plan(store).changes if change.name != "002_old_tables"]
    for change in cut:
        for statement in change.statements:
            store.execute(statement)
    store.migrate()
    after = content(store, "internal")
    assert [len(after[name]) for name in before] == [len(was) for was in before.values()]
    assert migrations.plan(store) == Migration()


def test_a_store_brought_up_to_date_takes_new_spans_once_and_learns_from_the_old_ones(storage_store: Store) -> None:
    store = made_by_0_1(storage_store)
    old = [row for episode in EPISODES for row in rows_of(episode)]
    store.insert_rows(old, token="sent before")
    store.migrate()
    # The answer was lost, and the repeated insert comes after the update: the raw spans are known by their token, the
    # steps, which the view now computes otherwise, by their key.
    store.insert_rows(old, token="sent before")
    new = [
        row._replace(resource_attributes={"tenant.id": "acme"}) for row in rows_of(Episode("new", steps=[("a", True)]))
    ]
    store.insert_rows(new, token="sent after")
    counted = "SELECT (SELECT count() FROM otel_traces) AS spans, (SELECT count() FROM internal_steps FINAL) AS steps"
    assert store.query(counted) == [{"spans": len(old) + len(new), "steps": 13}]
    assert store.query("SELECT Tenant, count() AS n FROM episodes GROUP BY Tenant ORDER BY Tenant") == [
        {"Tenant": "", "n": 6},
        {"Tenant": "acme", "n": 1},
    ]
    jobs.run(store)
    assert store.query("SELECT uniqExact(EpisodeId) AS n FROM internal_rewards FINAL") == [{"n": 7}]


def test_a_migration_in_place_leaves_each_materialized_view_the_same_object(storage_store: Store) -> None:
    # Dropped and created, it would miss what is inserted in between.
    store = storage_store
    identity = (
        "SELECT name, uuid FROM system.tables WHERE name IN ('internal_steps_mv', 'internal_roots_mv') ORDER BY name"
    )
    before = store.query(identity)
    store.sql(
        "INSERT INTO internal_settings (Name, Value) "
        "VALUES ('schema_of_internal_steps_mv', 'another'), ('schema_of_internal_roots_mv', 'another')",
        read_only=False,
    )
    assert store.migrate().names("replace") == ("internal_steps_mv", "internal_roots_mv")
    assert store.query(identity) == before


def test_a_view_whose_definition_is_of_another_version_is_replaced(storage_store: Store) -> None:
    store = storage_store
    store.sql("CREATE OR REPLACE VIEW episodes AS SELECT 1 AS Nothing", read_only=False)
    store.sql("INSERT INTO internal_settings (Name, Value) VALUES ('schema_of_episodes', 'another')", read_only=False)
    assert store.migrate().names("replace") == ("episodes",)
    assert store.query("SELECT count(Outcome) AS n FROM episodes") == [{"n": 0}]


def test_a_view_of_all_columns_has_those_that_a_table_has_got_since(storage_store: Store) -> None:
    store = storage_store
    (view,) = (statement for statement in migrations.statements() if statement.name == "internal_priced_spans")
    store.sql("ALTER TABLE internal_agent_spans DROP COLUMN Calls", read_only=False)
    store.execute(view)
    store.sql(
        "INSERT INTO internal_settings (Name, Value) VALUES ('schema_of_internal_agent_spans', 'before')",
        read_only=False,
    )
    assert "internal_priced_spans" in store.migrate().names("replace")
    assert store.query("SELECT count(Calls) AS n FROM internal_priced_spans") == [{"n": 0}]
    assert migrations.plan(store) == Migration()


def test_a_view_that_no_version_needs_any_more_is_dropped_and_a_table_is_left(storage_store: Store) -> None:
    store = storage_store
    store.sql(
        "CREATE MATERIALIZED VIEW gone_mv TO internal_changes AS SELECT EpisodeId FROM internal_steps", read_only=False
    )
    store.sql("CREATE TABLE gone (a UInt8) ENGINE = MergeTree ORDER BY a", read_only=False)
    store.sql(
        "INSERT INTO internal_settings (Name, Value) VALUES ('schema_of_gone_mv', 'x'), ('schema_of_gone', 'x')",
        read_only=False,
    )
    done = store.migrate()
    assert [(change.action, change.name) for change in done.changes] == [("drop", "gone_mv")]
    assert store.query("SELECT name FROM system.tables WHERE startsWith(name, 'gone')") == [{"name": "gone"}]
    assert store.migrate() == Migration()


def test_a_column_of_another_type_is_refused_with_the_statement_that_mends_it(storage_store: Store) -> None:
    store = storage_store
    store.sql("ALTER TABLE internal_steps MODIFY COLUMN InputTokens UInt32, DROP COLUMN Template", read_only=False)
    with pytest.raises(SchemaError, match="InputTokens is UInt32, not UInt64: run ALTER") as refused:
        store.migrate()
    # Nothing was done, not even what could have been.
    assert store.query(
        "SELECT count() AS n FROM system.columns WHERE table = 'internal_steps' AND name = 'Template'"
    ) == [{"n": 0}]
    store.sql(str(refused.value).partition(": run ")[2], read_only=False)
    assert store.migrate().names("add") == ("internal_steps",)
    assert migrations.plan(store) == Migration()


def test_another_order_of_a_table_of_spans_is_refused_and_that_of_a_learned_one_made_anew(storage_store: Store) -> None:
    store = storage_store
    for table, order in (("internal_decisions", "TraceId"), ("internal_domain_scales", "(Domain, Version)")):
        store.sql(f"CREATE TABLE other AS {table} ENGINE = ReplacingMergeTree ORDER BY {order}", read_only=False)
        store.sql(f"EXCHANGE TABLES other AND {table}", read_only=False)
        store.sql("DROP TABLE other", read_only=False)
    with pytest.raises(SchemaError, match=r"internal_decisions: its ORDER BY is \(TraceId\), not \(EpisodeId"):
        store.migrate()
    store.sql("RENAME TABLE internal_decisions TO episode_decisions_old", read_only=False)
    done = store.migrate()
    assert done.names("create", "rebuild", "set") == (
        "internal_decisions",
        "internal_domain_scales",
        "internal_job_runs",
    )
    assert migrations.plan(store) == Migration()


def test_a_store_of_a_newer_version_is_left_alone_and_still_recorded_into(storage_store: Store, tmp_path: Path) -> None:
    store = storage_store
    newer = "INSERT INTO internal_settings (Name, Value) VALUES ('schema_package', '99.1'), ('schema_version', 'newer')"
    store.sql(newer, read_only=False)
    store.sql("DROP VIEW episodes", read_only=False)
    for ask in (store.migrate, lambda: migrations.plan(store)):
        with pytest.raises(NewerStoreError, match=r"made by otel-episodes 99\.1, and this is .*: upgrade it"):
            ask()
    again = Store(store.target, None, read_only=False)
    assert again.drain().busy is False
    assert again.query("SELECT count() AS n FROM system.tables WHERE name = 'episodes'") == [{"n": 0}]
    again.close()


def test_the_collectors_own_tables_of_either_generation_are_used_as_they_are(storage_store: Store) -> None:
    store = made_by_a_collector(storage_store)
    shape = "SELECT name, create_table_query FROM system.tables WHERE startsWith(name, 'otel_traces') ORDER BY name"
    before = store.query(shape)
    assert store.migrate().names("refuse", "add") == ()
    window = ", non_replicated_deduplication_window = 10000"
    assert [
        {**row, "create_table_query": row["create_table_query"].replace(window, "")} for row in store.query(shape)
    ] == [{**row, "create_table_query": re.sub(" SETTINGS non_rep.*", "", row["create_table_query"])} for row in before]
    store.insert_rows(rows_of(Episode("c", steps=[("a", True)])))
    assert store.query("SELECT Steps, Outcome FROM episodes") == [{"Steps": 1, "Outcome": "success"}]
    assert store.query("SELECT count() AS n FROM otel_traces_trace_id_ts") == [{"n": 1}]
    assert migrations.plan(store) == Migration()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("DROP COLUMN TraceState", "otel_traces: has no column TraceState"),
        ("MODIFY COLUMN SpanAttributes JSON", "otel_traces: SpanAttributes is JSON: keep ours in another database"),
    ],
)
def test_a_table_that_no_collector_makes_like_that_is_refused(storage_store: Store, change: str, why: str) -> None:
    store = made_by_a_collector(storage_store)
    store.sql("ALTER TABLE otel_traces DROP COLUMN SpanAttributeItems", read_only=False)
    store.sql(f"ALTER TABLE otel_traces {change}", read_only=False)
    with pytest.raises(SchemaError, match=why):
        store.migrate()
    assert store.query("SELECT count() AS n FROM system.tables WHERE startsWith(name, 'internal_')") == [{"n": 0}]


def test_a_table_of_the_collectors_whose_settings_are_not_ours_is_used_as_it_is(storage_store: Store) -> None:
    store = emptied(storage_store)
    # A Null table stands for any engine without the setting.
    store.sql(
        "CREATE TABLE otel_traces_trace_id_ts (TraceId String, Start DateTime, End DateTime) ENGINE = Null",
        read_only=False,
    )
    (refused,) = store.migrate().refused
    assert refused[0] == "otel_traces_trace_id_ts_deduplication"
    assert store.migrate() == Migration()


def test_what_is_printed_makes_the_same_store_when_an_operator_runs_it(storage_store: Store) -> None:
    store = emptied(storage_store)
    for name, text in migrations.script():
        store.execute(sql.Statement(name, text))
    assert migrations.is_current(store)
    assert migrations.plan(store) == Migration()


def test_several_processes_migrate_at_once(empty_server: str) -> None:
    command = [sys.executable, "-m", "otel_episodes_clickhouse.cli", "migrate", "--dsn", empty_server]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    ended = [(process.communicate(timeout=120)[1], process.returncode) for process in running]
    assert ended == [("", 0)] * 3
    with Store.open(Target.resolve(empty_server)) as store:
        assert migrations.plan(store) == Migration()


def test_names_of_statements_are_unique() -> None:
    for folders in (("schema", "views", "migrations"), ("queries", "jobs")):
        names = [statement.name for folder in folders for statement in sql.folder(folder)]
        assert len(names) == len(set(names))


def test_a_file_is_split_at_its_names() -> None:
    text = """-- About the file.

-- name: one
-- What it is for.
-- optional: why.
SELECT ';' AS a; -- no comment

-- More about the file.

-- name: two

SELECT {name:String},
    2;
"""
    assert sql.parse(text) == (
        sql.Statement("one", "SELECT ';' AS a; -- no comment", optional=True),
        sql.Statement("two", "SELECT {name:String},\n    2"),
    )


def test_a_name_nobody_wrote_is_an_error() -> None:
    with pytest.raises(LookupError, match="no statement 'nope'"):
        sql.named("nope")


def test_raw_spans_are_kept_as_long_as_said(storage_store: Store) -> None:
    names = {"names": ["otel_traces", "otel_traces_trace_id_ts", "otel_logs"]}

    def expiring() -> list[str]:
        return sorted(row["Name"] for row in storage_store.query_named("tables_with_ttl", names))

    assert expiring() == []
    migrations.keep_traces(storage_store, 30)
    assert expiring() == ["otel_logs", "otel_traces", "otel_traces_trace_id_ts"]
    storage_store.insert_rows([Row(time.time_ns() - day * 86_400 * 10**9, "k" * 32, f"{day:016x}") for day in (1, 60)])
    storage_store.sql("OPTIMIZE TABLE otel_traces FINAL", read_only=False)
    kept = storage_store.query("SELECT SpanId FROM otel_traces WHERE TraceId = {id:String}", {"id": "k" * 32})
    assert kept == [{"SpanId": f"{1:016x}"}]
    for _ in range(2):
        migrations.keep_traces(storage_store, 0)
    assert expiring() == []


def test_a_view_that_was_replaced_by_hand_is_put_back(storage_store: Store) -> None:
    storage_store.sql("CREATE OR REPLACE VIEW tasks AS SELECT 1 AS Nothing", read_only=False)
    storage_store.sql(
        "ALTER TABLE internal_roots_mv MODIFY QUERY SELECT TraceId, SpanId FROM otel_traces", read_only=False
    )
    found = [(change.action, change.name, change.why) for change in migrations.plan(storage_store).changes]
    assert [change for change in found if change[0] == "replace"] == [
        ("replace", "internal_roots_mv", "somebody has replaced it by another"),
        ("replace", "tasks", "somebody has replaced it by another"),
    ]
    storage_store.migrate()
    assert storage_store.query("SELECT count() AS n FROM tasks WHERE Domain = 'x'") == [{"n": 0}]
    assert migrations.plan(storage_store) == Migration()
