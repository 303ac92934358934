"""What a result says about itself: the tokens a model used for it, and whether it failed.

Input tokens include those read from and written to a cache, output tokens those spent on reasoning, as OpenTelemetry's
conventions have it. Providers differ: OpenAI and Gemini count cached tokens into the input, Anthropic and Bedrock
beside it; OpenAI and Anthropic count reasoning into the output, Gemini beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple
from weakref import ref

from otel_episodes import _looking, semconv

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Results of these types carry neither; nearly all results are one of them.
PLAIN = _looking.ids_of(str, int, float, bool, bytes, list, tuple, set, type(None))

# Where responses keep their counts: the APIs of OpenAI, Anthropic, Gemini, Bedrock, Mistral; LangChain's messages.
_CONTAINERS = ("usage", "usage_metadata", "usageMetadata")
# Where an event of a stream keeps the response it is about.
_RESPONSES = ("message", "response", "metadata")
_INPUT = ("input_tokens", "prompt_tokens", "prompt_token_count", "promptTokenCount", "inputTokens")
_OUTPUT = ("output_tokens", "completion_tokens", "candidates_token_count", "candidatesTokenCount", "outputTokens")
# Counted beside the input (Anthropic, Bedrock), and into it: in a part of the usage, or with it.
_READ_BESIDE = ("cache_read_input_tokens", "cacheReadInputTokens")
_WRITTEN_BESIDE = ("cache_creation_input_tokens", "cacheWriteInputTokens")
_INPUT_DETAILS = ("prompt_tokens_details", "input_tokens_details", "input_token_details")
_READ_INSIDE = ("cached_tokens", "cache_read", "cached_content_token_count", "cachedContentTokenCount",
                "cache_read_tokens", "prompt_cache_hit_tokens")  # fmt: skip
_WRITTEN_INSIDE = ("cache_creation", "cache_write", "cache_write_tokens")
# What a tool's results cost is beside Gemini's prompt.
_INPUT_BESIDE = ("tool_use_prompt_token_count", "toolUsePromptTokenCount")
_OUTPUT_DETAILS = ("completion_tokens_details", "output_tokens_details", "output_token_details")
_REASONING_INSIDE = ("reasoning_tokens", "reasoning")
_REASONING_BESIDE = ("thoughts_token_count", "thoughtsTokenCount")
_IDS = ("id", "response_id", "responseId")
_MODELS = ("model", "model_name", "model_version", "modelVersion", "model_id")
# LangChain keeps it, and more, in a part of the message.
_ABOUT = ("response_metadata",)
_FINISHES = ("stop_reason", "stopReason", "finish_reason", "finishReason", "done_reason")
_ANSWERS = ("choices", "candidates")
_IS_ERROR = ("isError", "is_error")
# Ollama keeps its counts on the response itself.
_OLLAMA: Final = ("prompt_eval_count", "eval_count")


class Usage(NamedTuple):
    """Tokens of one or more model calls. The parts are of input and output, not beside them."""

    input: int
    output: int
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0

    def plus(self, other: Usage) -> Usage:
        """Return the sum."""
        return Usage(*(a + b for a, b in zip(self, other, strict=True)))

    def most(self, other: Usage) -> Usage:
        """Return the larger of each: a stream tells its counts again and again as they grow."""
        return Usage(*map(max, self, other))


class Found(NamedTuple):
    """Usage that was found, and what it was found on: the same is not counted again further up."""

    usage: Usage
    response_id: str
    response: ref[Any]
    # Which model answered, and why it stopped; empty where the response does not say.
    model: str = ""
    finish: str = ""

    def is_of(self, other: Found) -> bool:
        """Return True if both are of one model call."""
        if self.response_id and other.response_id:
            return self.response_id == other.response_id
        mine = self.response()
        return self.usage == other.usage or (mine is not None and mine is other.response())


class _Gone:
    """What a reference to nothing refers to."""


# Of a response that cannot be referred to.
NOT_KEPT: Final[ref[Any]] = ref(_Gone())

# How the tokens of an episode and of a step are called.
OF_EPISODE = (
    semconv.TOKENS_INPUT, semconv.TOKENS_OUTPUT, semconv.TOKENS_CACHE_READ, semconv.TOKENS_CACHE_WRITE,
    semconv.TOKENS_REASONING,
)  # fmt: skip
OF_STEP = (
    semconv.STEP_TOKENS_INPUT, semconv.STEP_TOKENS_OUTPUT, semconv.STEP_TOKENS_CACHE_READ,
    semconv.STEP_TOKENS_CACHE_WRITE, semconv.STEP_TOKENS_REASONING,
)  # fmt: skip
# And of a call of a model.
OF_CALL = (
    semconv.GEN_AI_USAGE_INPUT_TOKENS, semconv.GEN_AI_USAGE_OUTPUT_TOKENS,
    semconv.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS, semconv.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS,
    semconv.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS,
)  # fmt: skip
_WHOLES = Usage(input=True, output=True)
# How a model's span calls them; of several names the first that is there.
_OF_SPAN = (
    (semconv.GEN_AI_USAGE_INPUT_TOKENS, "gen_ai.usage.prompt_tokens"),
    (semconv.GEN_AI_USAGE_OUTPUT_TOKENS, "gen_ai.usage.completion_tokens"),
    (semconv.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS, "gen_ai.usage.cache_read_input_tokens"),
    (
        semconv.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS,
        semconv.GEN_AI_USAGE_CACHE_CREATION_INPUT_TOKENS,
        "gen_ai.usage.cache_creation_input_tokens",
    ),
    (semconv.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS, "gen_ai.usage.reasoning_tokens"),
)


def attributes_of(usage: Usage, names: tuple[str, ...]) -> dict[str, int]:
    """Return usage as attributes: input and output, parts where there are any."""
    return {name: count for name, count, always in zip(names, usage, _WHOLES, strict=True) if count or always}


def usage_of(result: object) -> Usage | None:
    """Find the token usage on a model's response, or None."""
    for name in _CONTAINERS:
        usage = _get(result, name)
        if usage is not None:
            return _read(usage)
    if type(_get(result, _OLLAMA[1])) is int:
        return Usage(*(_first_count(result, (name,)) for name in _OLLAMA))
    return None


def found_on(result: object) -> Found | None:
    """Find usage on a model's response, and whose it is."""
    usage = usage_of(result)
    if usage is None:
        return None
    return Found(usage, _response_id(result), _reference(result), _model_of(result), _finish_of(result))


def found_on_item(item: object) -> Found | None:
    """Find usage on an item of a stream: on it, or on the response it is about."""
    found = found_on(item)
    if found is not None:
        return found
    for name in _RESPONSES:
        response = _get(item, name)
        if id(type(response)) not in PLAIN:
            found = found_on(response)
            if found is not None:
                return found
    return None


def usage_of_span(attributes: Mapping[str, Any]) -> Usage | None:
    """Return the usage on a model's span, or None: also for the sum of calls that are counted themselves."""
    if attributes.get(semconv.GEN_AI_OPERATION_NAME) in semconv.AGGREGATE_OPERATIONS:
        return None
    plain = dict(attributes)
    counts = [_first_count(plain, names) for names in _OF_SPAN]
    return Usage(*counts) if any(counts) else None


def is_counted(found: Found, below: Iterable[Found]) -> bool:
    """Return True if usage was counted below: of one of the calls there, or of all of them together."""
    total = Usage(0, 0)
    for other in below:
        if found.is_of(other):
            return True
        total = total.plus(other.usage)
    return found.usage == total


def reports_error(result: object) -> bool:
    """Return True if a result says it is an error, as the Model Context Protocol's tool results do."""
    return any(_get(result, name) is True for name in _IS_ERROR)


def _read(usage: object) -> Usage | None:
    input_details, output_details = (_first(usage, names) for names in (_INPUT_DETAILS, _OUTPUT_DETAILS))
    read, written = _first_count(usage, _READ_BESIDE), _first_count(usage, _WRITTEN_BESIDE)
    reasoning = _first_count(usage, _REASONING_BESIDE)
    input_ = _first_count(usage, _INPUT) + _first_count(usage, _INPUT_BESIDE)
    if type(_get(usage, "prompt_tokens")) is not int:
        # A gateway that speaks OpenAI's language for other models tells both, and counts them in.
        input_ += read + written
    output = _first_count(usage, _OUTPUT) + reasoning
    if not input_ and not output:
        return None
    return Usage(
        input_,
        output,
        read or _first_count(usage, _READ_INSIDE) or _first_count(input_details, _READ_INSIDE),
        written or _first_count(usage, _WRITTEN_INSIDE) or _first_count(input_details, _WRITTEN_INSIDE),
        reasoning or _first_count(output_details, _REASONING_INSIDE),
    )


def _response_id(result: object) -> str:
    found = _first(result, _IDS)
    return found if type(found) is str else ""


def _model_of(result: object) -> str:
    for holder in (result, *(_get(result, name) for name in _ABOUT)):
        found = _first(holder, _MODELS)
        if type(found) is str:
            return found
    return ""


def _finish_of(result: object) -> str:
    for holder in (result, *(_get(result, name) for name in _ABOUT)):
        found = _first(holder, _FINISHES)
        if found is not None:
            return _word(found)
    answers = _first(result, _ANSWERS)
    return _word(_first(answers[0], _FINISHES)) if (type(answers) is list or type(answers) is tuple) and answers else ""


def _word(value: object) -> str:
    """Return a word, or the name of a member of an enumeration; empty for anything else."""
    if type(value) is str:
        return value
    found = _get(value, "value")
    return found if type(found) is str else ""


def _reference(result: object) -> ref[Any]:
    try:
        return ref(result)
    except TypeError:
        return NOT_KEPT  # a dict, say


def _get(value: object, name: str) -> Any:  # any attribute
    found = _looking.attribute(value, name)
    return None if found is _looking.MISSING else found


def _first(value: object, names: tuple[str, ...]) -> Any:  # any attribute
    for name in names:
        found = _get(value, name)
        if found is not None:
            return found
    return None


def _first_count(usage: object, names: tuple[str, ...]) -> int:
    for name in names:
        count = _get(usage, name)
        if type(count) is int and count >= 0:
            return count
    return 0
