"""Calls of models, each once: the view, what is added up of them, and how they are shown."""

from __future__ import annotations

import time
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from foreign_spans import MS, T0, agent, found, model, span, tool
from rich.console import Console
from storage_fixtures import STEP

from otel_episodes_clickhouse import findings
from otel_episodes_clickhouse.cli import show, tree
from otel_episodes_clickhouse.delivery import agent_marks
from otel_episodes_clickhouse.learning import jobs
from otel_episodes_clickhouse.spool.row import Row
from otel_episodes_clickhouse.spool.values import attributes_as_text
from otel_episodes_clickhouse.store.backfill import backfill

if TYPE_CHECKING:
    from otel_episodes_clickhouse import Store

GPT = {"gen_ai__provider__name": "openai", "gen_ai__request__model": "gpt", "gen_ai__response__model": "gpt-4o"}
CLAUDE = {"gen_ai__provider__name": "anthropic", "gen_ai__response__model": "claude"}


def spans_of(store: Store, trace: str, columns: str = "SpanId, Success") -> list[list[Any]]:
    rows = store.query(
        f"SELECT {columns} FROM model_calls WHERE EpisodeId = {{id:String}} ORDER BY StartTime, SpanId", {"id": trace}
    )
    return [list(row.values()) for row in rows]


@pytest.fixture(scope="module")
def run(storage_store: Store) -> Store:
    """Return a store with a run that calls two models, and an episode of ours with calls in it."""
    root = {"episode.id": "ours", "episode.span": "episode", "episode.task": "Tidy", "episode.domain": "attic"}
    step = {**STEP, "episode.id": "ours", "gen_ai.tool.name": "delegate"}
    mark = {"episode__id": "ours"}
    storage_store.insert_rows([
        agent("whole", ms=200),
        model("whole", "m1", start=1, tokens=(100, 20), **GPT, gen_ai__response__finish_reasons='["tool_calls"]'),
        tool("whole", "grep", start=12),
        model("whole", "m2", start=30, tokens=(300, 40), **GPT, gen_ai__usage__cache_read__input_tokens="80"),
        tool("whole", "delegate", start=50, ms=60),
        agent("whole", "helper", "delegate", start=51, ms=50)._replace(
            span_attributes={"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "helper"}
        ),
        model("whole", "m3", "helper", start=52, status="Error", tokens=(0, 0), **CLAUDE),
        model("whole", "m4", "helper", start=70, tokens=(7, 1), **CLAUDE),
        Row(T0, "ours", "root", span_attributes=root, duration=90 * MS),
        Row(T0, "ours", "s1", "root", span_attributes=attributes_as_text(step), duration=80 * MS),
        model("ours", "inside", "s1", start=2, **CLAUDE, **mark),
        model("ours", "beside", "root", start=85, ms=1, **GPT, **mark),
    ])  # fmt: skip
    return storage_store


def test_a_row_says_what_was_called_how_it_went_and_whose_it_was(run: Store) -> None:
    named = "Provider, Model, InputTokens, CacheReadTokens, OutputTokens, FinishReason, Success, AgentName"
    columns = f"SpanId, StepSpanId, {named}"
    assert spans_of(run, "whole", columns) == [
        ["m1", "", "openai", "gpt-4o", 100, 0, 20, "tool_calls", True, "triage"],
        ["m2", "", "openai", "gpt-4o", 300, 80, 40, "", True, "triage"],
        ["m3", "delegate", "anthropic", "claude", 0, 0, 0, "", False, "helper"],
        ["m4", "delegate", "anthropic", "claude", 7, 0, 1, "", True, "helper"],
    ]
    assert (found(run, "whole") or {})["ModelCalls"] == 4
    assert spans_of(run, "ours", "SpanId, StepSpanId") == [["inside", "s1"], ["beside", ""]]


def test_spans_of_one_call_are_one(storage_store: Store) -> None:
    storage_store.insert_rows([
        agent("once", ms=200),
        # Seen by two instrumentations, one inside the other, past what is neither.
        model("once", "outer", start=1, tokens=(10, 2)),
        span("once", "http", "outer", start=1, gen_ai__operation__name="chain"),
        model("once", "inner", "http", start=2, tokens=(10, 2), gen_ai__response__id="r1"),
        # The same answer told somewhere else.
        model("once", "again", start=9, tokens=(10, 2), gen_ai__response__id="r1"),
        # Told by halves: one has the tokens.
        span("once", "turn", "agent", start=20, ms=20, gen_ai__operation__name="chain"),
        model("once", "empty", "turn", start=21, tokens=(0, 0)),
        model("once", "full", "turn", start=22, tokens=(5, 1)),
        # A refusal is a call, and so is the one that was made again.
        model("once", "refused", start=50, status="Error", tokens=(0, 0)),
        model("once", "retried", start=60, tokens=(3, 1)),
    ])  # fmt: skip
    assert spans_of(storage_store, "once") == [
        ["inner", True], ["full", True], ["refused", False], ["retried", True],
    ]  # fmt: skip
    read = found(storage_store, "once") or {}
    assert (read["ModelCalls"], read["InputTokens"], read["OutputTokens"]) == (4, 18, 4)


@pytest.mark.parametrize(
    ("by", "rows"),
    [
        ("", [("claude", "", 3, 1, 17, 3), ("gpt-4o", "", 3, 0, 410, 62)]),
        ("domain", [("claude", "attic", 1, 0, 10, 2), ("gpt-4o", "attic", 1, 0, 10, 2),
                    ("claude", "", 2, 1, 7, 1), ("gpt-4o", "", 2, 0, 400, 60)]),
    ],
)  # fmt: skip
def test_models_are_added_up(run: Store, by: str, rows: list[tuple[Any, ...]]) -> None:
    asked = {"by": by, "since": 0}
    read = [row for row in run.query_named("models_used", asked) if row["Model"]]
    columns = ("Model", "Part", "Calls", "Failures", "InputTokens", "OutputTokens")
    assert [tuple(row[name] for name in columns) for row in read] == rows
    assert all(row["Unpriced"] == row["Calls"] - row["Failures"] for row in read)


def test_tools_are_added_up_with_the_models_called_in_them(run: Store) -> None:
    read = run.query_named("tools_used", {"by": "agent", "since": 0})
    columns = ("Tool", "Part", "Calls", "Failures", "P50Ns", "Tokens")
    assert [tuple(row[name] for name in columns) for row in read] == [
        ("delegate", "triage", 1, 0, 60 * MS, 8), ("grep", "triage", 1, 0, 10 * MS, 0),
        ("delegate", "coder", 1, 0, 80 * MS, 12),
    ]  # fmt: skip
    assert run.query_named("tools_used", {"by": "", "since": T0 + 86_400 * 10**9}) == []


def drawn(store: Store, trace: str, *, calls: bool) -> list[str]:
    screen = Console(file=StringIO(), width=100, color_system=None, legacy_windows=False)
    tree.draw(show.load(store, show.find(store, trace)), screen, calls=calls)
    return [" ".join(line.split()) for line in screen.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def test_a_tree_counts_calls_and_unfolds_them(run: Store) -> None:
    jobs.run(run, "prices")
    folded, unfolded = (drawn(run, "whole", calls=calls) for calls in (False, True))
    assert "models 2 calls of gpt-4o, 2 calls of claude" in folded
    assert folded[-1] == "└─ 2 calls of claude"
    titles = [line.split("  ")[0] for line in unfolded if "─ " in line]
    assert [title.partition("─ ")[2][:12] for title in titles] == [
        "model gpt-4o", "grep ok 10 m", "model gpt-4o", "delegate ok ", "model claude", "model claude",
    ]  # fmt: skip
    assert any("failed" in title for title in titles)
    assert any("openai, tool_calls, $0.00045" in line for line in unfolded)


def test_a_row_of_ones_own_reads_an_in_house_framework(storage_store: Store) -> None:
    own = (
        "INSERT INTO internal_conventions (Attribute, Value, Role, Field) VALUES ('acme.kind', 'brain', 'model', ''), "
        "('acme.kind', 'boss', 'agent', ''), ('acme.words', '', '', 'input'), ('acme.who', '', '', 'model')"
    )
    storage_store.sql(own, read_only=False)
    storage_store.insert_rows([
        span("acme", "top", acme__kind="Boss", ms=90),
        span("acme", "think", "top", start=1, acme__kind="brain", acme__words="12", acme__who="anvil"),
    ])  # fmt: skip
    assert spans_of(storage_store, "acme", "SpanId, Model, InputTokens") == [["think", "anvil", 12]]
    # Shipped rows are replaced by an update, and one's own stay.
    storage_store.sql("DELETE FROM internal_settings WHERE Name = 'schema_conventions'", read_only=False)
    assert "internal_conventions" in storage_store.migrate().names("set")
    kept = "SELECT count() AS n FROM internal_conventions FINAL WHERE Origin = 'own'"
    assert storage_store.query(kept) == [{"n": 4}]


def lately(rows: list[Row]) -> list[Row]:
    return [row._replace(timestamp=row.timestamp - T0 + time.time_ns() - 3600 * 10**9) for row in rows]


def test_the_doctor_says_which_traces_are_not_read_and_which_row_would_read_them(storage_store: Store) -> None:
    rows = lately([
        span("inhouse", "top", inhouse__span_type="Assistant", ms=90)._replace(scope_name="inhouse.tracing"),
        span("inhouse", "call", "top", inhouse__span_type="function", evil__kind="tool'); DROP", ms=9),
        span("web", "get", http__request__method="GET", kind="Server"),
    ])  # fmt: skip
    storage_store.insert_rows(rows)
    told = list(findings.unread_spans(storage_store))
    assert [(finding.state, finding.text.partition(": ")[2]) for finding in told] == [
        ("warn", "inhouse.span_type = assistant (1 span)"), ("warn", "inhouse.span_type = function (1 span)"),
    ]  # fmt: skip
    assert "1 trace of the scope inhouse.tracing look" in told[0].text
    assert "if that is a span of an agent: otel-episodes sql --write" in told[0].fix
    for row in storage_store.query_named("unread_spans"):
        storage_store.sql(row["Row"], read_only=False)
    backfill(storage_store)
    assert (found(storage_store, "inhouse") or {})["steps"] == [["call", True]]
    assert list(findings.unread_spans(storage_store)) == []


def test_only_failures_may_be_a_collectors_choice(storage_store: Store) -> None:
    rows = [agent(f"kept{n}", status="Error", ms=5)._replace(service_name="sampled") for n in range(30)]
    storage_store.insert_rows(lately(rows[:29]))
    assert list(findings.only_failures(storage_store)) == []
    storage_store.insert_rows(lately(rows[29:]))
    (told,) = findings.only_failures(storage_store)
    assert told.text.startswith("30 of the last 30 runs of sampled failed")


def test_methods_of_mcp_are_no_unknown_operations_whether_they_name_a_tool_or_not(storage_store: Store) -> None:
    storage_store.insert_rows([
        agent("listing", ms=90), tool("listing", "grep", start=1),
        span("listing", "tools/list", "agent", start=20, mcp__method__name="tools/list"),
        span("listing", "named", "agent", start=40, mcp__method__name="prompts/get", gen_ai__tool__name="find"),
    ])  # fmt: skip
    assert (found(storage_store, "listing") or {})["steps"] == [["grep", True], ["find", True]]
    assert not [row for row in storage_store.query_named("unknown_operations") if "mcp" in row["Operation"]]


def test_a_process_that_records_knows_spans_of_agents_as_a_store_does(storage_store: Store) -> None:
    marks = agent_marks.shipped()
    asked = "SELECT DISTINCT Attribute, Value FROM internal_conventions WHERE Role != '' AND Origin = 'shipped'"
    rows = [(row["Attribute"], row["Value"]) for row in storage_store.query(asked)]
    assert marks == (
        {key for key, _ in rows if not key.startswith("*.") and key != "span name"},
        {key.removeprefix("*.") for key, _ in rows if key.startswith("*.")},
        {value for key, value in rows if key == "span name"},
    )
    assert marks.are_on("haystack.agent.run", {})
    assert marks.are_on("x", {"acme.span.kind": "TOOL"})
    assert not marks.are_on("GET /", {"http.request.method": "GET", "server.address": "x"})
