"""Spans to spool lines, spool lines to rows of ``otel_traces``.

Two halves. `SpanEncoder` runs in the agent's process on every span and has a budget of some microseconds: it writes
natural JSON. `LineDecoder` runs when the spool is drained and turns every attribute value into the string the
collector's ``pcommon.Value.AsString()`` makes of it.

A spool line is a JSON array. A span::

    [start_ns, duration_ns, trace_id, span_id, parent_span_id, trace_state, name, kind, resource, scope,
     status, message, attributes, [[time_ns, name, attributes], ...], [[trace_id, span_id, state, attributes], ...]]

``kind`` and ``status`` are numbers, span ids numbers or hexadecimal text, ``resource`` and ``scope`` refer to
definitions earlier in the same file::

    ["r", number, attributes]        ["s", number, name, version]
"""

from __future__ import annotations

import base64
import math
import re
from decimal import Decimal
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeAlias, runtime_checkable

import orjson
from opentelemetry.trace import SpanKind, StatusCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

COLUMNS: Final = (
    "Timestamp", "TraceId", "SpanId", "ParentSpanId", "TraceState", "SpanName", "SpanKind", "ServiceName",
    "ResourceAttributes", "ScopeName", "ScopeVersion", "SpanAttributes", "Duration", "StatusCode", "StatusMessage",
    "Events.Timestamp", "Events.Name", "Events.Attributes",
    "Links.TraceId", "Links.SpanId", "Links.TraceState", "Links.Attributes",
)  # fmt: skip
"""The columns of an insert, in the collector's order."""

_KIND_NAMES: Final = ("Internal", "Server", "Client", "Producer", "Consumer", "Unspecified")
_KIND_NUMBERS: Final = {
    SpanKind.INTERNAL: 0, SpanKind.SERVER: 1, SpanKind.CLIENT: 2, SpanKind.PRODUCER: 3, SpanKind.CONSUMER: 4,
}  # fmt: skip
_KIND_UNSPECIFIED: Final = 5
_INTERNAL: Final = SpanKind.INTERNAL
_UNSET: Final = StatusCode.UNSET
_BOOLS: Final = ("false", "true")
_STATUS_NAMES: Final = ("Unset", "Ok", "Error")
_STATUS_NUMBERS: Final = {StatusCode.UNSET: 0, StatusCode.OK: 1, StatusCode.ERROR: 2}

_INT64_MAX: Final = 2**63 - 1
_INT64_MIN: Final = -(2**63)
_UINT64_MAX: Final = 2**64 - 1
# Providers are few; a program that makes thousands gets its definitions written again rather than kept forever.
_MAX_INTERNED: Final = 1024
_MAX_DEPTH: Final = 64
# In nanoseconds, the first time with ten digits before the point: in 2001.
_TEN_DIGITS: Final = 10**18
# Of a line without events and links, which most are.
_FIELDS: Final = 13
_NO_EVENTS_AND_LINKS: Final = orjson.Fragment(b",".join([b"[]"] * 7))
_TEXT: Final = frozenset((str,))
# Parsed and encoded at once.
_PIECE_ROWS: Final = 32
_PIECE_BYTES: Final = 64 * 1024
# Attribute values that are the same in JSON; a float may be NaN, a list may hold one.
_PLAIN_TYPES: Final = frozenset((str, int, bool))
# Go writes these two as escapes in JSON, orjson as they are.
_LINE_SEPARATORS: Final = re.compile("[\u2028\u2029]")


class Row(NamedTuple):
    """One row of ``otel_traces``: times and durations in nanoseconds, attributes as text (`attributes_as_text`)."""

    timestamp: int
    trace_id: str
    span_id: str
    parent_span_id: str = ""
    trace_state: str = ""
    span_name: str = ""
    span_kind: str = "Internal"
    service_name: str = ""
    resource_attributes: Mapping[str, str] = {}
    scope_name: str = ""
    scope_version: str = ""
    span_attributes: Mapping[str, str] = {}
    duration: int = 0
    status_code: str = "Unset"
    status_message: str = ""
    event_timestamps: tuple[int, ...] = ()
    event_names: tuple[str, ...] = ()
    event_attributes: tuple[Mapping[str, str], ...] = ()
    link_trace_ids: tuple[str, ...] = ()
    link_span_ids: tuple[str, ...] = ()
    link_trace_states: tuple[str, ...] = ()
    link_attributes: tuple[Mapping[str, str], ...] = ()


class Encoded(NamedTuple):
    """Rows as an insert carries them: lines of JSONCompactEachRow in the order of `COLUMNS`, and how many rows."""

    text: bytes
    rows: int


@runtime_checkable
class EncodedRows(Protocol):
    """Rows that come encoded at less cost than one by one."""

    def encoded(self) -> Iterator[Encoded]:
        """Yield all of them, piece by piece."""
        ...


class SpoolLineError(ValueError):
    """A line of a spool file that is no span; the message says why."""


# --- the hot path: a span to a line ------------------------------------------------------------------------------


SpanFields: TypeAlias = "tuple[Any, ...]"
"""What is stored of a span that has ended, as `read_span` reads it; the first of it is its instrumentation scope."""

# All of a span in one call in C: a dozen properties are a dozen calls in Python. Those of attributes, events and links
# copy, behind a lock, what is final once the span has ended.
_read_sdk_span: Final = attrgetter(
    "_instrumentation_scope", "_context", "_attributes._dict", "_parent", "_status._status_code",
    "_status._description", "_kind", "_resource", "_start_time", "_end_time", "_name", "_events._dq", "_links._dq",
)  # fmt: skip


def read_span(span: ReadableSpan) -> SpanFields:
    """Return what is stored of a span, without copies: its scope, its context, its attributes, and more."""
    try:
        return _read_sdk_span(span)
    except AttributeError:
        # Made by hand, or by a version of the SDK that keeps its fields elsewhere.
        status = span.status
        return (
            span.instrumentation_scope, span.context, dict(span.attributes or {}), span.parent, status.status_code,
            status.description, span.kind, span.resource, span.start_time, span.end_time, span.name, span.events,
            span.links,
        )  # fmt: skip


def new_encoder() -> Callable[[SpanFields], bytes]:
    """Return what turns the spans of one spool file into its lines."""
    # A bound method: the interpreter calls one without leaving its loop, an object with __call__ it does not.
    return SpanEncoder().encode


class SpanEncoder:
    """Turns spans into the lines of one spool file, each resource and scope defined before its first use."""

    def __init__(self) -> None:
        self._resources: dict[int, tuple[Resource, int]] = {}
        self._scopes: dict[tuple[str, str], int] = {}
        self._scopes_seen: dict[int, tuple[InstrumentationScope, int]] = {}
        # Spans come in runs of one trace, tracer and provider: what the last one had is not looked up again.
        self._last: tuple[Any, Any, Any] = (None, None, None)
        self._resource_number = self._scope_number = 0
        self._trace_id = 0
        self._trace_id_hex = "0" * 32

    def encode(self, fields: SpanFields) -> bytes:
        """Return the line of a span, after the definitions it is the first to need.

        This is the hot path: one function for what most spans are, and `_any` for all others.
        """
        (
            scope, context, attributes, parent, code, description, kind, resource, start, end, name, events, links,
        ) = fields  # fmt: skip
        if context is None:
            raise SpoolLineError("the span has no context, so no ids")
        # A SpanContext is a tuple whose names are properties: unpacking it is one instruction.
        trace_id, span_id, _, _, state, _ = context
        last_resource, last_scope, no_state = self._last
        # Compared by identity before looked up: the hash of an Enum, the truth of a TraceState are Python calls.
        if (
            resource is not last_resource
            or scope is not last_scope
            or trace_id != self._trace_id
            or state is not no_state
            or kind is not _INTERNAL
            or code is not _UNSET
            or parent is None
            or not start
            or not end
            or events
            or links
        ):
            return self._any(fields)
        try:
            line = orjson.dumps(
                [
                    start, end - start, self._trace_id_hex, span_id, parent[1], "", name, 0,
                    self._resource_number, self._scope_number, 0, description or "", attributes,
                ],
                option=orjson.OPT_APPEND_NEWLINE,
            )  # fmt: skip
        except TypeError:
            return self._any(fields)
        # orjson writes NaN, the infinities and None as null; the word in a text does no harm.
        if line.find(b"null") >= 0 and not _PLAIN_TYPES.issuperset(map(type, attributes.values())):
            return self._any(fields)
        return line

    def _any(self, fields: SpanFields) -> bytes:
        (
            scope, context, attributes, parent, code, description, kind, resource, start, end, name, events, links,
        ) = fields  # fmt: skip
        definitions = self._define(resource, scope)
        trace_id, span_id, _, _, state, _ = context
        self._last = (resource, scope, None if state else state)
        if trace_id != self._trace_id:
            self._trace_id, self._trace_id_hex = trace_id, f"{trace_id:032x}"
        start = start or 0
        line = [
            start,
            (end or start) - start,
            self._trace_id_hex,
            f"{span_id:016x}",
            "" if parent is None else f"{parent[1]:016x}",
            state.to_header() if state else "",
            name,
            _KIND_NUMBERS.get(kind, _KIND_UNSPECIFIED),
            self._resource_number,
            self._scope_number,
            _STATUS_NUMBERS[code],
            description or "",
            attributes,
        ]
        if events or links:
            line.append([[event.timestamp, event.name, _plain(event.attributes)] for event in events])
            line.append([_link(link) for link in links])
        return b"".join([*(_line(definition) for definition in definitions), _line(line)])

    def _define(self, resource: Resource, scope: InstrumentationScope | None) -> list[list[Any]]:
        """Look up the numbers of a resource and a scope, and return the definitions of those that are new."""
        definitions: list[list[Any]] = []
        known_resource = self._resources.get(id(resource))
        known_scope = self._scopes_seen.get(id(scope))
        self._resource_number = known_resource[1] if known_resource else self._resource(resource, definitions)
        self._scope_number = known_scope[1] if known_scope else self._scope(scope, definitions)
        return definitions

    def _resource(self, resource: Resource, definitions: list[list[Any]]) -> int:
        # By identity: hashing a Resource serialises it. The reference kept beside the number keeps the id taken.
        if len(self._resources) >= _MAX_INTERNED:
            self._resources.clear()
        number = len(self._resources)
        self._resources[id(resource)] = (resource, number)
        definitions.append(["r", number, dict(resource.attributes)])
        return number

    def _scope(self, scope: InstrumentationScope | None, definitions: list[list[Any]]) -> int:
        key = ("", "") if scope is None else (scope.name, scope.version or "")
        number = self._scopes.get(key)
        if number is None:
            if len(self._scopes) >= _MAX_INTERNED:
                self._scopes.clear()
                self._scopes_seen.clear()
            number = self._scopes[key] = len(self._scopes)
            definitions.append(["s", number, *key])
        if scope is not None and len(self._scopes_seen) < _MAX_INTERNED:
            # A tracer keeps one scope object; a program that gets a new tracer every time is served by name.
            self._scopes_seen[id(scope)] = (scope, number)
        return number


def _link(link: Any) -> list[Any]:
    context = link.context
    state = context.trace_state.to_header() if context.trace_state else ""
    return [format(context.trace_id, "032x"), format(context.span_id, "016x"), state, _plain(link.attributes)]


def _plain(attributes: Any) -> Any:
    plain = getattr(attributes, "_dict", attributes)
    return {} if plain is None else plain


def _line(fields: list[Any]) -> bytes:
    try:
        line = orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        # Bytes, a lone surrogate, an int beyond 64 bits, a type of the user's own: rare, so only now looked for.
        return orjson.dumps(_storable(fields), option=orjson.OPT_APPEND_NEWLINE)
    # orjson writes NaN and the infinities as null without a word; the text "null" in a string merely costs time.
    if line.find(b"null") >= 0:
        return orjson.dumps(_storable(fields), option=orjson.OPT_APPEND_NEWLINE)
    return line


def _storable(value: Any, depth: int = 0) -> Any:
    """Return the value with everything JSON has no word for as the text the collector stores for it."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _sound_text(value)
    if isinstance(value, int):
        return int(value) if _INT64_MIN <= value <= _INT64_MAX else str(int(value))
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else _float_text(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        # Inside of a list or map the collector writes no bytes at all as null.
        return base64.b64encode(value).decode() or None
    if depth < _MAX_DEPTH:
        if isinstance(value, (list, tuple)):
            return [_storable(item, depth + 1) for item in value]
        if hasattr(value, "items"):
            return {_text(key): _storable(item, depth + 1) for key, item in value.items()}
    return _text(value)


def _text(value: object) -> str:
    try:
        return _sound_text(str(value))
    except Exception:  # noqa: BLE001  # a __str__ of the user's must not cost the span
        return f"<{type(value).__name__}>"


def _sound_text(text: str) -> str:
    """Return the text with surrogate pairs joined and lone surrogates replaced, so that it has a UTF-8 form."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return str(text)


# --- draining: a line to a row -----------------------------------------------------------------------------------


class LineDecoder:
    """Turns the lines of one spool file into rows; remembers the definitions passed so far, and counts its rows."""

    def __init__(self, definitions: Iterable[list[Any]] = ()) -> None:
        self.count = 0
        self._definitions: dict[tuple[str, int], list[Any]] = {}
        self._resources: dict[int, tuple[str, dict[str, str]]] = {}
        self._scopes: dict[int, tuple[str, str]] = {}
        # What the rows of a resource and scope have in common, encoded.
        self._origins: dict[tuple[int, int], orjson.Fragment] = {}
        for definition in definitions:
            self._define(definition)

    @property
    def definitions(self) -> list[list[Any]]:
        """What a decoder that starts after the lines read so far has to know."""
        return list(self._definitions.values())

    def __call__(self, line: bytes) -> Row | None:
        """Return the row of a line, None for a header or definition; raise `SpoolLineError` for what is neither."""
        try:
            fields = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise SpoolLineError(f"no JSON: {error}") from None
        return self._decoded(fields)

    def rows(self, lines: Sequence[bytes], wrong: list[tuple[int, str]]) -> Iterator[Row]:
        """Yield the rows of lines; those that are none go to ``wrong``, by number and with the reason."""
        for number, line in enumerate(lines):
            try:
                # An empty line ends what was written of one before it.
                row = None if line == b"\n" else self(line)
            except SpoolLineError as error:
                wrong.append((number, str(error)))
                continue
            if row is not None:
                self.count += 1
                yield row

    def encoded(self, lines: Sequence[bytes], wrong: list[tuple[int, str]]) -> Iterator[Encoded]:
        """Yield what `encode` makes of the rows of lines, piece by piece, in a third of the time for most lines.

        A piece takes half a millisecond or so, in which nobody else in this process can do anything.
        """
        size = sum(map(len, lines))
        step = max(1, min(_PIECE_ROWS, _PIECE_BYTES * len(lines) // max(size, 1)))
        for start in range(0, len(lines), step):
            piece = lines[start : start + step]
            try:
                yield self._encoded(piece)
            except (LookupError, TypeError, ValueError, OverflowError):
                odd: list[tuple[int, str]] = []
                rows = [insert_row(row) for row in self.rows(piece, odd)]
                wrong.extend((start + number, reason) for number, reason in odd)
                yield Encoded(encode(rows), len(rows))

    def _encoded(self, lines: Sequence[bytes]) -> Encoded:
        """Encode lines all of which are well, parsed as one; what it raises says nothing but that one is not."""
        rows: list[Any] = []
        parsed = orjson.loads(b"[%b]" % b",".join(lines))
        if len(parsed) != len(lines):
            raise SpoolLineError("more or fewer values than lines")
        for fields in parsed:
            row = self._plain_row(fields) if len(fields) == _FIELDS else None
            if row is None:
                whole = self._decoded(fields)
                row = None if whole is None else insert_row(whole)
            if row is not None:
                rows.append(row)
        self.count += len(rows)
        return Encoded(encode(rows), len(rows))

    def _plain_row(self, fields: list[Any]) -> list[Any] | None:
        """Return the `insert_row` of a span without events and links, None where anything in it needs a closer look."""
        (
            start, duration, trace_id, span_id, parent, state, name, kind, resource, scope, status, message, attributes,
        ) = fields  # fmt: skip
        if (
            type(start) is not int
            or not _TEN_DIGITS <= start <= _INT64_MAX
            or type(duration) is not int
            or duration < 0
            or type(attributes) is not dict
            or not type(span_id) is type(parent) is int
            or not type(trace_id) is type(state) is type(name) is type(message) is str
        ):
            return None
        for key, value in attributes.items():
            of = type(value)
            if of is not str:
                # Every step has a number and a bool: without a call.
                attributes[key] = str(value) if of is int else _BOOLS[value] if of is bool else as_string(value)
        time = str(start)
        return [
            f"{time[:10]}.{time[10:]}", trace_id,
            # A quarter of what a format takes.
            span_id.to_bytes(8, "big").hex(), parent.to_bytes(8, "big").hex(),
            state, name, _KIND_NAMES[kind], self._origins.get((resource, scope)) or self._origin(resource, scope),
            attributes, duration, _STATUS_NAMES[status], message, _NO_EVENTS_AND_LINKS,
        ]  # fmt: skip

    def _origin(self, resource: int, scope: int) -> orjson.Fragment:
        columns = orjson.dumps([*self._resources[resource], *self._scopes[scope]])
        made = self._origins[resource, scope] = orjson.Fragment(columns[1:-1])
        return made

    def _decoded(self, fields: Any) -> Row | None:
        if isinstance(fields, dict) and "format" in fields:
            return None
        if not isinstance(fields, list) or not fields:
            raise SpoolLineError("neither a span nor a definition")
        try:
            if isinstance(fields[0], str):
                self._define(fields)
                return None
            return self._row(fields)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
            raise SpoolLineError(f"not in the spool's format: {error!r}") from None

    def _define(self, fields: list[Any]) -> None:
        if fields[0] == "r":
            _, number, attributes = fields
            text = attributes_as_text(attributes)
            self._resources[number] = (text.get("service.name", ""), text)
        elif fields[0] == "s":
            _, number, name, version = fields
            self._scopes[number] = (str(name), str(version))
        else:
            raise ValueError(f"definition of {fields[0]!r}")
        self._definitions[fields[0], number] = fields
        self._origins.clear()

    def _row(self, fields: list[Any]) -> Row:
        start, duration, trace_id, span_id, parent, state, name, kind, resource, scope, status, message = fields[:12]
        if not _TEXT.issuperset(map(type, (trace_id, _hex(span_id), _hex(parent), state, name, message))):
            raise TypeError("ids, names and messages are text")
        service_name, resource_attributes = self._resources[resource]
        scope_name, scope_version = self._scopes[scope]
        row = Row(
            int(start), trace_id, _hex(span_id), _hex(parent), state, name, _KIND_NAMES[kind], service_name,
            resource_attributes, scope_name, scope_version, attributes_as_text(fields[12]), int(duration),
            _STATUS_NAMES[status], message,
        )  # fmt: skip
        if len(fields) == _FIELDS:
            return row
        events, links = fields[13], fields[14]
        return row._replace(
            event_timestamps=tuple(int(event[0]) for event in events),
            event_names=tuple(event[1] for event in events),
            event_attributes=tuple(attributes_as_text(event[2]) for event in events),
            link_trace_ids=tuple(link[0] for link in links),
            link_span_ids=tuple(link[1] for link in links),
            link_trace_states=tuple(link[2] for link in links),
            link_attributes=tuple(attributes_as_text(link[3]) for link in links),
        )


def _hex(span_id: int | str) -> str:
    return f"{span_id:016x}" if isinstance(span_id, int) else span_id


def attributes_as_text(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Return attributes as the collector stores them: sorted by key, every value a string."""
    return {key: value if type(value) is str else as_string(value) for key, value in sorted(attributes.items())}


def as_string(value: Any) -> str:
    """Return an attribute value as the collector's ``pcommon.Value.AsString()`` (pdata 1.70) writes it.

    One difference: an array or map with a NaN or infinity in it becomes an empty string there; here it keeps its
    other values and has "NaN" in that place.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return _float_text(value)
    if isinstance(value, str):
        return _sound_text(value)
    if value is None:
        return ""
    if isinstance(value, (list, tuple)) or hasattr(value, "items"):
        return _json(_storable(value))
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode()
    return _text(value)


def _float_text(value: float) -> str:
    """Return a float as Go's encoding/json does: no exponent from 1e-6 to below 1e21, no trailing ``.0``."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    text = repr(float(value))
    if "e" not in text:
        return text.removesuffix(".0")
    # 1e-6 itself prints without an exponent, as in ES6.
    if 1e-6 <= abs(value) < 1e21:  # noqa: PLR2004
        return format(Decimal(text), "f")
    return text.replace("e-0", "e-")


def _json(value: Any) -> str:
    """Return arrays and maps as Go's encoding/json without HTML escaping: keys sorted, no spaces."""
    if isinstance(value, str):
        text = orjson.dumps(value).decode()
        return _LINE_SEPARATORS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    if isinstance(value, list):
        return f"[{','.join([_json(item) for item in value])}]"
    if isinstance(value, dict):
        return f"{{{','.join([f'{_json(key)}:{_json(value[key])}' for key in sorted(value)])}}}"
    if isinstance(value, float):
        return _float_text(value)
    return orjson.dumps(value).decode()


# --- rows to the body of an insert -------------------------------------------------------------------------------


def insert_row(row: Row) -> list[Any]:
    """Return a row as an insert carries it, in the order of `COLUMNS`."""
    return [
        _time_text(row.timestamp),
        *row[1:12],
        min(max(row.duration, 0), _UINT64_MAX),
        *row[13:15],
        [_time_text(time) for time in row.event_timestamps],
        *row[16:],
    ]


def encoded(batch: Iterable[Row]) -> Iterator[Encoded]:
    """Yield rows as an insert carries them, piece by piece."""
    if isinstance(batch, EncodedRows):
        yield from batch.encoded()
        return
    remaining = map(insert_row, batch)
    while piece := list(islice(remaining, _PIECE_ROWS)):
        yield Encoded(encode(piece), len(piece))


def encode(batch: Sequence[list[Any]]) -> bytes:
    """Return rows in JSONCompactEachRow, the attributes of each sorted by key; ready to be followed by more."""
    try:
        return _dumped(batch)
    except TypeError:
        # A lone surrogate of an importer's: lines of a spool have none.
        return b"".join(_dumped(_storable([row])) for row in batch)


def _dumped(batch: Sequence[list[Any]]) -> bytes:
    # All at once takes a quarter of the time of one by one. Rows may be separated by commas as by newlines.
    return orjson.dumps(batch, option=orjson.OPT_SORT_KEYS)[1:-1] + b"\n" if batch else b""


def _time_text(nanoseconds: int) -> str:
    # ClickHouse takes a bare integer in JSON for seconds. Ten digits before the point: fewer could be read as a year.
    digits = f"{min(max(nanoseconds, 0), _INT64_MAX):019d}"
    return f"{digits[:-9]}.{digits[-9:]}"
