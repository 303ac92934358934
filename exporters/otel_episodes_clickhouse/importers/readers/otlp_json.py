"""OTLP in JSON: what the collector's file exporter writes, and the wrappers that Tempo and Jaeger put around spans.

The names are those of the protobuf JSON mapping (or of the proto files, which it allows), ids are hex or, as the
mapping of protobuf alone would have it, base64; 64-bit integers are text. Spans go straight to rows of
``otel_traces``, as the collector's own exporter would have made them. A span that cannot be read costs itself alone.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any, Final

from otel_episodes_clickhouse.importers import values
from otel_episodes_clickhouse.importers.reading import Reader, Refused
from otel_episodes_clickhouse.importers.run import RecordError
from otel_episodes_clickhouse.spool.row import Row
from otel_episodes_clickhouse.spool.values import attributes_as_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_episodes_clickhouse.importers.reading import Found, Place

_KINDS: Final = ("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer")
_STATUSES: Final = ("Unset", "Ok", "Error")
_TRACE_ID: Final = re.compile(r"(?!0{32})[0-9a-f]{32}")
_SPAN_ID: Final = re.compile(r"(?!0{16})[0-9a-f]{16}")
_ID_BYTES: Final = {_TRACE_ID: 16, _SPAN_ID: 8}
_MAX_DEPTH: Final = 64
_MAX_TIME: Final = 2**63 - 1
_GROUPS: Final = ("resourceSpans", "resource_spans", "batches")
_OTHER_SIGNALS: Final = ("resourceMetrics", "resourceLogs", "resourceProfiles")
_SCOPES: Final = ("scopeSpans", "instrumentationLibrarySpans")
_ERRORS: Final = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)


def is_record(record: Any) -> bool:
    """Return True for an export request of any signal, a trace of Tempo or Jaeger, or a span of the SDK's console."""
    if not isinstance(record, dict):
        return False
    if any(name in record for name in (*_GROUPS, *_OTHER_SIGNALS)):
        return True
    return _of_tempo(record) is not None or _of_jaeger(record) is not None or _is_of_console(record)


def read(record: Any, _place: Place) -> Iterator[Found]:
    """Yield the rows of all spans in a request; raise `RecordError` for what is none."""
    if not isinstance(record, dict):
        raise RecordError("not an OTLP request: not an object")
    if _is_of_console(record):
        yield _console_row(record)
        return
    traces = _of_jaeger(record)
    if traces is not None:
        for trace in traces:
            yield from _jaeger_rows(trace)
        return
    inner = _of_tempo(record) or record
    if not any(name in inner for name in _GROUPS):
        other = next((name for name in _OTHER_SIGNALS if name in record), "no resourceSpans")
        raise RecordError(f"no spans in it: {other}")
    yield from rows_of_request(inner)


def rows_of_request(request: dict[str, Any]) -> Iterator[Row | Refused]:
    """Yield the row of each span in an export request, which may have none, and what cannot be one."""
    groups = next((request[name] for name in _GROUPS if name in request), None)
    for group in _objects(groups, "resourceSpans"):
        yield from _group_rows(group)


def _group_rows(group: dict[str, Any]) -> Iterator[Row | Refused]:
    resource = attributes_as_text(_attributes(group.get("resource") or {}))
    base = Row(0, "", "", service_name=resource.get("service.name", ""), resource_attributes=resource)
    scopes = [scope for name in _SCOPES for scope in _list(group, name)]
    for scope_spans in scopes:
        scope = scope_spans.get("scope") or scope_spans.get("instrumentationLibrary") or {}
        scoped = base._replace(scope_name=str(scope.get("name") or ""), scope_version=str(scope.get("version") or ""))
        for span in _list(scope_spans, "spans"):
            try:
                yield _row(span, scoped)
            except _ERRORS as error:
                yield Refused(0, f"a span that is not in OTLP's form: {error}")


def _row(span: dict[str, Any], base: Row) -> Row:
    start, end = _time(span, "startTimeUnixNano"), _time(span, "endTimeUnixNano")
    status = span.get("status") or {}
    events = _list(span, "events")
    links = [link for link in _list(span, "links") if _id(link, "traceId", _TRACE_ID, optional=True)]
    return base._replace(
        timestamp=start,
        trace_id=_id(span, "traceId", _TRACE_ID),
        span_id=_id(span, "spanId", _SPAN_ID),
        parent_span_id=_id(span, "parentSpanId", _SPAN_ID, optional=True),
        trace_state=str(_get(span, "traceState") or ""),
        span_name=str(span.get("name") or ""),
        span_kind=_enumerated(span.get("kind"), _KINDS, "SPAN_KIND_"),
        span_attributes=attributes_as_text(_attributes(span)),
        duration=max(0, end - start),
        status_code=_enumerated(status.get("code"), _STATUSES, "STATUS_CODE_"),
        status_message=str(status.get("message") or ""),
        event_timestamps=tuple(_time(event, "timeUnixNano") for event in events),
        event_names=tuple(str(event.get("name") or "") for event in events),
        event_attributes=tuple(attributes_as_text(_attributes(event)) for event in events),
        link_trace_ids=tuple(_id(link, "traceId", _TRACE_ID) for link in links),
        link_span_ids=tuple(_id(link, "spanId", _SPAN_ID, optional=True) for link in links),
        link_trace_states=tuple(str(_get(link, "traceState") or "") for link in links),
        link_attributes=tuple(attributes_as_text(_attributes(link)) for link in links),
    )


# --- fields --------------------------------------------------------------------------------------------------------


def _get(record: dict[str, Any], name: str) -> Any:
    """Return a field by its JSON name, or by its name in the proto file."""
    if name in record:
        return record[name]
    return record.get(re.sub(r"([A-Z])", lambda match: "_" + match[0].lower(), name))


def _list(record: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return _objects(_get(record, name) or [], name)


def _objects(found: Any, name: str) -> list[dict[str, Any]]:
    if found is None:
        return []
    if not isinstance(found, list):
        raise RecordError(f"{name} is not a list")
    return [item for item in found if isinstance(item, dict)]


def _id(record: dict[str, Any], name: str, form: re.Pattern[str], *, optional: bool = False) -> str:
    text = str(_get(record, name) or "")
    found = text.lower().removeprefix("0x")
    if not form.fullmatch(found):
        found = _from_base64(text, _ID_BYTES[form])
    if not form.fullmatch(found) and not optional:
        raise RecordError(f"{name} {text!r} is not an id: hex, not all zero")
    return found if form.fullmatch(found) else ""


def _from_base64(text: str, size: int) -> str:
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return ""
    return decoded.hex() if len(decoded) == size else ""


def _time(record: dict[str, Any], name: str) -> int:
    found = _get(record, name) or 0
    if isinstance(found, str) and not found.strip().isdigit():
        told = values.nanoseconds(found)
        if told is None:
            raise RecordError(f"{name} {found!r} is not a time")
        return told
    value = int(found)
    if not 0 <= value <= _MAX_TIME:
        raise RecordError(f"{name} {value} is not a time in nanoseconds since 1970")
    return value


def _enumerated(value: object, names: tuple[str, ...], prefix: str) -> str:
    if isinstance(value, str) and not value.strip().isdigit():
        name = value.upper().removeprefix(prefix).rpartition(".")[2].capitalize()
        return name if name in names else names[0]
    number = int(value) if isinstance(value, (int, str)) and value else 0
    return names[number] if 0 <= number < len(names) else names[0]


def _attributes(record: dict[str, Any]) -> dict[str, Any]:
    return {str(item.get("key") or ""): _value(item.get("value"), 0) for item in _list(record, "attributes")}


def _value(value: Any, depth: int) -> Any:  # an AnyValue to its Python value
    if not isinstance(value, dict) or depth > _MAX_DEPTH:
        return None
    for name, read_value in _READERS.items():
        found = _get(value, name)
        if found is not None:
            return read_value(found, depth)
    return None


def _integer(value: Any, _depth: int) -> Any:
    try:
        return int(value)
    except ValueError:
        return str(value)  # of a writer who took any number for an integer


def _double(value: object, _depth: int) -> float:
    return float(str(value))  # "NaN", "Infinity" and "-Infinity" are text


def _bytes(value: str, _depth: int) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise RecordError(f"a bytesValue is not base64: {error}") from error


_READERS: Final[dict[str, Any]] = {
    "stringValue": lambda value, _depth: str(value),
    "boolValue": lambda value, _depth: value is True or value == "true",
    "intValue": _integer,
    "doubleValue": _double,
    "arrayValue": lambda value, depth: [_value(item, depth + 1) for item in _list(value, "values")],
    "kvlistValue": lambda value, depth: {
        str(item.get("key") or ""): _value(item.get("value"), depth + 1) for item in _list(value, "values")
    },
    "bytesValue": _bytes,
}


# --- wrappers ------------------------------------------------------------------------------------------------------


def _of_tempo(record: dict[str, Any]) -> dict[str, Any] | None:
    inner = record.get("trace")
    return inner if isinstance(inner, dict) and any(name in inner for name in _GROUPS) else None


def _of_jaeger(record: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Return the traces in an answer of Jaeger's API, or the one that its page saves."""
    data = record.get("data", [record])
    traces = data if isinstance(data, list) else [data]
    sound = all(
        isinstance(trace, dict) and "traceID" in trace and isinstance(trace.get("spans"), list) for trace in traces
    )
    return traces if traces and sound else None


def _jaeger_rows(trace: dict[str, Any]) -> Iterator[Found]:
    processes = trace.get("processes") or {}
    for span in trace["spans"]:
        try:
            yield _jaeger_row(span, processes)
        except _ERRORS as error:
            yield Refused(0, f"a span that is not in Jaeger's form: {error}")


def _jaeger_row(span: dict[str, Any], processes: dict[str, Any]) -> Row:
    process = span.get("process") or processes.get(str(span.get("processID"))) or {}
    service = str(process.get("serviceName") or "")
    resource = attributes_as_text({"service.name": service, **_tags(process.get("tags"))})
    tags = _tags(span.get("tags"))
    references = values.objects(span.get("references"))
    parent = next(
        (one.get("spanID") for one in references if one.get("refType") == "CHILD_OF"), span.get("parentSpanID")
    )
    logs = values.objects(span.get("logs"))
    fields = [_tags(log.get("fields")) for log in logs]
    failed = tags.get("error") in (True, "true") or tags.get("otel.status_code") == "ERROR"
    return Row(
        timestamp=_microseconds(span.get("startTime")),
        trace_id=_padded({"id": span.get("traceID")}, _TRACE_ID, 32),
        span_id=_padded({"id": span.get("spanID")}, _SPAN_ID, 16),
        parent_span_id=_padded({"id": parent}, _SPAN_ID, 16) if parent else "",
        span_name=str(span.get("operationName") or ""),
        span_kind=_enumerated(str(tags.pop("span.kind", "")), _KINDS, "SPAN_KIND_"),
        service_name=service,
        resource_attributes=resource,
        scope_name=str(tags.pop("otel.scope.name", "")),
        scope_version=str(tags.pop("otel.scope.version", "")),
        span_attributes=attributes_as_text(tags),
        duration=_microseconds(span.get("duration")),
        status_code="Error" if failed else "Unset",
        status_message=str(tags.get("otel.status_description") or ""),
        event_timestamps=tuple(_microseconds(log.get("timestamp")) for log in logs),
        event_names=tuple(str(field.pop("event", "")) for field in fields),
        event_attributes=tuple(attributes_as_text(field) for field in fields),
    )


def _padded(holder: dict[str, Any], form: re.Pattern[str], size: int) -> str:
    return _id({"id": str(holder["id"] or "").zfill(size)}, "id", form)


def _microseconds(value: Any) -> int:
    time = int(value or 0) * 1000
    if not 0 <= time <= _MAX_TIME:
        raise RecordError(f"{value} is not a time in microseconds")
    return time


def _tags(tags: Any) -> dict[str, Any]:
    return {str(tag["key"]): tag.get("value") for tag in values.objects(tags) if "key" in tag}


def _is_of_console(record: dict[str, Any]) -> bool:
    context = record.get("context")
    return isinstance(context, dict) and "trace_id" in context and "span_id" in context and "start_time" in record


def _console_row(span: dict[str, Any]) -> Row:
    """Return the row of a span as the Python SDK's console exporter prints it."""
    context, status = span["context"], span.get("status") or {}
    resource = attributes_as_text((span.get("resource") or {}).get("attributes") or {})
    start, end = _time(span, "start_time"), _time(span, "end_time")
    events = values.objects(span.get("events"))
    return Row(
        timestamp=start,
        trace_id=_id(context, "trace_id", _TRACE_ID),
        span_id=_id(context, "span_id", _SPAN_ID),
        parent_span_id=_id(span, "parent_id", _SPAN_ID, optional=True),
        span_name=str(span.get("name") or ""),
        span_kind=_enumerated(span.get("kind"), _KINDS, "SPANKIND."),
        service_name=resource.get("service.name", ""),
        resource_attributes=resource,
        span_attributes=attributes_as_text(span.get("attributes") or {}),
        duration=max(0, end - start),
        status_code=_enumerated(status.get("status_code"), _STATUSES, "STATUS_CODE_"),
        status_message=str(status.get("description") or ""),
        event_timestamps=tuple(_time(event, "timestamp") for event in events),
        event_names=tuple(str(event.get("name") or "") for event in events),
        event_attributes=tuple(attributes_as_text(event.get("attributes") or {}) for event in events),
    )


READER: Final = Reader("otlp-json", is_record=is_record, record=read)
