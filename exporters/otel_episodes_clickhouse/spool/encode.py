"""Spans to the lines of a spool file: the hot path, which runs in the agent's process on every span.

A line is a JSON array. A span::

    [start_ns, duration_ns, trace_id, span_id, parent_span_id, trace_state, name, kind, resource, scope,
     status, message, attributes, [[time_ns, name, attributes], ...], [[trace_id, span_id, state, attributes], ...],
     sum]

``kind`` and ``status`` are numbers, span ids numbers or hexadecimal text, ``resource`` and ``scope`` refer to
definitions earlier in the same file::

    ["r", number, attributes, sum]        ["s", number, name, version, sum]

``sum`` is the CRC-32 of the same line without it: a disk that changes a bit does not change what an agent did.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

import orjson
from opentelemetry.trace import SpanKind, StatusCode

from otel_episodes._for_store import plain_attributes
from otel_episodes_clickhouse.spool.row import SpoolLineError
from otel_episodes_clickhouse.spool.values import storable

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    from otel_episodes._for_store import SpanFields


_KIND_NUMBERS: Final = {
    SpanKind.INTERNAL: 0, SpanKind.SERVER: 1, SpanKind.CLIENT: 2, SpanKind.PRODUCER: 3, SpanKind.CONSUMER: 4,
}  # fmt: skip
_KIND_UNSPECIFIED: Final = 5
_INTERNAL: Final = SpanKind.INTERNAL
_UNSET: Final = StatusCode.UNSET
_STATUS_NUMBERS: Final = {StatusCode.UNSET: 0, StatusCode.OK: 1, StatusCode.ERROR: 2}

# Providers are few; a program that makes thousands gets its definitions written again rather than kept forever.
_MAX_INTERNED: Final = 1024
# Attribute values that are the same in JSON; a float may be NaN, a list may hold one.
_PLAIN_TYPES: Final = frozenset((str, int, bool))


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
            line = orjson.dumps([
                start, end - start, self._trace_id_hex, span_id, parent[1], "", name, 0,
                self._resource_number, self._scope_number, 0, description or "", attributes,
            ])  # fmt: skip
        except TypeError:
            return self._any(fields)
        # orjson writes NaN, the infinities and None as null; the word in a text does no harm.
        if line.find(b"null") >= 0 and not _PLAIN_TYPES.issuperset(map(type, attributes.values())):
            return self._any(fields)
        return b"%b,%d]\n" % (line[:-1], crc32(line))

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
        return b"".join([*(line_of(definition) for definition in definitions), line_of(line)])

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
    plain = plain_attributes(attributes)
    return {} if plain is None else plain


def line_of(fields: list[Any]) -> bytes:
    """Return a line with its checksum; values that JSON has no word for become text."""
    line = _dumped(fields)
    return b"%b,%d]\n" % (line[:-1], crc32(line))


def _dumped(fields: list[Any]) -> bytes:
    try:
        line = orjson.dumps(fields)
    except TypeError:
        # Bytes, a lone surrogate, an int beyond 64 bits, a type of the user's own: rare, so only now looked for.
        return orjson.dumps(storable(fields))
    # orjson writes NaN and the infinities as null without a word; the text "null" in a string merely costs time.
    if line.find(b"null") >= 0:
        return orjson.dumps(storable(fields))
    return line
