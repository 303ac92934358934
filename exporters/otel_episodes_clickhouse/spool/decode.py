"""Lines of a spool file to rows of ``otel_traces``, every attribute value as text; runs when the spool is drained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

import orjson

from otel_episodes_clickhouse.spool.row import PIECE_ROWS, Encoded, Row, SpoolLineError, encode, insert_row
from otel_episodes_clickhouse.spool.values import INT64_MAX, as_string, attributes_as_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


_KIND_NAMES: Final = ("Internal", "Server", "Client", "Producer", "Consumer", "Unspecified")
_BOOLS: Final = ("false", "true")
_STATUS_NAMES: Final = ("Unset", "Ok", "Error")

# In nanoseconds, the first time with ten digits before the point: in 2001.
_TEN_DIGITS: Final = 10**18
# Of a line without events and links, which most are.
_FIELDS: Final = 13
_NO_EVENTS_AND_LINKS: Final = orjson.Fragment(b",".join([b"[]"] * 7))
_TEXT: Final = frozenset((str,))
# How many fields a line with a checksum has, by the type of the first: a definition, or a span.
_WITH_SUM: Final = {str: (4, 5), int: (14, 16)}
_SCOPE_WITH_SUM: Final = 5
_PIECE_BYTES: Final = 64 * 1024


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
        _check_sum(line, fields)
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
        step = max(1, min(PIECE_ROWS, _PIECE_BYTES * len(lines) // max(size, 1)))
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
        for line, fields in zip(lines, parsed, strict=True):
            _check_sum(line, fields)
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
            or not _TEN_DIGITS <= start <= INT64_MAX
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


def _check_sum(line: bytes, fields: Any) -> None:
    """Take the checksum off a line's fields; raise `SpoolLineError` where it is not that of the line.

    Lines of format 1 have none, and as many fields as those of format 2 without it.
    """
    if type(fields) is not list or not fields or len(fields) not in _WITH_SUM.get(type(fields[0]), ()):
        return
    if fields[0] == "s" and len(fields) < _SCOPE_WITH_SUM:
        return
    given = fields.pop()
    if crc32(line[: line.rfind(b",")] + b"]") != given:
        raise SpoolLineError("its checksum is not that of the line: it was changed after it was written")


def _hex(span_id: int | str) -> str:
    return f"{span_id:016x}" if isinstance(span_id, int) else span_id
