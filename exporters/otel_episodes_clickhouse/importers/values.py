"""Reading fields that different writers call and write differently."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import orjson

from otel_episodes import semconv
from otel_episodes_clickhouse.importers.run import NO_USAGE, RecordError, Usage

_TIME_FIELDS: Final = (
    "start_time",
    "started_at",
    "created_at",
    "created",
    "createdAt",
    "timestamp",
    "time",
    "ts",
    "date",
)
# A number below 1e11 is seconds (until the year 5138), then come milliseconds and microseconds.
_SCALES: Final = ((1e11, 1_000_000_000), (1e14, 1_000_000), (1e17, 1000))
_RESERVED: Final = ("episode.", "gen_ai.")
_KNOWN: Final = ("task_type", "domain", "language", "framework")
_MAX_TIME: Final = 2**63 - 1


def lookup(record: dict[str, Any], path: str) -> Any:  # any JSON value
    """Return the field of that name, or ``a.b`` as a field in a field; None where there is none."""
    if path in record:
        return record[path]
    value: Any = record
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def required(record: dict[str, Any], path: str, option: str) -> Any:
    """Return a field that the user named; raise `RecordError` where there is none."""
    value = lookup(record, path)
    if value is None:
        raise RecordError(f"no field {path!r}, which {option} names; its fields are {', '.join(map(str, record))}")
    return value


def text_of(content: object) -> str:
    """Return the text of a message's content: a string, or a list of parts of which the texts are joined."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(filter(None, (_text_of_part(part) for part in content)))
    return "" if content is None else orjson.dumps(content, default=str).decode()


def _text_of_part(part: object) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        return ""
    text = part.get("text")
    if isinstance(text, dict):
        text = text.get("value")
    return text if isinstance(text, str) else f"[{part.get('type', 'part')}]"


def nanoseconds(value: object) -> int | None:
    """Return a time in nanoseconds since 1970: ISO 8601 (UTC without an offset), or a number in s, ms, µs or ns."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, (int, float)):
        scale = next((scale for below, scale in _SCALES if abs(value) < below), 1)
        return _in_range(int(value * scale)) if value - value == 0 else None
    if not isinstance(value, str) or not value.strip():
        return None
    text = value.strip()
    if text[4:5] == "-":  # nearly always
        return _iso(text)
    try:
        return nanoseconds(float(text))
    except ValueError:
        return _iso(text)


def _iso(text: str) -> int | None:
    # datetime ends at microseconds: the digits of a second are read apart.
    head, dot, rest = text.partition(".")
    digits = ""
    if dot:
        digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
        text = head + rest[len(digits) :]
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    seconds = delta.days * 86_400 + delta.seconds
    return _in_range(seconds * 1_000_000_000 + delta.microseconds * 1000 + int(digits[:9].ljust(9, "0") or 0))


def _in_range(value: int) -> int | None:
    return value if 0 < value <= _MAX_TIME else None


def time_of(record: dict[str, Any]) -> int | None:
    """Return the time a record or a message carries, under any of the usual names."""
    if not record.keys().isdisjoint(_TIME_FIELDS):
        found = (nanoseconds(record.get(name)) for name in _TIME_FIELDS)
        time = next((time for time in found if time is not None), None)
        if time is not None:
            return time
    for name in ("extra", "metadata"):
        inner = record.get(name)
        if isinstance(inner, dict) and not inner.keys().isdisjoint(_TIME_FIELDS):
            return time_of(inner)
    return None


def episode_options(record: dict[str, Any]) -> dict[str, Any]:
    """Return what a record says about its task under the names of `otel_episodes.episode`."""
    options: dict[str, Any] = {
        name: record[name] for name in _KNOWN if isinstance(record.get(name), str) and record[name]
    }
    if record.get("complexity") in semconv.COMPLEXITIES:
        options["complexity"] = record["complexity"]
    tags = record.get("tags")
    if isinstance(tags, list) and all(isinstance(tag, str) for tag in tags):
        options["tags"] = tags
    return options


def scalars(record: dict[str, Any], but: set[str]) -> dict[str, Any]:
    """Return the fields that are plain values, as attributes; our own namespaces are not a file's to fill."""
    return {
        key: value
        for key, value in record.items()
        if key not in but and isinstance(value, (str, int, float, bool)) and not key.startswith(_RESERVED)
    }


def count(value: object) -> int:
    """Return a count of tokens; 0 for what is none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0


def string(value: object) -> str:
    """Return a text, and an empty one for what is none."""
    return value if isinstance(value, str) else ""


def as_object(value: Any, what: str) -> dict[str, Any]:
    """Return an object; raise `RecordError` for what is none."""
    if not isinstance(value, dict):
        raise RecordError(f"{what} is not an object")
    return value


def objects(value: object) -> list[dict[str, Any]]:
    """Return the objects in a list, and none where it is not a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


# Where the APIs of OpenAI (two of them), Anthropic, Gemini and the frameworks over them keep their counts.
_USAGES: Final = (
    "usage", "usage_metadata", "usageMetadata", "token_usage", "extra.response.usage", "response_metadata.token_usage",
    "response.usage", "metrics",
)  # fmt: skip
_USAGE_HEADS: Final = frozenset(path.partition(".")[0] for path in _USAGES)
_INPUT: Final = (
    "input_tokens",
    "prompt_tokens",
    "promptTokenCount",
    "prompt_token_count",
    "inputTokens",
    "promptTokens",
)
_OUTPUT: Final = (
    "output_tokens", "completion_tokens", "candidatesTokenCount", "candidates_token_count", "outputTokens",
    "completionTokens",
)  # fmt: skip
_CACHED: Final = (
    "cached_tokens", "cachedContentTokenCount", "cached_content_token_count", "input_tokens_cache_read",
    "cached_input_tokens", "cache_read_tokens", "prompt_tokens_details.cached_tokens",
    "input_tokens_details.cached_tokens", "input_token_details.cache_read", "cachedInputTokens",
)  # fmt: skip
_WRITTEN: Final = ("input_tokens_cache_write", "cache_write_tokens", "input_token_details.cache_creation")
_REASONING: Final = (
    "reasoning_tokens", "reasoning_output_tokens", "completion_tokens_details.reasoning_tokens",
    "output_tokens_details.reasoning_tokens", "output_token_details.reasoning", "thoughtsTokenCount", "reasoningTokens",
)  # fmt: skip
# Gemini counts thoughts beside its answer, all others within.
_BESIDE: Final = ("thoughtsTokenCount",)


def usage_in(record: dict[str, Any]) -> Usage:
    """Return the tokens that a message or record says it used, under any of the usual names."""
    if record.keys().isdisjoint(_USAGE_HEADS):  # most messages
        return NO_USAGE
    for path in _USAGES:
        found = lookup(record, path) if path.partition(".")[0] in record else None
        if isinstance(found, dict):
            usage = usage_of(found)
            if usage:
                return usage
    return NO_USAGE


def usage_of(counts: dict[str, Any]) -> Usage:
    """Return counts of tokens in one form, whatever API they are from."""
    if "cache_read_input_tokens" in counts or "cache_creation_input_tokens" in counts:
        # Anthropic's input_tokens are those that came neither from the cache nor were written to it.
        cached, written = count(counts.get("cache_read_input_tokens")), count(counts.get("cache_creation_input_tokens"))
        tokens = count(counts.get("input_tokens")) + cached + written
        return Usage(tokens, count(counts.get("output_tokens")), cached, written)
    cached, written = _first_count(counts, _CACHED), _first_count(counts, _WRITTEN)
    tokens = _first_count(counts, _INPUT)
    output, reasoning = _first_count(counts, _OUTPUT), _first_count(counts, _REASONING)
    if any(name in counts for name in _BESIDE):
        output += reasoning
    return Usage(tokens, output, cached, written, reasoning)


def _first_count(counts: dict[str, Any], paths: tuple[str, ...]) -> int:
    for path in paths:
        # Most are not there: one look each.
        if path in counts or ("." in path and path.partition(".")[0] in counts):
            found = count(lookup(counts, path))
            if found:
                return found
    return 0


def amount(value: object) -> float | None:
    """Return an amount of money, or None where there is none."""
    return (
        float(value)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < float("inf")
        else None
    )


def fields(value: object) -> dict[str, Any]:
    """Return an object, and an empty one for what is none."""
    return value if isinstance(value, dict) else {}
