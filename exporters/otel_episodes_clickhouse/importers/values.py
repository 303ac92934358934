"""Reading fields that different writers call and write differently."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import orjson

from otel_episodes import semconv
from otel_episodes._for_store import reports_error
from otel_episodes_clickhouse.importers.trajectory import RecordError

_TIME_FIELDS: Final = ("start_time", "started_at", "created_at", "created", "timestamp", "time")
# A number below 1e11 is seconds (until the year 5138), then come milliseconds and microseconds.
_SCALES: Final = ((1e11, 1_000_000_000), (1e14, 1_000_000), (1e17, 1000))
_RESERVED: Final = ("episode.", "gen_ai.")
_KNOWN: Final = ("task_type", "domain", "language", "framework")
_LARGEST_JSON_ANSWER: Final = 200_000
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


def says_failure(answer: str) -> bool:
    """Tell whether a tool's answer reports a failure: it starts with "Error", or is JSON with an error in it."""
    start = answer.lstrip()[:6]
    if start[:5] in ("Error", "ERROR"):
        return True
    if start[:1] != "{" or len(answer) > _LARGEST_JSON_ANSWER:
        return False
    try:
        value = orjson.loads(answer)
    except ValueError:
        return False
    return bool(value.get("error")) or reports_error(value)


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
    try:
        return nanoseconds(float(text))
    except ValueError:
        return _iso(text)


def _iso(text: str) -> int | None:
    # Python 3.10 takes neither Z nor other than 3 or 6 digits of a second.
    text = text.replace("Z", "+00:00").replace("z", "+00:00")
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
    if record.keys().isdisjoint(_TIME_FIELDS):  # most messages
        return None
    found = (nanoseconds(record.get(name)) for name in _TIME_FIELDS)
    return next((time for time in found if time is not None), None)


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


def number(value: object, name: str) -> float:
    """Return a reward as a finite number; raise `RecordError` for what is none."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            value = None
    if not isinstance(value, (int, float)) or value - value != 0:
        raise RecordError(f"the reward in {name!r} is no number")
    return float(value)


def count(value: object) -> int:
    """Return a count of tokens; 0 for what is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0
