"""Our own metrics, by the names the OpenTelemetry SDK gives its own.

Counters here are plain integers, read when a MeterProvider collects: recording a step pays nothing for them. Without a
MeterProvider nobody asks.
"""

from __future__ import annotations

import itertools
import weakref
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import metrics

from otel_episodes_clickhouse.spool import backlog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from otel_episodes_clickhouse.delivery.backoff import Backoff
    from otel_episodes_clickhouse.spool.writer import SpoolWriter

# Semantic conventions 1.43, https://opentelemetry.io/docs/specs/semconv/otel/sdk-metrics/ (in development). `ours`
# for what they have no name for.
PROCESSED: Final = "otel.sdk.processor.span.processed"
QUEUE_SIZE: Final = "otel.sdk.processor.span.queue.size"
EXPORTED: Final = "otel.sdk.exporter.span.exported"
INFLIGHT: Final = "otel.sdk.exporter.span.inflight"
DURATION: Final = "otel.sdk.exporter.operation.duration"
SPOOL_SIZE: Final = "otel_episodes.spool.size"
LAG: Final = "otel_episodes.spool.lag"
RETRIES: Final = "otel_episodes.exporter.retries"
FAILURES: Final = "otel_episodes.exporter.failures"
REJECTED: Final = "rejected"
_TYPE: Final = "otel_episodes_clickhouse.delivery.processor.EpisodeSpanProcessor"

_numbers = itertools.count()
_deliveries: weakref.WeakSet[Delivery] = weakref.WeakSet()


class Delivery:
    """What one processor, or one shipper alone, has done so far."""

    def __init__(self, spool: Path, writer: SpoolWriter[Any] | None = None) -> None:
        self.spool = spool
        self.writer = writer
        self.backoff: Backoff | None = None
        self.exported = self.inserts = self.retries = self.rejected = self.inflight = 0
        self.attributes = {"otel.component.type": _TYPE, "otel.component.name": f"{_TYPE}/{next(_numbers)}"}
        _deliveries.add(self)
        self._duration = _instruments()

    def inserted(self, count: int, seconds: float) -> None:
        """Count an insert that was acknowledged, this long after it was first tried."""
        self.inserts += 1
        self.exported += count
        self.inflight = 0
        self._duration.record(seconds, self.attributes)

    def counts(self) -> Counter[str]:
        """Return what there is to add up over processes, by its name in `ledger.Account`."""
        return Counter(exported=self.exported, inserts=self.inserts, retries=self.retries, rejected=self.rejected)

    def dropped(self) -> Mapping[str, int]:
        """Return the spans that could not be written down, by reason."""
        return self.writer.dropped if self.writer is not None else {}


def _processed(delivery: Delivery) -> Iterable[tuple[float, dict[str, str]]]:
    if delivery.writer is not None:
        yield delivery.writer.written, {}
        for reason, count in delivery.dropped().items():
            yield count, {"error.type": reason}


def _exported(delivery: Delivery) -> Iterable[tuple[float, dict[str, str]]]:
    yield delivery.exported, {}
    if delivery.rejected:
        yield delivery.rejected, {"error.type": REJECTED}


def _failures(delivery: Delivery) -> Iterable[tuple[float, dict[str, str]]]:
    if delivery.backoff is not None:
        yield delivery.backoff.failures, {}


def _one(read: Callable[[Delivery], float]) -> Callable[[Delivery], Iterable[tuple[float, dict[str, str]]]]:
    return lambda delivery: [(read(delivery), {})]


@cache
def _instruments() -> metrics.Histogram:
    """Create the instruments, once for the process; return the one that is not observed."""
    meter = metrics.get_meter("otel_episodes_clickhouse")
    counter, level, gauge = (
        meter.create_observable_counter, meter.create_observable_up_down_counter, meter.create_observable_gauge,
    )  # fmt: skip
    counter(PROCESSED, [_observed(_processed)], "{span}", "Spans written to the spool, and spans lost (error.type)")
    counter(EXPORTED, [_observed(_exported)], "{span}", "Spans the store has acknowledged, and refused (error.type)")
    counter(RETRIES, [_observed(_one(lambda each: each.retries))], "{attempt}", "Attempts to ship after a failed one")
    level(INFLIGHT, [_observed(_one(lambda each: each.inflight))], "{span}", "Spans in the insert under way")
    level(QUEUE_SIZE, [_observed(_one(_waiting_rows))], "{span}", "Spans that wait in the spool, of all processes")
    level(SPOOL_SIZE, [_observed(_one(_waiting_bytes))], "By", "Bytes that wait in the spool, of all processes")
    gauge(LAG, [_observed(_one(_lag))], "s", "Age of the oldest span that waits in the spool")
    gauge(FAILURES, [_observed(_failures)], "{attempt}", "Attempts in a row that have failed; 0 while all is well")
    return meter.create_histogram(
        DURATION, "s", "Duration of an insert, from its first attempt to the server's acknowledgement"
    )


def _waiting_rows(delivery: Delivery) -> float:
    return backlog.measure(delivery.spool).rows


def _waiting_bytes(delivery: Delivery) -> float:
    return backlog.measure(delivery.spool).bytes


def _lag(delivery: Delivery) -> float:
    return backlog.measure(delivery.spool).lag_seconds()


def _observed(
    read: Callable[[Delivery], Iterable[tuple[float, dict[str, str]]]],
) -> Callable[[metrics.CallbackOptions], list[metrics.Observation]]:
    def callback(_: metrics.CallbackOptions) -> list[metrics.Observation]:
        return [
            metrics.Observation(value, {**delivery.attributes, **attributes})
            for delivery in list(_deliveries)
            for value, attributes in read(delivery)
        ]

    return callback
