"""What the importers make of a record, before it reaches a store."""

from __future__ import annotations

import base64
import json
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from otel_episodes_clickhouse.importers import atif, chat, otlp_json
from otel_episodes_clickhouse.importers.load import detected, seed
from otel_episodes_clickhouse.importers.options import ImportOptions
from otel_episodes_clickhouse.importers.reader import Record, records
from otel_episodes_clickhouse.importers.replay import Recorder
from otel_episodes_clickhouse.importers.trajectory import RecordError, Trajectory, TrajectoryStep
from otel_episodes_clickhouse.importers.values import nanoseconds, says_failure

if TYPE_CHECKING:
    from pathlib import Path

    from otel_episodes_clickhouse.spool.row import Row

NOON = 1_700_000_000_000_000_000
SECOND = 1_000_000_000


def call(identifier: str, name: str, **arguments: Any) -> dict[str, Any]:
    return {"id": identifier, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}


def answer(identifier: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": identifier, "content": content, **more}


def read_chat(record: Any, **options: Any) -> Trajectory:
    return chat.parse(record, ImportOptions(**options), NOON)


def read_atif(record: dict[str, Any], **options: Any) -> Trajectory:
    return atif.parse(record, ImportOptions(**options), NOON)


def attributes(rows: list[Row], kind: str) -> list[dict[str, str]]:
    """Return the attributes of the spans of a kind; the segment is left out, which only later ones have."""
    found = [row.span_attributes for row in rows if row.span_attributes.get("episode.span") == kind]
    return [{key: value for key, value in attributes.items() if key != "episode.segment"} for attributes in found]


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


def test_a_transcript_becomes_a_run_with_its_calls_matched_to_their_answers_by_id():
    assert read_chat(FLIGHTS, agent="gpt") == Trajectory(
        task="Book the cheapest flight",
        start_time=NOON,
        end_time=NOON + 5000,
        agent="gpt",
        outcome="failure",
        verdict="reward 0 is below 1",
        reward=0.0,
        options={"domain": "airline"},
        attributes={"task_id": 7, "trial": 0, "api_key": "sk-1234567890abcdefghijklmnop"},
        steps=(
            TrajectoryStep("user", NOON + 2000, 0, {"id": 3}, "Error: no such user", success=False),
            TrajectoryStep("search", NOON + 2000, 0, {"to": "SEA"}, "two flights\n[image_url]"),
        ),
        times_made_up=True,
    )


def test_a_run_is_recorded_as_a_live_one_would_be_with_secrets_masked():
    rows = Recorder().rows(read_chat(FLIGHTS, agent="gpt"), b"seed")

    failed, found = attributes(rows, "step")
    assert failed == {
        "episode.span": "step",
        "episode.step.kind": "tool_use",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "user",
        "gen_ai.agent.name": "gpt",
        "episode.id": rows[0].trace_id,
        "episode.step.index": "1",
        "episode.step.action": '{"id": 3}',
        "episode.step.success": "false",
        "error.type": "tool_error",
        "episode.step.observation": "Error: no such user",
    }
    assert found["episode.step.observation"] == "two flights\n[image_url]"
    (root,) = attributes(rows, "episode")
    assert root == {
        "episode.span": "episode",
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "gpt",
        "episode.id": rows[0].trace_id,
        "episode.task": "Book the cheapest flight",
        "episode.domain": "airline",
        "task_id": "7",
        "trial": "0",
        "api_key": "[REDACTED]",
        "episode.time.synthetic": "true",
        "episode.reward": "0",
        "episode.outcome": "failure",
        "episode.verdict": "reward 0 is below 1",
        "error.type": "_OTHER",
    }
    assert [(row.status_code, row.status_message, row.service_name) for row in rows] == [
        ("Error", "Error: no such user", "otel-episodes"),
        ("Unset", "", "otel-episodes"),
        ("Error", "reward 0 is below 1", "otel-episodes"),
    ]


def test_the_same_content_gives_the_same_ids_however_it_is_laid_out():
    again = json.loads(json.dumps(FLIGHTS, sort_keys=True, indent=1))
    recorder = Recorder()

    first = recorder.rows(read_chat(FLIGHTS), seed("chat", FLIGHTS))
    recorder.rows(read_chat({"messages": []}), seed("chat", {}))
    second = Recorder().rows(read_chat(again), seed("chat", again))

    assert [row[:4] for row in first] == [row[:4] for row in second]
    assert len({row.span_id for row in first}) == 3


@pytest.mark.parametrize(
    ("record", "options", "expected"),
    [
        ({"reward": 0.8}, {"success_at": 0.8}, "success"),
        ({"reward": 0.8}, {}, "failure"),
        ({"score": 1}, {}, "success"),
        ({"result": {"score": 0}}, {"reward": "result.score"}, "failure"),
        ({"outcome": "abstained"}, {}, "abstained"),
        ({"resolved": False}, {}, "failure"),
        ({"reward": None}, {}, "success"),
    ],
)
def test_the_outcome_follows_the_reward_else_what_the_record_says(record, options, expected):
    assert read_chat({"messages": [], **record}, **options).outcome == expected


def test_the_task_is_the_field_named_else_a_usual_one_else_what_the_user_said_first():
    messages = [{"role": "system", "content": "be kind"}, {"role": "user", "content": [{"type": "text", "text": "hi"}]}]

    assert read_chat({"messages": messages}).task == "hi"
    assert read_chat(messages).task == "hi"
    assert read_chat({"messages": messages, "prompt": "from the prompt"}).task == "from the prompt"
    assert read_chat({"messages": messages, "q": {"text": "nested"}}, task="q.text").task == "nested"
    with pytest.raises(RecordError, match=r"no field 'question', which --task names; its fields are messages"):
        read_chat({"messages": messages}, task="question")


def test_old_function_calls_missing_answers_and_answers_to_calls_that_are_not_there():
    steps = read_chat(
        {
            "messages": [
                {"role": "assistant", "function_call": {"name": "old", "arguments": "{not json"}},
                {"role": "function", "name": "old", "content": "fine"},
                {"role": "assistant", "tool_calls": [call("x", "lost")]},
                {"role": "assistant", "content": "never mind"},
                {"role": "tool", "tool_call_id": "cut-off", "name": "earlier", "content": '{"error": "gone"}'},
            ]
        }
    ).steps

    assert [(step.tool, step.action, step.observation, step.success) for step in steps] == [
        ("old", "{not json", "fine", True),
        ("lost", {}, None, True),
        ("earlier", "", '{"error": "gone"}', False),
    ]
    assert steps[1].attributes == {"episode.step.unanswered": True}


def test_times_and_tokens_in_a_transcript_are_used():
    run = read_chat(
        {
            "messages": [
                {"role": "user", "content": "go", "timestamp": "2023-11-14T22:13:20Z"},
                {"role": "assistant", "content": "thinking", "created": 1_700_000_001, "usage": {"prompt_tokens": 5}},
                {
                    "role": "assistant",
                    "created_at": 1_700_000_002_000,
                    "tool_calls": [call("a", "search"), call("b", "read")],
                    "usage": {"prompt_tokens": 100, "completion_tokens": 20},
                },
                answer("a", "ok", timestamp=1_700_000_004.5),
                answer("b", "ok", timestamp="2023-11-14T22:13:26.123456789+00:00"),
            ]
        }
    )

    assert [(step.start_time - NOON, step.duration, step.input_tokens, step.output_tokens) for step in run.steps] == [
        (2 * SECOND, 2_500_000_000, 100, 20),
        (2 * SECOND, 4_123_456_789, 0, 0),
    ]
    assert (run.start_time, run.times_made_up, run.other_tokens) == (NOON, False, (5, 0))
    (root,) = attributes(Recorder().rows(run, b""), "episode")
    assert (root["episode.tokens.input"], root["episode.tokens.output"]) == ("105", "20")


def test_a_file_cannot_set_our_own_attributes():
    run = read_chat({"messages": [], "episode.id": "mine", "gen_ai.agent.name": "me", "note": "kept"})

    assert run.attributes == {"note": "kept"}


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"a": 1}, "no list of messages in it; its fields are a"),
        ({"messages": ["hi"]}, "a message that is no object"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": 1}]}]}, "a tool call without a function name"),
        ({"messages": [{"role": "assistant", "tool_calls": "x"}]}, "tool_calls is no list"),
        ({"messages": [], "reward": "high"}, "the reward in 'reward' is no number"),
    ],
)
def test_what_is_no_transcript_is_refused_with_the_reason(record, reason):
    with pytest.raises(RecordError, match=reason):
        read_chat(record, reward="reward" if "reward" in record else "")


def test_a_name_too_long_to_be_a_tool_is_refused_with_the_reason():
    run = read_chat({"messages": [{"role": "assistant", "tool_calls": [call("a", "x" * 200)]}]})

    with pytest.raises(RecordError, match="a name has at most 128 characters"):
        Recorder().rows(run, b"")


@pytest.mark.parametrize(
    ("text", "failed"),
    [
        ("Error: x", True),
        ("Errors were found: none", True),
        ("ok", False),
        ('{"error": "x"}', True),
        ('{"error": null, "rows": 2}', False),
        ('{"isError": true}', True),
        ('{"is_error": false}', False),
        ("{broken", False),
        ("", False),
    ],
)
def test_an_answer_says_whether_the_call_failed(text, failed):
    assert says_failure(text) is failed


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
    run = read_atif(HARBOR)

    assert (run.task, run.agent, run.outcome, run.times_made_up) == ("Mend the build", "harbor-agent", "success", False)
    assert run.options == {"conversation_id": "session-9"}
    assert run.attributes == {
        "gen_ai.agent.version": "2.1",
        "gen_ai.request.model": "some-model",
        "atif.trajectory_id": "main",
        "atif.notes": "made for this test",
        "atif.total_cost_usd": 0.25,
    }
    assert [(s.tool, s.start_time - NOON, s.duration, s.success, s.observation) for s in run.steps] == [
        ("bash", 2 * SECOND, 8 * SECOND, False, "broken"),
        ("read", 2 * SECOND, 8 * SECOND, True, "a log"),
        ("task", 10 * SECOND, 10 * SECOND, True, ""),
    ]
    assert [(s.input_tokens, s.output_tokens) for s in run.steps] == [(600, 50), (0, 0), (300, 30)]
    assert run.other_tokens == (100, 10)
    assert [sub.task for sub in run.steps[2].sub_agents] == ["Summarise the log"]


def test_a_sub_agent_is_an_episode_of_its_own_linked_both_ways_with_the_step_that_started_it():
    rows = Recorder().rows(read_atif(HARBOR), b"seed")

    outer, inner = (
        next(row for row in rows if row.span_attributes["episode.span"] == "episode" and row.span_name.endswith(name))
        for name in ("harbor-agent", "summariser")
    )
    starter = next(row for row in rows if row.span_name == "execute_tool task")
    assert inner.trace_id != outer.trace_id == starter.trace_id
    assert inner.span_attributes["episode.parent.id"] == outer.span_attributes["episode.id"]
    assert (inner.link_trace_ids, inner.link_span_ids) == ((starter.trace_id,), (starter.span_id,))
    assert (starter.link_trace_ids, starter.link_span_ids) == ((inner.trace_id,), (inner.span_id,))
    assert starter.link_attributes == ({"episode.link.kind": "delegates"},)
    assert (outer.span_attributes["episode.tokens.input"], outer.span_attributes["episode.tokens.output"]) == (
        "1000",
        "90",
    )


@pytest.mark.parametrize("version", [f"ATIF-v1.{minor}" for minor in range(9)])
def test_every_version_of_the_format_is_read(version):
    steps = [{"step_id": 1, "source": "user", "message": "go"}]
    run = read_atif(
        {"schema_version": version, "session_id": "s", "agent": {"name": "a", "version": "1"}, "steps": steps}
    )

    assert (run.task, run.steps, run.times_made_up) == ("go", (), True)


def test_a_reward_under_extra_decides_and_a_field_can_be_named():
    record = {"schema_version": "ATIF-v1.8", "steps": [], "extra": {"verifier_result": {"rewards": {"reward": 0.5}}}}

    assert (read_atif(record).outcome, read_atif(record).reward) == ("failure", 0.5)
    assert read_atif(record, success_at=0.5).outcome == "success"
    assert read_atif({**record, "extra": {"r": 1}}, reward="extra.r").reward == 1.0


def test_results_without_a_call_id_go_to_the_calls_in_order_and_what_the_system_does_is_a_step():
    calls = [{"tool_call_id": n, "function_name": n, "arguments": {}} for n in ("a", "b")]
    run = read_atif({
        "schema_version": "ATIF-v1.2",
        "steps": [
            {"source": "agent", "message": "", "tool_calls": calls,
             "observation": {"results": [{"content": "first"}, {"content": "Error: second"}]}},
            {"source": "agent", "message": "ls -l", "observation": {"results": [{"content": "3 files"}]}},
            {"source": "system", "message": "compacted", "observation": {"results": [{"content": "ok"}]}},
        ],
    })  # fmt: skip

    assert [(s.tool, s.action, s.observation, s.success) for s in run.steps] == [
        ("a", {}, "first", True),
        ("b", {}, "Error: second", False),
        ("action", "ls -l", "3 files", True),
        ("system", "compacted", "ok", True),
    ]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"schema_version": "ATIF-v2.0", "steps": []}, "schema_version is 'ATIF-v2.0'"),
        ({"agent": {}, "steps": []}, "schema_version is None"),
        ({"schema_version": "ATIF-v1.0", "steps": ["x"]}, "a step is no object"),
        ({"schema_version": "ATIF-v1.0", "steps": [{"tool_calls": [{}]}]}, "a tool call without function_name"),
        ({"schema_version": "ATIF-v1.0"}, "it has no list of steps"),
    ],
)
def test_what_is_no_trajectory_is_refused_with_the_reason(record, reason):
    with pytest.raises(RecordError, match=reason):
        read_atif(record)


# --- OTLP ----------------------------------------------------------------------------------------------------------


def otlp(**span: Any) -> dict[str, Any]:
    whole = {"traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "eee19b7ec3c1b174", "name": "work", **span}
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
    (row,) = otlp_json.parse(
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
    (row,) = otlp_json.parse({"resource_spans": [{"scope_spans": [{"spans": [span]}]}]})

    assert (row.trace_id, row.span_kind, row.status_code, row.parent_span_id) == ("a" * 32, "Server", "Ok", "")


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"resourceLogs": []}, "no spans in it: resourceLogs"),
        (otlp(traceId="0" * 32), "traceId '0+' is no id"),
        (otlp(spanId="xyz"), "spanId 'xyz' is no id"),
        (otlp(startTimeUnixNano="soon"), "not in OTLP's form"),
        (otlp(startTimeUnixNano=str(2**64)), "is no time"),
        (otlp(attributes=[{"key": "b", "value": {"bytesValue": "?"}}]), "not base64"),
        (otlp(attributes="x"), "attributes is no list"),
    ],
)
def test_what_is_no_request_is_refused_with_the_reason(record, reason):
    with pytest.raises(RecordError, match=reason):
        otlp_json.parse(record)


# --- files ---------------------------------------------------------------------------------------------------------


def written(path: Path, text: str | bytes) -> list[Record]:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(records(path))


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

    count = sum(1 for record in records(path) if not record.problem)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 8_000
    assert peak < 6_000_000 < path.stat().st_size


def test_the_format_of_a_record_is_found_by_looking_at_it():
    assert [detected(record) for record in (FLIGHTS, HARBOR, otlp(), [{"role": "user"}])] == [
        "chat", "atif", "otlp-json", "chat",
    ]  # fmt: skip
    with pytest.raises(RecordError, match="neither a chat transcript nor ATIF nor OTLP-JSON: an object with a, b"):
        detected({"a": 1, "b": 2})
