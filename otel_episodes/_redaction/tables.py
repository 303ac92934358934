"""Secrets in tables: what is below a heading that names one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from otel_episodes._redaction.named import places_of_names
from otel_episodes._redaction.names import PASSWORD, TOKEN, is_value, strength

if TYPE_CHECKING:
    from collections.abc import Iterator

Span = tuple[int, int]

_BREAK: Final = re.compile(r"\r?\n|\\r\\n|\\n")
_DELIMITERS: Final = ",|\t;"
_MOST_LINES: Final = 512
_LONGEST_HEADING: Final = 1024
_DRAWN: Final = frozenset("|-+: =")
_NO_HEADING: Final = re.compile(r"[=(){}\[\]:<>]")


def in_tables(text: str, folded: str) -> Iterator[Span]:
    """Yield the cells below a heading that names a secret, in comma-separated and drawn tables."""
    past = -1
    for place, _ in places_of_names(folded):
        if place <= past:
            continue
        begin, past = _line(text, place)
        heading = text[begin:past]
        if _NO_HEADING.search(heading):
            continue
        delimiter = next((delimiter for delimiter in _DELIMITERS if delimiter in heading), None)
        columns = [] if delimiter is None or len(heading) > _LONGEST_HEADING else _secret_columns(heading, delimiter)
        if columns:
            for start, row in _rows(text, past, delimiter or ",", heading):
                past = start + len(row)
                yield from _cells(row, start, delimiter or ",", columns)


_INSERT: Final = re.compile(r"(?i)\(([\w\s,\"`.\[\]]{3,400})\)\s{0,8}VALUES\s{0,8}(?=\()")
_VALUES: Final = re.compile(
    r"\s{0,8}(?:'((?:[^'\\\n]|''|\\.){0,512})'|\"([^\"\n]{0,512})\"|[^,()'\"]{0,128})\s{0,8}([,)])"
)
_MOST_COLUMNS: Final = 64


def in_inserts(text: str) -> Iterator[Span]:
    """Yield the values that a statement in SQL inserts into columns that are named as a secret's."""
    for match in _INSERT.finditer(text):
        columns = [column.strip(' \t\n"`[]') for column in match[1].split(",")]
        wanted = [strength(column) >= TOKEN for column in columns[:_MOST_COLUMNS]]
        at = match.end() + 1
        for is_wanted in wanted if any(wanted) else ():
            value = _VALUES.match(text, at)
            if value is None:
                break
            for group in (1, 2):
                if is_wanted and value[group] and is_value(value[group], PASSWORD, quoted=True):
                    yield value.span(group)
            at = value.end()


def _line(text: str, place: int) -> Span:
    """Return where the line around a place begins and ends; a line also ends at an escaped break."""
    least = max(0, place - _LONGEST_HEADING)
    escaped = text.rfind("\\n", least, place)
    begin = max(text.rfind("\n", least, place) + 1, escaped + 2 if escaped >= 0 else 0, least)
    match = _BREAK.search(text, place)
    return begin, len(text) if match is None else match.start()


def _rows(text: str, at: int, delimiter: str, heading: str) -> Iterator[tuple[int, str]]:
    """Yield where each row below a heading begins, and the row."""
    for _ in range(_MOST_LINES):
        gap = _BREAK.match(text, at)
        if gap is None:
            return
        _, at = _line(text, gap.end())
        row = text[gap.end() : at]
        if not row or not set(row) <= _DRAWN:
            if row.count(delimiter) != heading.count(delimiter):
                return
            yield gap.end(), row


def _secret_columns(heading: str, delimiter: str) -> list[int]:
    cells = [cell.strip(" \t\"'*`") for cell in heading.split(delimiter)]
    if not all(re.fullmatch(r"[\w .()#/-]{0,48}", cell) for cell in cells) or sum(map(bool, cells)) < 2:  # noqa: PLR2004
        return []
    return [index for index, cell in enumerate(cells) if cell and strength(cell) >= TOKEN]


def _cells(row: str, start: int, delimiter: str, columns: list[int]) -> Iterator[Span]:
    at = start
    for index, cell in enumerate(row.split(delimiter)):
        value = cell.strip(" \t\"'*`")
        if (
            index in columns
            and is_value(value, PASSWORD, quoted=True)
            and re.search(r"[\d!@#$%^&*]", value)
            and " " not in value
        ):
            begin = at + cell.index(value)
            yield begin, begin + len(value)
        at += len(cell) + 1
