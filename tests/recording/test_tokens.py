"""Tokens: each model call counts once, cached and thinking tokens are in, whatever the provider calls them."""

from types import SimpleNamespace

import pytest

from otel_episodes import current_step, episode, step
from otel_episodes._usage import Usage, found_on_item, usage_of
from otel_episodes.testing import capture_episodes


class Response:
    """A model's response, as an object."""

    def __init__(self, input_tokens, output_tokens, response_id=""):
        self.usage = SimpleNamespace(input_tokens=input_tokens, output_tokens=output_tokens)
        self.id = response_id


def counted(recorded):
    """Return the tokens of the episode, and of each step that has any, by its tool."""
    root = recorded.episodes[-1].attributes
    steps = {
        s.attributes["gen_ai.tool.name"]: (
            s.attributes["episode.step.tokens.input"],
            s.attributes["episode.step.tokens.output"],
        )
        for s in recorded.steps
        if "episode.step.tokens.input" in s.attributes
    }
    return (root.get("episode.tokens.input", 0), root.get("episode.tokens.output", 0)), steps


def handed_up(inner):
    """Call a function through two more steps that hand its result up."""

    @step
    def middle():
        return inner()

    @step
    def outer():
        return middle()

    with capture_episodes() as recorded, episode("t"):
        outer()
    return counted(recorded)


def test_a_response_that_is_handed_up_counts_in_the_innermost_step():
    @step
    def ask():
        return Response(30, 4)

    assert handed_up(ask) == ((30, 4), {"ask": (30, 4)})


@pytest.mark.parametrize("as_what", [dict, lambda r: {"answer": r, "usage": vars(r.usage)}])
def test_a_response_handed_up_in_another_form_counts_once(as_what):
    @step
    def ask():
        return {"id": "r-1", "usage": {"prompt_tokens": 30, "completion_tokens": 4}}

    @step
    def convert():
        found = ask()
        return SimpleNamespace(usage=SimpleNamespace(**found["usage"]))

    assert handed_up(convert) == ((30, 4), {"ask": (30, 4)})


def test_the_sum_of_what_was_counted_below_is_not_counted_again():
    @step
    def agent():
        for n in (1, 2):
            step(lambda n=n: Response(10 * n, n, response_id=f"r-{n}"))()
        return Response(30, 3)

    assert handed_up(agent)[0] == (30, 3)


def test_tokens_that_were_said_inside_are_not_found_again_further_up():
    @step
    def ask():
        current_step().tokens(input=31, output=5)
        return Response(30, 4)

    assert handed_up(ask) == ((31, 5), {"ask": (31, 5)})


def test_what_a_step_says_and_steps_below_it_counted_counts_once():
    @step
    def agent():
        response = step(lambda: Response(30, 4))()
        current_step().tokens(input=response.usage.input_tokens, output=response.usage.output_tokens)

    assert handed_up(agent)[0] == (30, 4)


def test_different_calls_count_each_and_so_does_the_same_response_without_an_id():
    kept = Response(30, 4)

    @step
    def cached():
        return kept

    @step
    def agent():
        cached()
        cached()
        return Response(7, 1)

    assert handed_up(agent)[0] == (67, 9)


def test_a_response_with_an_id_that_comes_from_a_cache_counts_once():
    kept = Response(30, 4, "resp-1")

    @step
    def cached(response):
        return response

    with capture_episodes() as recorded, episode("t"):
        cached(kept)
        cached(kept)
        cached(Response(7, 1, "resp-1"))  # not the same: a server that gives every response this id
    assert counted(recorded)[0] == (37, 5)


def chat(recorded, name, tokens, *, operation="chat", response_id="", inside=None):
    """Make a span as an instrumentation of a model does."""
    with recorded.provider.get_tracer(name).start_as_current_span(name) as span:
        if inside is not None:
            inside()
        span.set_attribute("gen_ai.operation.name", operation)
        span.set_attribute("gen_ai.usage.input_tokens", tokens)
        span.set_attribute("gen_ai.usage.output_tokens", 1)
        if response_id:
            span.set_attribute("gen_ai.response.id", response_id)


def test_two_instrumentations_of_one_call_count_once():
    with capture_episodes() as recorded, episode("t"):
        with step("nested"):
            chat(recorded, "framework", 100, inside=lambda: chat(recorded, "client", 99))
        with step("beside"):
            chat(recorded, "client", 10, response_id="resp-1")
            chat(recorded, "gateway", 10, response_id="resp-1")
    assert counted(recorded) == ((109, 2), {"nested": (99, 1), "beside": (10, 1)})


def test_a_call_inside_a_tool_of_a_call_counts_beside_it():
    def tool():
        chat(recorded, "tool", 0, operation="execute_tool", inside=lambda: chat(recorded, "client", 20))

    with capture_episodes() as recorded, episode("t"):
        chat(recorded, "framework", 100, inside=tool)
    assert counted(recorded)[0] == (120, 2)


def test_a_span_and_the_response_it_is_about_count_once():
    with capture_episodes() as recorded, episode("t"):

        @step
        def ask():
            chat(recorded, "client", 30, response_id="resp-1")
            return Response(30, 1, "resp-1")

        @step
        def outer():
            return ask()

        outer()
        step(lambda: Response(30, 1, "resp-1"))()
    assert counted(recorded) == ((30, 1), {"ask": (30, 1)})


def test_parts_of_the_tokens_are_kept_beside_them():
    @step
    def ask():
        return {
            "usage": {
                "input_tokens": 10,
                "cache_read_input_tokens": 200,
                "cache_creation_input_tokens": 30,
                "output_tokens": 5,
            }
        }

    with capture_episodes() as recorded, episode("t"):
        ask()
    root, only = recorded.episodes[0].attributes, recorded.steps[0].attributes
    assert {key.removeprefix("episode."): value for key, value in root.items() if "tokens" in key} == {
        "tokens.input": 240,
        "tokens.output": 5,
        "tokens.cache_read": 200,
        "tokens.cache_write": 30,
    }
    assert (only["episode.step.tokens.input"], only["episode.step.tokens.cache_read"]) == (240, 200)


@pytest.mark.parametrize(
    ("response", "usage"),
    [
        pytest.param(
            {
                "usage": {
                    "prompt_tokens": 100,
                    "completion_tokens": 50,
                    "prompt_tokens_details": {"cached_tokens": 80},
                    "completion_tokens_details": {"reasoning_tokens": 40},
                }
            },
            Usage(100, 50, cache_read=80, reasoning=40),
            id="OpenAI chat",
        ),
        pytest.param(
            {
                "usage": {
                    "input_tokens": 100,
                    "output_tokens": 50,
                    "input_tokens_details": {"cached_tokens": 80},
                    "output_tokens_details": {"reasoning_tokens": 40},
                }
            },
            Usage(100, 50, cache_read=80, reasoning=40),
            id="OpenAI responses",
        ),
        pytest.param(
            {"usage": {"input_tokens": 1, "cache_read_input_tokens": 9, "output_tokens": 2, "cache_creation": {}}},
            Usage(10, 2, cache_read=9),
            id="Anthropic",
        ),
        pytest.param(
            {
                "usageMetadata": {
                    "promptTokenCount": 100,
                    "cachedContentTokenCount": 60,
                    "toolUsePromptTokenCount": 5,
                    "candidatesTokenCount": 20,
                    "thoughtsTokenCount": 30,
                }
            },
            Usage(105, 50, cache_read=60, reasoning=30),
            id="Gemini",
        ),
        pytest.param(
            {"usage": {"inputTokens": 1, "outputTokens": 2, "cacheReadInputTokens": 9, "cacheWriteInputTokens": 4}},
            Usage(14, 2, cache_read=9, cache_write=4),
            id="Bedrock",
        ),
        pytest.param(
            {"usage": {"prompt_tokens": 14, "completion_tokens": 2, "cache_read_input_tokens": 9}},
            Usage(14, 2, cache_read=9),
            id="a gateway that speaks for another model",
        ),
        pytest.param(
            {
                "usage_metadata": {
                    "input_tokens": 14,
                    "output_tokens": 8,
                    "input_token_details": {"cache_read": 9, "cache_creation": 4},
                    "output_token_details": {"reasoning": 3},
                }
            },
            Usage(14, 8, cache_read=9, cache_write=4, reasoning=3),
            id="LangChain",
        ),
        pytest.param({"prompt_eval_count": 26, "eval_count": 290}, Usage(26, 290), id="Ollama"),
        pytest.param({"usage": {"prompt_tokens": 0, "completion_tokens": 0}}, None, id="nothing used"),
        pytest.param({"usage": "free"}, None, id="something else"),
    ],
)
def test_usage_is_read_as_each_provider_means_it(response, usage):
    assert usage_of(response) == usage


@pytest.mark.parametrize(
    "item",
    [
        {"type": "message_start", "message": {"usage": {"input_tokens": 3, "output_tokens": 1}}},
        {"type": "response.completed", "response": {"usage": {"input_tokens": 3, "output_tokens": 1}}},
        {"metadata": {"usage": {"inputTokens": 3, "outputTokens": 1}}},
    ],
)
def test_usage_is_found_on_the_events_of_streams(item):
    assert found_on_item(item).usage == Usage(3, 1)
