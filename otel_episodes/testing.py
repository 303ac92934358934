"""Looking at what was recorded, in tests.

>>> with capture_episodes() as recorded:
...     run_my_agent()
>>> recorded.steps[0].attributes["episode.step.action"]
'search TODO'
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_episodes import _state, semconv
from otel_episodes._processor import EpisodeContextProcessor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.sampling import Sampler


class Attributes(dict[str, Any]):
    """The attributes of a span as they were written.

    What a step did and what came of it are found under our own names too, as in the views over stored spans: the action
    where the arguments tell it, the observation where the result is it.
    """

    def __missing__(self, key: str) -> Any:
        told = self.get(key, _MISSING)
        if told is _MISSING:
            raise KeyError(key)
        return told

    def get(self, key: str, default: Any = None) -> Any:
        """Return an attribute, or the default."""
        if key in self:
            return self[key]
        if key == semconv.STEP_OBSERVATION and semconv.GEN_AI_TOOL_CALL_RESULT in self:
            return self[semconv.GEN_AI_TOOL_CALL_RESULT]
        if key == semconv.STEP_ACTION and semconv.GEN_AI_TOOL_CALL_ARGUMENTS in self:
            arguments = json.loads(self[semconv.GEN_AI_TOOL_CALL_ARGUMENTS])
            return arguments["action"] if arguments.keys() == {"action"} else self[semconv.GEN_AI_TOOL_CALL_ARGUMENTS]
        return default


_MISSING = object()


@dataclass(frozen=True)
class RecordedSpan:
    """A finished span, as plain values; times in nanoseconds since 1970, ids in hex."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    start_time: int
    end_time: int
    status: str
    message: str
    attributes: Mapping[str, Any]
    events: tuple[tuple[str, Mapping[str, Any]], ...]
    links: tuple[tuple[str, Mapping[str, Any]], ...]


@dataclass(frozen=True)
class Recorded:
    """What was recorded, in the order in which it ended."""

    provider: TracerProvider
    exporter: InMemorySpanExporter = field(repr=False)

    @property
    def spans(self) -> list[RecordedSpan]:
        """All finished spans."""
        return [_plain(span) for span in self.exporter.get_finished_spans()]

    @property
    def episodes(self) -> list[RecordedSpan]:
        """The spans of episodes that have ended."""
        return self._of(semconv.SPAN_EPISODE)

    @property
    def steps(self) -> list[RecordedSpan]:
        """The spans of steps."""
        return self._of(semconv.SPAN_STEP)

    @property
    def starts(self) -> list[RecordedSpan]:
        """The markers sent when episodes start."""
        return self._of(semconv.SPAN_START)

    def _of(self, kind: str) -> list[RecordedSpan]:
        return [span for span in self.spans if span.attributes.get(semconv.SPAN) == kind]


@contextmanager
def capture_episodes(*, sampler: Sampler | None = None, **settings: Any) -> Iterator[Recorded]:
    """Record into memory inside the block, and raise errors of our own rather than log them.

    ``settings`` are those of `configure` (``capture``, ``orphans``, ``redactor``). Only what otel-episodes records
    goes here; the global tracer provider is left alone. Spans of other libraries are captured when they use
    ``recorded.provider``.
    """
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    provider.add_span_processor(EpisodeContextProcessor())  # type: ignore[arg-type]  # the interface, not the class
    provider.add_span_processor(_Collector(exporter))
    before = _state.settings, _state.provider
    _state.settings = replace(_state.settings, **{"strict": True, **settings})
    _state.provider = provider
    try:
        yield Recorded(provider, exporter)
    finally:
        _state.settings, _state.provider = before


class _Collector(SpanProcessor):
    """Keep finished spans. The SDK's own processor would log any exception in here: a time limit, say, and go on."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    def on_end(self, span: ReadableSpan) -> None:
        if span.context.trace_flags.sampled:
            self._exporter.export((span,))

    def shutdown(self) -> None:
        self._exporter.shutdown()


def _plain(span: ReadableSpan) -> RecordedSpan:
    context = span.get_span_context()
    return RecordedSpan(
        name=span.name,
        trace_id=f"{context.trace_id:032x}" if context else "",
        span_id=f"{context.span_id:016x}" if context else "",
        parent_id=f"{span.parent.span_id:016x}" if span.parent else "",
        start_time=span.start_time or 0,
        end_time=span.end_time or 0,
        status=span.status.status_code.name,
        message=span.status.description or "",
        attributes=Attributes(span.attributes or {}),
        events=tuple((event.name, dict(event.attributes or {})) for event in span.events),
        links=tuple((f"{link.context.span_id:016x}", dict(link.attributes or {})) for link in span.links),
    )
