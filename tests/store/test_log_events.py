"""Log records about spans: evaluation results and exceptions, whichever comes first, and by backfill."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from foreign_spans import MS, T0, agent, found, model, tool
from storage_fixtures import STEP

from otel_episodes_clickhouse import sql
from otel_episodes_clickhouse.learning import jobs
from otel_episodes_clickhouse.spool.row import Row
from otel_episodes_clickhouse.spool.values import attributes_as_text
from otel_episodes_clickhouse.store.backfill import backfill

if TYPE_CHECKING:
    from otel_episodes_clickhouse import Store

INSERT = sql.Statement(
    "logs", "INSERT INTO otel_logs SELECT * FROM format(JSONEachRow, {structure:String}, {rows:String})"
)
STRUCTURE = (
    "Timestamp DateTime64(9), TraceId String, SpanId String, TraceFlags UInt8, SeverityText String, SeverityNumber UInt8, "
    "ServiceName String, Body String, ResourceSchemaUrl String, ResourceAttributes Map(String, String), "
    "ScopeSchemaUrl String, ScopeName String, ScopeVersion String, ScopeAttributes Map(String, String), "
    "LogAttributes Map(String, String), EventName String"
)
SCORES = (
    "SELECT EpisodeId, TraceId, SpanId, Name, Score, Scored, Label, Explanation FROM internal_evaluations FINAL "
    "WHERE EpisodeId = {id:String} ORDER BY Time"
)


def record(
    event: str = "gen_ai.evaluation.result", trace: str = "", span: str = "", at: int = 50, **said: Any
) -> dict[str, Any]:
    """Return a row of otel_logs as a collector writes it."""
    nanoseconds = T0 + at * MS
    return {
        "Timestamp": f"{nanoseconds // 10**9}.{nanoseconds % 10**9:09}",
        "TraceId": trace, "SpanId": span, "EventName": event,
        "LogAttributes": {key.replace("__", "."): str(value) for key, value in said.items()},
    }  # fmt: skip


def logged(store: Store, *records: dict[str, Any]) -> None:
    text = "\n".join(map(json.dumps, records))
    store.execute(INSERT, {"structure": STRUCTURE, "rows": text})


def evaluation(**said: Any) -> dict[str, Any]:
    return {
        "gen_ai__evaluation__name": "relevance",
        **{f"gen_ai__evaluation__{key}": text for key, text in said.items()},
    }


def scores(store: Store, episode: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in store.query(SCORES, {"id": episode})]


WHOLE = evaluation(score__value=0.25, score__label="poor", explanation="off topic")


@pytest.mark.parametrize("first", ["spans", "records"])
def test_a_result_is_of_the_span_it_names_or_of_the_answer_it_names(storage_store: Store, first: str) -> None:
    trace, answer = f"t-{first}", f"r-{first}"
    spans = [
        agent(trace, ms=90),
        model(trace, "m1", start=1, gen_ai__response__id=answer),
        tool(trace, "grep", start=2),
    ]
    records = [
        record(trace=trace, span="grep", at=40, **WHOLE),
        record(at=60, gen_ai__response__id=answer, **evaluation(score__value=0.75)),
        record(trace=trace, at=70, **evaluation(score__label="pass")),
    ]
    if first == "spans":
        storage_store.insert_rows(spans)
    logged(storage_store, *records)
    if first == "records":
        storage_store.insert_rows(spans)
    assert scores(storage_store, trace) == [
        (trace, trace, "grep", "relevance", 0.25, True, "poor", "off topic"),
        (trace, trace, "m1", "relevance", 0.75, True, "", ""),
        (trace, trace, "", "relevance", 0.0, False, "pass", ""),
    ]
    # What has a label alone is no score.
    assert storage_store.query("SELECT ExternalReward FROM episodes WHERE EpisodeId = {id:String}", {"id": trace}) == [
        {"ExternalReward": 0.75}
    ]


def test_a_result_reaches_an_episode_of_ours_by_its_trace_or_its_id_and_the_jobs_learn_of_it(
    storage_store: Store,
) -> None:
    own = {**STEP, "episode.id": "own", "tenant.id": ""}
    root = {"episode.id": "own", "episode.span": "episode", "episode.task": "Tidy", "episode.outcome": "unknown"}
    storage_store.insert_rows([
        Row(T0, "owntrace", "root", span_attributes=root, resource_attributes={"tenant.id": "acme"}, duration=MS),
        Row(T0, "owntrace", "s1", "root", span_attributes=attributes_as_text(own), resource_attributes={"tenant.id": "acme"}, duration=MS),
    ])  # fmt: skip
    jobs.run(storage_store, "facts", overlap_seconds=0)
    logged(
        storage_store,
        record(trace="owntrace", span="s1", at=10, **evaluation(score__value=1)),
        record(trace="judges", at=20, episode__id="own", **evaluation(score__value=0)),
    )
    assert [row[:3] for row in scores(storage_store, "own")] == [("own", "owntrace", "s1"), ("own", "owntrace", "")]
    asked = "SELECT Outcome, OutcomeSource, Tenant FROM episodes WHERE EpisodeId = 'own'"
    assert storage_store.query(asked) == [{"Outcome": "failure", "OutcomeSource": "score", "Tenant": "acme"}]
    jobs.run(storage_store, "facts", overlap_seconds=0)
    learned = "SELECT ExternalReward FROM internal_facts FINAL WHERE EpisodeId = 'own'"
    assert storage_store.query(learned) == [{"ExternalReward": 0.0}]


def test_a_result_for_a_trace_that_is_no_episode_makes_none(storage_store: Store) -> None:
    logged(storage_store, record(trace="somebody", span="x", **WHOLE), record("device.app.lifecycle", trace="somebody"))
    assert found(storage_store, "somebody") is None


@pytest.mark.parametrize("first", ["spans", "records"])
def test_an_exception_says_what_its_span_does_not(storage_store: Store, first: str) -> None:
    trace = f"e-{first}"
    spans = [agent(trace, ms=90), model(trace, "m1", start=1), tool(trace, "edit", start=2, status="Error")]
    said = record(
        "exception", trace, "edit", exception__type="ValueError", exception__message="no such line\nTraceback"
    )
    for step in (first, "records" if first == "spans" else "spans"):
        if step == "spans":
            storage_store.insert_rows(spans)
        else:
            logged(storage_store, said)
    read = storage_store.query(
        "SELECT Success, ErrorType, ErrorMessage, Observation FROM steps WHERE EpisodeId = {id:String}", {"id": trace}
    )
    assert read == [
        {"Success": False, "ErrorType": "ValueError", "ErrorMessage": "no such line", "Observation": "no such line"}
    ]


def test_backfill_reads_records_that_were_there_before(storage_store: Store) -> None:
    views = storage_store.query("SELECT name FROM system.tables WHERE create_table_query LIKE '%FROM %otel_logs%'")
    assert [row["name"] for row in views] == ["internal_log_events_mv"]
    storage_store.sql("DROP TABLE internal_log_events_mv", read_only=False)
    logged(
        storage_store,
        record(trace="before", span="m1", at=1, **WHOLE),
        record(trace="before", span="m1", at=2, **WHOLE),
        record(at=3, gen_ai__response__id="r-before", **WHOLE),
    )
    storage_store.insert_rows([agent("before", ms=90), model("before", "m1", start=1, gen_ai__response__id="r-before")])
    for _ in range(2):
        backfill(storage_store)
        assert [row[2] for row in scores(storage_store, "before")] == ["m1", "m1", "m1"]


def test_an_older_collectors_table_gets_the_column_it_lacks(storage_store: Store) -> None:
    storage_store.sql("DROP TABLE internal_log_events_mv", read_only=False)
    storage_store.sql("ALTER TABLE otel_logs DROP COLUMN EventName", read_only=False)
    assert "otel_logs" in storage_store.migrate().names("add")
    logged(storage_store, record(trace="older", span="x", event__name="gen_ai.evaluation.result", event="", **WHOLE))
    assert len(scores(storage_store, "older")) == 1
