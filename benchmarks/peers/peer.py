"""What an `arm_*.py` gives: the peer's tool, and the provider its spans are recorded on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from paired import Scope, Tool


@dataclass(frozen=True)
class Peer:
    """How the peer decorates a tool; `wiring` says what hangs on the provider; `scope` opens the agent's span."""

    distribution: str
    decorate: Callable[[Tool], Tool]
    provider: TracerProvider
    wiring: str
    scope: Scope | None = None


class NoExporter(SpanExporter):
    """For peers that insist on an exporter: takes the spans and drops them."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002  # dropped on purpose
        """Drop the spans."""
        return SpanExportResult.SUCCESS
