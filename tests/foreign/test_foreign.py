"""Spans of other instrumentations are episodes and steps, whatever order they come in."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest
from foreign_spans import CASES, RECORDED, SHARED, agent, check_case, found, model, rows_in, span, tool

from otel_episodes_clickhouse.learning import jobs

if TYPE_CHECKING:
    from otel_episodes_clickhouse import Store
    from otel_episodes_clickhouse.spool.row import Row

LABELS: dict[str, Any] = json.loads((SHARED / "labels.json").read_text()) if SHARED.is_dir() else {}
FILES = sorted(name for name in LABELS if name != "note")

needs_shared = pytest.mark.skipif(not LABELS, reason="../shared/data/foreign_spans is not here")


def renamed(rows: list[Row], mark: str) -> list[Row]:
    """Return the rows in traces of other names, so that one store takes them several times."""
    return [
        row._replace(
            trace_id=mark + row.trace_id,
            # The id of an episode of ours is that of its trace.
            span_attributes={
                key: mark + text if key == "episode.id" else text for key, text in row.span_attributes.items()
            },
        )
        for row in rows
    ]


def insert(store: Store, rows: list[Row], order: str) -> None:
    """Insert rows in some order: as they are, in small pieces as they ended or backwards, or shuffled with repetitions."""
    if order == "as they are":
        store.insert_rows(rows)
        return
    generator = random.Random(order)
    if order.startswith("shuffled"):
        rows = rows + generator.choices(rows, k=len(rows) // 2)
        generator.shuffle(rows)
    else:
        rows = sorted(rows, key=lambda row: row.timestamp + row.duration, reverse=order == "backwards")
    while rows:
        size = generator.randint(1, max(2, len(rows) // 6))
        store.insert_rows(rows[:size])
        rows = rows[size:]


def episodes_of(store: Store, rows: list[Row]) -> list[dict[str, Any]]:
    """Return the episodes of these rows in the order of their starts."""
    traces = {row.trace_id: 0 for row in sorted(rows, key=lambda row: row.timestamp)}
    return [episode for trace in traces if (episode := found(store, trace)) is not None]


@needs_shared
@pytest.mark.parametrize("order", ["as they are", "as they ended", "backwards", "shuffled"])
def test_recorded_spans_read_as_their_labels_say(storage_store: Store, order: str) -> None:
    files = {name: renamed(rows_in(SHARED / f"{name}.json"), f"{order}:") for name in FILES}
    insert(storage_store, [row for rows in files.values() for row in rows], order)
    for name, rows in files.items():
        read, wanted = episodes_of(storage_store, rows), LABELS[name].get("episodes", [])
        assert [(e["Outcome"], e["steps"]) for e in read] == [(e["outcome"], e["steps"]) for e in wanted], name
        assert [e["ModelCalls"] for e in read if name == "pyd"] == [e["model_calls"] for e in wanted if name == "pyd"]
    steps = storage_store.query(
        "SELECT Tool, Success FROM internal_steps FINAL WHERE TraceId IN {traces:Array(String)} ORDER BY StartTime",
        {"traces": [row.trace_id for row in files["mcp"]]},
    )
    assert [[step["Tool"], step["Success"]] for step in steps] == LABELS["mcp"]["steps"]


@pytest.mark.parametrize("order", ["as they are", "shuffled"])
def test_what_frameworks_wrote_reads_as_what_their_programs_did(storage_store: Store, order: str) -> None:
    recorded = [(case, renamed(rows_in(RECORDED / case.file), f"{order}:")) for case in CASES]
    insert(storage_store, [row for _, rows in recorded for row in rows], order)
    for case, rows in recorded:
        check_case(case, episodes_of(storage_store, rows))


def test_what_an_episode_says(storage_store: Store) -> None:
    storage_store.insert_rows([
        span("whole", "wf", gen_ai__operation__name="invoke_workflow", ms=100),
        agent("whole", parent="wf", ms=90, gen_ai__input__messages='[{"role":"user","parts":[{"type":"text","content":"fix \\"it\\""}]}]'),
        model("whole", "m1", start=1),
        tool("whole", "grep", start=2, gen_ai__tool__call__arguments='{"pattern":"x"}', gen_ai__tool__call__result="3 hits"),
        tool("whole", "edit", start=3, status="Error", message="boom", error__type="ValueError"),
        model("whole", "m2", start=4),
    ])  # fmt: skip
    assert found(storage_store, "whole") == {
        "EpisodeId": "whole", "Task": 'fix "it"', "AgentName": "triage", "Outcome": "success", "Verdict": "", "Steps": 2,
        "FailedSteps": 1, "ModelCalls": 2, "InputTokens": 20, "OutputTokens": 4, "Tools": ["edit", "grep"],
        "steps": [["grep", True], ["edit", False]],
    }  # fmt: skip
    grep, edit = storage_store.query_named("steps_of_episode", {"id": "whole", "limit": 1000, "offset": 0})
    assert (grep["Action"], grep["Observation"]) == ('{"pattern":"x"}', "3 hits")
    assert (edit["ErrorType"], edit["ErrorMessage"]) == ("ValueError", "boom")


def test_the_outermost_named_agent_says_how_it_went_and_not_the_root_or_a_step(storage_store: Store) -> None:
    storage_store.insert_rows([
        span("swallowed", "root", status="Ok", gen_ai__operation__name="invoke_workflow", ms=100),
        agent("swallowed", "outer", "root", status="STATUS_CODE_ERROR", message="no", start=1, ms=90),
        agent("swallowed", "inner", "outer", status="STATUS_CODE_OK", start=2, ms=10),
        tool("swallowed", "grep", "inner", start=3),
        agent("recovered", status="Ok", ms=90),
        agent("recovered", "inner", "agent", status="Error", start=1, ms=5),
        tool("recovered", "grep", "agent", status="Error", start=8),
    ])  # fmt: skip
    assert (found(storage_store, "swallowed") or {})["Outcome"] == "failure"
    assert (found(storage_store, "swallowed") or {})["Verdict"] == "no"
    assert (found(storage_store, "recovered") or {})["Outcome"] == "success"


def test_of_agents_side_by_side_the_last_says_how_it_went(storage_store: Store) -> None:
    storage_store.insert_rows([
        span("handed", "wf", traceloop__span__kind="workflow", ms=100),
        agent("handed", "first", "wf", status="Error", start=1, ms=10),
        agent("handed", "second", "wf", status="Ok", start=20, ms=70),
        tool("handed", "grep", "second", start=30),
    ])  # fmt: skip
    assert (found(storage_store, "handed") or {})["Outcome"] == "success"


def test_an_error_type_fails_where_the_status_was_left_unset(storage_store: Store) -> None:
    storage_store.insert_rows([
        agent("typed", error__type="_OTHER"),
        tool("typed", "grep", error__type="timeout"),
        tool("typed", "edit", status="Ok", error__type="ignored", start=1),
    ])  # fmt: skip
    episode = found(storage_store, "typed") or {}
    assert (episode["Outcome"], episode["steps"]) == ("failure", [["grep", False], ["edit", True]])


ROLES: list[tuple[dict[str, str], str | None]] = [
    ({"gen_ai.operation.name": "execute_tool", "openinference.span.kind": "CHAIN"}, "tool"),
    ({"gen_ai.operation.name": "chat"}, "model"),
    ({"gen_ai.operation.name": "create_agent"}, "housekeeping"),
    ({"gen_ai.operation.name": "run_tool_v9", "gen_ai.tool.name": "grep"}, "tool"),
    ({"gen_ai.operation.name": "run_tool_v9", "openinference.span.kind": "TOOL"}, "tool"),
    ({"openinference.span.kind": "LLM", "traceloop.span.kind": "tool"}, "model"),
    ({"openinference.span.kind": "CHAIN"}, "structure"),
    ({"traceloop.span.kind": "task"}, "structure"),
    ({"traceloop.span.kind": "tool", "span.type": "agent"}, "tool"),
    ({"span.type": "agent", "langfuse.observation.type": "tool"}, "agent"),
    ({"span.type": "turn"}, "structure"),
    ({"langfuse.observation.type": "generation"}, "model"),
    ({"gen_ai.tool.name": "grep"}, "tool"),
    ({"tool.name": "grep"}, "tool"),
    ({"mcp.method.name": "tools/call"}, "tool"),
    ({"mcp.method.name": "tools/list"}, "housekeeping"),
    ({"mcp.method.name": "tools/list", "gen_ai.tool.name": "grep"}, "tool"),
    ({"llm.request.type": "chat"}, "model"),
    ({"span.type": "web", "http.request.method": "GET"}, None),
    ({"gen_ai.operation.name": "invoke_agent", "logfire.span_type": "pending_span"}, None),
    ({"http.request.method": "GET"}, None),
    ({"gen_ai.operation.name": "dance_v9"}, "structure"),
]


def test_the_role_of_a_span(storage_store: Store) -> None:
    rows = [
        span("roles", str(number))._replace(span_attributes=attributes) for number, (attributes, _) in enumerate(ROLES)
    ]
    storage_store.insert_rows(rows)
    read = storage_store.query(
        "SELECT SpanId, toString(Role) AS Role FROM internal_agent_spans FINAL WHERE TraceId = 'roles'"
    )
    roles = {row["SpanId"]: row["Role"] for row in read}
    assert [(about, roles.get(str(number))) for number, (about, _) in enumerate(ROLES)] == ROLES
    unknown = storage_store.query_named("unknown_operations")
    assert ("gen_ai.operation.name=dance_v9", 1) in [(row["Operation"], row["Spans"]) for row in unknown]


def test_a_tool_inside_a_tool_is_the_same_step_unless_an_agent_works_in_there(storage_store: Store) -> None:
    storage_store.insert_rows([
        agent("nested", ms=100),
        tool("nested", "weather", start=1, ms=20),
        tool("nested", "client", "weather", tool="get_weather", start=2),
        tool("nested", "server", "client", tool="get_weather", start=3, kind="Server", status="Error"),
        tool("nested", "research", start=30, ms=50),
        model("nested", "m", "research", start=31),
        tool("nested", "grep", "research", start=32),
        tool("nested", "delegate", start=85),
        agent("nested", "helper", "delegate", start=86),
        tool("nested", "read", "helper", start=87),
    ])  # fmt: skip
    assert (found(storage_store, "nested") or {})["steps"] == [
        ["weather", False], ["research", True], ["grep", True], ["delegate", True], ["read", True],
    ]  # fmt: skip  # what answers a call says whether it went well


def test_a_call_answered_behind_a_span_of_something_else_is_one_step(storage_store: Store) -> None:
    storage_store.insert_rows([
        agent("remote", ms=100),
        tool("remote", "get_weather", start=1, ms=50),
        span("remote", "POST", "get_weather", start=2, ms=40, kind="Client", http__request__method="POST"),
        tool("remote", "served", "POST", tool="get_weather", start=3, ms=20, kind="Server"),
    ])  # fmt: skip
    assert (found(storage_store, "remote") or {})["steps"] == [["get_weather", True]]


def test_tokens_are_those_of_the_models_else_those_of_the_agent(storage_store: Store) -> None:
    totals = {"gen_ai__usage__input_tokens": "70", "gen_ai__usage__output_tokens": "7"}
    storage_store.insert_rows([
        agent("both", **totals), model("both", "m1"), model("both", "m2", "m1"), model("both", "m3", start=1),
        agent("agents", **totals), tool("agents", "grep"),
    ])  # fmt: skip
    both, agents = found(storage_store, "both") or {}, found(storage_store, "agents") or {}
    assert (both["ModelCalls"], both["InputTokens"], both["OutputTokens"]) == (2, 20, 4)
    assert (agents["ModelCalls"], agents["InputTokens"], agents["OutputTokens"]) == (0, 70, 7)


def test_housekeeping_lone_model_calls_and_tools_without_an_agent_are_no_episodes(storage_store: Store) -> None:
    rows = [
        span("made", "x", gen_ai__operation__name="create_agent", gen_ai__agent__name="triage"),
        span("listed", "x", mcp__method__name="tools/list"),
        span("discovered", "x", mcp__method__name="server/discover"),
        model("asked", "x", ""),
        tool("called", "x", ""),
        span("chained", "x", openinference__span__kind="CHAIN"),
    ]
    storage_store.insert_rows(rows)
    assert [found(storage_store, row.trace_id) for row in rows] == [None] * len(rows)


def test_an_agent_that_has_not_ended_yet_runs(storage_store: Store) -> None:
    rows = [tool("running", "grep", start=1), model("running", "m", start=2)]
    storage_store.insert_rows(rows)
    assert (found(storage_store, "running") or {})["Outcome"] == "unknown"  # silent since January
    storage_store.insert_rows([agent("running")])
    assert (found(storage_store, "running") or {})["Outcome"] == "success"


def messages_of_two_calls(form: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return what two model spans say of a search that worked and an edit that did not, in one form of messages."""
    search, text, found_it, refused = {"pattern": "x"}, {"path": "a.py"}, "3 hits", "Error: a.py is locked"
    if form == "parts":
        calls = [
            {"type": "tool_call", "id": "1", "name": "grep", "arguments": search},
            {"type": "tool_call", "id": "2", "name": "edit", "arguments": text},
        ]
        said: list[dict[str, Any]] = [{"role": "assistant", "parts": calls}]
        told = [
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": number, "response": answer}]}
            for number, answer in (("1", found_it), ("2", refused))
        ]
        return {"gen_ai.output.messages": json.dumps(said)}, {
            "gen_ai.input.messages": json.dumps([{"role": "user", "parts": []}, *said, *told])
        }
    if form == "beside the text":
        calls = [
            {"id": "1", "type": "function", "function": {"name": "grep", "arguments": json.dumps(search)}},
            {"id": "2", "type": "function", "function": {"name": "edit", "arguments": json.dumps(text)}},
        ]
        said = [{"role": "assistant", "content": None, "tool_calls": calls}]
        told = [
            {"role": "tool", "tool_call_id": "1", "content": found_it},
            {"role": "tool", "tool_call_id": "2", "content": refused},
        ]
        return {"output.value": json.dumps({"choices": [{"message": said[0]}]})}, {
            "input.value": json.dumps({"messages": said + told})
        }
    if form == "blocks":
        calls = [
            {"type": "tool_use", "id": "1", "name": "grep", "input": search},
            {"type": "tool_use", "id": "2", "name": "edit", "input": text},
        ]
        said = [{"role": "assistant", "content": calls}]
        told = [
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "1", "content": found_it},
                    {"type": "tool_result", "tool_use_id": "2", "content": "locked", "is_error": True},
                ],
            }
        ]
        return {"output.value": json.dumps(said[0])}, {"input.value": json.dumps({"messages": said + told})}
    if form == "items":  # the answer has another id than what answers it
        said = [
            {"type": "function_call", "id": "f1", "name": "grep", "arguments": json.dumps(search)},
            {"type": "function_call", "id": "f2", "name": "edit", "arguments": json.dumps(text)},
        ]
        told = [
            {**said[0], "call_id": "1"},
            {**said[1], "call_id": "2"},
            {"type": "function_call_output", "call_id": "1", "output": found_it},
            {"type": "function_call_output", "call_id": "2", "output": refused},
        ]
        return {"output.value": json.dumps({"output": said})}, {"input.value": json.dumps({"input": told})}
    if form == "without ids":
        said = [
            {
                "role": "model",
                "parts": [
                    {"functionCall": {"name": "grep", "args": search}},
                    {"functionCall": {"name": "edit", "args": text}},
                ],
            }
        ]
        told = [
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"name": "grep", "response": found_it}},
                    {"functionResponse": {"name": "edit", "response": refused}},
                ],
            }
        ]
        return {"output.value": json.dumps({"candidates": [{"content": said[0]}]})}, {
            "input.value": json.dumps({"contents": said + told})
        }
    piece = "llm.{}_messages.{}.message."
    calls_of = {
        f"{piece.format(side, place)}tool_calls.{number}.tool_call.{key}": value
        for side, place in (("output", 0), ("input", 1))
        for number, (name, arguments) in enumerate((("grep", search), ("edit", text)))
        for key, value in (("id", str(number)), ("function.name", name), ("function.arguments", json.dumps(arguments)))
    }
    answers = {
        f"{piece.format('input', 2 + number)}{key}": value
        for number, answer in enumerate((found_it, refused))
        for key, value in (("tool_call_id", str(number)), ("content", answer))
    }
    return {k: v for k, v in calls_of.items() if "output" in k}, {
        k: v for k, v in calls_of.items() if "input" in k
    } | answers


def test_calls_of_models_under_a_plain_root_are_a_run_with_the_steps_of_their_messages(storage_store: Store) -> None:
    forms = ["parts", "beside the text", "blocks", "items", "without ids", "attributes"]
    for form in forms:
        first, second = messages_of_two_calls(form)
        asked, told = model(form, "m1", "root", start=1), model(form, "m2", "root", start=30)
        storage_store.insert_rows([
            asked._replace(span_attributes={**asked.span_attributes, **first}),
            told._replace(span_attributes={**told.span_attributes, **second}),
        ])  # fmt: skip
    assert (found(storage_store, "parts") or {})["Outcome"] == "unknown"  # silent, and nobody says that it ended
    storage_store.insert_rows(
        [span(form, "root", kind="Server", ms=100, http__request__method="POST") for form in forms]
    )
    for form in forms:
        episode = found(storage_store, form) or {}
        assert (form, episode["Outcome"], episode["steps"]) == (form, "success", [["grep", True], ["edit", False]])
        grep, edit = storage_store.query_named("steps_of_episode", {"id": form, "limit": 1000, "offset": 0})
        assert (json.loads(grep["Action"]), grep["Observation"]) == ({"pattern": "x"}, "3 hits"), form
        assert "locked" in edit["ErrorMessage"], form
        # From the first answer to the next question; where the answer has another id, nobody knows when it was asked for.
        assert grep["DurationNs"] == (0 if form == "items" else 19_000_000), form
    times = storage_store.query(
        "SELECT DISTINCT DurationNs FROM episodes WHERE EpisodeId IN {forms:Array(String)}", {"forms": forms}
    )
    assert times == [{"DurationNs": 100_000_000}]


def test_a_plain_root_that_failed_fails_the_run_inside(storage_store: Store) -> None:
    storage_store.insert_rows([
        model("answered", "m1", "root", start=1), model("answered", "m2", "root", start=20),
        span("answered", "root", kind="Server", status="Error", message="500", ms=100),
        agent("inside", "agent", "root", start=1), tool("inside", "grep", start=2), span("inside", "root", status="Error", ms=100),
        model("one", "m1", "root", start=1), span("one", "root", ms=100),
    ])  # fmt: skip
    answered = found(storage_store, "answered") or {}
    assert (answered["Outcome"], answered["Verdict"]) == ("failure", "500")
    assert (found(storage_store, "inside") or {})["Outcome"] == "failure"
    assert found(storage_store, "one") is None


def test_a_form_that_an_answer_has_is_no_step_and_an_unanswered_call_is(storage_store: Store) -> None:
    call = json.dumps(
        [{"role": "assistant", "parts": [{"type": "tool_call", "id": "1", "name": "Invoice", "arguments": {}}]}]
    )
    for trace, why in (("form", "stop"), ("asked", "tool_calls")):
        said = {"gen_ai__output__messages": call, "gen_ai__response__finish_reasons": f'["{why}"]'}
        storage_store.insert_rows([
            model(trace, "m1", "root", start=1), model(trace, "m2", "root", start=20, **said), span(trace, "root", ms=100),
        ])  # fmt: skip
    assert (found(storage_store, "form") or {})["steps"] == []
    assert (found(storage_store, "asked") or {})["steps"] == [["Invoice", None]]


def test_values_in_quotes_and_counts_in_an_answer_are_read(storage_store: Store) -> None:
    usage = '{"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}'
    storage_store.insert_rows([
        span("quoted", "root", mlflow__spanType='"AGENT"', mlflow__spanInputs='{"question": "fix it"}', ms=100),
        span("quoted", "m", "root", mlflow__spanType='"CHAT_MODEL"', mlflow__spanOutputs=usage, start=1),
        span("quoted", "Tool.grep", "root", mlflow__spanType='"TOOL"', mlflow__spanOutputs='"3 hits"', start=20),
    ])  # fmt: skip
    episode = found(storage_store, "quoted") or {}
    assert (episode["Task"], episode["Outcome"], episode["steps"]) == ("fix it", "success", [["grep", True]])
    assert (episode["ModelCalls"], episode["InputTokens"], episode["OutputTokens"]) == (1, 7, 3)


def test_a_model_span_in_which_tools_ran_leaves_the_tokens_to_the_agent(storage_store: Store) -> None:
    storage_store.insert_rows([
        span("looped", "agent", entity__type="agent", entity__name="fixer", usage__prompt_tokens="70", usage__completion_tokens="9", ms=90),
        span("looped", "llm", "agent", span__type="llm", llm__usage__prompt_tokens="20", llm__usage__completion_tokens="4", start=1, ms=80),
        span("looped", "t", "agent", span__type="tool", tool__name="grep", input="{}", start=20),
    ])  # fmt: skip
    episode = found(storage_store, "looped") or {}
    assert (episode["AgentName"], episode["InputTokens"], episode["OutputTokens"]) == ("fixer", 70, 9)


def ours(row: Row, **attributes: str) -> Row:
    """Return a span as our own library writes it."""
    return row._replace(span_attributes={key.replace("__", "."): value for key, value in attributes.items()})


def our_step(trace: str, name: str, parent: str, tool: str, *, start: int, **more: str) -> Row:
    return ours(
        span(trace, name, parent, start=start), episode__span="step", episode__step__kind="tool_use",
        episode__step__success="true", gen_ai__tool__name=tool, gen_ai__operation__name="execute_tool", **more,
    )  # fmt: skip


def test_our_step_on_a_frameworks_tool_counts_once(storage_store: Store) -> None:
    storage_store.insert_rows([
        agent("twice", ms=100),
        tool("twice", "grep", start=1, ms=20),
        our_step("twice", "s1", "grep", "grep", start=2, episode__step__action="search"),
        tool("twice", "lookup", start=30),
        our_step("twice", "s2", "lookup", "ripgrep", start=31),
        tool("twice", "survey", start=50),
        our_step("twice", "s3", "survey", "read", start=51),
        our_step("twice", "s4", "survey", "write", start=52),
    ])  # fmt: skip
    assert (found(storage_store, "twice") or {})["steps"] == [
        ["grep", True], ["ripgrep", True], ["survey", True], ["read", True], ["write", True],
    ]  # fmt: skip
    actions = [
        step["Action"]
        for step in storage_store.query_named("steps_of_episode", {"id": "twice", "limit": 1000, "offset": 0})
    ]
    assert actions[0] == "search"


@pytest.mark.parametrize("stamped", [True, False])
def test_an_agent_within_our_episode_is_a_part_of_it(storage_store: Store, stamped: bool) -> None:
    trace = f"within {stamped}"
    mark = {"episode__id": trace} if stamped else {}
    episode = {"episode__id": trace, "gen_ai__agent__name": "coder"}
    storage_store.insert_rows([
        agent(trace, "agent", "plan", start=3, ms=50, status="Error", **mark),
        tool(trace, "grep", start=4, **mark),
        model(trace, "m", start=5, **mark),
        our_step(trace, "plan", "root", "plan", start=2, **episode),
        our_step(trace, "ours", "tool", "edit", start=10, **episode),
        tool(trace, "tool", start=9, tool="edit", **mark),
        ours(span(trace, "root", ms=100), episode__span="episode", episode__task="Clean up", episode__outcome="success", **episode),
    ])  # fmt: skip
    episode_read = found(storage_store, trace) or {}
    assert (episode_read["Task"], episode_read["AgentName"], episode_read["Outcome"]) == (
        "Clean up",
        "coder",
        "success",
    )
    assert episode_read["steps"] == [["plan", True], ["grep", True], ["edit", True]]
    assert (episode_read["Steps"], episode_read["ModelCalls"]) == (3, 1)


def test_a_part_of_a_claude_code_tool_says_how_it_went(storage_store: Store) -> None:
    storage_store.insert_rows([
        span("claude", "claude_code.interaction", span__type="interaction", user_prompt="fix it", ms=100),
        span("claude", "claude_code.llm_request", "claude_code.interaction", span__type="llm_request", input_tokens="10", output_tokens="2"),
        span("claude", "claude_code.tool", "claude_code.interaction", start=1, span__type="tool", tool_name="Bash", full_command="ls"),
        span("claude", "claude_code.tool.execution", "claude_code.tool", start=2, span__type="tool.execution", success="false", error="exit 1"),
    ])  # fmt: skip
    episode = found(storage_store, "claude") or {}
    assert (episode["Task"], episode["Outcome"], episode["steps"]) == ("fix it", "success", [["Bash", False]])
    assert (episode["ModelCalls"], episode["InputTokens"]) == (1, 10)


def sample(mark: str) -> list[Row]:
    """Return spans of several traces: agents in workflows, tools in tools, ours among others, a remote call."""
    mixed, plain = f"mixed {mark}", f"plain {mark}"
    return [
        ours(span(mixed, "root", ms=200), episode__span="episode", episode__id=mixed, episode__outcome="partial"),
        our_step(mixed, "own", "grep", "grep", start=6, episode__id=mixed),
        agent(mixed, parent="root", start=1, ms=90),
        tool(mixed, "grep", start=5),
        model(mixed, "m", start=2),
        tool(mixed, "edit", start=9, status="Error", message="no"),
        span(plain, "wf", traceloop__span__kind="workflow", ms=200),
        agent(plain, "first", "wf", status="Error", start=1, ms=20),
        agent(plain, "second", "wf", start=30, ms=90),
        tool(plain, "weather", "second", start=31, ms=30),
        tool(plain, "served", "gone", tool="weather", kind="Server", start=32),
        model(plain, "outer", "second", start=70),
        model(plain, "same", "outer", start=71),
        our_step(plain, "loose", "second", "write", start=75),
    ]


def read(store: Store, mark: str) -> list[dict[str, Any] | None]:
    episodes = [found(store, f"{kind} {mark}") for kind in ("mixed", "plain")]
    return [episode and {**episode, "EpisodeId": episode["EpisodeId"].removesuffix(mark)} for episode in episodes]


def test_any_order_and_repetition_ends_the_same(storage_store: Store) -> None:
    storage_store.insert_rows(sample("whole"))
    wanted = read(storage_store, "whole")
    assert [(episode or {})["steps"] for episode in wanted] == [
        [["grep", True], ["edit", False]], [["weather", True], ["write", True]],
    ]  # fmt: skip
    for number in range(4):
        insert(storage_store, sample(f"part {number}"), f"shuffled {number}")
        assert read(storage_store, f"part {number}") == wanted


def test_jobs_read_what_the_views_read_and_see_what_came_later(storage_store: Store) -> None:
    for table in (
        "otel_traces",
        "internal_agent_spans",
        "internal_steps",
        "internal_roots",
        "internal_changes",
        "internal_facts",
        "internal_sequences",
        "internal_job_runs",
    ):
        storage_store.sql(f"TRUNCATE TABLE {table}", read_only=False)
    rows = sample("jobs")
    columns = (
        "EpisodeId, Outcome, Task, Steps, FailedSteps, InputTokens, OutputTokens, AgentName, StartTime, DurationNs"
    )
    for part in (rows[1:5], rows[5:8], [*rows[8:], *rows[:1]]):
        storage_store.insert_rows(part)
        jobs.run(storage_store, "rewards", "reflections", overlap_seconds=0)
        facts = storage_store.query(f"SELECT {columns} FROM internal_facts FINAL ORDER BY EpisodeId")
        view = storage_store.query(f"SELECT {columns} FROM episodes WHERE Outcome != 'abandoned' ORDER BY EpisodeId")
        assert [fact for fact in facts if fact["Outcome"] != "abandoned"] == view
    arrays = storage_store.query("SELECT StepTools, StepOk FROM internal_sequences FINAL ORDER BY EpisodeId")
    assert arrays == [
        {"StepTools": ["grep", "edit"], "StepOk": [True, False]}, {"StepTools": ["weather", "write"], "StepOk": [True, True]},
    ]  # fmt: skip
    scored = storage_store.query("SELECT EpisodeId FROM internal_rewards FINAL WHERE Total > 0 ORDER BY EpisodeId")
    assert scored == [{"EpisodeId": "mixed jobs"}, {"EpisodeId": "plain jobs"}]


def test_an_evaluation_on_a_span_of_another_instrumentation_is_a_reward(storage_store: Store) -> None:
    judged = agent("judged")._replace(
        event_timestamps=(1,), event_names=("gen_ai.evaluation.result",),
        event_attributes=({"gen_ai.evaluation.name": "judge", "gen_ai.evaluation.score.value": "0.75"},),
    )  # fmt: skip
    storage_store.insert_rows([judged, tool("judged", "grep")])
    jobs.run(storage_store, "rewards", overlap_seconds=0)
    facts = storage_store.query("SELECT ExternalReward AS r FROM internal_facts FINAL WHERE EpisodeId = 'judged'")
    assert facts == [{"r": 0.75}]
