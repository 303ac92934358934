"""Rows of an imported run, and that they are those of the same run recorded."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from test_import_records import FLIGHTS, HARBOR, NOON, SECOND, attributes, run_of

from otel_episodes import _state
from otel_episodes_clickhouse.importers.replay import Recorder
from otel_episodes_clickhouse.importers.run import ModelCall, Run, Step, Usage
from otel_episodes_clickhouse.importers.run_rows import RowMaker, RunIds

if TYPE_CHECKING:
    from otel_episodes_clickhouse.spool.row import Row


def rows_of(run: Run) -> list[Row]:
    return list(RowMaker().rows(run))


# --- equal to what is recorded -------------------------------------------------------------------------------------

words = st.sampled_from([
    "grep", "cargo test", "", "Error: no such file", "Bearer abcdefgh12345678", "password=hunter2hunter2", "é😀\u2028",
    "x" * 2000, '{"a": 1}', "multi\nline  text", "\ud83d alone",
])  # fmt: skip
values = st.one_of(words, st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False))
arguments = st.one_of(words, st.dictionaries(st.sampled_from(["path", "api_key", "n", "text"]), values, max_size=3))
keys = st.sampled_from(["file", "secret_token", "line", "score"])
times = st.integers(0, 10**12).map(lambda offset: NOON + offset)


def steps(*tools: str, fewest: int) -> st.SearchStrategy[Step]:
    counts = st.integers(fewest, fewest + 99)
    return st.builds(
        Step,
        tool=st.sampled_from(tools),
        start_time=times,
        duration=st.integers(0, 10**10),
        arguments=arguments,
        observation=st.one_of(st.none(), words),
        success=st.booleans(),
        error_type=st.sampled_from(["", "timeout"]),
        kind=st.sampled_from(["tool_use", "error_handling", "decision_point", "milestone"]),
        usage=st.builds(Usage, counts, counts),
        attributes=st.dictionaries(keys, values.filter(lambda value: value is not None), max_size=2),
    )


def runs(agent: str, *tools: str, fewest: int = 0) -> st.SearchStrategy[Run]:
    known = {
        "domain": st.just("parser"), "tags": st.just(["ci", "api_key=abcdefghijkl1234"]),
        "conversation_id": st.just("c-1"), "complexity": st.just("simple"), "id": st.just(f"given to {agent}"),
    }  # fmt: skip
    return st.builds(
        Run,
        task=words,
        start_time=times,
        end_time=st.one_of(st.just(0), times),
        agent=st.just(agent),
        outcome=st.sampled_from(["success", "failure", "partial", "abstained"]),
        outcome_source=st.sampled_from(["told", "score", "rule"]),
        verdict=words,
        reward=st.one_of(st.none(), st.floats(-5, 5)),
        options=st.fixed_dictionaries({}, optional=known),
        attributes=st.dictionaries(keys, values.filter(lambda value: value is not None), max_size=2),
        steps=st.lists(steps(*tools, fewest=fewest), max_size=4).map(tuple),
        artifacts=st.sampled_from([(), ("a.py", "token=abcdefghijkl1234")]),
        done=st.integers(0, 3),
        not_done=st.integers(0, 3),
        times_made_up=st.booleans(),
    )


# Found within seconds, if at all; what it is made smaller to is no clearer.
quickly = settings(deadline=None, max_examples=40, phases=[Phase.explicit, Phase.generate], database=None)


@quickly
# Others than the step that started it used: a live step that says what one below it said is not counted twice.
@given(run=runs("coder", "grep", "cargo"), inner=st.none() | runs("kid", "ask", fewest=100))
def test_an_imported_run_has_the_rows_of_the_recorded_one(run, inner):
    if run.steps and inner is not None:
        run = replace(run, steps=(replace(run.steps[0], sub_agents=(inner,)), *run.steps[1:]))
    run = with_all_tokens(run)

    assert comparable(rows_of(replace(run, id="x"))) == comparable(Recorder().rows(run, b"seed"))


@quickly
@given(run=runs("coder", "grep"))
def test_so_has_one_whose_content_is_kept_in_full(run):
    run, before = with_all_tokens(run), _state.settings
    _state.settings = replace(before, capture="full")
    try:
        assert comparable(rows_of(replace(run, id="x"))) == comparable(Recorder().rows(run, b"seed"))
    finally:
        _state.settings = before


def with_all_tokens(run: Run) -> Run:
    """A run whose tokens are those of its steps, as recording has it."""
    used = sum((step.usage for step in run.steps), Usage())
    steps = tuple(replace(step, sub_agents=tuple(map(with_all_tokens, step.sub_agents))) for step in run.steps)
    return replace(run, usage=used, steps=steps)


def comparable(rows: list[Row]) -> list[Row]:
    """Return rows with ids by their order: recorded ones are drawn otherwise."""
    rows = sorted(rows, key=lambda row: (row.span_name, row.timestamp, row.duration, sorted(without_ids(row).items())))
    names: dict[str, str] = {}
    for row in rows:
        for identifier in (row.trace_id, row.span_id):
            names.setdefault(identifier, f"id {len(names)}")

    def named(text: str) -> str:
        return names.get(text, text)

    return [
        row._replace(
            trace_id=named(row.trace_id),
            span_id=named(row.span_id),
            parent_span_id=named(row.parent_span_id),
            span_attributes={key: named(value) for key, value in row.span_attributes.items()},
            link_trace_ids=tuple(map(named, row.link_trace_ids)),
            link_span_ids=tuple(map(named, row.link_span_ids)),
        )
        for row in rows
    ]


def without_ids(row: Row) -> dict[str, str]:
    return {key: value for key, value in row.span_attributes.items() if not key.endswith(".id")}


# --- by example ----------------------------------------------------------------------------------------------------


INPUT = '[{"role": "user", "parts": [{"type": "text", "content": "Book the cheapest flight"}]}]'
OUTPUT = (
    '[{"role": "assistant", "parts": [{"type": "text", "content": "reward 0 is below 1"}], "finish_reason": "error"}]'
)


def test_a_secret_in_a_name_is_masked():
    secret = "curl -u bob:hunter2Xyz9 x"
    calls = (ModelCall(NOON, NOON, provider=secret, model=secret),)
    run = replace(run_of(FLIGHTS, agent=secret), model=secret, options={"domain": secret}, model_calls=calls)
    assert "hunter2" not in str(rows_of(run))


def test_secrets_are_masked_and_a_failure_is_an_error():
    found = rows_of(replace(run_of(FLIGHTS, agent="gpt"), id="flights"))
    trace = RunIds("chat", "flights").trace_id

    searched, failed = attributes(found, "step")
    assert failed == {
        "episode.span": "step",
        "episode.step.kind": "tool_use",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "user",
        "gen_ai.agent.name": "gpt",
        "episode.id": trace,
        "episode.step.index": "2",
        "gen_ai.tool.call.arguments": '{"id": 3}',
        "episode.step.success": "false",
        "error.type": "tool_error",
        "gen_ai.tool.call.result": "Error: no such user",
    }
    assert searched["gen_ai.tool.call.result"] == "two flights\n[image_url]"
    (root,) = attributes(found, "episode")
    assert root == {
        "episode.span": "episode",
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "gpt",
        "episode.id": trace,
        "episode.task": "Book the cheapest flight",
        "gen_ai.input.messages": INPUT,
        "episode.domain": "airline",
        "episode.source.format": "chat",
        "task_id": "7",
        "trial": "0",
        "reward": "0",
        "api_key": "[REDACTED]",
        "episode.time.synthetic": "true",
        "episode.reward": "0",
        "episode.outcome": "failure",
        "episode.outcome.source": "score",
        "episode.verdict": "reward 0 is below 1",
        "gen_ai.output.messages": OUTPUT,
        "error.type": "_OTHER",
    }
    assert [(row.status_code, row.status_message, row.service_name) for row in found] == [
        ("Unset", "", "otel-episodes"),
        ("Error", "Error: no such user", "otel-episodes"),
        ("Error", "reward 0 is below 1", "otel-episodes"),
    ]


def test_what_nobody_told_is_unknown_and_what_nobody_answered_neither_ok_nor_failed():
    run = Run("t", NOON, id="r", format="f", ended_how="interrupted", steps=(Step("a", NOON, success=None),))

    step, root = rows_of(run)

    assert (step.status_code, step.span_attributes["episode.step.success"]) == ("Unset", "unknown")
    assert step.span_attributes["episode.step.unanswered"] == "true"
    assert (root.status_code, root.span_attributes["episode.outcome"]) == ("Unset", "unknown")
    assert root.span_attributes["episode.ended_how"] == "interrupted"
    assert "episode.outcome.source" not in root.span_attributes


def test_a_model_call_is_a_span_of_its_own():
    usage = Usage(100, 20, 60, 10, 5)
    made = ModelCall(NOON, NOON + SECOND, "msg-1", "m", "anthropic", usage, "tool_use", 0.5)

    call, root = rows_of(Run("t", NOON, id="r", format="f", agent="a", usage=usage, model_calls=(made,)))

    assert call._replace(resource_attributes={}, scope_version="") == call.__class__(
        NOON, root.trace_id, call.span_id, root.span_id, span_name="chat m", span_kind="Client",
        service_name="otel-episodes", scope_name="otel_episodes", duration=SECOND,
        span_attributes={
            "episode.cost": "0.5",
            "episode.id": root.trace_id,
            "gen_ai.agent.name": "a",
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "anthropic",
            "gen_ai.request.model": "m",
            "gen_ai.response.finish_reasons": '["tool_use"]',
            "gen_ai.response.id": "msg-1",
            "gen_ai.usage.cache_creation.input_tokens": "10",
            "gen_ai.usage.cache_read.input_tokens": "60",
            "gen_ai.usage.input_tokens": "100",
            "gen_ai.usage.output_tokens": "20",
            "gen_ai.usage.reasoning.output_tokens": "5",
        },
    )  # fmt: skip
    assert root.span_attributes["episode.tokens.input"] == "100"


def test_a_sub_agent_is_an_episode_of_its_own_linked_both_ways_with_the_step_that_started_it():
    found = rows_of(run_of(HARBOR))

    outer, inner = (
        next(row for row in found if row.span_name == f"invoke_agent {name}") for name in ("harbor-agent", "summariser")
    )
    starter = next(row for row in found if row.span_name == "execute_tool task")
    assert inner.trace_id != outer.trace_id == starter.trace_id
    assert inner.span_attributes["episode.parent.id"] == outer.span_attributes["episode.id"]
    assert (inner.link_trace_ids, inner.link_span_ids) == ((starter.trace_id,), (starter.span_id,))
    assert (starter.link_trace_ids, starter.link_span_ids) == ((inner.trace_id,), (inner.span_id,))
    assert starter.link_attributes == ({"episode.link.kind": "delegates"},)


def test_a_sub_agent_that_comes_from_another_file_is_linked_by_its_id():
    step = Step("spawn", NOON, id="call", sub_agent_ids=("kid",))
    spawned, parent = rows_of(Run("t", NOON, id="main", format="f", steps=(step,)))
    (kid,) = rows_of(Run("u", NOON, id="kid", format="f", parent_id="main", parent_call_id="call"))

    assert (spawned.link_trace_ids, spawned.link_span_ids) == ((kid.trace_id,), (kid.span_id,))
    assert (kid.link_trace_ids, kid.link_span_ids) == ((parent.trace_id,), (spawned.span_id,))
    assert kid.span_attributes["episode.parent.id"] == parent.span_attributes["episode.id"]


def test_ids_are_the_sources_own_so_a_run_that_has_grown_keeps_them():
    first = Step("a", NOON, id="one", observation="x")
    short = rows_of(Run("t", NOON, id="r", format="f", steps=(first,)))
    long = rows_of(Run("t", NOON, id="r", format="f", steps=(replace(first, observation="y"), Step("b", NOON))))

    assert [row.span_id for row in short] == [long[0].span_id, long[2].span_id]
    assert len({row.span_id for row in long}) == 3


def test_a_call_id_that_comes_twice_is_two_spans():
    twice = (Step("a", NOON, id="1"), Step("a", NOON, id="1"))

    assert len({row.span_id for row in rows_of(Run("t", NOON, id="r", steps=twice))}) == 3


def test_what_the_user_said_later_is_an_event_of_the_episode():
    (root,) = rows_of(Run("t", NOON, id="r", prompts=((NOON + 1, "token=abcdefghijkl1234 and go"),)))

    assert (root.event_timestamps, root.event_names) == ((NOON + 1,), ("episode.prompt",))
    assert root.event_attributes == ({"episode.prompt.text": "token=[REDACTED] and go"},)


def test_a_name_that_is_too_long_is_cut():
    step, root = rows_of(Run("t", NOON, id="r", agent="a" * 200, steps=(Step("x" * 200, NOON),)))

    assert len(step.span_attributes["gen_ai.tool.name"]) == len(root.span_attributes["gen_ai.agent.name"]) == 128
