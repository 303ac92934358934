"""What a tool's result says about itself: tokens used, and whether it failed."""

from __future__ import annotations

from typing import Any, NamedTuple

from otel_episodes import _looking, semconv

# Results of these types carry neither; nearly all results are one of them.
PLAIN = frozenset((str, int, float, bool, bytes, list, tuple, set, type(None)))

# Where the responses of OpenAI (two APIs), Anthropic, Gemini and plain dicts keep their counts.
_CONTAINERS = ("usage", "usage_metadata", "usageMetadata")
_INPUT = ("input_tokens", "prompt_tokens", "prompt_token_count", "promptTokenCount", "inputTokens")
_OUTPUT = ("output_tokens", "completion_tokens", "candidates_token_count", "candidatesTokenCount", "outputTokens")
_IS_ERROR = ("isError", "is_error")


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


# How the tokens of an episode and of a step are called.
OF_EPISODE = (
    semconv.TOKENS_INPUT, semconv.TOKENS_OUTPUT, semconv.TOKENS_CACHE_READ, semconv.TOKENS_CACHE_WRITE,
    semconv.TOKENS_REASONING,
)  # fmt: skip
OF_STEP = (
    semconv.STEP_TOKENS_INPUT, semconv.STEP_TOKENS_OUTPUT, semconv.STEP_TOKENS_CACHE_READ,
    semconv.STEP_TOKENS_CACHE_WRITE, semconv.STEP_TOKENS_REASONING,
)  # fmt: skip


_WHOLES = Usage(input=True, output=True)


def attributes_of(usage: Usage, names: tuple[str, ...]) -> dict[str, int]:
    """Return usage as attributes: input and output where either is known, parts where there are any."""
    if not any(usage):
        return {}
    return {name: count for name, count, always in zip(names, usage, _WHOLES, strict=True) if count or always}


def usage_of(result: object) -> Usage | None:
    """Find the token usage on a model's response, or None."""
    for name in _CONTAINERS:
        usage = _get(result, name)
        if usage is not None:
            tokens = Usage(_first_count(usage, _INPUT), _first_count(usage, _OUTPUT))
            return tokens if any(tokens) else None
    return None


def reports_error(result: object) -> bool:
    """Tell whether a result says it is an error, as the Model Context Protocol's tool results do."""
    return any(_get(result, name) is True for name in _IS_ERROR)


def _get(value: object, name: str) -> Any:  # any attribute
    found = _looking.attribute(value, name)
    return None if found is _looking.MISSING else found


def _first_count(usage: object, names: tuple[str, ...]) -> int:
    for name in names:
        count = _get(usage, name)
        if type(count) is int and count >= 0:
            return count
    return 0
