"""Forgetting an episode: it is in no relation any more, and does not come back."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from learning_data import SECOND, T0, Episode, rows_of
from transcripts import OWN

from otel_episodes_clickhouse import checkpoint, forget, relate, run_jobs, score
from otel_episodes_clickhouse.errors import StoreError
from otel_episodes_clickhouse.importers.dispatch import Reading, found_under
from otel_episodes_clickhouse.importers.load import Import
from otel_episodes_clickhouse.importers.options import ImportOptions
from otel_episodes_clickhouse.learning import removal, values
from otel_episodes_clickhouse.spool.row import Row
from otel_episodes_clickhouse.sql import Statement
from otel_episodes_clickhouse.store import forgotten as forgotten_spans

if TYPE_CHECKING:
    from otel_episodes_clickhouse import Store

# What only the forgotten episode says: in its task, its steps and its templates.
SECRET = "quetzalcoatl"
LOG = """
    INSERT INTO otel_logs (Timestamp, TraceId, SpanId, LogAttributes)
    SELECT now64(9), 'secret-1-0', 'a', map('exception.type', 'E', 'exception.message', {secret:String})
"""
RELATIONS = """
    SELECT name AS Name FROM system.tables
    WHERE database = currentDatabase() AND engine LIKE '%MergeTree'
        AND name NOT IN ('internal_forgotten', 'internal_settings')
    ORDER BY Name
"""
HOLDING = (
    "internal_advice",
    "internal_agent_spans",
    "internal_changes",
    "internal_decisions",
    "internal_evaluations",
    "internal_facts",
    "internal_job_worklist",
    "internal_log_events",
    "internal_marks",
    "internal_mishaps",
    "internal_pattern_evidence",
    "internal_pattern_keys",
    "internal_pattern_observations",
    "internal_reflections",
    "internal_rewards",
    "internal_roots",
    "internal_sequences",
    "internal_skills",
    "internal_steps",
    "internal_values",
    "otel_logs",
    "otel_traces",
    "otel_traces_trace_id_ts",
)
# Of these nothing says which episode a row is about.
NAMELESS = {
    "internal_conventions", "internal_conventions_shipped", "internal_domain_scales", "internal_job_runs",
    "internal_pattern_buckets", "internal_pattern_totals", "internal_prices", "internal_advice_policies",
    "internal_item_states",
}  # fmt: skip


def holding(store: Store, relation: str) -> int:
    """Return how many rows say anything of the forgotten episodes."""
    rows = store.query(f"SELECT formatRowNoNewline('JSONCompactEachRow', *) AS Text FROM {relation}")
    return sum(any(mark in row["Text"] for mark in (SECRET, "secret-1", "secret-2")) for row in rows)


def secret(identifier: str, parent: str = "") -> list[Row]:
    """Return the rows of an episode to be forgotten: steps with templates, a decision, a failure."""
    rows = rows_of(
        Episode(
            identifier, task=f"appease {SECRET}", domain="temple", extra={"episode.parent.id": parent},
            steps=[("pray", True), ("check", True), ("offer", False)], kinds={1: "decision_point"},
            actions={0: f"pray to {SECRET}", 1: f"check that {SECRET} listens"},
        )
    )  # fmt: skip
    template = {"episode.step.template": json.dumps({"name": ["literal", SECRET]})}
    return [
        row._replace(span_attributes={**row.span_attributes, **template}) if "gen_ai.tool.name" in row.span_attributes
        else row for row in rows
    ]  # fmt: skip


def beside(trace: str) -> list[Row]:
    """Return spans in a trace that are no steps of ours: of another instrumentation, and what the run was told."""
    sung = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "sing", "gen_ai.tool.call.result": SECRET}
    told = {"episode.span": "advice", "episode.advice.text": SECRET, "episode.id": "secret-1"}
    return [
        Row(T0, trace, "ab" * 8, span_name="execute_tool sing", span_attributes=sung),
        Row(T0, trace, "cd" * 8, span_name="advice brief", span_attributes=told),
    ]


@pytest.fixture(scope="module")
def forgotten(storage_store: Store) -> dict[str, Any]:
    """Forget an episode and the one it started; return what each relation held of them before and after."""
    for place in range(4):
        steps = [("pray", True), ("offer", True)]
        kept = Episode(f"kept-{place}", task="rain", domain="temple", steps=steps, start=T0 + place * SECOND)
        storage_store.insert_rows(rows_of(kept))
    told = {"episode.span": "advice", "episode.id": "kept-1", "episode.advice.text": "the best is episode secret-1."}
    storage_store.insert_rows([Row(T0, "kept-1-0", "ef" * 8, span_name="advice brief", span_attributes=told)])
    storage_store.insert_rows([*secret("secret-1"), *beside("secret-1-0"), *secret("secret-2", "secret-1")])
    score(storage_store, "secret-1", 0.4, note=SECRET)
    skill = "INSERT INTO internal_skills (Name, Version, Event, Evidence) VALUES ('s', 1, 'proposed', ['secret-1-0'])"
    storage_store.execute(Statement("skill", skill))
    relate(storage_store, "kept-1", "follows", "secret-1")
    checkpoint(storage_store, "secret-1", SECRET)
    storage_store.execute(Statement("log", LOG), {"secret": SECRET})
    run_jobs(storage_store)
    # What a run of the jobs leaves that does not read everything.
    work = "INSERT INTO internal_job_worklist (RunId, Job, Batch, EpisodeId) VALUES ('1', 'facts', 0, 'secret-1')"
    storage_store.execute(Statement("work", work))
    relations = [row["Name"] for row in storage_store.query(RELATIONS)]
    before = {name: holding(storage_store, name) for name in relations}
    done = forget(storage_store, "secret-1", reason="asked for")
    return {"before": before, "after": {name: holding(storage_store, name) for name in relations}, "done": done}


def test_an_import_made_again_leaves_it_out(storage_store, tmp_path):
    session = OWN / "claude-code" / "3e0d0f10-1111-4222-8333-000000000002.jsonl"

    def brought() -> tuple[int, int]:
        tally = Import(storage_store, Reading(ImportOptions(), print)).run(found_under([session], {}))
        return tally.episodes, tally.forgotten

    first = brought()
    episode = storage_store.query("SELECT EpisodeId FROM episodes WHERE Task = 'Push it'")[0]["EpisodeId"]
    forget(storage_store, episode)

    assert (first, brought()) == ((1, 0), (0, 1))
    assert storage_store.query(
        "SELECT count() AS Spans FROM otel_traces WHERE TraceId = {t:String}", {"t": episode}
    ) == [{"Spans": 0}]


@pytest.mark.parametrize("relation", HOLDING)
def test_a_relation_holds_nothing_of_a_forgotten_episode(forgotten, relation):
    assert forgotten["before"][relation] > 0
    assert forgotten["after"][relation] == 0


def test_the_other_relations_name_no_episode(forgotten):
    others = set(forgotten["before"]) - set(HOLDING)

    assert others <= NAMELESS
    assert {name for name in others if forgotten["before"][name]} == set()


def test_those_it_started_are_forgotten_with_it(forgotten):
    assert forgotten["done"].episodes == ("secret-1", "secret-2")
    assert forgotten["done"].traces == 2


def test_what_was_learned_with_others_is_counted_without_it(storage_store, forgotten):
    said = storage_store.query(
        "SELECT sum(Seen) AS Seen FROM internal_values FINAL WHERE Tool = 'pray' AND Template = ''"
    )
    shown = storage_store.query("SELECT max(Support) AS Most FROM internal_pattern_totals FINAL")

    assert shown == [{"Most": 4}]
    assert said[0]["Seen"] % 4 == 0
    known = values.read_file(storage_store.target, "temple")
    assert set(known.tools) == {"pray", "offer"}


def test_late_spans_and_its_resumption_stay_out(storage_store, forgotten):
    resumed = rows_of(Episode("secret-1", segment=1, task=SECRET, steps=[("pray", True)], start=time.time_ns()))
    storage_store.insert_rows([*secret("secret-1"), *beside("secret-1-0"), *resumed])
    score_of = [row for row in secret("secret-2") if row.span_id == "root"]
    storage_store.insert_rows(score_of)

    forgotten_spans.sweep(storage_store, resumed=True)

    assert storage_store.query("SELECT EpisodeId FROM episodes WHERE startsWith(EpisodeId, 'secret')") == []
    left = {name: rows for name in HOLDING if (rows := holding(storage_store, name))}
    assert left == {}


def test_who_is_not_there_cannot_be_forgotten(storage_store):
    with pytest.raises(StoreError, match="no episode has the id nobody"):
        forget(storage_store, "nobody")


def test_episodes_that_ended_longer_ago_than_they_are_kept_go_with_the_next_run_of_the_jobs(storage_store, forgotten):
    recent = Episode("recent", task="sun", domain="temple", steps=[("pray", True)], start=time.time_ns() - 60 * SECOND)
    storage_store.insert_rows(rows_of(recent))
    removal.keep_for(storage_store, 30)

    run_jobs(storage_store)

    removal.keep_for(storage_store, 0)
    assert storage_store.query("SELECT EpisodeId FROM episodes") == [{"EpisodeId": "recent"}]
    support = storage_store.query("SELECT max(Support) AS Most FROM internal_pattern_totals FINAL")
    assert support == [{"Most": 1}]


def test_what_an_advisor_loads_is_kept_apart_by_tenant(storage_store):
    resource = {"tenant.id": "t-1"}
    theirs = rows_of(Episode("theirs", domain="temple", steps=[("dance", True)], start=time.time_ns() - 60 * SECOND))
    storage_store.insert_rows([row._replace(resource_attributes=resource) for row in theirs])

    run_jobs(storage_store)

    assert values.read_file(storage_store.target, "temple", "t-1").tools == ("dance",)
    assert "dance" not in values.read_file(storage_store.target, "temple").tools
