"""The inner door: all that the store package takes from this one beyond its public API.

The store records what already happened (an import, a command line), through the same code that records live runs: the
same spans, the same redaction, the same cuts. An import contract keeps its modules from any other door.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context

from otel_episodes import _rendering, _state, semconv
from otel_episodes._batch import BatchRecording
from otel_episodes._boundary import Boundary, passes, report
from otel_episodes._checks import checked_kind, checked_name
from otel_episodes._context import attached
from otel_episodes._episode import run_of
from otel_episodes._handle import Handle
from otel_episodes._processor import EpisodeContextProcessor, stamp_episodes
from otel_episodes._recording import SPAN_NAMES, StepRecording, StepSpec
from otel_episodes._run import Outcome, message
from otel_episodes._sdk import SpanFields, plain_attributes, provider_set, read_span, start_root, suppressed
from otel_episodes._settings import ACTION_LIMIT, CONTENT_LIMIT, NAME_LIMIT, OBSERVATION_LIMIT, one_of
from otel_episodes._state import SCOPE
from otel_episodes._template import Words, call_key, template
from otel_episodes._usage import OF_EPISODE, OF_STEP, Usage, attributes_of, reports_error, usage_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry.trace import TracerProvider

    from otel_episodes._episode import Episode

__all__ = [
    "ACTION_LIMIT",
    "CONTENT_LIMIT",
    "NAME_LIMIT",
    "OBSERVATION_LIMIT",
    "SCOPE",
    "BatchRecording",
    "Boundary",
    "EpisodeContextProcessor",
    "Handle",
    "SpanFields",
    "StepRecording",
    "Usage",
    "Words",
    "add_tokens",
    "attached",
    "begin_past_step",
    "call_key",
    "capture",
    "leave_outcome_unknown",
    "masked_attributes",
    "masked_json",
    "masked_line",
    "masked_text",
    "message",
    "note",
    "note_apart",
    "one_of",
    "passes",
    "plain_attributes",
    "provider_set",
    "read_span",
    "recording_to",
    "report",
    "reports_error",
    "stamp_episodes",
    "step_span_name",
    "suppressed",
    "tell_source",
    "template",
    "tokens_of_episode",
    "tokens_of_step",
    "told_arguments",
    "unit_of",
    "usage_of",
]


@contextmanager
def recording_to(provider: TracerProvider) -> Iterator[None]:
    """Record to this provider inside the block, outside of any span that is current, and raise our own errors."""
    before = _state.settings, _state.provider
    _state.settings = replace(_state.settings, strict=True)
    _state.provider = provider
    try:
        with attached(Context()):
            yield
    finally:
        _state.settings, _state.provider = before


def begin_past_step(
    episode: Episode,
    tool: str,
    *,
    start_time: int,
    kind: str = "tool_use",
    action: object = None,
    batch: bool = False,
    attributes: Mapping[str, Any] | None = None,
) -> StepRecording:
    """Begin a step at the time it happened; its ``close(result=..., end_time=...)`` ends it.

    ``action`` is a text, or the arguments by name. A ``batch`` is a `BatchRecording`, to which items are added.

    Raises:
        UsageError: an unknown kind or an overlong name.
    """
    # Arguments as they are, so that what stands under a secret's name is masked.
    spec = StepSpec(checked_name(tool), checked_kind(kind), attributes=masked_attributes(attributes or {}))
    recording = (BatchRecording if batch else StepRecording)(spec, run_of(episode))
    recording.begin_at(start_time, told_arguments(action))
    return recording


def told_arguments(action: object) -> str | None:
    """Return what a step was called with as valid JSON, secrets masked: its arguments, or a text as ``{"action": …}``.

    None where nothing was told or nothing of what steps say is kept.
    """
    settings = _state.settings
    if not action or settings.capture == "none":
        return None
    if isinstance(action, dict):
        limit = CONTENT_LIMIT if settings.capture == "full" else ACTION_LIMIT
        named = {str(name): value for name, value in action.items()}
        return _rendering.fair_json(named, limit, settings.redactor)[0]
    said = masked_text(action, ACTION_LIMIT)
    return _rendering.json({"action": said}, CONTENT_LIMIT, None) if said else None


def masked_text(value: object, limit: int) -> str:
    """Return a value as a text of at most this many characters, with secrets masked."""
    return _rendering.text(value, limit, _state.settings.redactor)


def masked_line(value: str, limit: int) -> str:
    """Return a text on one line of at most this many characters, with secrets masked."""
    return _rendering.one_line(value, limit, _state.settings.redactor)


def masked_json(value: object, limit: int) -> str:
    """Return a value as valid JSON of at most this many characters, with secrets masked."""
    return _rendering.json(value, limit, _state.settings.redactor)


def masked_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes from a foreign source with secrets masked and long texts cut."""
    redactor = _state.settings.redactor
    cleaned: dict[str, Any] = {}
    for key, value in attributes.items():
        if redactor is not None and redactor.masks(key, value):
            cleaned[key] = redactor.masked(value)
        elif isinstance(value, str):
            cleaned[key] = _rendering.text(value, OBSERVATION_LIMIT, redactor)
        else:
            cleaned[key] = value
    return cleaned


def capture() -> str:
    """Return how much of what steps say is kept: none, summary or full."""
    return _state.settings.capture


def step_span_name(kind: str, tool: str) -> str:
    """Return the name of a step's span."""
    return f"{SPAN_NAMES[kind]} {tool}".rstrip()


def tokens_of_episode(usage: Usage) -> dict[str, int]:
    """Return tokens as attributes of an episode."""
    return attributes_of(usage, OF_EPISODE)


def tokens_of_step(usage: Usage) -> dict[str, int]:
    """Return tokens as attributes of a step."""
    return attributes_of(usage, OF_STEP)


def add_tokens(episode: Episode, usage: Usage) -> None:
    """Add tokens that no step of the episode used."""
    run_of(episode).add_usage(usage)


def note(episode: Episode, name: str, attributes: Mapping[str, Any]) -> None:
    """Record a span of this name in an episode of this process; nothing where nothing is recorded."""
    run_of(episode).note(name, attributes)


def note_apart(provider: TracerProvider, trace_id: str, name: str, attributes: Mapping[str, Any]) -> None:
    """Record a span to this provider, in a trace (32 hex digits) of which nothing is known here."""
    now = time.time_ns()
    start_root(provider.get_tracer(SCOPE), name, int(trace_id, 16), attributes, (), now).end(now + 1)


def unit_of(episode: Episode) -> str:
    """Return what advice to an episode of this process is drawn for: the conversation, else the outermost episode.

    Empty for one that is gone on with by its handle, which does not tell the conversation: the store knows.
    """
    return run_of(episode).unit


def leave_outcome_unknown(episode: Episode) -> None:
    """Have the episode end with an unknown outcome: nobody said how it ended."""
    run_of(episode).outcome = Outcome(semconv.UNKNOWN, "", {})


def tell_source(episode: Episode, source: str) -> None:
    """Say who said the outcome that was just told, where that was not a person: a score, a rule.

    Raises:
        UsageError: an unknown source.
    """
    one_of("source", source, semconv.OUTCOME_SOURCES)
    run = run_of(episode)
    if run.outcome is not None:
        run.outcome = run.outcome._replace(source=source)
