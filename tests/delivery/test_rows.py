"""Spans to spool lines to rows: what is stored is what the collector would have stored, and nothing costs the row."""

from __future__ import annotations

import math
from typing import Any
from zlib import crc32

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState
from storage_fixtures import STEP, T0, Keep, finished_spans, provider

from otel_episodes._for_store import read_span
from otel_episodes_clickhouse.spool.decode import LineDecoder
from otel_episodes_clickhouse.spool.encode import line_of as spooled_line
from otel_episodes_clickhouse.spool.encode import new_encoder
from otel_episodes_clickhouse.spool.row import COLUMNS, Row, SpoolLineError, encode, insert_row
from otel_episodes_clickhouse.spool.values import as_string, attributes_as_text

# Printed by a Go program from pcommon.Value.AsString(), go.opentelemetry.io/collector/pdata v1.70.0.
COLLECTOR_STRINGS: list[tuple[Any, str]] = [
    ("<x>", "<x>"),
    (True, "true"),
    (False, "false"),
    (-(2**63), "-9223372036854775808"),
    (0.0, "0"),
    (-0.0, "-0"),
    (1.0, "1"),
    (1.5, "1.5"),
    (0.1, "0.1"),
    (0.30000000000000004, "0.30000000000000004"),
    (123456789.125, "123456789.125"),
    (1e16, "10000000000000000"),
    (1e20, "100000000000000000000"),
    (123456789012345680000.0, "123456789012345680000"),
    (1e21, "1e+21"),
    (1.5e21, "1.5e+21"),
    (1e100, "1e+100"),
    (1.7976931348623157e308, "1.7976931348623157e+308"),
    (1e-6, "0.000001"),
    (9.99e-7, "9.99e-7"),
    (-1.25e-9, "-1.25e-9"),
    (1e-10, "1e-10"),
    (5e-324, "5e-324"),
    (math.nan, "NaN"),
    (math.inf, "Infinity"),
    (-math.inf, "-Infinity"),
    (b"\x00\xff\x01", "AP8B"),
    (None, ""),
    ([], "[]"),
    ({}, "{}"),
    ([1e21, 1e-7, 100.0], "[1e+21,1e-7,100]"),
    (
        ["<a&b>", 'q"\\/', "\x00\x01\x1f\x7f\b\f\n\r\t", "é\u2028\u2029😀", None, True, -5, b"\x00\xff", [], {}],
        '["<a&b>","q\\"\\\\/","\\u0000\\u0001\\u001f\x7f\\b\\f\\n\\r\\t","é\\u2028\\u2029😀",null,true,-5,"AP8=",[],{}]',
    ),
    ({"b": "x", "a": 1, "": "e", "é": "u", "B": "u", "s": [2.0]}, '{"":"e","B":"u","a":1,"b":"x","s":[2],"é":"u"}'),
]


@pytest.mark.parametrize(("value", "text"), COLLECTOR_STRINGS, ids=[repr(value)[:30] for value, _ in COLLECTOR_STRINGS])
def test_a_value_becomes_the_string_the_collector_makes_of_it(value: Any, text: str) -> None:
    assert as_string(value) == text


@pytest.mark.parametrize(("value", "text"), COLLECTOR_STRINGS, ids=[repr(value)[:30] for value, _ in COLLECTOR_STRINGS])
def test_a_value_is_the_same_after_the_spool(value: Any, text: str) -> None:
    span = finished_spans()[0]
    # Past the SDK, which drops the empty key of a map.
    span._attributes._dict["value"] = value
    assert through_the_spool(span).span_attributes["value"] == text


def through_the_spool(span: Any) -> Row:
    decoder = LineDecoder()
    rows = [row for line in new_encoder()(read_span(span)).splitlines() if (row := decoder(line)) is not None]
    assert len(rows) == 1
    return rows[0]


def line_of(row: Row) -> bytes:
    return encode([insert_row(row)])


def test_a_span_becomes_a_whole_row() -> None:
    keep = Keep()
    tracer = provider(keep, region="eu").get_tracer("scope", "1.2")
    state = TraceState([("vendor", "x")])
    parent = SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=TraceFlags(1), trace_state=state)
    other = SpanContext(0x1, 0x2, is_remote=True, trace_flags=TraceFlags(1), trace_state=state)
    span = tracer.start_span(
        "execute_tool grep",
        context=trace.set_span_in_context(trace.NonRecordingSpan(parent)),
        kind=SpanKind.CLIENT,
        attributes=STEP,
        links=[Link(other, {"episode.link.kind": "retries"})],
        start_time=T0,
    )
    span.add_event("hit", {"line": 12}, timestamp=T0 + 5)
    span.set_status(Status(StatusCode.ERROR, "no such file"))
    span.end(T0 + 7)
    context = span.get_span_context()

    assert through_the_spool(keep.spans[0]) == Row(
        timestamp=T0,
        trace_id="00000000000000000000000000000abc",
        span_id=f"{context.span_id:016x}",
        parent_span_id="0000000000000def",
        trace_state="vendor=x",
        span_name="execute_tool grep",
        span_kind="Client",
        service_name="svc",
        resource_attributes={"service.name": "svc", "region": "eu"},
        scope_name="scope",
        scope_version="1.2",
        span_attributes={
            "episode.id": "e1",
            "episode.span": "step",
            "episode.segment": "0",
            "episode.step.kind": "tool_use",
            "episode.step.index": "1",
            "episode.step.action": "search TODO",
            "episode.step.observation": "3 hits",
            "episode.step.success": "true",
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "grep",
            "gen_ai.agent.name": "coder",
        },
        duration=7,
        status_code="Error",
        status_message="no such file",
        event_timestamps=(T0 + 5,),
        event_names=("hit",),
        event_attributes=({"line": "12"},),
        link_trace_ids=("00000000000000000000000000000001",),
        link_span_ids=("0000000000000002",),
        link_trace_states=("vendor=x",),
        link_attributes=({"episode.link.kind": "retries"},),
    )


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (SpanKind.INTERNAL, "Internal"),
        (SpanKind.SERVER, "Server"),
        (SpanKind.CLIENT, "Client"),
        (SpanKind.PRODUCER, "Producer"),
        (SpanKind.CONSUMER, "Consumer"),
        (None, "Unspecified"),
    ],
)
def test_kinds_have_the_collectors_names(kind: Any, name: str) -> None:
    span = finished_spans()[0]
    span._kind = kind
    assert through_the_spool(span).span_kind == name


def test_resource_and_scope_are_written_once() -> None:
    encoder = new_encoder()
    first, second = finished_spans(2)
    span_id = f"{second.context.span_id:016x}"
    trace_id = f"{second.context.trace_id:032x}"

    resource, scope = b'["r",0,{"service.name":"svc"}]', b'["s",0,"otel_episodes","0.1.0"]'
    assert encoder(read_span(first)).splitlines()[:2] == [
        b"%b,%d]" % (resource[:-1], crc32(resource)),
        b"%b,%d]" % (scope[:-1], crc32(scope)),
    ]
    line = encoder(read_span(second))
    assert orjson.loads(line)[:-1] == [
        T0 + 1, 1_000_000, trace_id, span_id, "", "", "execute_tool grep", 0, 0, 0, 0, "", STEP,
    ]  # fmt: skip
    assert orjson.loads(line)[-1] == crc32(line[: line.rfind(b",")] + b"]")


def test_no_flipped_bit_is_stored_and_lines_without_a_checksum_are() -> None:
    encoder, decoder = new_encoder(), LineDecoder()
    first, second = finished_spans(2)
    for line in encoder(read_span(first)).splitlines(keepends=True):
        kept = decoder(line)
    line = encoder(read_span(second))
    assert kept is not None
    right = decoder(line)
    for place in range(len(line) - 1):
        for bit in (1, 2, 16):
            flipped = bytearray(line)
            flipped[place] ^= bit
            wrong: list[tuple[int, str]] = []
            rows = [row for row in decoder.rows([bytes(flipped)], wrong) if row != right]
            assert (rows, len(wrong)) in (([], 1), ([], 0)), flipped
            assert next(iter(decoder.encoded([bytes(flipped)], wrong))).rows in (0, 1)
    assert decoder(line[: line.rfind(b",")] + b"]\n") == right


class Grumpy:
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2**63, "9223372036854775808"),
        (10**30, "1" + "0" * 30),
        ([math.nan, 1, -math.inf], '["NaN",1,"-Infinity"]'),
        ("lone \ud83d surrogate", "lone \ufffd surrogate"),
        ("pair \ud83d\ude00", "pair 😀"),
        ("nul \x00 and null", "nul \x00 and null"),
        ({"deep": [{"b": b"x"}, 10**20]}, '{"deep":[{"b":"eA=="},"100000000000000000000"]}'),
        (bytearray(b"x"), "eA=="),
        ({1}, "{1}"),
        (Grumpy(), "<Grumpy>"),
    ],
)
def test_an_odd_value_never_costs_the_row(value: Any, text: str) -> None:
    span = finished_spans()[0]
    # Past the SDK's own cleaning, which would turn some of these into text.
    span._attributes._dict["odd"] = value
    row = through_the_spool(span)
    assert row.span_attributes == {**attributes_as_text(STEP), "odd": text}
    assert orjson.loads(line_of(row))[11] == row.span_attributes


def test_odd_names_and_messages_never_cost_the_row() -> None:
    span = finished_spans()[0]
    span._name = "n\udc00"
    span._status = Status(StatusCode.ERROR, "m\udc00")
    span._attributes._dict["\udc00"] = 1
    row = through_the_spool(span)
    assert (row.span_name, row.status_message, row.span_attributes["\ufffd"]) == ("n\ufffd", "m\ufffd", "1")


def test_nesting_without_end_is_cut() -> None:
    value: list[Any] = []
    value.append(value)
    span = finished_spans()[0]
    span._attributes._dict["loop"] = value
    assert through_the_spool(span).span_attributes["loop"].startswith("[[[[")


any_character = st.characters(exclude_categories=())  # lone surrogates too
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.binary(max_size=8)
    | st.text(any_character, max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(any_character, max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.text(any_character, min_size=1, max_size=5), values, max_size=5))
def test_any_attributes_read_back_as_the_collectors_text(attributes: dict[str, Any]) -> None:
    span = finished_spans()[0]
    span._attributes._dict.clear()
    span._attributes._dict.update(attributes)
    expected = {
        key.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"): as_string(value)
        for key, value in attributes.items()
    }
    row = through_the_spool(span)
    assert row.span_attributes == expected
    lines = new_encoder()(read_span(span)).splitlines(keepends=True)
    assert by_the_short_way(lines) == by_the_long_way(lines) == ([line_of(row)[:-1]], [])


def by_the_short_way(lines: list[bytes]) -> tuple[list[bytes], list[tuple[int, str]]]:
    """Return the rows that lines become for an insert, and what is none."""
    decoder, wrong = LineDecoder(), []
    pieces = list(decoder.encoded(lines, wrong))
    rows = [orjson.loads(b"[%b]" % piece.text) for piece in pieces]
    assert [piece.rows for piece in pieces] == list(map(len, rows))
    assert decoder.count == sum(piece.rows for piece in pieces)
    # Written again one by one, in the order they had.
    return [orjson.dumps(row) for piece in rows for row in piece], wrong


def by_the_long_way(lines: list[bytes]) -> tuple[list[bytes], list[tuple[int, str]]]:
    decoder, wrong = LineDecoder(), []
    return [line_of(row)[:-1] for row in decoder.rows(lines, wrong)], wrong


numbers = st.integers(-1, 2) | st.integers(T0 - 2, T0 + 2) | st.sampled_from([2**63, 2**64 - 1, 10**18, 10**18 - 1])
fields = st.one_of(
    numbers, st.text(max_size=3), st.booleans(), st.none(), st.floats(), st.dictionaries(st.text(max_size=2), values)
)


SPAN = [T0, 5, "t" * 32, 7, 2**64 - 1, "", "name", 0, 0, 0, 0, "", {"b": "x", "a": 1, "c": True}]
DEFINITIONS = [b'["r",0,{"service.name":"svc"}]\n', b'["s",0,"scope","1"]\n']
# Pieces of lines of which some make sense only together, as a line that was torn and the one after it might.
scraps = st.sampled_from([
    b"", b'{"format":1}', b'["s",1,"other","2"]', b'["s",0,"other","2"]', spooled_line(SPAN)[:-2],
    spooled_line(SPAN)[:60], spooled_line([*SPAN, [[T0, "event", {"k": 1.5}]], []])[:-1],
    b"[1", b"2]", b'"', b",", b"]", b"[", b"1],[1", b"7", b"null",
])  # fmt: skip


@st.composite
def spans_with_odd_fields(draw: st.DrawFn) -> bytes:
    span = list(SPAN)
    for place in draw(st.lists(st.integers(0, 12), max_size=2)):
        span[place] = draw(fields)
    return spooled_line(span)


@settings(max_examples=500, deadline=None)
@given(st.lists(spans_with_odd_fields() | scraps.map(lambda scrap: scrap + b"\n"), max_size=60))
def test_the_short_way_to_rows_is_the_long_way(lines: list[bytes]) -> None:
    lines = [*DEFINITIONS, *lines]
    assert by_the_short_way(lines) == by_the_long_way(lines)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"not json",
        b'[1795364,23,"3682',
        b"[]",
        b"{}",
        b"17",
        b'["x",1,2]',
        b'["r",0]',
        b'[1,2,"t","s","","","n",0,0,0,0,"",{}]',
        b'[1,2,"t","s","","","n",9,0,0,0,"",{}]',
    ],
)
def test_a_line_that_is_no_span_is_told_apart(line: bytes) -> None:
    with pytest.raises(SpoolLineError):
        LineDecoder()(line)


def test_a_decoder_can_start_in_the_middle_of_a_file() -> None:
    first, second = finished_spans(2)
    encoder, before = new_encoder(), LineDecoder()
    for line in encoder(read_span(first)).splitlines():
        before(line)
    after = LineDecoder(before.definitions)(encoder(read_span(second)))
    assert after is not None
    assert (after.service_name, after.scope_name, after.scope_version) == ("svc", "otel_episodes", "0.1.0")


def test_an_insert_line_has_the_collectors_22_columns() -> None:
    row = Row(
        T0,
        "t",
        "s",
        span_attributes={"a": "b"},
        duration=5,
        event_timestamps=(7,),
        event_names=("e",),
        event_attributes=({},),
    )
    assert dict(zip(COLUMNS, orjson.loads(line_of(row)), strict=True)) == {
        "Timestamp": "1700000000.123456789",
        "TraceId": "t",
        "SpanId": "s",
        "ParentSpanId": "",
        "TraceState": "",
        "SpanName": "",
        "SpanKind": "Internal",
        "ServiceName": "",
        "ResourceAttributes": {},
        "ScopeName": "",
        "ScopeVersion": "",
        "SpanAttributes": {"a": "b"},
        "Duration": 5,
        "StatusCode": "Unset",
        "StatusMessage": "",
        "Events.Timestamp": ["0000000000.000000007"],
        "Events.Name": ["e"],
        "Events.Attributes": [{}],
        "Links.TraceId": [],
        "Links.SpanId": [],
        "Links.TraceState": [],
        "Links.Attributes": [],
    }


@pytest.mark.parametrize(
    ("timestamp", "duration", "stored"),
    [(-5, -5, ("0000000000.000000000", 0)), (2**80, 2**80, ("9223372036.854775807", 2**64 - 1))],
)
def test_times_the_table_cannot_hold_are_clamped(timestamp: int, duration: int, stored: tuple[str, int]) -> None:
    fields = orjson.loads(line_of(Row(timestamp, "t", "s", duration=duration)))
    assert (fields[0], fields[12]) == stored
