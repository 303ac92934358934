"""The jobs as refreshable views of the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from learned_state import LEARNED, SOURCES, state, truncate
from learning_data import Episode, rows_of

from otel_episodes_clickhouse import sql
from otel_episodes_clickhouse.learning import formulas, jobs, refreshable_views

if TYPE_CHECKING:
    from otel_episodes_clickhouse import Store


def test_the_installed_views_learn_the_same_as_the_jobs(storage_store: Store) -> None:
    truncate(storage_store, *SOURCES, *LEARNED)
    outcomes = ("success", "failure")
    episodes = [
        Episode(
            f"i{n}",
            outcome=outcomes[n % 2],
            steps=[("a", True), ("b", n % 3 > 0), ("c", True)],
            domain="x",
            task="t",
            reward=(None, 0.2, 0.8)[n % 3],
        )
        for n in range(8)
    ]
    storage_store.insert_rows([row for episode in episodes for row in rows_of(episode)])
    formulas.use_reward(storage_store, "external", 0.5)
    names = refreshable_views.install(storage_store)
    try:
        for name in names:
            for verb in ("refresh_view", "wait_view"):
                storage_store.execute(sql.named(verb), {"view": name})
        by_views = state(storage_store)
        failures = storage_store.query("SELECT view, exception FROM system.view_refreshes WHERE exception != ''")
    finally:
        removed = refreshable_views.uninstall(storage_store)
    assert failures == []
    assert sorted(removed) == sorted(names)
    truncate(storage_store, *LEARNED)
    jobs.run(storage_store, full=True)
    by_jobs = state(storage_store)
    assert by_jobs["totals"]
    assert sum(row["Success"] for row in by_jobs["observations"]) == 4
    for table in by_jobs:
        assert by_views[table] == by_jobs[table], table


def test_what_a_job_inserts_has_the_columns_of_its_table_in_order(storage_store: Store) -> None:
    compared = 0
    for statement in sql.folder("jobs"):
        head, _, select = statement.text.partition("\nAS SELECT *, now64(6, 'UTC') AS Version\n")
        if not statement.name.startswith("internal_refresh_") or not select or "_gone(" in select:
            continue
        table = head.split("APPEND TO ")[1].split()[0]
        parameters = {"formula": "v2", "formula_view": "internal_reward_v2"}
        given = storage_store.query(f"DESCRIBE (SELECT * {select})", parameters)
        has = storage_store.query(f"DESCRIBE {table}")
        expected = [row["name"] for row in has if row["name"] not in ("Version", "WrittenAt")]
        assert [row["name"] for row in given] == expected, table
        # What is NULL is in no list, and a row that is never found to differ would never be written.
        assert not [row for row in given if row["name"] == "Fingerprint" and "Nullable" in row["type"]], table
        compared += 1
    assert compared == 11
