"""Episodes: outcomes, markers, handles, delegation, and every step in its own episode."""

import asyncio
import itertools
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from otel_episodes import (
    HandleError,
    UsageError,
    current_episode,
    current_step,
    episode,
    log_step,
    step,
    with_context,
)
from otel_episodes.testing import capture_episodes


def only(spans):
    (span,) = spans
    return span


def test_an_episode_is_a_trace_named_by_its_id_with_a_start_marker_sent_at_once():
    with capture_episodes() as recorded:
        with episode(
            "Fix the flaky test", agent="coder", task_type="debugging", domain="web-api", language="rust",
            framework="axum", complexity="moderate", tags=["ci"], attributes={"ticket": 7},
        ) as ep:  # fmt: skip
            marker = only(recorded.spans)
        root = only(recorded.episodes)
    task = {
        "episode.task": "Fix the flaky test",
        "episode.task_type": "debugging",
        "episode.domain": "web-api",
        "episode.language": "rust",
        "episode.framework": "axum",
        "episode.complexity": "moderate",
        "episode.tags": ("ci",),
        "ticket": 7,
        "episode.id": ep.id,
    }
    assert (marker.name, marker.start_time, marker.end_time) == (
        "episode.start",
        root.start_time,
        root.start_time + 1,  # ns: Jaeger warns of spans without any duration
    )
    assert (marker.trace_id, marker.parent_id) == (ep.id, root.span_id)
    assert marker.attributes == {**task, "episode.agent": "coder", "episode.span": "start"}
    assert (root.name, root.trace_id, root.parent_id, root.status) == ("invoke_agent coder", ep.id, "", "UNSET")
    assert root.attributes == {
        **task,
        "gen_ai.agent.name": "coder",
        "gen_ai.input.messages": '[{"role": "user", "parts": [{"type": "text", "content": "Fix the flaky test"}]}]',
        "episode.span": "episode",
        "gen_ai.operation.name": "invoke_agent",
        "episode.outcome": "success",
        "episode.outcome.source": "default",
    }


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (lambda ep: None, {"episode.outcome": "success", "episode.outcome.source": "default"}),
        (
            lambda ep: ep.succeed("all green", artifacts=["a.py"]),
            {
                "episode.outcome": "success",
                "episode.outcome.source": "told",
                "episode.verdict": "all green",
                "episode.artifacts": ("a.py",),
            },
        ),
        (
            lambda ep: ep.fail("no time"),
            {
                "episode.outcome": "failure",
                "episode.outcome.source": "told",
                "episode.verdict": "no time",
                "error.type": "_OTHER",
            },
        ),
        (
            lambda ep: ep.partial(["a"], ["b", "c"]),
            {
                "episode.outcome": "partial",
                "episode.outcome.source": "told",
                "episode.completed": ("a",),
                "episode.failed": ("b", "c"),
            },
        ),
        (
            lambda ep: ep.partial(1, 3),
            {
                "episode.outcome": "partial",
                "episode.outcome.source": "told",
                "episode.completed": 1,
                "episode.failed": 3,
            },
        ),
        (
            lambda ep: ep.abstain("unsure", ["no tests"]),
            {
                "episode.outcome": "abstained",
                "episode.outcome.source": "told",
                "episode.verdict": "unsure",
                "episode.stopped_at_step": 0,
                "episode.signals": ("no tests",),
            },
        ),
        (
            lambda ep: ep.reward(0.5),
            {"episode.outcome": "success", "episode.outcome.source": "default", "episode.reward": 0.5},
        ),
    ],
)
def test_outcomes(end, expected):
    with capture_episodes() as recorded, episode("t") as ep:
        end(ep)
    root = only(recorded.episodes)
    identity = ("episode.span", "episode.id", "episode.task", "gen_ai.operation.name", "gen_ai.input.messages")
    verdict = expected.get("episode.verdict")
    if verdict:
        reason = "error" if expected["episode.outcome"] == "failure" else "stop"
        said = {"role": "assistant", "parts": [{"type": "text", "content": verdict}], "finish_reason": reason}
        expected = {**expected, "gen_ai.output.messages": json.dumps([said])}
    assert {k: v for k, v in root.attributes.items() if k not in identity} == expected
    assert root.status == ("ERROR" if expected["episode.outcome"] == "failure" else "UNSET")


def test_an_escaping_exception_is_a_failure_and_explicit_words_win():
    with capture_episodes() as recorded:
        with pytest.raises(OSError, match="disk"), episode("t"):
            raise OSError("disk full")
        with pytest.raises(SystemExit), episode("t"):
            sys.exit(0)
        with pytest.raises(OSError, match="late"), episode("t") as ep:
            ep.succeed("done before")
            raise OSError("late")
    failed, exited, done = recorded.episodes
    assert failed.attributes["episode.outcome"] == "failure"
    assert failed.attributes["episode.verdict"] == "OSError: disk full"
    assert failed.attributes["error.type"] == "OSError"
    assert (failed.status, failed.message) == ("ERROR", "OSError: disk full")
    assert exited.attributes["episode.outcome"] == "success"
    assert done.attributes["episode.outcome"] == "success"


def test_decisions_milestones_batches_and_logged_steps():
    with capture_episodes() as recorded, episode("t") as ep:
        ep.decide("retry or rewrite?", options=["retry", "rewrite"], choice="retry", confidence=0.7, reason="cheap")
        ep.milestone("tests green")
        ep.log_step(tool="cargo", action="test", latency_ms=3200, success=False, observation="2 tests failed: a, b")
        with ep.batch("cargo", action="fix 5 test failures") as b:
            for i in range(70):
                b.add(f"fix {i}", latency_ms=i, success=i != 3, observation="no such test" if i == 3 else "")
    decision, milestone, logged, batch = recorded.steps
    assert decision.name == "decide retry or rewrite?"
    assert decision.attributes["episode.step.kind"] == "decision_point"
    assert decision.attributes["episode.decision.options"] == ("retry", "rewrite")
    assert decision.attributes["episode.decision.choice"] == "retry"
    assert decision.attributes["episode.decision.confidence"] == 0.7
    assert decision.attributes["episode.step.observation"] == "retry: cheap"
    assert milestone.name == "milestone tests green"
    assert logged.end_time - logged.start_time == 3_200_000_000
    assert (logged.status, logged.message) == ("ERROR", "2 tests failed: a, b")
    assert batch.attributes["episode.step.batch.count"] == 70
    assert batch.attributes["episode.step.batch.errors"] == 1
    assert batch.attributes["episode.step.batch.busy_ns"] == sum(range(70)) * 1_000_000
    assert batch.attributes["episode.step.batch.latency_max_ns"] == 69_000_000
    assert batch.message == "1 of 70 failed: no such test"
    assert len(batch.events) == 64
    assert batch.events[3] == (
        "episode.step.batch.item",
        {
            "episode.step.success": False,
            "episode.step.latency_ns": 3_000_000,
            "episode.step.action": "fix 3",
            "episode.step.observation": "no such test",
        },
    )


def test_wrong_use_raises_at_once():
    with capture_episodes() as recorded, episode("t") as ep:
        for wrong in (
            lambda: ep.log_step(tool="x", latency_ms=-1),
            lambda: ep.log_step(tool="x", latency_ms=float("nan")),
            lambda: ep.log_step(tool="x", kind="thought"),
            lambda: ep.log_step(tool="x", input_tokens=-5),
            lambda: ep.log_step(tol="x"),
            lambda: ep.decide("?", confidence=70),
            lambda: ep.partial(-1, 2),
            lambda: ep.succeed(artifacts="a.py"),
            lambda: ep.reward(float("inf")),
            lambda: episode("t", complexity="hard"),
            lambda: episode("t", tags="ci"),
        ):
            with pytest.raises(UsageError, match=r"must be|use one of|log_step has no tol"):
                wrong()
    assert recorded.steps == []


def test_retries_and_recoveries_link_to_the_failure_they_answer():
    with capture_episodes() as recorded, episode("t") as ep:
        ep.log_step(tool="cargo", action="test", success=False, observation="1 failed")
        ep.log_step(tool="cargo", action="build")
        ep.log_step(tool="cargo", action="test", success=False, observation="1 failed")
        ep.log_step(tool="cargo", action="test", success=False, observation="1 failed")
        with step("clippy", kind="error_handling"):
            pass
        ep.log_step(tool="cargo", action="test")
    first, build, second, third, recovery, last = recorded.steps
    assert build.links == ()
    assert second.links == ()
    assert third.links == ((second.span_id, {"episode.link.kind": "retries"}),)
    assert recovery.name == "recover clippy"
    assert recovery.links == ((third.span_id, {"episode.link.kind": "handles"}),)
    assert last.links == ()
    assert first.links == ()


def test_a_nested_episode_is_a_trace_of_its_own_linked_both_ways():
    with capture_episodes() as recorded, episode("outer") as outer, step("delegate"):
        with episode("inner", agent="helper") as inner, step("grep"):
            pass
        assert current_episode() is outer
    inner_root, outer_root = recorded.episodes
    grep, delegate = recorded.steps
    assert (inner.id, outer.id) == (inner_root.trace_id, outer_root.trace_id)
    assert inner.id != outer.id
    assert grep.trace_id == inner.id
    assert inner_root.attributes["episode.parent.id"] == outer.id
    assert inner_root.links == ((delegate.span_id, {"episode.link.kind": "delegates"}),)
    assert delegate.links == ((inner_root.span_id, {"episode.link.kind": "delegates"}),)


def test_an_inline_episode_stays_in_the_same_trace_with_its_own_id():
    with capture_episodes() as recorded, episode("outer") as outer, step("delegate"):
        with episode("inner", inline=True) as inner, step("grep"):
            pass
    grep, delegate = recorded.steps
    assert grep.trace_id == delegate.trace_id == outer.id
    assert grep.attributes["episode.id"] == inner.id != outer.id
    assert recorded.episodes[0].parent_id == delegate.span_id


def test_a_handle_adds_steps_from_elsewhere_and_ends_the_episode_under_its_own_ids():
    with capture_episodes() as recorded:
        handle = episode("later", agent="coder").start().leave_open()
        with episode.resume(handle):
            log_step(tool="cargo", action="build")
        assert recorded.episodes == []
        with episode.resume(handle) as ep:
            log_step(tool="cargo", action="test")
            ep.succeed("green")
    marker, root = only(recorded.starts), only(recorded.episodes)
    assert marker.parent_id == root.span_id
    assert root.start_time == marker.start_time
    assert root.attributes["episode.outcome"] == "success"
    assert {s.parent_id for s in recorded.steps} == {root.span_id}
    assert {s.trace_id for s in recorded.spans} == {marker.trace_id}
    assert [s.attributes.get("gen_ai.agent.name") for s in recorded.steps] == ["coder", "coder"]
    assert all("episode.step.index" not in s.attributes for s in recorded.steps)


def test_a_handle_works_in_another_process():
    code = (
        "import sys; from otel_episodes import episode, step\n"
        "from otel_episodes.testing import capture_episodes\n"
        "with capture_episodes() as recorded, episode.resume(sys.argv[1]) as ep, step('remote'): pass\n"
        "print(recorded.steps[0].trace_id, recorded.steps[0].parent_id)"
    )
    with capture_episodes() as recorded, episode("t") as ep:
        out = subprocess.run([sys.executable, "-c", code, ep.handle], capture_output=True, text=True, check=True)
    assert out.stdout.split() == [ep.id, only(recorded.episodes).span_id]


def test_resuming_after_the_end_starts_a_linked_segment():
    with capture_episodes() as recorded:
        with episode("t", agent="coder") as ep:
            pass
        with episode.resume(ep.handle) as again, step("grep"):
            pass
        with episode.resume(again.handle):
            pass
    first, second, third = recorded.episodes
    assert {s.attributes["episode.id"] for s in (first, second, third)} == {ep.id}
    assert [s.attributes.get("episode.segment", 0) for s in (first, second, third)] == [0, 1, 2]
    assert second.trace_id != first.trace_id
    assert second.links == ((first.span_id, {"episode.link.kind": "resumes"}),)
    assert third.links == ((second.span_id, {"episode.link.kind": "resumes"}),)
    assert only(recorded.steps).attributes["episode.segment"] == 1


def test_ids_and_agents_of_any_spelling_survive_the_handle():
    with capture_episodes(), episode("t", id="run/7.é%~", agent="co.der x") as ep:
        resumed = episode.resume(ep.handle)
    assert (resumed.id, resumed.agent) == ("run/7.é%~", "co.der x")


@pytest.mark.parametrize(
    "wrong", ["", "nonsense", "00-" + "0" * 32 + "-" + "1" * 16 + "-01.1.0..", "00-abc-def-01.1.0..", "x" * 500]
)
def test_what_is_no_handle_is_refused_with_the_fix(wrong):
    with pytest.raises(HandleError, match="pass the whole line that `otel-episodes start` printed") as caught:
        episode.resume(wrong)
    assert len(str(caught.value)) < 200


def test_a_step_outside_any_episode_is_an_episode_of_one_step():
    with capture_episodes() as recorded:
        with pytest.raises(OSError, match="x"), step("curl", action="get /"):
            raise OSError("x")
        log_step(tool="cargo", action="build")
    failed, done = recorded.episodes
    assert failed.attributes["episode.implicit"] is True
    assert failed.attributes["episode.task"] == "get /"
    assert failed.attributes["episode.outcome"] == "failure"
    assert done.attributes["episode.outcome"] == "success"
    assert recorded.starts == []
    assert [s.parent_id for s in recorded.steps] == [failed.span_id, done.span_id]
    assert all(e.start_time <= s.start_time <= s.end_time <= e.end_time
               for e, s in zip(recorded.episodes, recorded.steps, strict=True))  # fmt: skip


def test_a_step_outside_any_episode_stays_a_plain_span_if_so_configured_or_inside_another_trace():
    with capture_episodes(orphans="span") as recorded:
        with step("curl"):
            pass
        assert [s.name for s in recorded.spans] == ["execute_tool curl"]
    with capture_episodes() as recorded:
        with recorded.provider.get_tracer("web").start_as_current_span("GET /") as request, step("curl"):
            pass
        span = only(recorded.steps)
        assert span.trace_id == f"{request.get_span_context().trace_id:032x}"
        assert "episode.id" not in span.attributes


def test_spans_of_other_libraries_are_told_their_episode_and_asked_for_tokens():
    with capture_episodes() as recorded:
        model = recorded.provider.get_tracer("model")

        def chat(tokens):
            with model.start_as_current_span("chat gpt", attributes={"gen_ai.operation.name": "chat"}) as span:
                span.set_attribute("gen_ai.usage.input_tokens", tokens)
                span.set_attribute("gen_ai.usage.output_tokens", 1)

        with episode("t") as ep:
            chat(100)
            with step("plan"):
                chat(10)
                chat(20)
                with model.start_as_current_span("invoke", attributes={"gen_ai.operation.name": "invoke_agent"}) as s:
                    s.set_attribute("gen_ai.usage.input_tokens", 30)  # the sum of what is below it
            with step("explicit") as s:
                s.tokens(input=5, output=5)
        chat(1000)
    plan, explicit = recorded.steps
    assert (plan.attributes["episode.step.tokens.input"], plan.attributes["episode.step.tokens.output"]) == (30, 2)
    assert explicit.attributes["episode.step.tokens.input"] == 5
    root = only(recorded.episodes)
    assert (root.attributes["episode.tokens.input"], root.attributes["episode.tokens.output"]) == (135, 8)
    chats = [s for s in recorded.spans if s.name == "chat gpt"]
    assert [s.attributes.get("episode.id") for s in chats] == [ep.id] * 3 + [None]


class _Usage:
    def __init__(self, **counts):
        self.__dict__.update(counts)


@pytest.mark.parametrize(
    "usage",
    [
        {"usage": {"prompt_tokens": 7, "completion_tokens": 3}},
        _Usage(usage=_Usage(prompt_tokens=7, completion_tokens=3)),
        _Usage(usage=_Usage(input_tokens=7, output_tokens=3)),
        _Usage(usage_metadata=_Usage(prompt_token_count=7, candidates_token_count=3)),
        {"usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 3}},
    ],
)
def test_tokens_are_found_on_model_responses(usage):
    with capture_episodes() as recorded, episode("t"):
        step(tool="model")(lambda: usage)()
    span = only(recorded.steps)
    assert span.attributes["episode.step.tokens.input"] == 7
    assert span.attributes["episode.step.tokens.output"] == 3
    assert only(recorded.episodes).attributes["episode.tokens.output"] == 3


def test_ten_thousand_steps_in_threads_have_gapless_indices_in_order_of_start():
    with capture_episodes() as recorded, episode("t") as ep, ThreadPoolExecutor(8) as pool:
        list(pool.map(with_context(log_one), range(10_000)))
    steps = sorted(recorded.steps, key=lambda s: s.attributes["episode.step.index"])
    assert [s.attributes["episode.step.index"] for s in steps] == list(range(1, 10_001))
    assert all(a.start_time <= b.start_time for a, b in itertools.pairwise(steps))
    assert {s.attributes["episode.id"] for s in steps} == {ep.id}


def log_one(n):
    with step("work", action=str(n)):
        pass


async def test_a_hundred_episodes_at_once_in_one_event_loop_keep_their_steps_apart():
    async def agent(n):
        async with episode(f"task {n}") as ep:
            for i in range(10):
                async with step("work", action=f"{n}/{i}"):
                    await asyncio.sleep(0)
            return n, ep.id

    with capture_episodes() as recorded:
        ids = dict(await asyncio.gather(*(agent(n) for n in range(100))))
    assert len(set(ids.values())) == 100
    by_episode = {}
    for span in recorded.steps:
        by_episode.setdefault(span.attributes["episode.id"], []).append(span)
    for n, episode_id in ids.items():
        actions = [(s.attributes["episode.step.index"], s.attributes["episode.step.action"])
                   for s in by_episode[episode_id]]  # fmt: skip
        assert actions == [(i + 1, f"{n}/{i}") for i in range(10)]


def test_a_hundred_episodes_at_once_in_threads_keep_their_steps_apart():
    def agent(n):
        with episode(f"task {n}") as ep:
            for _ in range(10):
                log_one(n)
        return ep.id

    with capture_episodes() as recorded, ThreadPoolExecutor(16) as pool:
        ids = list(pool.map(agent, range(100)))
    for n, episode_id in enumerate(ids):
        actions = [s.attributes["episode.step.action"] for s in recorded.steps if s.trace_id == episode_id]
        assert actions == [str(n)] * 10


def test_a_thread_without_context_reaches_its_episode_by_name_or_with_context():
    def named():
        with ep.step("named"):
            pass

    with capture_episodes() as recorded, episode("t") as ep, ThreadPoolExecutor(1) as pool:
        pool.submit(named).result()
        pool.submit(with_context(log_one), 1).result()
        assert pool.submit(lambda: current_step().recording).result() is False
    assert [s.attributes["episode.id"] for s in recorded.steps] == [ep.id, ep.id]


def test_a_decorated_function_is_an_episode_a_call():
    @episode("Fix {issue}", agent="coder")
    def fix(issue):
        log_one(issue)
        if issue == "b":
            raise OSError("b is broken")

    @episode
    async def explore():
        async with step("look"):
            return current_episode().task

    with capture_episodes() as recorded:
        fix("a")
        with pytest.raises(OSError, match="broken"):
            fix("b")
        assert asyncio.run(explore()) == "explore"
    a, b, third = recorded.episodes
    assert [s.attributes["episode.task"] for s in (a, b, third)] == ["Fix a", "Fix b", "explore"]
    assert [s.attributes["episode.outcome"] for s in (a, b, third)] == ["success", "failure", "success"]
    assert [s.trace_id for s in recorded.steps] == [a.trace_id, b.trace_id, third.trace_id]


def test_an_episode_that_is_not_sampled_records_nothing_and_changes_nothing():
    with capture_episodes(sampler=ALWAYS_OFF) as recorded:
        with episode("t") as ep, step("a") as s:
            s.observe("x")
            assert not s.recording
            log_one(1)
            assert list(step(lambda: iter([1]))()) == [1]
        assert ep.handle.split(".")[0].endswith("-00")
        log_one(2)
        with episode.resume(ep.handle) as again:
            log_one(3)
            again.succeed()
    assert recorded.spans == []


def test_after_shutdown_the_call_still_works():
    with capture_episodes() as recorded:
        recorded.provider.shutdown()
        with episode("t"):
            assert step(lambda: 4)() == 4


def test_an_error_of_our_own_is_logged_once_and_the_call_goes_on(caplog):
    class Broken(TracerProvider):
        def get_tracer(self, *args, **kwargs):
            raise RuntimeError("broken provider")

    from otel_episodes import _state

    with capture_episodes(strict=False):
        _state.provider = Broken(shutdown_on_exit=False)
        for _ in range(3):
            with episode("t"):
                assert step(lambda: 5)() == 5
    assert [r.getMessage().split(";")[0] for r in caplog.records] == ["otel-episodes failed while starting an episode"]
