"""Spans that were stored before the tables of episodes: picked up once, whatever is repeated."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from foreign_spans import agent, found, model, tool
from storage_fixtures import DAY, STEP, T0

from otel_episodes_clickhouse import Store, Target
from otel_episodes_clickhouse.schema import migrations
from otel_episodes_clickhouse.spool.row import Row
from otel_episodes_clickhouse.spool.values import attributes_as_text
from otel_episodes_clickhouse.store.backfill import backfill

if TYPE_CHECKING:
    from collections.abc import Iterator

DAYS = 5
JUDGED = {"gen_ai.evaluation.name": "judge", "gen_ai.evaluation.score.value": "0.8"}
KEPT = ("internal_steps", "internal_roots", "internal_decisions", "internal_evaluations", "internal_changes")


@pytest.fixture
def store(empty_server: str) -> Iterator[Store]:
    """Return a store that has otel_traces and spans of some days, and nothing else of ours."""
    with Store.open(Target.resolve(empty_server)) as opened:
        for statement in migrations.statements():
            if statement.name.startswith("otel_traces"):
                opened.execute(statement)
        opened.insert_rows(spans())
        yield opened


def spans(*, first: int = 0) -> list[Row]:
    """Return a day's episode for each of some days: its span, a step and a decision."""
    made = []
    for day in range(first, first + DAYS):
        kinds = ({"episode.span": "episode"}, {}, {"episode.step.kind": "decision_point"})
        for number, changed in enumerate(kinds):
            attributes = attributes_as_text({**STEP, "episode.id": f"e{day}", **changed})
            row = Row(T0 + day * DAY, f"{day + 1:032x}", f"{day * 10 + number + 1:016x}", span_attributes=attributes)
            judged = {"event_timestamps": (T0,), "event_names": ("gen_ai.evaluation.result",)}
            made.append(row._replace(**judged, event_attributes=(JUDGED,)) if number == 0 else row)
    return made


def counts(store: Store) -> dict[str, int]:
    return {
        table: store.query("SELECT count() AS n FROM {table:Identifier}", {"table": table})[0]["n"] for table in KEPT
    }


def test_every_table_is_filled_once_however_often_it_is_asked_for(store: Store) -> None:
    added = {done.table: done.added for done in backfill(store)}
    assert added["internal_steps"] == 2 * DAYS
    filled = counts(store)
    assert filled["internal_steps"] == 2 * DAYS
    assert filled["internal_roots"] == filled["internal_decisions"] == filled["internal_evaluations"] == DAYS
    assert store.query("SELECT uniqExact(EpisodeId) AS n FROM internal_changes") == [{"n": DAYS}]
    assert {done.added for done in backfill(store)} == {0}
    assert counts(store) == filled


def test_stopped_half_way_it_goes_on_where_it_was(store: Store) -> None:
    def stop(_view: str, done: int, _total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backfill(store, progress=stop)
    backfill(store)
    filled = counts(store)
    assert filled["internal_steps"] == 2 * DAYS
    assert filled["internal_evaluations"] == DAYS


def test_what_came_while_a_view_was_missing_is_added_to_what_it_had(store: Store) -> None:
    backfill(store)
    store.sql("DROP TABLE internal_steps_mv", read_only=False)
    store.insert_rows(spans(first=DAYS))
    assert counts(store)["internal_steps"] == 2 * DAYS
    assert {done.table: done.added for done in backfill(store)}["internal_steps"] == 2 * DAYS
    assert counts(store)["internal_steps"] == 4 * DAYS


def test_the_command_says_what_it_added(store: Store, empty_server: str) -> None:
    command = [sys.executable, "-m", "otel_episodes_clickhouse.cli", "backfill", "--dsn", empty_server]
    first = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    added = {done["table"]: done["added"] for done in json.loads(first.stdout)}
    assert added["internal_roots"] == DAYS
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"internal_roots: 0 rows added, {DAYS} days looked at" in again.stdout


def test_spans_of_other_instrumentations_are_filled_in_too_and_once(store: Store) -> None:
    store.insert_rows([agent("foreign"), tool("foreign", "grep"), model("foreign", "m")])
    assert {done.table: done.added for done in backfill(store)}["internal_agent_spans"] == 3
    assert counts(store)["internal_steps"] == 2 * DAYS + 1
    assert (found(store, "foreign") or {})["steps"] == [["grep", True]]
    assert {done.added for done in backfill(store)} == {0}
