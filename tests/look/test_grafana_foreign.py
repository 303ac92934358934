"""Dashboards over what other instrumentations recorded: their episodes are there, and no step counts twice."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from foreign_spans import CASES, RECORDED, SHARED, rows_in
from grafana_dashboards import Asked, rows
from learning_data import SECOND

from otel_episodes_clickhouse.learning import jobs

if TYPE_CHECKING:
    from foreign_spans import Case

    from otel_episodes_clickhouse import Store

# Of each framework one that went wrong or is otherwise hard.
PAGES = (
    "pydantic_ai_agent,delegates", "pydantic_ai_agent,in-our-episode", "langgraph_agent,recovers,openinference",
    "langgraph_agent,fails,openllmetry", "openai_agents_agent,fails,genai", "smolagents_agent,recovers",
    "langfuse_agent,fails", "mcp_tools,plain",
)  # fmt: skip


@pytest.fixture(scope="module")
def store(storage_store: Store) -> Store:
    """Store every recording, each as a service of its own name."""
    files = {RECORDED / case.file: case.name for case in CASES}
    files |= {file: "shared" for file in SHARED.glob("*.json") if file.name != "labels.json"}
    rows = [row._replace(service_name=name) for file, name in files.items() for row in rows_in(file)]
    storage_store.insert_rows(rows)
    jobs.run(storage_store)
    return storage_store


@pytest.fixture(scope="module")
def asked(store: Store) -> Asked:
    """Return the time range that holds it all."""
    (found,) = store.query("SELECT min(Timestamp) AS First, max(Timestamp) AS Last FROM otel_traces")
    return Asked(found["First"] // SECOND - 1, found["Last"] // SECOND + 1, 86_400)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_tools_of_other_frameworks_count_each_step_once(store: Store, asked: Asked, case: Case) -> None:
    tools = rows(store, "overview: Slowest tools", asked, service=case.name)
    assert {row["Tool"]: row["Steps"] for row in tools} == Counter(tool for tool, _ in case.steps)
    assert {row["Tool"]: row["Failed"] for row in tools if row["Failed"]} == Counter(
        tool for tool, ok in case.steps if not ok
    )


@pytest.mark.parametrize("case", [case for case in CASES if case.model_calls], ids=lambda case: case.name)
def test_the_models_of_other_frameworks_count_each_call_once(store: Store, asked: Asked, case: Case) -> None:
    models = rows(store, "overview: Models", asked, service=case.name)
    assert sum(row["Calls"] for row in models) == case.model_calls
    if case.tokens is not None:
        assert (sum(row["TokensIn"] for row in models), sum(row["TokensOut"] for row in models)) == case.tokens


@pytest.mark.parametrize("name", ["pydantic_ai_agent,decorated", "pydantic_ai_agent,decorated-in-our-episode"])
def test_a_step_that_a_framework_recorded_too_counts_once(store: Store, asked: Asked, name: str) -> None:
    (stored,) = store.query(
        "SELECT count() AS Rows FROM internal_steps FINAL WHERE Tool = 'grep' AND ServiceName = {name:String}",
        {"name": name},
    )
    assert stored["Rows"] == 2
    (tool,) = rows(store, "overview: Slowest tools", asked, service=name)
    assert (tool["Tool"], tool["Steps"]) == ("grep", 1)
    (episode,) = rows(store, "overview: Recent episodes", asked, service=name)
    assert episode["Steps"] == 1
    (step,) = rows(store, "episode: Steps", asked, shown=episode["EpisodeId"])
    assert (step["Step"], step["Tool"], step["Success"], step["Convention"]) == (1, "grep", True, "")


@pytest.mark.parametrize("case", [case for case in CASES if case.name in PAGES], ids=lambda case: case.name)
def test_the_page_of_an_episode_shows_what_a_framework_recorded(store: Store, asked: Asked, case: Case) -> None:
    spans = Counter(row.trace_id for row in rows_in(RECORDED / case.file))
    ((trace, count),) = spans.most_common(1)
    (shown,) = rows(store, "episode: shown", asked, episode=trace)
    chosen = {"shown": shown["EpisodeId"], "trace": trace}
    (episode,) = rows(store, "episode: The episode", asked, **chosen)
    assert (episode["Outcome"], episode["Task"], episode["AgentName"]) == (case.outcome, case.task, case.agent)
    steps = rows(store, "episode: Steps", asked, **chosen)
    assert [[step["Tool"], step["Success"]] for step in steps] == case.steps
    assert [step["Step"] for step in steps] == list(range(1, len(steps) + 1))
    assert rows(store, "episode: trace", asked, **chosen) == [{"TraceId": trace}]
    assert len(rows(store, "episode: Trace", asked, **chosen)) == count
    assert rows(store, "episode: Reward and what it is made of", asked, **chosen)


@pytest.mark.parametrize(
    "service",
    [
        "$__all",
        pytest.param(
            "shared",
            marks=pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data/foreign_spans is not here"),
        ),
    ],
)
def test_the_overview_counts_the_episodes_of_other_instrumentations(store: Store, asked: Asked, service: str) -> None:
    there = store.query("SELECT * FROM episodes")
    there = [row for row in there if service in ("$__all", row["ServiceName"])]
    assert len(there) >= 8
    outcomes = Counter(row["Outcome"] for row in there)
    (shown,) = rows(store, "overview: Episodes", asked, service=service)
    assert shown["Episodes"] == len(there)
    assert shown["SuccessRate"] == outcomes["success"] / len(there)
    assert shown["InputTokens"] == sum(row["InputTokens"] for row in there)
    by_time = rows(store, "overview: Episodes by outcome", asked, service=service)
    assert {name: sum(row[name] for row in by_time) for name in outcomes} == outcomes
    recent = rows(store, "overview: Recent episodes", asked, service=service)
    assert {row["EpisodeId"] for row in recent} == {row["EpisodeId"] for row in there}
    assert all(row["Reward"] is not None for row in recent)


def test_an_agent_of_another_framework_can_be_chosen(store: Store, asked: Asked) -> None:
    named = Counter(row["AgentName"] for row in store.query("SELECT AgentName FROM episodes"))
    assert set(named) - {""} <= {row["AgentName"] for row in rows(store, "overview: agent", asked)}
    (triage,) = rows(store, "overview: Episodes", asked, agent="triage")
    assert triage["Episodes"] == named["triage"] > 5
    assert {row["AgentName"] for row in rows(store, "overview: Recent episodes", asked, agent="triage")} == {"triage"}
    # A domain is what only our own episodes have.
    assert rows(store, "overview: Recent episodes", asked, domain="web") == []


def test_an_agent_of_another_framework_that_has_not_ended_is_without_an_end(store: Store) -> None:
    spans = rows_in(RECORDED / "pydantic_ai_agent.plain.json")
    # Silent for ten minutes, it would have ended.
    later = time.time_ns() - 60 * SECOND - min(row.timestamp for row in spans)
    unfinished = [
        row._replace(trace_id="unfinished", timestamp=row.timestamp + later)
        for row in spans
        if row.span_attributes.get("gen_ai.operation.name") != "invoke_agent"
    ]
    assert 0 < len(unfinished) < len(spans)
    store.insert_rows(unfinished)
    start = unfinished[0].timestamp // SECOND
    (found,) = rows(store, "health: Without an end", Asked(start - 60, start + 60))
    assert found["TraceId"] == "unfinished"
    assert found["Outcome"] in {"running", "abandoned"}
