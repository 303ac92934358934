"""Spans that come from elsewhere, to the lines of a spool file: what `encode` is for spans of this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from otel_episodes_clickhouse.spool.encode import line_of
from otel_episodes_clickhouse.spool.values import storable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from otel_episodes_clickhouse.spool.row import Row

# More would be read back by whoever goes on in the middle of a segment.
_MAX_DEFINED: Final = 1024
# Where a line has the numbers of resource and scope.
_RESOURCE: Final = 8
_KINDS: Final = ("Internal", "Server", "Client", "Producer", "Consumer", "Unspecified")
_STATUSES: Final = ("Unset", "Ok", "Error")


class Group(NamedTuple):
    """Spans of one resource and scope: each the fields of a line (see `encode`) without the numbers of those two."""

    resource: dict[str, Any]
    scope: tuple[str, str]
    spans: Sequence[list[Any]]


def groups_of(rows: Iterable[Row]) -> list[Group]:
    """Return rows as groups, one for each run of rows with the same resource and scope."""
    groups: list[Group] = []
    last: Any = None
    spans: list[list[Any]] = []
    for row in rows:
        origin = (row.resource_attributes, row.scope_name, row.scope_version)
        if origin != last:
            spans, last = [], origin
            groups.append(Group(dict(row.resource_attributes), (row.scope_name, row.scope_version), spans))
        spans.append(_fields(row))
    return groups


def new_encoder() -> Callable[[Sequence[Group]], bytes]:
    """Return what turns groups of spans into lines of one spool file."""
    return _Encoder().encode


class _Encoder:
    def __init__(self) -> None:
        self._resources: dict[bytes, int] = {}
        self._scopes: dict[tuple[str, str], int] = {}

    def encode(self, groups: Sequence[Group]) -> bytes:
        """Return the lines of all spans, each resource and scope defined before its first use."""
        lines: list[bytes] = []
        for group in groups:
            numbers = [self._resource(group.resource, lines), self._scope(group.scope, lines)]
            lines += [line_of([*span[:_RESOURCE], *numbers, *span[_RESOURCE:]]) for span in group.spans]
        return b"".join(lines)

    def _resource(self, attributes: dict[str, Any], lines: list[bytes]) -> int:
        key = orjson.dumps(storable(attributes), option=orjson.OPT_SORT_KEYS)
        number = self._resources.get(key)
        if number is None:
            if len(self._resources) >= _MAX_DEFINED:
                self._resources.clear()
            number = self._resources[key] = len(self._resources)
            lines.append(line_of(["r", number, attributes]))
        return number

    def _scope(self, scope: tuple[str, str], lines: list[bytes]) -> int:
        number = self._scopes.get(scope)
        if number is None:
            if len(self._scopes) >= _MAX_DEFINED:
                self._scopes.clear()
            number = self._scopes[scope] = len(self._scopes)
            lines.append(line_of(["s", number, *scope]))
        return number


def _fields(row: Row) -> list[Any]:
    # As numbers where there are both: lines without another type are read fastest.
    ids = (int(row.span_id, 16), int(row.parent_span_id, 16)) if row.parent_span_id else (row.span_id, "")
    fields = [
        row.timestamp, row.duration, row.trace_id, *ids, row.trace_state, row.span_name,
        _KINDS.index(row.span_kind), _STATUSES.index(row.status_code), row.status_message, dict(row.span_attributes),
    ]  # fmt: skip
    if row.event_names or row.link_trace_ids:
        fields.append(list(zip(row.event_timestamps, row.event_names, row.event_attributes, strict=True)))
        links = (row.link_trace_ids, row.link_span_ids, row.link_trace_states, row.link_attributes)
        fields.append(list(zip(*links, strict=True)))
    return fields
