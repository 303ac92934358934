"""Real spans, a real spool and a real store for the storage tests."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

if TYPE_CHECKING:
    from pathlib import Path

STEP: dict[str, Any] = {
    "episode.id": "e1",
    "episode.span": "step",
    "episode.segment": 0,
    "episode.step.kind": "tool_use",
    "episode.step.index": 1,
    "episode.step.action": "search TODO",
    "episode.step.observation": "3 hits",
    "episode.step.success": True,
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.name": "grep",
    "gen_ai.agent.name": "coder",
}
T0 = 1_700_000_000_123_456_789
DAY = 86_400 * 10**9


class Keep(SpanProcessor):
    """Keeps the spans that end."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


def provider(*processors: SpanProcessor, service: str = "svc", **resource: str) -> TracerProvider:
    """Return an SDK provider that is not global."""
    made = TracerProvider(resource=Resource({"service.name": service, **resource}), shutdown_on_exit=False)
    for processor in processors:
        made.add_span_processor(processor)
    return made


def finished_spans(count: int = 1, *, days: int = 1, service: str = "svc", **attributes: Any) -> list[ReadableSpan]:
    """Return spans, each a trace of its own, that took 1 ms, spread over some days."""
    keep = Keep()
    tracer = provider(keep, service=service).get_tracer("otel_episodes", "0.1.0")
    for index in range(count):
        start = T0 + index + index % days * DAY
        span = tracer.start_span("execute_tool grep", attributes={**STEP, **attributes}, start_time=start)
        span.end(start + 1_000_000)
    return keep.spans


def run_python(code: str, *arguments: object, timeout: float = 60, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own, with warnings as errors."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **environ},
        check=False,
    )


def lines_of(spool: Path) -> list[bytes]:
    """Return every line of every segment, headers excluded."""
    return [
        line
        for segment in sorted(spool.glob("*.jsonl"))
        for line in segment.read_bytes().splitlines()
        if not line.startswith(b'{"format"')
    ]
