"""What the readers make of a record, before it reaches a store."""

from __future__ import annotations

import base64
import io
import json
import re
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from transcripts import read

from otel_episodes_clickhouse.importers import registry
from otel_episodes_clickhouse.importers.builder import RunBuilder
from otel_episodes_clickhouse.importers.documents import Record, records
from otel_episodes_clickhouse.importers.failures import says_failure
from otel_episodes_clickhouse.importers.options import ImportOptions
from otel_episodes_clickhouse.importers.reading import Place, Refused
from otel_episodes_clickhouse.importers.run import ModelCall, RecordError, Run, Step, Usage
from otel_episodes_clickhouse.importers.sources import Source
from otel_episodes_clickhouse.importers.values import nanoseconds

if TYPE_CHECKING:
    from pathlib import Path

    from otel_episodes_clickhouse.spool.row import Row

NOON = 1_700_000_000_000_000_000
SECOND = 1_000_000_000


def call(identifier: str, name: str, **arguments: Any) -> dict[str, Any]:
    return {"id": identifier, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}


def answer(identifier: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": identifier, "content": content, **more}


def attributes(rows: list[Row], kind: str) -> list[dict[str, str]]:
    """Return the attributes of the spans of a kind."""
    return [dict(row.span_attributes) for row in rows if row.span_attributes.get("episode.span") == kind]


def found_in(record: Any, **options: Any) -> list[Any]:
    """Return what the reader of a record makes of it."""
    source = Source("a test", 0, NOON, io.BytesIO)
    place = Place(ImportOptions(**options), source, NOON)
    return list(registry.of_record(record, options.get("format", "auto")).record(record, place))


def run_of(record: Any, **options: Any) -> Run:
    (run,) = found_in(record, **options)
    return run


# --- chat ----------------------------------------------------------------------------------------------------------

FLIGHTS = {
    "task_id": 7,
    "trial": 0,
    "reward": 0.0,
    "instruction": "Book the cheapest flight",
    "domain": "airline",
    "api_key": "sk-1234567890abcdefghijklmnop",
    "info": {"nested": "left out"},
    "messages": [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": None, "tool_calls": [call("a", "search", to="SEA"), call("b", "user", id=3)]},
        answer("b", "Error: no such user"),
        answer("a", [{"type": "text", "text": "two flights"}, {"type": "image_url"}]),
        {"role": "assistant", "content": "done"},
    ],
}


def test_a_transcript_becomes_a_run_with_its_calls_in_their_order_and_their_answers_by_id():
    assert run_of(FLIGHTS, agent="gpt") == Run(
        task="Book the cheapest flight",
        start_time=NOON,
        end_time=NOON + 5000,
        format="chat",
        agent="gpt",
        outcome="failure",
        outcome_source="score",
        verdict="reward 0 is below 1",
        reward=0.0,
        options={"domain": "airline"},
        attributes={"task_id": 7, "trial": 0, "reward": 0.0, "api_key": "sk-1234567890abcdefghijklmnop"},
        steps=(
            Step("search", NOON + 2000, 0, {"to": "SEA"}, "two flights\n[image_url]", id="a"),
            Step("user", NOON + 2000, 0, {"id": 3}, "Error: no such user", success=False, id="b"),
        ),
        times_made_up=True,
    )


USER = {"role": "user", "content": "go"}


@pytest.mark.parametrize(
    ("record", "options", "expected"),
    [
        ({"reward": 0.8}, {"success_at": 0.8}, ("success", "score")),
        ({"reward": 0.8}, {}, ("failure", "score")),
        ({"reward": "0.0"}, {}, ("failure", "score")),
        ({"reward": False}, {}, ("failure", "score")),
        ({"score": 1}, {}, ("success", "score")),
        ({"score": {"value": 0}}, {}, ("failure", "score")),
        ({"scores": {"exact": {"value": "C"}}}, {}, ("success", "score")),
        ({"scores": {"exact": 1, "style": 0}}, {}, ("", "")),
        ({"reward_info": {"reward": 1.0}}, {}, ("success", "score")),
        ({"result": {"score": 0}}, {"reward": "result.score"}, ("failure", "score")),
        ({"outcome": "abstained"}, {}, ("abstained", "told")),
        ({"outcome": "failed"}, {}, ("failure", "told")),
        ({"status": "error"}, {}, ("failure", "told")),
        ({"status": "completed"}, {}, ("", "")),
        ({"resolved": False}, {}, ("failure", "told")),
        ({"resolved": 1}, {}, ("success", "told")),
        ({"resolved": "true"}, {}, ("success", "told")),
        ({"report": {"resolved": False}}, {}, ("failure", "told")),
        ({"passed": 5, "failed": 0}, {}, ("", "")),
        ({"error": "RateLimitError: 429"}, {}, ("failure", "exception")),
        ({"error": ""}, {}, ("", "")),
        ({"info": {"exit_status": "LimitsExceeded"}}, {}, ("failure", "told")),
        ({"info": {"exit_status": "Submitted"}}, {}, ("", "")),
        ({"reward": None}, {}, ("", "")),
        ({}, {}, ("", "")),
    ],
)
def test_the_outcome_is_what_a_record_says_and_unknown_where_it_says_nothing(record, options, expected):
    run = run_of({"messages": [USER], **record}, **options)

    assert (run.outcome, run.outcome_source) == expected


def test_the_task_is_the_field_named_else_a_usual_one_else_what_the_user_said_first():
    messages = [{"role": "system", "content": "be kind"}, {"role": "user", "content": [{"type": "text", "text": "hi"}]}]

    assert run_of({"messages": messages}).task == "hi"
    assert run_of(messages).task == "hi"
    assert run_of({"any name": messages}).task == "hi"
    assert run_of({"messages": messages, "prompt": "from the prompt"}).task == "from the prompt"
    assert run_of({"messages": messages, "q": {"text": "nested"}}, task="q.text").task == "nested"
    with pytest.raises(RecordError, match=r"no field 'question', which --task names; its fields are messages"):
        run_of({"messages": messages}, task="question")


def test_old_function_calls_missing_answers_late_ones_and_answers_to_calls_that_are_not_there():
    steps = run_of(
        {
            "messages": [
                {"role": "assistant", "function_call": {"name": "old", "arguments": "{not json"}},
                {"role": "function", "name": "old", "content": "fine"},
                {"role": "assistant", "tool_calls": [call("x", "lost"), call("y", "late")]},
                {"role": "assistant", "content": "still waiting"},
                answer("y", "here"),
                {"role": "tool", "tool_call_id": "cut-off", "name": "earlier", "content": '{"error": "gone"}'},
            ]
        }
    ).steps

    assert [(step.tool, step.arguments, step.observation, step.success, step.unanswered) for step in steps] == [
        ("old", "{not json", "fine", True, False),
        ("lost", {}, None, None, True),
        ("late", {}, "here", True, False),
        ("earlier", "", '{"error": "gone"}', False, False),
    ]


def test_times_and_tokens_in_a_transcript_are_used_and_a_missing_time_costs_its_own_duration_alone():
    run = run_of(
        {
            "messages": [
                {"role": "user", "content": "go"},
                {"role": "assistant", "content": "hm", "created": 1_700_000_001, "usage": {"prompt_tokens": 5}},
                {
                    "role": "assistant",
                    "created_at": 1_700_000_002_000,
                    "tool_calls": [call("a", "search"), call("b", "read"), call("c", "ask")],
                    "usage": {"prompt_tokens": 100, "completion_tokens": 20},
                },
                answer("a", "ok", timestamp=1_700_000_004.5),
                answer("b", "ok", extra={"timestamp": "2023-11-14T22:13:26.123456789+00:00"}),
                answer("c", "ok"),
            ]
        }
    )

    assert [(step.start_time - NOON, step.duration, step.usage) for step in run.steps] == [
        (2 * SECOND, 2_500_000_000, Usage(100, 20)),
        (2 * SECOND, 4_123_456_789, Usage()),
        (2 * SECOND, 0, Usage()),
    ]
    assert (run.start_time - NOON, run.times_made_up, run.usage) == (SECOND, False, Usage(105, 20))
    assert [(made.end_time - NOON, made.usage) for made in run.model_calls] == [
        (SECOND, Usage(5)),
        (2 * SECOND, Usage(100, 20)),
    ]


def test_a_file_cannot_set_our_own_attributes():
    run = run_of({"messages": [USER], "episode.id": "mine", "gen_ai.agent.name": "me", "note": "kept"})

    assert run.attributes == {"note": "kept"}


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"a": 1}, "not in the form of any run: an object with a"),
        ({"messages": []}, "not in the form of any run: an object with messages"),
        ({"messages": [{"role": "system", "content": "x"}]}, "neither a task nor a call nor an answer of an assistant"),
        ({"messages": [USER, "hi"]}, "a message that is not an object"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": 1}]}]}, "a tool call without a function name"),
        ({"messages": [{"role": "assistant", "tool_calls": "x"}]}, "tool_calls is not a list"),
        ({"messages": [USER], "reward": "high"}, "the reward in 'reward' is not a number"),
    ],
)
def test_what_is_no_transcript_is_refused_with_the_reason(record, reason):
    with pytest.raises(RecordError, match=reason):
        run_of(record, reward="reward" if "reward" in record else "")


@pytest.mark.parametrize(
    "text",
    [
        "Error: x", "error: command failed", "ValueError: not a number", "An error occurred: x", "Failed: no route",
        "EXECUTION FAILED: no", "Tool call failed: x", "<tool_use_error>File not read</tool_use_error>",
        "Traceback (most recent call last):\n  File x\nKeyError: 1",
        "started\nTraceback (most recent call last):\n  File x\nKeyError: 1",
        "Exit code 1\nboom", "exit code: 127", "Command exited with non-zero status 2", "[exit_code] 1",
        "Process exited with code 2\nOutput:\n", "output\n[The command completed with exit code 1.]",
        "<returncode>1</returncode>\n<output>x</output>", "$ make\nmake: *** [all] Error 2\n$",
        '{"error": "x"}', '{"errors": [{"m": 1}]}', '{"status": "error", "message": "x"}', '{"success": false}',
        '{"ok": false}', '[{"error": "x"}]', '{"exit_code": 1, "stdout": ""}', '{"returncode": 2}', '{"isError": true}',
        '{"is_error": true}',
    ],
)  # fmt: skip
def test_an_answer_that_tells_of_a_failure_is_one(text):
    assert says_failure(text)


@pytest.mark.parametrize(
    "text",
    [
        "ok", "", "{broken", "ErrorBoundary.tsx\nApp.tsx", "Errors: 0, warnings: 2", "Errors were found: none",
        "Error: none", "failed: 0, passed: 3", "Error handling guide\n======", "Exit code 0\nerror: a word in a log",
        "exit code: 0", "exited the highway", '{"error": null, "rows": 2}', '{"error": ""}', '{"error": false}',
        '{"error_count": 0}', '{"is_error": false}', '{"success": true, "error": null}', '{"logs": ["error: x"]}',
        '[{"error": "x"}, {"rows": 2}]', '{"reservation_id": "A", "status": "cancelled", "flights": []}',
    ],
)  # fmt: skip
def test_an_answer_that_only_has_such_a_word_in_it_is_none(text):
    assert not says_failure(text)


@pytest.mark.parametrize(
    ("flags", "success"),
    [
        ({"is_error": True}, False),
        ({"status": "error"}, False),
        ({"error": True}, False),
        ({"error": {"type": "timeout", "message": "late"}}, False),
        ({"success": False}, False),
        ({"extra": {"returncode": 1}}, False),
        ({"extra": {"returncode": 0}}, True),
        ({"is_error": False}, True),
        ({}, False),
    ],
)
def test_a_flag_beside_an_answer_stands_over_its_words(flags, success):
    messages = [
        USER,
        {"role": "assistant", "tool_calls": [call("a", "t")]},
        answer("a", "Error: is what it says", **flags),
    ]

    assert run_of({"messages": messages}).steps[0].success is success


# --- ATIF ----------------------------------------------------------------------------------------------------------

SUMMARY = {
    "schema_version": "ATIF-v1.7",
    "trajectory_id": "sub-1",
    "agent": {"name": "summariser", "version": "1"},
    "steps": [
        {"step_id": 1, "source": "user", "message": "Summarise the log", "timestamp": "2023-11-14T22:13:31Z"},
        {
            "step_id": 2,
            "source": "agent",
            "message": "",
            "timestamp": "2023-11-14T22:13:32Z",
            "tool_calls": [{"tool_call_id": "s", "function_name": "head", "arguments": {"n": 5}}],
            "observation": {"results": [{"source_call_id": "s", "content": "five lines"}]},
        },
    ],
}
HARBOR = {
    "schema_version": "ATIF-v1.7",
    "session_id": "session-9",
    "trajectory_id": "main",
    "agent": {"name": "harbor-agent", "version": "2.1", "model_name": "some-model"},
    "notes": "made for this test",
    "final_metrics": {"total_prompt_tokens": 1000, "total_completion_tokens": 90, "total_cost_usd": 0.25},
    "subagent_trajectories": [SUMMARY],
    "steps": [
        {"step_id": 1, "source": "system", "message": "You are an agent", "timestamp": "2023-11-14T22:13:19Z"},
        {"step_id": 2, "source": "user", "message": "Mend the build", "timestamp": "2023-11-14T22:13:20Z"},
        {
            "step_id": 3,
            "source": "agent",
            "message": "copied",
            "timestamp": "2023-11-14T22:13:20Z",
            "is_copied_context": True,
            "tool_calls": [{"tool_call_id": "0", "function_name": "old", "arguments": {}}],
        },
        {
            "step_id": 4,
            "source": "agent",
            "message": "two calls",
            "timestamp": "2023-11-14T22:13:22Z",
            "metrics": {"prompt_tokens": 600, "completion_tokens": 50, "cached_tokens": 100},
            "tool_calls": [
                {"tool_call_id": "1", "function_name": "bash", "arguments": {"command": "make"}},
                {"tool_call_id": "2", "function_name": "read", "arguments": {"path": "log"}},
            ],
            "observation": {
                "results": [
                    {"source_call_id": "2", "content": [{"type": "text", "text": "a log"}]},
                    {"source_call_id": "1", "content": "broken", "extra": {"exit_code": 2}},
                ]
            },
        },
        {
            "step_id": 5,
            "source": "agent",
            "message": "delegate",
            "timestamp": "2023-11-14T22:13:30Z",
            "metrics": {"prompt_tokens": 300, "completion_tokens": 30},
            "tool_calls": [{"tool_call_id": "3", "function_name": "task", "arguments": {}}],
            "observation": {
                "results": [{"source_call_id": "3", "subagent_trajectory_ref": [{"trajectory_id": "sub-1"}]}]
            },
        },
        {
            "step_id": 6,
            "source": "agent",
            "message": "All done",
            "timestamp": "2023-11-14T22:13:40Z",
            "metrics": {"prompt_tokens": 100, "completion_tokens": 10},
        },
    ],
}


def test_a_trajectory_becomes_a_run_with_a_sub_agent():
    run = run_of(HARBOR)

    assert (run.task, run.agent, run.outcome, run.times_made_up) == ("Mend the build", "harbor-agent", "", False)
    assert (run.options, run.model, run.cost) == ({"conversation_id": "session-9"}, "some-model", 0.25)
    assert run.attributes == {
        "gen_ai.agent.version": "2.1",
        "atif.trajectory_id": "main",
        "atif.notes": "made for this test",
    }
    assert [(s.tool, s.start_time - NOON, s.duration, s.success, s.observation) for s in run.steps] == [
        ("bash", 2 * SECOND, 8 * SECOND, False, "broken"),
        ("read", 2 * SECOND, 8 * SECOND, True, "a log"),
        ("task", 10 * SECOND, 10 * SECOND, True, ""),
    ]
    assert [s.usage for s in run.steps] == [Usage(600, 50, 100), Usage(), Usage(300, 30)]
    assert run.usage == Usage(1000, 90, 100)
    assert [sub.task for sub in run.steps[2].sub_agents] == ["Summarise the log"]


@pytest.mark.parametrize("version", [f"ATIF-v1.{minor}" for minor in range(9)])
def test_every_version_of_the_format_is_read(version):
    steps = [{"step_id": 1, "source": "user", "message": "go"}]
    run = run_of({"schema_version": version, "session_id": "s", "agent": {"name": "a", "version": "1"}, "steps": steps})

    assert (run.task, run.steps, run.times_made_up) == ("go", (), True)


def test_a_trajectory_is_recognised_by_its_steps_where_it_does_not_name_its_version():
    assert run_of({"agent": {"name": "a"}, "steps": [{"source": "user", "message": "go"}]}).task == "go"


def test_a_reward_under_extra_decides_and_a_field_can_be_named():
    steps = [{"source": "user", "message": "go"}]
    record = {"schema_version": "ATIF-v1.8", "steps": steps, "extra": {"verifier_result": {"rewards": {"reward": 0.5}}}}

    assert (run_of(record).outcome, run_of(record).reward) == ("failure", 0.5)
    assert run_of(record, success_at=0.5).outcome == "success"
    assert run_of({**record, "extra": {"r": 1}}, reward="extra.r").reward == 1.0
    assert run_of({**record, "extra": {"exception_info": {"exception_type": "Timeout"}}}).verdict == "Timeout"


def test_totals_that_include_those_of_sub_agents_are_not_counted_twice():
    def turn(prompt: int, **more: Any) -> dict[str, Any]:
        return {"source": "agent", "message": "", "metrics": {"prompt_tokens": prompt, "completion_tokens": 1}, **more}

    inner = {"trajectory_id": "kid", "agent": {"name": "kid"}, "steps": [turn(20)]}
    called = {
        "tool_calls": [{"tool_call_id": "a", "function_name": "ask", "arguments": {}}],
        "observation": {"results": [{"content": "ok", "subagent_trajectory_ref": [{"trajectory_id": "kid"}]}]},
    }
    run = run_of(
        {"schema_version": "ATIF-v1.7", "agent": {"name": "main"}, "steps": [turn(100, **called), turn(130)],
         "subagent_trajectories": [inner], "final_metrics": {"total_prompt_tokens": 250, "total_completion_tokens": 3}}
    )  # fmt: skip

    assert (run.usage, run.steps[0].sub_agents[0].usage) == (Usage(230, 2), Usage(20, 1))


def test_results_without_a_call_id_go_to_the_calls_in_order_and_what_the_system_does_is_a_step():
    calls = [{"tool_call_id": n, "function_name": n, "arguments": {}} for n in ("a", "b")]
    run = run_of({
        "schema_version": "ATIF-v1.2",
        "steps": [
            {"source": "agent", "message": "", "tool_calls": calls,
             "observation": {"results": [{"content": "first"}, {"content": "Error: second"}]}},
            {"source": "agent", "message": "ls -l", "observation": {"results": [{"content": "3 files"}]}},
            {"source": "system", "message": "compacted", "observation": {"results": [{"content": "ok"}]}},
        ],
    })  # fmt: skip

    assert [(s.tool, s.arguments, s.observation, s.success) for s in run.steps] == [
        ("a", {}, "first", True),
        ("b", {}, "Error: second", False),
        ("action", "ls -l", "3 files", True),
        ("system", "compacted", "ok", True),
    ]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"schema_version": "ATIF-v2.0", "steps": []}, "schema_version is 'ATIF-v2.0'"),
        ({"schema_version": "ATIF-v1.0", "steps": []}, "neither a task nor a call nor a turn of an agent"),
        ({"schema_version": "ATIF-v1.0", "steps": ["x"]}, "a step is not an object"),
        ({"schema_version": "ATIF-v1.0", "steps": [{"tool_calls": [{}]}]}, "a tool call without function_name"),
        ({"schema_version": "ATIF-v1.0"}, "not in the form of any run"),
    ],
)
def test_what_is_no_trajectory_is_refused_with_the_reason(record, reason):
    with pytest.raises(RecordError, match=reason):
        run_of(record)


# --- OTLP ----------------------------------------------------------------------------------------------------------


def otlp_span(**span: Any) -> dict[str, Any]:
    return {"traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "eee19b7ec3c1b174", "name": "work", **span}


def otlp(**span: Any) -> dict[str, Any]:
    whole = otlp_span(**span)
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "my.service"}}]}
    scope = {"name": "my.library", "version": "1.0.0"}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": scope, "spans": [whole]}]}]}


def test_a_request_becomes_rows_as_the_collector_would_have_written_them():
    values = {
        "text": {"stringValue": "x"},
        "yes": {"boolValue": True},
        "big": {"intValue": "9007199254740993"},
        "half": {"doubleValue": 0.5},
        "nan": {"doubleValue": "NaN"},
        "list": {"arrayValue": {"values": [{"stringValue": "a"}, {"intValue": "1"}]}},
        "map": {"kvlistValue": {"values": [{"key": "k", "value": {"boolValue": False}}]}},
        "bytes": {"bytesValue": base64.b64encode(b"\x00\xff").decode()},
        "nothing": {},
    }
    (row,) = found_in(
        otlp(
            parentSpanId="eee19b7ec3c1b173",
            traceState="a=b",
            kind=3,
            startTimeUnixNano="1700000000000000001",
            endTimeUnixNano="1700000000000000005",
            attributes=[{"key": key, "value": value} for key, value in values.items()],
            events=[{"timeUnixNano": "1700000000000000002", "name": "e", "attributes": []}],
            links=[{"traceId": "a" * 32, "spanId": "b" * 16, "attributes": []}],
            status={"code": 2, "message": "broken"},
        )
    )

    assert row._asdict() == {
        "timestamp": NOON + 1,
        "trace_id": "5b8efff798038103d269b633813fc60c",
        "span_id": "eee19b7ec3c1b174",
        "parent_span_id": "eee19b7ec3c1b173",
        "trace_state": "a=b",
        "span_name": "work",
        "span_kind": "Client",
        "service_name": "my.service",
        "resource_attributes": {"service.name": "my.service"},
        "scope_name": "my.library",
        "scope_version": "1.0.0",
        "span_attributes": {
            "text": "x",
            "yes": "true",
            "big": "9007199254740993",
            "half": "0.5",
            "nan": "NaN",
            "list": '["a",1]',
            "map": '{"k":false}',
            "bytes": "AP8=",
            "nothing": "",
        },
        "duration": 4,
        "status_code": "Error",
        "status_message": "broken",
        "event_timestamps": (NOON + 2,),
        "event_names": ("e",),
        "event_attributes": ({},),
        "link_trace_ids": ("a" * 32,),
        "link_span_ids": ("b" * 16,),
        "link_trace_states": ("",),
        "link_attributes": ({},),
    }


def test_names_of_the_proto_file_and_of_enumerations_are_read_too():
    span = {"trace_id": "a" * 32, "span_id": "b" * 16, "kind": "SPAN_KIND_SERVER", "status": {"code": "STATUS_CODE_OK"}}
    (row,) = found_in({"resource_spans": [{"scope_spans": [{"spans": [span]}]}]})

    assert (row.trace_id, row.span_kind, row.status_code, row.parent_span_id) == ("a" * 32, "Server", "Ok", "")


@pytest.mark.parametrize(
    ("span", "reason"),
    [
        ({"traceId": "0" * 32}, "traceId '0+' is not an id"),
        ({"spanId": "xyz"}, "spanId 'xyz' is not an id"),
        ({"startTimeUnixNano": "soon"}, "startTimeUnixNano 'soon' is not a time"),
        ({"startTimeUnixNano": str(2**64)}, "is not a time"),
        ({"attributes": [{"key": "b", "value": {"bytesValue": "?"}}]}, "not base64"),
        ({"attributes": "x"}, "attributes is not a list"),
    ],
)
def test_a_bad_span_costs_itself_alone(span, reason):
    request = otlp()
    request["resourceSpans"][0]["scopeSpans"][0]["spans"] += [{**otlp_span(spanId="a" * 16), **span}]
    request["resourceSpans"][0]["scopeSpans"][0]["spans"] += [otlp_span(spanId="c" * 16)]

    first, refused, last = found_in(request)

    assert (first.span_id, last.span_id) == ("eee19b7ec3c1b174", "c" * 16)
    assert isinstance(refused, Refused)
    assert re.search(reason, refused.reason)


def test_another_signal_is_refused_with_its_name():
    with pytest.raises(RecordError, match="no spans in it: resourceLogs"):
        found_in({"resourceLogs": []})


def test_old_names_base64_ids_times_as_text_and_links_without_a_span_are_read():
    ids = {"traceId": base64.b64encode(b"\x01" * 16).decode(), "spanId": base64.b64encode(b"\x02" * 8).decode()}
    span = otlp_span(**ids, startTimeUnixNano="2023-11-14T22:13:20Z", links=[{"traceId": "a" * 32}, {"spanId": "b"}])
    (row,) = found_in({"resourceSpans": [{"instrumentationLibrarySpans": [
        {"instrumentationLibrary": {"name": "old"}, "spans": [span]}]}]})  # fmt: skip

    assert (row.trace_id, row.span_id, row.timestamp, row.scope_name) == ("01" * 16, "02" * 8, NOON, "old")
    assert (row.link_trace_ids, row.link_span_ids) == (("a" * 32,), ("",))


@pytest.mark.parametrize("wrap", [lambda spans: {"batches": spans}, lambda spans: {"trace": {"resourceSpans": spans}}])
def test_the_wrappers_of_tempo_are_read(wrap):
    (row,) = found_in(wrap(otlp()["resourceSpans"]))

    assert (row.span_name, row.service_name) == ("work", "my.service")


def test_a_trace_of_jaeger_is_read():
    child = {
        "traceID": "abc", "spanID": "2", "operationName": "chat m", "startTime": NOON // 1000, "duration": 1500,
        "processID": "p1", "references": [{"refType": "CHILD_OF", "traceID": "abc", "spanID": "1"}],
        "tags": [{"key": "gen_ai.usage.input_tokens", "type": "int64", "value": 7}, {"key": "error", "value": True},
                 {"key": "span.kind", "value": "client"}],
        "logs": [
            {"timestamp": NOON // 1000, "fields": [{"key": "event", "value": "exception"}, {"key": "m", "value": "x"}]}
        ],
    }  # fmt: skip
    processes = {"p1": {"serviceName": "shop", "tags": [{"key": "host", "value": "h"}]}}

    (row,) = found_in({"data": [{"traceID": "abc", "spans": [child], "processes": processes}]})

    assert row._replace(resource_attributes={}, span_attributes={}) == row.__class__(
        NOON, "abc".zfill(32), "2".zfill(16), "1".zfill(16), span_name="chat m", span_kind="Client",
        service_name="shop", duration=1_500_000, status_code="Error", event_timestamps=(NOON,),
        event_names=("exception",),
        event_attributes=({"m": "x"},),
    )  # fmt: skip
    assert (row.resource_attributes, row.span_attributes["gen_ai.usage.input_tokens"]) == (
        {"host": "h", "service.name": "shop"},
        "7",
    )


def test_a_span_that_the_sdk_printed_is_read():
    context = {"trace_id": "0x" + "a" * 32, "span_id": "0x" + "b" * 16, "trace_state": "[]"}
    (row,) = found_in({
        "name": "x", "context": context, "kind": "SpanKind.CLIENT", "parent_id": None,
        "start_time": "2023-11-14T22:13:20.000000Z", "end_time": "2023-11-14T22:13:21.000000Z",
        "status": {"status_code": "ERROR", "description": "no"}, "attributes": {"n": 1}, "events": [], "links": [],
        "resource": {"attributes": {"service.name": "s"}},
    })  # fmt: skip

    assert (row.trace_id, row.span_kind, row.duration, row.status_code, row.service_name, row.span_attributes) == (
        "a" * 32, "Client", SECOND, "Error", "s", {"n": "1"},
    )  # fmt: skip


# --- files ---------------------------------------------------------------------------------------------------------


def written(path: Path, text: str | bytes) -> list[Record]:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with path.open("rb") as file:
        return list(records(file))


def test_lines_are_read_one_by_one_and_a_bad_one_is_told_by_its_number(tmp_path):
    found = written(tmp_path / "f", b'\xef\xbb\xbf{"a": 1}\r\n\n{"a": \n{"a": "\\ud83d"}\n\xff\n{"a": 2}')

    assert [(record.line, record.value) for record in found if not record.problem] == [
        (1, {"a": 1}),
        (4, {"a": "\ud83d"}),
        (6, {"a": 2}),
    ]
    assert [(record.line, record.problem[:8]) for record in found if record.problem] == [
        (3, "not JSON"),
        (5, "not JSON"),
    ]
    assert found[-1].end == (tmp_path / "f").stat().st_size


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[{"a": 1}, {"a": 2}]', [(1, {"a": 1}), (1, {"a": 2})]),
        ('[\n {"a": 1},\n {"a": 2}\n]\n', [(2, {"a": 1}), (3, {"a": 2})]),
        ('{\n "a": 1\n}\n{\n "a": 2\n}', [(1, {"a": 1}), (4, {"a": 2})]),
        ('[{"role": "user"}]\n[{"role": "tool"}]', [(1, [{"role": "user"}]), (2, [{"role": "tool"}])]),
        ('{"a": 1}{"a": 2}\n{"a": 3}', [(1, {"a": 1}), (1, {"a": 2}), (2, {"a": 3})]),
        (
            '[{"type": "reasoning"}, {"type": "function_call"}]',
            [(1, [{"type": "reasoning"}, {"type": "function_call"}])],
        ),
        ('[{"messages": [], "role": "x"}]', [(1, {"messages": [], "role": "x"})]),
        ("[]", []),
        ("", []),
        ("\n\n", []),
    ],
)
def test_documents_and_arrays_are_read_record_by_record(tmp_path, text, expected):
    assert [(record.line, record.value) for record in written(tmp_path / "f", text)] == expected


def test_a_document_that_breaks_off_gives_what_came_before(tmp_path):
    *good, bad = written(tmp_path / "f", '[{"a": 1},\n{"a": 2},\n{"a": ')

    assert [record.value for record in good] == [{"a": 1}, {"a": 2}]
    assert bad.line == 3
    assert bad.problem.startswith("not JSON: ")
    assert bad.problem.endswith("; the file is not read further")


@pytest.mark.parametrize("separator", ["\n", ",\n"])
def test_memory_does_not_grow_with_the_file(tmp_path, separator):
    path = tmp_path / "long"
    line = json.dumps({"a": "x" * 1000})
    text = separator.join([line] * 8_000)
    path.write_text(text if separator == "\n" else f"[{text}]")
    tracemalloc.start()

    with path.open("rb") as file:
        count = sum(1 for record in records(file) if not record.problem)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 8_000
    assert peak < 6_000_000 < path.stat().st_size


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1_700_000_000, NOON),
        (1_700_000_000_000, NOON),
        (1_700_000_000_000_000, NOON),
        (NOON, NOON),
        ("1700000000", NOON),
        ("2023-11-14T22:13:20", NOON),
        ("2023-11-14T23:13:20.5+01:00", NOON + SECOND // 2),
        ("yesterday", None),
        (True, None),
        (-1, None),
        (float("nan"), None),
        (float("inf"), None),
        (10**30, None),
    ],
)
def test_times_are_read_in_any_usual_form(value, expected):
    assert nanoseconds(value) == expected


def test_a_file_of_zero_bytes_is_refused_and_not_read_into_memory(tmp_path):
    (tmp_path / "zeros").write_bytes(b"\0" * 100)

    with (tmp_path / "zeros").open("rb") as file:
        assert [record.problem for record in records(file)] == ["not text: there are zero bytes in it"]


@pytest.mark.parametrize("depth", [300, 1000, 100_000])
def test_a_record_of_many_nested_objects_costs_itself_alone(tmp_path, depth):
    deep = '{"a":' * depth + "1" + "}" * depth
    message = (
        '{"role": "assistant", "content": "x", "tool_calls": [{"id": "1", "function": {"name": "t", "arguments": %s}}]}'
    )
    lines = [json.dumps({"messages": [USER]}), '{"messages": [%s]}' % (message % deep), deep, json.dumps([USER])]
    (tmp_path / "deep.jsonl").write_text("\n".join(lines))
    problems: list[str] = []

    tasks = [run.task for run in read(tmp_path / "deep.jsonl", problems=problems)]

    assert (tasks[0], tasks[-1]) == ("go", "go")
    assert len(tasks) + len(problems) == 4


def test_a_record_of_an_unknown_kind_is_refused_with_what_it_is():
    kinds = [registry.of_record(record, "auto").name for record in (FLIGHTS, HARBOR, otlp(), [{"role": "user"}])]

    assert kinds == ["chat", "atif", "otlp-json", "chat"]
    with pytest.raises(RecordError, match="not in the form of any run: an object with a, b"):
        registry.of_record({"a": 1, "b": 2}, "auto")


def test_one_answer_over_several_lines_is_counted_once():
    builder = RunBuilder(0)
    for output in (1, 1, 9):
        builder.model_call(ModelCall(0, 0, id="m", usage=Usage(5, output)))
    builder.call("t", "", call_id="c")

    assert (builder.usage, builder.steps()[0].usage) == (Usage(5, 9), Usage(5, 9))
