"""Log records of an export request, as rows of ``otel_logs``: what the collector's own exporter makes of them."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs_service

from otel_episodes_clickhouse.serve.otlp import JSON, BodyError, attributes_of, parse, parsed_json, value_of
from otel_episodes_clickhouse.spool.row import time_text
from otel_episodes_clickhouse.spool.values import INT64_MAX, as_string, attributes_as_text

if TYPE_CHECKING:
    from collections.abc import Iterator

_ID_BYTES: Final = {"traceId": 16, "spanId": 8, "trace_id": 16, "span_id": 8}
_UINT8: Final = 0xFF


class Records(NamedTuple):
    """Rows as an insert carries them, in the order of `store.insert.LOG_COLUMNS`; and how many records cannot be."""

    lines: bytes
    rows: int
    rejected: int


def records_of(body: bytes, content_type: str) -> Records:
    """Return the log records of an export request; raise `BodyError` for a body that is none."""
    request = logs_service.ExportLogsServiceRequest()
    if content_type == JSON:
        try:
            json_format.ParseDict(_with_ids_in_base64(parsed_json(body)), request, ignore_unknown_fields=True)
        except (json_format.ParseError, RecursionError) as error:
            raise BodyError(f"not an OTLP request: {error}") from None
    else:
        parse(request, body)
    rows = list(_rows(request))
    sound = [orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows if row is not None]
    return Records(b"".join(sound), len(sound), len(rows) - len(sound))


def _rows(request: Any) -> Iterator[list[Any] | None]:
    for group in request.resource_logs:
        resource = attributes_as_text(attributes_of(group.resource.attributes))
        for scope_logs in group.scope_logs:
            scope = scope_logs.scope
            origin = [
                group.schema_url, resource, scope_logs.schema_url, scope.name, scope.version,
                attributes_as_text(attributes_of(scope.attributes)),
            ]  # fmt: skip
            for record in scope_logs.log_records:
                yield _row(record, resource.get("service.name", ""), origin)


def _row(record: Any, service: str, origin: list[Any]) -> list[Any] | None:
    time = record.time_unix_nano or record.observed_time_unix_nano
    if time > INT64_MAX:
        return None
    return [
        time_text(time),
        _hex(record.trace_id, "traceId"),
        _hex(record.span_id, "spanId"),
        record.flags & _UINT8,
        record.severity_text,
        min(max(record.severity_number, 0), _UINT8),
        service,
        as_string(value_of(record.body)),
        *origin,
        attributes_as_text(attributes_of(record.attributes)),
        record.event_name,
    ]


def _hex(found: bytes, name: str) -> str:
    return found.hex() if len(found) == _ID_BYTES[name] and any(found) else ""


def _with_ids_in_base64(value: Any) -> Any:
    """Return a request as protobuf's own JSON has it: OTLP writes ids in hex, and JavaScript cuts texts in two."""
    if isinstance(value, list):
        return [_with_ids_in_base64(item) for item in value]
    if isinstance(value, str):
        # Half a surrogate pair has no place in a message.
        return as_string(value)
    if not isinstance(value, dict):
        return value
    return {
        key: _base64(item) if key in _ID_BYTES and isinstance(item, str) else _with_ids_in_base64(item)
        for key, item in value.items()
    }


def _base64(text: str) -> str:
    try:
        return base64.b64encode(binascii.unhexlify(text)).decode()
    except (binascii.Error, ValueError):
        raise BodyError(f"{text[:40]!r} is not an id in hex") from None
