"""OTLP in JSON, as the collector's file exporter writes it: one ExportTraceServiceRequest a line.

The names are those of the protobuf JSON mapping (or of the proto files, which it allows), ids are hex, 64-bit
integers are text. Spans go straight to rows of ``otel_traces``, as the collector's own exporter would have made them.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, Final

from otel_episodes_clickhouse.importers.trajectory import RecordError
from otel_episodes_clickhouse.spool.row import Row
from otel_episodes_clickhouse.spool.values import attributes_as_text

_KINDS: Final = ("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer")
_STATUSES: Final = ("Unset", "Ok", "Error")
_TRACE_ID: Final = re.compile(r"(?!0{32})[0-9a-f]{32}")
_SPAN_ID: Final = re.compile(r"(?!0{16})[0-9a-f]{16}")
_MAX_DEPTH: Final = 64
_MAX_TIME: Final = 2**63 - 1
_OTHER_SIGNALS: Final = ("resourceMetrics", "resourceLogs", "resourceProfiles")


def matches(record: object) -> bool:
    """Tell whether this looks like an export request of any signal."""
    return isinstance(record, dict) and any(
        name in record for name in ("resourceSpans", "resource_spans", *_OTHER_SIGNALS)
    )


def parse(record: Any) -> list[Row]:  # decoded JSON
    """Return the rows of all spans in a request; raises `RecordError` for what is none."""
    if not isinstance(record, dict):
        raise RecordError("no OTLP request: it is no object")
    if _get(record, "resourceSpans") is None:
        other = next((name for name in _OTHER_SIGNALS if name in record), "no resourceSpans")
        raise RecordError(f"no spans in it: {other}")
    try:
        return [row for group in _list(record, "resourceSpans") for row in _resource_rows(group)]
    except RecordError:
        raise
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise RecordError(f"not in OTLP's form: {error}") from error


def _resource_rows(group: dict[str, Any]) -> list[Row]:
    resource = attributes_as_text(_attributes(group.get("resource") or {}))
    base = Row(0, "", "", service_name=resource.get("service.name", ""), resource_attributes=resource)
    rows = []
    for scope_spans in _list(group, "scopeSpans"):
        scope = scope_spans.get("scope") or {}
        scoped = base._replace(scope_name=str(scope.get("name") or ""), scope_version=str(scope.get("version") or ""))
        rows += [_row(span, scoped) for span in _list(scope_spans, "spans")]
    return rows


def _row(span: dict[str, Any], base: Row) -> Row:
    start, end = _time(span, "startTimeUnixNano"), _time(span, "endTimeUnixNano")
    status = span.get("status") or {}
    events, links = _list(span, "events"), _list(span, "links")
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
        link_span_ids=tuple(_id(link, "spanId", _SPAN_ID) for link in links),
        link_trace_states=tuple(str(_get(link, "traceState") or "") for link in links),
        link_attributes=tuple(attributes_as_text(_attributes(link)) for link in links),
    )


def _get(record: dict[str, Any], name: str) -> Any:
    """Return a field by its JSON name, or by its name in the proto file."""
    if name in record:
        return record[name]
    return record.get(re.sub(r"([A-Z])", lambda match: "_" + match[0].lower(), name))


def _list(record: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = _get(record, name) or []
    if not isinstance(found, list):
        raise RecordError(f"{name} is no list")
    return found


def _id(record: dict[str, Any], name: str, form: re.Pattern[str], *, optional: bool = False) -> str:
    found = str(_get(record, name) or "").lower()
    if not form.fullmatch(found) and not (optional and not found.strip("0")):
        raise RecordError(f"{name} {found!r} is no id: lower-case hex, not all zero")
    return found if form.fullmatch(found) else ""


def _time(record: dict[str, Any], name: str) -> int:
    value = int(_get(record, name) or 0)
    if not 0 <= value <= _MAX_TIME:
        raise RecordError(f"{name} {value} is no time in nanoseconds since 1970")
    return value


def _enumerated(value: object, names: tuple[str, ...], prefix: str) -> str:
    if isinstance(value, str) and value.startswith(prefix):
        name = value.removeprefix(prefix).capitalize()
        return name if name in names else names[0]
    number = int(value) if isinstance(value, (int, str)) and value else 0
    return names[number] if 0 <= number < len(names) else names[0]


def _attributes(record: dict[str, Any]) -> dict[str, Any]:
    return {str(item["key"]): _value(item.get("value"), 0) for item in _list(record, "attributes")}


def _value(value: Any, depth: int) -> Any:  # an AnyValue to its Python value
    if not isinstance(value, dict) or depth > _MAX_DEPTH:
        return None
    for name, read in _READERS.items():
        found = _get(value, name)
        if found is not None:
            return read(found, depth)
    return None


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
    "intValue": lambda value, _depth: int(value),
    "doubleValue": _double,
    "arrayValue": lambda value, depth: [_value(item, depth + 1) for item in _list(value, "values")],
    "kvlistValue": lambda value, depth: {
        str(item["key"]): _value(item.get("value"), depth + 1) for item in _list(value, "values")
    },
    "bytesValue": _bytes,
}
