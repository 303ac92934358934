"""The schema for a cluster: every statement through the engine's parser, and what of it runs on one node, run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from foreign_spans import agent, tool
from grafana_dashboards import UNCHOSEN, Asked, all_queries, expand
from learning_data import SECOND, T0, Episode, rows_of

from otel_episodes_clickhouse import sql
from otel_episodes_clickhouse.errors import ConfigurationError
from otel_episodes_clickhouse.schema import ddl, migrations
from otel_episodes_clickhouse.schema.ddl import Layout
from otel_episodes_clickhouse.spool import row as rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_episodes_clickhouse import Store

CLUSTER = Layout(cluster="main")
LAYOUTS = [Layout(), CLUSTER, Layout(replicated=True)]


def with_a_cluster(directory: Path, statements: list[str], **job: str) -> list[Any]:
    done = subprocess.run(
        [sys.executable, (Path(__file__).parents[1] / "support" / "cluster_engine.py"), directory],
        input=json.dumps({"statements": statements, **job}),
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return list(json.loads(done.stdout))


def derived(layout: Layout) -> Iterator[sql.Statement]:
    for statement in ddl.statements(layout):
        if not statement.creates:
            continue
        made = ddl.made(statement)
        if made.kind == "materialized view":
            yield ddl.select_anew(made)
            yield ddl.drop(made.name, ddl.on_cluster(layout))
        for item in (*made.columns, *made.indexes):
            yield ddl.add(made, item)
        for item in made.columns:
            yield ddl.modify(made, item)
        if statement.derived:
            yield ddl.replaced(made)
    for statement in sql.folder("queries"):
        removes = statement.name.startswith("forget_") and statement.text.startswith(("DELETE", "ALTER"))
        if removes or statement.name.startswith("keep_"):
            yield ddl.altered(statement, layout)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_the_engine_can_read_whatever_is_printed_and_whatever_is_derived(storage_store: Store, layout: Layout) -> None:
    texts = [text for _, text in migrations.script(layout, database="agents")]
    texts += [statement.text for statement in derived(layout)]
    for text in texts:
        formatted = storage_store.query_named("formatted", {"text": text})[0]["Text"]
        # A partition that is replaced is so on every replica: the table says so to the others.
        changes_something = text.startswith(("CREATE", "ALTER", "DROP", "DELETE")) and "REPLACE PARTITION" not in text
        assert (" ON CLUSTER main" in formatted) == (changes_something and layout == CLUSTER), text


def test_what_is_read_from_the_statements_is_what_the_engine_makes_of_them(storage_store: Store) -> None:
    for statement in ddl.statements():
        made = ddl.made(statement) if statement.creates else None
        if made is None or made.kind != "table":
            continue
        asked = {"names": [made.name]}
        columns = {row["Name"]: ddl.plain(row["Type"]) for row in storage_store.query_named("schema_columns", asked)}
        assert columns == {item.name: item.type for item in made.columns}
        (table,) = storage_store.query_named("schema_tables", asked)
        assert (table["Engine"], ddl.plain(table["OrderBy"]), ddl.plain(table["PartitionBy"])) == (
            made.engine,
            made.order_by,
            made.partition_by,
        )
        indexes = {row["Name"] for row in storage_store.query_named("schema_indexes", asked)}
        assert indexes == {item.name for item in made.indexes}


def test_what_spans_are_inserted_into_is_sharded_and_what_the_jobs_fill_is_whole_on_every_node() -> None:
    made = {s.name: ddl.made(s) for s in ddl.statements(CLUSTER) if s.creates}
    distributed = {name for name, table in made.items() if table.engine == "Distributed"}
    assert {"otel_traces", "internal_steps", "internal_roots", "internal_changes"} <= distributed
    assert distributed == ddl.sharded()
    for name, table in made.items():
        # What keeps nothing has nothing to replicate.
        if table.kind == "table" and name not in distributed and table.engine != "Null":
            assert table.engine.startswith("Replicated")
            path = "{uuid}/{shard}', '{replica}'" if name.endswith("_local") else "{uuid}/all', '{shard}-{replica}'"
            assert f"('/clickhouse/tables/{path}" in table.statement.text
        if table.kind == "materialized view":
            assert table.target.endswith("_local")
            assert not re.search(rf"\b(FROM|JOIN) ({'|'.join(distributed)})\b", table.select)


def test_on_a_cluster_of_one_node_spans_go_through_the_distributed_tables_and_come_back_as_episodes(
    tmp_path: Path,
) -> None:
    texts = [
        re.sub(r"ENGINE = Replicated(\w+)\('[^']*', '[^']*'(?:, )?", r"ENGINE = \1(", statement.text)
        .replace(" ON CLUSTER `main`", "")
        .replace(" replicated_deduplication_window", " non_replicated_deduplication_window")
        for statement in ddl.statements(CLUSTER)
    ]
    episodes = [Episode(f"e{n}", steps=[("a", True), ("b", n % 2 > 0)]) for n in range(20)]
    insert = inserted([row for episode in episodes for row in rows_of(episode)], "distributed_foreground_insert = 1")
    counts = [
        "SELECT count() AS n FROM otel_traces_local",
        "SELECT count() AS n FROM internal_steps",
        "SELECT count() AS n, sum(Steps) AS steps, sum(FailedSteps) AS failed FROM episodes",
    ]
    # What a dashboard tells each table to leave out is told to the tables behind it.
    asked = Asked(T0 // SECOND - 1, T0 // SECOND + 1, 3600, UNCHOSEN)
    panels = [expand(all_queries()[name], asked) for name in ("overview: Episodes", "overview: Slowest tools")]
    # Sent twice, as after a lost answer.
    *setup, local, steps, whole, shown, tools = with_a_cluster(tmp_path, [*texts, insert, insert, *counts, *panels])
    assert [answer for answer in setup if answer] == []
    assert int(local[0]["n"]) == 20 * 5 - 20
    assert int(steps[0]["n"]) == 40
    assert {name: int(value) for name, value in whole[0].items()} == {"n": 20, "steps": 40, "failed": 10}
    assert int(shown[0]["Episodes"]) == 20
    assert {row["Tool"]: (int(row["Steps"]), int(row["Failed"])) for row in tools} == {"a": (20, 0), "b": (20, 10)}


def inserted(spans: list[rows.Row], *settings: str) -> str:
    token = ("insert_deduplication_token = 'once'", "deduplicate_blocks_in_dependent_materialized_views = 1")
    lines = rows.encode([rows.insert_row(span) for span in spans]).decode()
    return (
        f"INSERT INTO otel_traces ({', '.join(rows.COLUMNS)}) SETTINGS async_insert = 0, "
        f"{', '.join((*token, *settings))} FORMAT JSONCompactEachRow {lines}"
    )


def test_the_engine_accepts_the_arguments_of_every_replicated_engine(tmp_path: Path) -> None:
    # {uuid} is known only to a statement that runs ON CLUSTER, which takes a Keeper.
    texts = [
        statement.text.replace(" ON CLUSTER `main`", "").replace("{uuid}", statement.name)
        for statement in ddl.statements(CLUSTER)
        if statement.creates and ddl.made(statement).engine.startswith("Replicated")
    ]
    asked = "SELECT count() AS n FROM system.tables WHERE startsWith(engine, 'Replicated')"
    *made, counted = with_a_cluster(tmp_path, [*texts, asked])
    assert [answer for answer in made if answer] == []
    assert int(counted[0]["n"]) == len(texts)


@pytest.mark.parametrize("name", ["a`b", "a b", "a;DROP TABLE x", "a'b", "-a", "{a:Identifier}", "ä"])
def test_a_cluster_or_database_that_needs_quoting_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError):
        Layout(cluster=name)
    with pytest.raises(ConfigurationError):
        list(migrations.script(database=name))


def test_a_row_policy_shows_a_tenant_its_own_rows_only(tmp_path: Path) -> None:
    tables = ("internal_steps", "internal_roots", "internal_agent_spans", "otel_traces")
    conditions = dict.fromkeys(tables, "Tenant = 'acme'") | {"otel_traces": "ResourceAttributes['tenant.id'] = 'acme'"}
    policies = "".join(f"<{table}><filter>{text}</filter></{table}>" for table, text in conditions.items())
    spans = [
        row._replace(resource_attributes={"tenant.id": tenant})
        for tenant in ("acme", "other")
        for row in (*rows_of(Episode(tenant, steps=[("a", True)])), agent(f"of-{tenant}"), tool(f"of-{tenant}", "grep"))
    ]
    statements = [statement.text for statement in (*ddl.statements(), *sql.folder("conventions"))]
    counts = [
        "SELECT groupUniqArray(Tenant) AS tenants, sum(Steps) AS steps FROM episodes",
        "SELECT count() AS n FROM otel_traces",
    ]
    databases = f"<databases><default>{policies}</default></databases>"
    *setup, episodes, stored = with_a_cluster(tmp_path, [*statements, inserted(spans), *counts], policies=databases)
    assert [answer for answer in setup if answer] == []
    assert (episodes[0]["tenants"], int(episodes[0]["steps"])) == (["acme"], 2)
    assert int(stored[0]["n"]) == 5
