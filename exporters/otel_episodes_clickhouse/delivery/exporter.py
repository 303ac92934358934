"""The standard wiring: ``OTEL_TRACES_EXPORTER=episodes``, or an exporter named ``episodes`` in an OTEL_CONFIG_FILE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel_episodes._for_store import provider_set, stamp_episodes
from otel_episodes_clickhouse.delivery.processor import EpisodeSpanProcessor, open_processor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan


class ClickHouseSpanExporter(SpanExporter):
    """Stores the finished spans that belong to an episode (see `EpisodeSpanProcessor`).

    The SDK's environment wiring puts a BatchSpanProcessor in front, which holds spans in memory for up to five
    seconds and drops them past 2,048. So where a global provider exists when this is constructed, as it does there,
    the durable processor is attached to it, and nothing is left to do when the batch comes. Elsewhere the spans are
    stored as they come: in a configuration file say ``simple``, not ``batch``. ``durable=False`` attaches nothing.
    """

    def __init__(
        self,
        dsn: str | None = None,
        *,
        include_agents: bool = False,
        ship: bool | None = None,
        durable: bool = True,
    ) -> None:
        self._processor = open_processor(dsn, include_agents=include_agents, ship=ship)
        if durable:
            _attach(self._processor)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Store what the attached processor has not; a full disk is logged, not reported as a failure to retry."""
        for span in spans:
            self._processor.on_end(span)
        return SpanExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """See `EpisodeSpanProcessor.force_flush`."""
        return self._processor.force_flush(timeout_millis)

    def shutdown(self) -> None:
        """See `EpisodeSpanProcessor.shutdown`."""
        self._processor.shutdown()


def _attach(processor: EpisodeSpanProcessor) -> None:
    # Not get_tracer_provider(): where none is set yet, that one may set one, and the SDK's own would be refused.
    provider = provider_set()
    if isinstance(provider, TracerProvider):
        stamp_episodes(provider, by=processor)
        processor.count_user()  # what it stores comes by once more, in a batch
