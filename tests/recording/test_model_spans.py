"""Calls of models that our own recording makes: said, or found on what a decorated function returns."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from otel_episodes import UsageError, current_step, episode, step
from otel_episodes.testing import capture_episodes


class Response:
    """A model's response, as OpenAI's library gives it."""

    def __init__(self, response_id="resp-1"):
        details = SimpleNamespace(cached_tokens=20)
        self.usage = SimpleNamespace(prompt_tokens=30, completion_tokens=4, prompt_tokens_details=details)
        self.id = response_id
        self.model = "gpt-4o-2024-08-06"
        self.choices = [SimpleNamespace(finish_reason="stop")]


TOLD = {
    "gen_ai.operation.name": "chat", "gen_ai.response.model": "gpt-4o-2024-08-06", "gen_ai.response.id": "resp-1",
    "gen_ai.response.finish_reasons": ("stop",), "gen_ai.usage.input_tokens": 30, "gen_ai.usage.output_tokens": 4,
    "gen_ai.usage.cache_read.input_tokens": 20,
}  # fmt: skip
SAID = {"gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"}


def calls(recorded):
    return [span for span in recorded.spans if span.attributes.get("gen_ai.operation.name") == "chat"]


def test_a_call_is_a_span_of_its_own_and_its_tokens_are_those_of_the_step_and_the_episode():
    with capture_episodes() as recorded, episode("t", agent="coder") as ep, step("plan") as plan:
        with plan.model(provider="openai", model="gpt-4o") as call:
            call.respond(Response())
    (span,), (made,) = calls(recorded), recorded.steps
    assert span.name == "chat gpt-4o"
    assert span.parent_id == made.span_id
    assert span.attributes == {**TOLD, **SAID, "episode.id": ep.id, "gen_ai.agent.name": "coder"}
    assert (made.attributes["episode.step.tokens.input"], made.attributes["episode.step.tokens.output"]) == (30, 4)
    assert recorded.episodes[0].attributes["episode.tokens.input"] == 30


def test_a_secret_in_a_name_of_a_model_is_masked():
    response = Response()
    response.model = "proxy?api_key=hunter2hunter2"
    with capture_episodes() as recorded, episode("t"):
        with step.model(provider="curl -u bob:hunter2Xyz9", model="curl -u bob:hunter2Xyz9 x") as call:
            call.respond(response)
    assert "hunter2" not in str(calls(recorded))
    assert calls(recorded)[0].name == "chat curl -u bob:[REDACTED] x"


async def test_on_an_episode_on_the_current_step_and_asynchronously():
    with capture_episodes() as recorded, episode("t") as ep:
        async with ep.model(model="a") as call:
            call.tokens(input=5, output=1, reasoning=1)
        with step("plan"):
            with step.model(model="b") as call:
                call.tokens(input=7)
            with current_step().model(model="c"):
                pass
    assert [span.name for span in calls(recorded)] == ["chat a", "chat b", "chat c"]
    (made,), (root,) = recorded.steps, recorded.episodes
    assert [span.parent_id for span in calls(recorded)] == [root.span_id, made.span_id, made.span_id]
    assert root.attributes["episode.tokens.input"] == 12
    assert root.attributes["episode.tokens.reasoning"] == 1


def test_a_call_that_fails_says_so_and_lets_the_exception_pass():
    with capture_episodes() as recorded, episode("t"):
        with pytest.raises(TimeoutError), step.model(provider="openai", model="gpt-4o"):
            raise TimeoutError("too slow")
        with step.model(model="x") as call:
            call.fail("refused", error_type="content_filter")
    late, refused = calls(recorded)
    assert (late.status, late.attributes["error.type"]) == ("ERROR", "TimeoutError")
    assert (refused.status, refused.attributes["error.type"]) == ("ERROR", "content_filter")


@pytest.mark.parametrize("response_id", ["resp-1", ""])
def test_an_instrumentation_inside_tells_of_the_same_call(response_id):
    with capture_episodes() as recorded, episode("t"), step("plan"), step.model(model="gpt-4o") as call:
        with recorded.provider.get_tracer("openai").start_as_current_span("chat") as span:
            span.set_attribute("gen_ai.operation.name", "chat")
            span.set_attribute("gen_ai.usage.input_tokens", 30)
            span.set_attribute("gen_ai.response.id", response_id)
        call.respond(Response(response_id))
    assert recorded.episodes[0].attributes["episode.tokens.input"] == 30
    assert recorded.steps[0].attributes["episode.step.tokens.input"] == 30


def test_a_response_that_is_returned_tells_of_a_call_once():
    @step
    def ask():
        return Response()

    @step
    def outer():
        return ask()

    with capture_episodes() as recorded, episode("t"):
        outer()
    (span,) = calls(recorded)
    made = next(each for each in recorded.steps if each.attributes["gen_ai.tool.name"] == "ask")
    assert span.parent_id == made.span_id
    assert span.start_time == made.start_time
    assert {key: span.attributes[key] for key in TOLD} == TOLD
    assert recorded.episodes[0].attributes["episode.tokens.input"] == 30


def test_a_stream_tells_of_a_call_when_it_has_ended():
    @step
    def stream():
        for output in (1, 4):
            usage = SimpleNamespace(input_tokens=30, output_tokens=output)
            yield SimpleNamespace(message=SimpleNamespace(id="m-1", model="claude", usage=usage))

    with capture_episodes() as recorded, episode("t"):
        list(stream())
    (span,) = calls(recorded)
    assert (span.attributes["gen_ai.response.model"], span.attributes["gen_ai.usage.output_tokens"]) == ("claude", 4)


def test_a_response_within_a_call_that_was_said_is_not_told_again():
    @step
    def ask():
        with step.model(model="gpt-4o") as call:
            response = Response()
            call.respond(response)
        return response

    with capture_episodes() as recorded, episode("t"):
        ask()
    assert len(calls(recorded)) == 1
    assert recorded.episodes[0].attributes["episode.tokens.input"] == 30


def test_what_names_no_model_is_no_call_and_a_step_without_one_is_as_before():
    @step
    def ask():
        return SimpleNamespace(usage=SimpleNamespace(input_tokens=3, output_tokens=1))

    with capture_episodes() as recorded, episode("t"):
        ask()
    assert calls(recorded) == []
    assert recorded.episodes[0].attributes["episode.tokens.input"] == 3


def test_wrong_use_is_refused_at_once():
    with capture_episodes(), episode("t"):
        call = step.model(model="x")
        with call, pytest.raises(UsageError, match="0 or more"):
            call.tokens(input=-1)
        with pytest.raises(UsageError, match="entered once"), call:
            pass
    with pytest.raises(UsageError, match="must be a text"):
        step.model(model=["x"])


def test_nothing_is_recorded_outside_of_anything_that_records():
    with step.model(model="x") as call:
        call.respond(Response())
