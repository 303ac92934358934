"""Whatever value an attribute has: stored as a collector stores it, or cut and marked, and at no other span's cost."""

from __future__ import annotations

import itertools
import logging
import math
from typing import TYPE_CHECKING, Any

import pytest
from fuzz_values import run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from storage_fixtures import T0, Keep, run_python

from otel_episodes._for_store import read_span
from otel_episodes_clickhouse.spool.decode import LineDecoder
from otel_episodes_clickhouse.spool.encode import new_encoder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_episodes_clickhouse import Store
    from otel_episodes_clickhouse.spool.row import Row

any_text = st.text(st.characters(exclude_categories=()))  # lone surrogates too
numbers = st.integers() | st.floats() | st.decimals() | st.complex_numbers()
scalars = st.none() | st.booleans() | numbers | st.binary() | any_text
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(any_text | st.integers(), inner)
)


class Counted(IdGenerator):
    """Ids that differ: hypothesis starts Python's random numbers anew for every example, and so the SDK's ids."""

    numbers = itertools.count(1)

    def generate_span_id(self) -> int:
        return next(self.numbers)

    def generate_trace_id(self) -> int:
        return next(self.numbers)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Keep the SDK from telling of every odd value."""
    logger = logging.getLogger("opentelemetry.attributes")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(level)


def span_with(attributes: dict[Any, Any], **fields: Any) -> ReadableSpan:
    """Return a span as the SDK makes it of what it was given; it warns of some values, and drops or changes them."""
    keep = Keep()
    limits = SpanLimits(max_span_attributes=2000)
    provider = TracerProvider(shutdown_on_exit=False, span_limits=limits, id_generator=Counted())
    provider.add_span_processor(keep)
    span = provider.get_tracer("values").start_span(fields.pop("name", "odd"), attributes=attributes, start_time=T0)
    for name, moment in fields.items():
        span.add_event(name, moment)
    span.end(T0 + 1)
    return keep.spans[0]


def row_of(span: ReadableSpan) -> Row:
    decoder = LineDecoder()
    (row,) = [row for line in new_encoder()(read_span(span)).splitlines() if (row := decoder(line)) is not None]
    return row


def stored(store: Store, *spans: ReadableSpan) -> list[dict[str, str]]:
    """Insert spans together and return their attributes as they are in the table, in the order given."""
    rows = [row_of(span) for span in spans]
    assert store.insert_rows(rows) == len(rows)
    found = {
        row["SpanId"]: row["SpanAttributes"]
        for row in store.query(
            "SELECT SpanId, SpanAttributes FROM otel_traces WHERE SpanId IN {ids:Array(String)}",
            {"ids": [row.span_id for row in rows]},
        )
    }
    return [found[row.span_id] for row in rows]


# --- nothing costs the batch ---------------------------------------------------------------------------------------


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(st.dictionaries(any_text, values, max_size=6), min_size=1, max_size=4), any_text)
def test_odd_spans_are_stored_together_with_the_others(
    storage_store: Store, odd: list[dict[str, Any]], name: str
) -> None:
    spans = [span_with({"n": 1}), *(span_with(attributes, name=name, event=attributes) for attributes in odd)]
    first, *others = stored(storage_store, *spans, span_with({"n": 2}))
    assert first == {"n": "1"}
    assert others[-1] == {"n": "2"}
    for attributes, span in zip(others[:-1], spans[1:], strict=True):
        assert attributes == dict(row_of(span).span_attributes)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2**64, "18446744073709551616"),
        ([2**64, -(2**63)], '["18446744073709551616",-9223372036854775808]'),
        ([1, math.nan, -math.inf], '[1,"NaN","-Infinity"]'),
        ("half \ud83d", "half \ufffd"),
        ([b"", b"\x00\xff"], '[null,"AP8="]'),
        ({"": 1, "b": {"a": None}}, '{"b":{"a":null}}'),  # the SDK drops the empty key
        ((1, "x", None, True, [2.0]), '[1,"x",null,true,[2]]'),
    ],
)
def test_a_value_json_or_otlp_has_no_word_for_is_stored_as_text(storage_store: Store, value: Any, text: str) -> None:
    assert stored(storage_store, span_with({"value": value})) == [{"value": text}]


def test_a_span_of_1500_attributes_and_one_of_10_megabytes_are_stored_whole(storage_store: Store) -> None:
    many = {f"key.{number:04}": number for number in range(1500)}
    large = "ä🦀" * 1_700_000
    assert len(large.encode()) > 10_000_000
    found = stored(storage_store, span_with(many), span_with({"large": large}))
    assert found[0] == {key: str(number) for key, number in many.items()}
    assert found[1] == {"large": large}


def test_an_agent_that_records_odd_values_loses_no_step(tmp_path: Path) -> None:
    done = run_python(
        """
import math, sys
from opentelemetry import trace
from otel_episodes import configure, episode, step
configure(dsn="chdb://" + sys.argv[1], capture="full")
class Hostile:
    def __str__(self): raise RuntimeError("no")
    __repr__ = __str__
loop = []; loop.append(loop)
odd = [None, 2**70, math.nan, b"\\xff", "\\ud800", {"": {}, 1: [None]}, "x" * 3_000_000, [1, "a"], Hostile(), loop]
@step
def tool(value): return value
with episode("odd \\udfff", agent="\\x00", tags=["\\ud800"]) as ep:
    for value in odd:
        tool(value)
        with step("raw") as s:
            if value not in odd[-2:]:  # the SDK itself raises at those
                trace.get_current_span().set_attribute("odd", value)
            s.observe(value)
print(len(odd))
""",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    counted = run_python(
        """
import sys
from otel_episodes_clickhouse import Store, Target
with Store.open(Target.resolve("chdb://" + sys.argv[1])) as store:
    report = store.drain()
    print(store.query("SELECT count() AS n FROM internal_steps FINAL")[0]["n"], report)
""",
        tmp_path,
    )
    assert int(counted.stdout.split()[0]) == 2 * int(done.stdout), counted.stderr


# --- as the collector writes it ------------------------------------------------------------------------------------


def test_random_spans_are_stored_as_an_opentelemetry_collector_stores_them(tmp_path: Path) -> None:
    found = run(tmp_path, count=300, seed=20260101)
    assert found.mismatches == []
    assert found.spans == 300
    assert found.values > 1000
    # The one known difference was met, so it was told apart.
    assert found.kept > 0
