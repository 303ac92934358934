"""What viewers of agents' traces read: the names of the GenAI conventions, each thing once."""

import json
import re

import pytest
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_episodes import _state, current_step, episode, step
from otel_episodes.testing import capture_episodes

CALL = ("gen_ai.tool.call.arguments", "gen_ai.tool.call.result", "episode.step.action", "episode.step.observation")


def told(span):
    """Return what is told of a call, as it stands on the span."""
    return {name.rpartition(".")[2]: value for name, value in dict(span.attributes).items() if name in CALL}


@step
def read(path, lines=10):
    return ["a", "b"]


@step(action="search {pattern}")
def search(pattern):
    current_step().observe("12 matches")
    return "a.py:1"


def test_each_thing_is_told_once_under_the_name_that_viewers_read():
    with capture_episodes() as recorded, episode("t") as ep:
        read("/x")
        search("TODO")
        with step("cargo", action='build "all"') as s:
            s.observe("ok")
        with step("cargo") as s:
            s.observe({"code": 0})
        ep.log_step(tool="cargo", action="test", success=False, observation="2 failed")
        ep.decide("retry?", choice="yes", reason="cheap")
        with ep.batch("edit", action="rename") as b:
            b.add("a.py")
        with pytest.raises(OSError, match="no such"), step("rm"):
            raise OSError("no such file")
    assert [told(span) for span in recorded.steps] == [
        {"arguments": '{"path": "/x", "lines": 10}', "result": '["a", "b"]'},
        {
            "arguments": '{"pattern": "TODO"}',
            "action": "search TODO",
            "result": "a.py:1",
            "observation": "12 matches",
        },
        {"arguments": '{"action": "build \\"all\\""}', "result": "ok"},
        {"result": '{"code": 0}'},
        {"arguments": '{"action": "test"}', "result": "2 failed"},
        {"arguments": '{"action": "retry?"}', "result": "yes: cheap"},
        {"arguments": '{"action": "rename"}', "result": "1 done"},
        {"result": "OSError: no such file"},
    ]


def test_in_tests_action_and_observation_are_found_under_either_name():
    with capture_episodes() as recorded, episode("t"):
        read("/x")
        with step("cargo", action="build"):
            pass
    called, built = (span.attributes for span in recorded.steps)
    assert called["episode.step.action"] == '{"path": "/x", "lines": 10}'
    assert called["episode.step.observation"] == '["a", "b"]'
    assert built["episode.step.action"] == "build"
    assert built.get("episode.step.observation") is None
    with pytest.raises(KeyError):
        built["episode.step.observation"]


@pytest.mark.parametrize("capture", ["summary", "full"])
def test_arguments_are_valid_json_after_the_cut_and_masked(capture):
    @step
    def send(page, token, rows):
        return page

    with capture_episodes(capture=capture) as recorded, episode("t"):
        send('"quoted" <b>\n' * 9000, "t0k3n" * 9, [{"password": "hunter22", "n": i} for i in range(9000)])
    attributes = recorded.steps[0].attributes
    arguments = json.loads(attributes["gen_ai.tool.call.arguments"])
    assert arguments["token"] == "[REDACTED]"
    assert arguments["rows"][0] == {"password": "[REDACTED]", "n": 0}
    assert len(attributes["gen_ai.tool.call.arguments"]) <= (256 if capture == "summary" else 32_768)
    assert len(attributes["gen_ai.tool.call.result"]) <= (1024 if capture == "summary" else 32_768)


def test_task_and_verdict_are_the_messages_of_the_root():
    with capture_episodes() as recorded:
        with episode('Fix "it"', agent="coder", description="Writes code") as ep:
            ep.succeed("48 tests pass")
        with episode():
            pass
    root, bare = (dict(span.attributes) for span in recorded.episodes)
    assert json.loads(root["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": 'Fix "it"'}]}
    ]
    assert json.loads(root["gen_ai.output.messages"]) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "48 tests pass"}], "finish_reason": "stop"}
    ]
    assert root["gen_ai.agent.description"] == "Writes code"
    assert not {"gen_ai.input.messages", "gen_ai.output.messages"} & bare.keys()


def test_without_content_there_are_no_messages():
    with capture_episodes(capture="none") as recorded, episode("Fix it") as ep:
        ep.succeed("done")
    assert not [name for name in dict(recorded.episodes[0].attributes) if name.endswith("messages")]


def test_the_start_marker_looks_like_no_call():
    with (
        capture_episodes() as recorded,
        episode("t", agent="coder", conversation_id="c", attributes={"gen_ai.request.model": "m"}),
    ):
        pass
    assert [name for name in dict(recorded.starts[0].attributes) if name.startswith("gen_ai.")] == []
    assert recorded.starts[0].attributes["episode.agent"] == "coder"
    assert recorded.starts[0].attributes["episode.conversation"] == "c"


def test_user_and_shared_attributes_stand_on_every_span_of_the_episode():
    with (
        capture_episodes() as recorded,
        episode("t", user_id="u-7", shared={"tenant": "blue", "none": None}, attributes={"ticket": 3}),
    ):
        read("/x")
        with recorded.provider.get_tracer("other").start_as_current_span("chat m"):
            pass
    assert all(span.attributes["user.id"] == "u-7" for span in recorded.spans)
    assert all(span.attributes["tenant"] == "blue" for span in recorded.spans)
    assert ["ticket" in span.attributes for span in recorded.spans] == [True, False, False, True]


class Seen(SpanProcessor):
    """Another processor, which looks at a span when it starts."""

    def __init__(self):
        self.spans = []

    def on_start(self, span, parent_context=None):
        self.spans.append((span.name, dict(span.attributes)))
        span.set_attribute("seen", True)  # the value


LIMITS = [SpanLimits(), SpanLimits(max_span_attributes=4), SpanLimits(max_span_attribute_length=5)]


@pytest.mark.parametrize("limits", LIMITS, ids=["none", "count", "length"])
def test_a_step_starts_with_the_attributes_that_the_long_way_would_give_it(limits, monkeypatch):
    def recorded(monkeypatch=None):
        exporter, seen = InMemorySpanExporter(), Seen()
        provider = TracerProvider(span_limits=limits, shutdown_on_exit=False)
        provider.add_span_processor(seen)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        with capture_episodes(), monkeypatch.context() as patch:
            patch.setattr(_state, "provider", provider)
            with episode("task", agent="coder", id="e-1"):
                search("TODO")
        spans = [(span.name, dict(span.attributes)) for span in exporter.get_finished_spans()]
        return [step for step in (*seen.spans, *spans) if step[0] == "execute_tool search"]

    short = recorded(monkeypatch)
    # The long way: a tracer that does not follow an episode sets attributes as anybody does.
    monkeypatch.setattr("otel_episodes._recording.start_prepared", _start_the_long_way)
    monkeypatch.setattr("otel_episodes._recording.set_plain", lambda span, key, value: span.set_attribute(key, value))
    assert short == recorded(monkeypatch)
    assert re.fullmatch("execute_tool search", short[0][0])


def _start_the_long_way(tracer, name, context, attributes, links, start_time):
    return tracer.start_span(name, context, attributes=attributes, links=links, start_time=start_time)
