"""OTLP export requests, as protobuf or JSON, to what a spool takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs_service
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_service
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_service

from otel_episodes_clickhouse.importers.documents import decoded
from otel_episodes_clickhouse.importers.readers import otlp_json
from otel_episodes_clickhouse.importers.reading import Refused
from otel_episodes_clickhouse.importers.run import RecordError
from otel_episodes_clickhouse.spool.received import Group, groups_of
from otel_episodes_clickhouse.spool.values import INT64_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
# OTLP's numbers of kinds and statuses to those of a spool's lines.
_KINDS: Final = {0: 5, 1: 0, 2: 1, 3: 2, 4: 3, 5: 4}
_KIND_UNSPECIFIED: Final = 5
_STATUSES: Final = {0: 0, 1: 1, 2: 2}
_TRACE_ID_BYTES: Final = 16
_SPAN_ID_BYTES: Final = 8
_MAX_DEPTH: Final = 64
# What is answered to each signal, and how that calls the number of what was not taken, in protobuf and in JSON.
_ANSWERS: Final[dict[str, tuple[Any, str, str]]] = {
    "traces": (trace_service.ExportTraceServiceResponse, "rejected_spans", "rejectedSpans"),
    "logs": (logs_service.ExportLogsServiceResponse, "rejected_log_records", "rejectedLogRecords"),
    "metrics": (metrics_service.ExportMetricsServiceResponse, "rejected_data_points", "rejectedDataPoints"),
}


class BodyError(ValueError):
    """A body that is not the request it says to be; the message is for its sender."""


@dataclass
class Spans:
    """What was found in a request: groups to be spooled, and how many spans cannot be, with a reason."""

    groups: list[Group] = field(default_factory=list)
    rejected: int = 0
    reason: str = ""

    @property
    def accepted(self) -> int:
        """Return how many spans there are to be spooled."""
        return sum(len(group.spans) for group in self.groups)

    def reject(self, reason: str) -> None:
        """Count a span that cannot be stored; the first reason is told."""
        self.rejected += 1
        self.reason = self.reason or reason


def spans_of(body: bytes, content_type: str) -> Spans:
    """Return the spans of an export request; raise `BodyError` for a body that is none."""
    return _of_json(body) if content_type == JSON else _of_protobuf(body)


# --- answers -------------------------------------------------------------------------------------------------------


def answer(signal: str, content_type: str, *, rejected: int = 0, reason: str = "") -> bytes:
    """Return the body of a 200 for ``traces``, ``logs`` or ``metrics``."""
    response, field_name, json_name = _ANSWERS[signal]
    if content_type == JSON:
        told = {json_name: str(rejected), "errorMessage": reason}
        return orjson.dumps({"partialSuccess": told} if rejected else {})
    made = response()
    if rejected:
        setattr(made.partial_success, field_name, rejected)
        made.partial_success.error_message = reason
    return bytes(made.SerializeToString())


def refusal(content_type: str, code: int, message: str) -> bytes:
    """Return a ``google.rpc.Status``, the body of any other answer; ``code`` is one of gRPC's."""
    if content_type == JSON:
        return orjson.dumps({"code": code, "message": message})
    # Of the same form on the wire: a number in field 1, a text in field 2.
    same = trace_service.ExportTracePartialSuccess(rejected_spans=code, error_message=message)
    return bytes(same.SerializeToString())


# --- JSON ----------------------------------------------------------------------------------------------------------


def _of_json(body: bytes) -> Spans:
    spans = Spans()
    rows = []
    try:
        for found in otlp_json.rows_of_request(parsed_json(body)):
            if isinstance(found, Refused):
                spans.reject(found.reason)
            else:
                rows.append(found)
    except (RecordError, TypeError, ValueError, AttributeError, LookupError) as error:
        raise BodyError(f"not an OTLP request: {error}") from None
    spans.groups = groups_of(rows)
    return spans


def parsed_json(body: bytes) -> dict[str, Any]:
    """Return the object that a body is; raise `BodyError` for any other."""
    try:
        # Half a surrogate pair, as JavaScript leaves it where it cuts a text, costs no batch.
        found = decoded(body)
    except ValueError as error:
        raise BodyError(f"not JSON: {error}") from None
    if not isinstance(found, dict):
        raise BodyError("not an OTLP request: not an object")
    return found


# --- protobuf ------------------------------------------------------------------------------------------------------


def _of_protobuf(body: bytes) -> Spans:
    request = trace_service.ExportTraceServiceRequest()
    parse(request, body)
    spans = Spans()
    for group in request.resource_spans:
        resource = attributes_of(group.resource.attributes)
        for scope_spans in group.scope_spans:
            fields = [made for span in scope_spans.spans if (made := _fields(span, spans)) is not None]
            if fields:
                scope = scope_spans.scope
                spans.groups.append(Group(resource, (scope.name, scope.version), fields))
    return spans


def parse(request: Any, body: bytes) -> None:
    """Read a request in protobuf; raise `BodyError` for what is none."""
    try:
        request.ParseFromString(body)
    except DecodeError as error:
        raise BodyError(f"not an OTLP request in protobuf: {error}") from None


def _fields(span: Any, spans: Spans) -> list[Any] | None:
    """Return the fields of a line, or None for a span that cannot be stored, which is counted."""
    trace_id, span_id, parent = span.trace_id, span.span_id, span.parent_span_id
    start, end = span.start_time_unix_nano, span.end_time_unix_nano
    if len(trace_id) != _TRACE_ID_BYTES or not any(trace_id):
        spans.reject("a span whose trace id is not 16 bytes, or all zero")
        return None
    if len(span_id) != _SPAN_ID_BYTES or not any(span_id):
        spans.reject("a span whose id is not 8 bytes, or all zero")
        return None
    if start > INT64_MAX or end > INT64_MAX:
        spans.reject("a span with a time after the year 2262")
        return None
    has_parent = len(parent) == _SPAN_ID_BYTES and any(parent)
    status = span.status
    fields = [
        start,
        max(0, end - start),
        trace_id.hex(),
        # As numbers where there are both: lines without another type are read fastest.
        int.from_bytes(span_id, "big") if has_parent else span_id.hex(),
        int.from_bytes(parent, "big") if has_parent else "",
        span.trace_state,
        span.name,
        _KINDS.get(span.kind, _KIND_UNSPECIFIED),
        _STATUSES.get(status.code, 0),
        status.message,
        attributes_of(span.attributes),
    ]
    if span.events or span.links:
        fields.append([[event.time_unix_nano, event.name, attributes_of(event.attributes)] for event in span.events])
        fields.append([
            [link.trace_id.hex(), link.span_id.hex(), link.trace_state, attributes_of(link.attributes)]
            for link in span.links
        ])  # fmt: skip
    return fields


def attributes_of(attributes: Iterable[Any], depth: int = 0) -> dict[str, Any]:
    """Return attributes with their Python values."""
    found = {}
    for item in attributes:
        value = item.value
        # Most are text, which is told without a name.
        found[item.key] = value.string_value if value.HasField("string_value") else value_of(value, depth)
    return found


def value_of(value: Any, depth: int = 0) -> Any:
    """Return the Python value of an ``AnyValue``; None for one that is empty or nested too deep."""
    which = value.WhichOneof("value")
    if which is None or depth > _MAX_DEPTH:
        return None
    found = getattr(value, which)
    if which == "array_value":
        return [value_of(item, depth + 1) for item in found.values]
    if which == "kvlist_value":
        return attributes_of(found.values, depth + 1)
    return found
