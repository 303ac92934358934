"""Random spans, stored by us and by an OpenTelemetry Collector, compared column by column.

``python fuzz_values.py SPANS [SEED]`` does it by hand, for as long as you like; the tests do a few hundred.
"""

from __future__ import annotations

import json
import random
import re
import string
import struct
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from collectors import eventually, front_end, otelcol
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from storage_fixtures import T0, Keep

from otel_episodes._for_store import read_span
from otel_episodes_clickhouse import Store, Target
from otel_episodes_clickhouse.spool.decode import LineDecoder
from otel_episodes_clickhouse.spool.encode import new_encoder

BATCH = 250
# Where JSON, Go, Python, orjson and ClickHouse have been seen to differ.
ODD_TEXTS = (
    "", " ", "\x00", "\x1f\x7f\x80", "<&>", '"', "\\", "\\u0041", "\u2028\u2029", "\ufeff", "\ufffe\uffff", "🦀" * 3,
    "é", "e\u0301", "\r\n\t\b\f", "null", "NaN", "true", "{", "[1", "'", "`", "\u202ex", "\U0010ffff",
)  # fmt: skip
ODD_NUMBERS = (0.0, -0.0, 1e-6, 9.999999e-7, 1e20, 1e21, 1e22, 5e-324, 1.7976931348623157e308, 0.1, 1 / 3, 2**53 + 2.0)
ODD_INTEGERS = (0, -1, 2**31, -(2**31) - 1, 2**53 + 1, 2**63 - 1, -(2**63))
NOT_FINITE = (float("nan"), float("inf"), float("-inf"))
_STANDS_FOR_NOT_FINITE = re.compile(r'"(?:NaN|-?Infinity)"')


@dataclass
class Comparison:
    """How many spans and attribute values were compared, and where they differ.

    ``kept`` are lists and maps with a number that is not finite in them: the collector stores nothing for the whole of
    it, we store the rest with "NaN" or "Infinity" in its place. The one known difference.
    """

    spans: int = 0
    values: int = 0
    kept: int = 0
    mismatches: list[tuple[str, Any, Any]] = field(default_factory=list)


class Spans:
    """Random spans as an SDK makes them, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self._keep = Keep()
        provider = TracerProvider(
            resource=Resource({"service.name": "fuzz", **self.attributes()}),
            span_limits=SpanLimits(max_span_attributes=1000),
            shutdown_on_exit=False,
        )
        provider.add_span_processor(self._keep)
        self._tracers = [provider.get_tracer(self.text() or "scope", self.text()) for _ in range(3)]

    def make(self, count: int) -> list[ReadableSpan]:
        self._keep.spans.clear()
        for _ in range(count):
            self._span()
        return list(self._keep.spans)

    def _span(self) -> None:
        pick = self.random
        start = T0 + pick.randrange(10**15)
        span = pick.choice(self._tracers).start_span(
            self.text(), kind=pick.choice(list(SpanKind)), start_time=start, attributes=self.attributes(many=True),
            links=[Link(self._context(), self.attributes()) for _ in range(pick.choice((0, 0, 1, 3)))],
        )  # fmt: skip
        for _ in range(pick.choice((0, 0, 1, 4))):
            span.add_event(self.text(), self.attributes(), timestamp=start + pick.randrange(10**9))
        span.set_status(Status(pick.choice((StatusCode.OK, StatusCode.UNSET))))
        if pick.random() < 0.3:
            span.set_status(Status(StatusCode.ERROR, self.text()))
        span.end(start + pick.randrange(10**12))

    def _context(self) -> SpanContext:
        # Without a trace state: Python's OTLP exporter sends none of links.
        ids = self.random.getrandbits(128) | 1, self.random.getrandbits(64) | 1
        return SpanContext(*ids, is_remote=True, trace_flags=TraceFlags(1))

    def attributes(self, *, many: bool = False) -> dict[str, Any]:
        count = self.random.choice((0, 1, 3, 8, 200 if self.random.random() < 0.05 else 2)) if many else 2
        return {self.text(1) or "k": self.value() for _ in range(count)}

    def value(self, depth: int = 0) -> Any:
        pick = self.random
        kinds = (self.text, self.number, self.integer, self.flag, self.bytes, lambda: None)
        if depth > 4 or pick.random() < 0.6:
            return pick.choice(kinds)()
        if pick.random() < 0.5:
            return [self.value(depth + 1) for _ in range(pick.randrange(4))]
        return {self.text(1) or "k": self.value(depth + 1) for _ in range(pick.randrange(4))}

    def text(self, least: int = 0) -> str:
        pick = self.random
        choices = (
            lambda: pick.choice(ODD_TEXTS),
            lambda: "".join(pick.choices(string.printable, k=pick.randrange(least, 12))),
            lambda: "".join(chr(self._code_point()) for _ in range(pick.randrange(least, 6))),
            lambda: "".join(pick.choices(ODD_TEXTS, k=3)),
        )
        return pick.choice(choices)()

    def _code_point(self) -> int:
        # Anything but surrogates: OTLP is UTF-8, and refuses them.
        point = self.random.randrange(0x10F800)
        return point if point < 0xD800 else point + 0x800

    def number(self) -> float:
        pick = self.random
        choices = (
            lambda: pick.choice(ODD_NUMBERS), lambda: pick.uniform(-1e6, 1e6), lambda: float(pick.randrange(10**18)),
            lambda: struct.unpack("<d", pick.randbytes(8))[0], lambda: pick.choice(NOT_FINITE),
            lambda: round(pick.random(), 3), lambda: 10.0 ** pick.randrange(-12, 25),
        )  # fmt: skip
        return pick.choice(choices)()

    def integer(self) -> int:
        return self.random.choice((*ODD_INTEGERS, self.random.getrandbits(62)))

    def flag(self) -> bool:
        return self.random.random() < 0.5

    def bytes(self) -> bytes:
        return self.random.randbytes(self.random.randrange(9))


def compare(spans: list[ReadableSpan], theirs: list[dict[str, Any]]) -> Comparison:
    """Compare what we would store of these spans with rows of another."""
    found = Comparison()
    by_id = {row["SpanId"]: row for row in theirs}
    encoder, decoder = new_encoder(), LineDecoder()
    for span in spans:
        (row,) = [row for line in encoder(read_span(span)).splitlines() if (row := decoder(line)) is not None]
        found.spans += 1
        for column, ours, other in zip(by_id[row.span_id], row, by_id[row.span_id].values(), strict=True):
            _compare_cell(column, ours, other, found)
    return found


def _compare_cell(column: str, ours: Any, theirs: Any, found: Comparison) -> None:
    if isinstance(ours, tuple):
        if len(ours) != len(theirs):
            found.mismatches.append((column, ours, theirs))
        for one, other in zip(ours, theirs, strict=False):
            _compare_cell(column, one, other, found)
    elif isinstance(ours, dict):
        found.values += len(ours)
        if list(ours) != list(theirs):
            found.mismatches.append((column, ours, theirs))
        for key, text in ours.items():
            other = theirs.get(key)
            if text == other:
                continue
            if other == "" and text[:1] in "[{" and _STANDS_FOR_NOT_FINITE.search(text):
                found.kept += 1
            else:
                found.mismatches.append((f"{column}[{key!r}]", text, other))
    elif ours != theirs:
        found.mismatches.append((column, ours, theirs))


def run(directory: Path, count: int, seed: int) -> Comparison:
    """Send that many random spans through a real collector and compare each row."""
    total = Comparison()
    with front_end(directory / "server") as url, Store.open(Target.resolve(f"{url}/default")) as store:
        environ = {"CLICKHOUSE_ENDPOINT": url, "JAEGER_ENDPOINT": "127.0.0.1:1"}
        with otelcol(directory / "otelcol", "gateway.yaml", **environ) as collector:
            exporter = OTLPSpanExporter(endpoint=f"http://{collector}", insecure=True)
            made = Spans(seed)
            while total.spans < count:
                spans = made.make(min(BATCH, count - total.spans))
                assert exporter.export(spans) is SpanExportResult.SUCCESS
                ids = [f"{span.context.span_id:016x}" for span in spans]
                query = "SELECT * FROM otel_traces WHERE SpanId IN {ids:Array(String)}"
                eventually(lambda ids=ids, query=query: len(store.query(query, {"ids": ids})) == len(ids), "the rows")
                found = compare(spans, store.query(query, {"ids": ids}))
                total.spans += found.spans
                total.values += found.values
                total.kept += found.kept
                total.mismatches += found.mismatches
            exporter.shutdown()
    return total


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        result = run(Path(place), int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    for mismatch in result.mismatches[:20]:
        print(mismatch)
    counts = {"spans": result.spans, "values": result.values, "kept": result.kept, "mismatches": len(result.mismatches)}
    print(json.dumps(counts))
