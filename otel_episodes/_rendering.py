"""Turning arguments and results into short texts: bounded work, no code of the user's run, secrets masked.

Nothing here calls ``repr`` or ``str`` on an object it does not know: both may be slow, may raise, and may load half
a database. Containers are walked until the text is full, so a value of any size costs the same.
"""

from __future__ import annotations

import re
from collections import ChainMap, UserDict
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from json import loads
from json.encoder import encode_basestring  # C
from pathlib import PurePath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

if TYPE_CHECKING:
    from otel_episodes._redaction import Redactor

MARK: Final = "…"
_MAX_DEPTH: Final = 8
# Read a little further than what is kept, so that a secret at the cut is seen whole and masked.
_SLACK: Final = 256
# No credential is shorter; most leaves are.
_SHORT: Final = 8
_MAPPINGS = (MappingProxyType, UserDict, ChainMap)
_PLAIN = (PurePath, UUID, Decimal, date, time, timedelta, Enum)
_MARKED: Final = f'"{MARK}"'
# What a container keeps free for its end: a comma, the mark, the bracket.
_ARRAY_END: Final = len(f", {_MARKED}]")
_OBJECT_END: Final = len(f", {_MARKED}: {_MARKED}}}")
# The least another item takes: a comma and a mark; for an object, a key and a mark.
_BIG: Final = 1 << 256
_ARRAY_ITEM: Final = len(f", {_MARKED}")
_OBJECT_ITEM: Final = len(f", {_MARKED}: {_MARKED}")


def text(value: object, limit: int, redactor: Redactor | None) -> str:
    """Render a value as text of at most ``limit`` characters: a string as it is, anything else as JSON."""
    if isinstance(value, str):
        if len(value) <= limit:
            if value.isascii() and redactor is not None and not redactor.suspects(value):
                return value  # nearly always
            return cut(_clean(value, redactor), limit)
        return cut(_clean(value[: limit + _SLACK], redactor), limit, more=len(value) > limit + _SLACK)
    rendered = json(value, limit, redactor)
    # A path, a date, an unknown object: one string as JSON, which reads better without its quotes.
    return loads(rendered) if rendered.startswith('"') else rendered


def json(value: object, limit: int, redactor: Redactor | None) -> str:
    """Render a value as valid JSON of at most ``limit`` characters; what is left out is marked by ``…``."""
    writer = _JsonWriter(limit, redactor)
    writer.write(value, 0)
    return "".join(writer.out)


def one_line(value: str, limit: int, redactor: Redactor | None) -> str:
    """Render an error message on one line."""
    short = " ".join(value[: limit + _SLACK].split())
    return cut(_clean(short, redactor), limit, more=len(value) > limit + _SLACK)


def exception_message(error: BaseException) -> str:
    """Return ``str(error)``, or what can be said where that raises."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001  # an exception's __str__ is anybody's code
        return f"<{type(error).__name__} whose str() raises>"


def cut(value: str, limit: int, *, more: bool = False) -> str:
    """Cut a text to ``limit`` characters and mark it; JSON that is cut stays JSON.

    ``more`` says that the value was longer still before it came here.
    """
    if len(value) <= limit and not more:
        return value
    if value[:1] in ("{", "["):
        shorter = _cut_json(value, limit)
        if shorter is not None:
            return shorter
    return value[: limit - 1] + MARK


def _clean(value: str, redactor: Redactor | None) -> str:
    if redactor is not None and (len(value) >= _SHORT or redactor.patterns):
        value = redactor.text(value)
    if not value.isascii():
        # A lone surrogate cannot be encoded, and one would cost a whole batch its export.
        value = value.encode("utf-8", "replace").decode("utf-8")
    return value


class _JsonWriter:
    """Write JSON until ``limit`` characters are used; every open container keeps room for its end."""

    __slots__ = ("left", "out", "redactor")

    def __init__(self, limit: int, redactor: Redactor | None) -> None:
        self.left = limit
        self.out: list[str] = []
        self.redactor = redactor

    def write(self, value: Any, depth: int) -> None:  # any value at all
        kind = type(value)
        if kind is str:
            self._string(value, self.left)
        elif value is None or kind is bool:
            self._scalar("null" if value is None else "true" if value else "false")
        elif kind is int or kind is float:
            self._number(value)
        elif depth >= _MAX_DEPTH:
            self._put(_MARKED)
        elif kind is list or kind is tuple or isinstance(value, (list, tuple, set, frozenset)):
            self._array(value, depth)
        elif kind is dict or isinstance(value, dict):
            self._object(dict.items(value), depth)
        else:
            self._other(value, depth)

    def _put(self, piece: str) -> None:
        self.out.append(piece)
        self.left -= len(piece)

    def _scalar(self, piece: str) -> None:
        self._put(piece if len(piece) <= self.left else _MARKED)

    def _string(self, value: str, room: int) -> None:
        whole = len(value) <= room - 2
        piece = _clean(value if whole else value[: room + _SLACK], self.redactor)
        encoded = encode_basestring(piece)
        while not whole or len(encoded) > room:
            whole = True
            # Escapes make it longer than it looks: shrink by as much as they do, and once more if need be.
            keep = min(room - 3, (room - 3) * len(piece) // max(len(encoded) - 2, 1), len(piece) - 1)
            piece = piece[: max(keep, 0)]
            encoded = encode_basestring(piece + MARK)
            if not piece:
                break
        self._put(encoded)

    def _number(self, value: float) -> None:
        if isinstance(value, int):
            # str() of a huge int is quadratic in its digits.
            self._scalar(str(value) if -_BIG < value < _BIG else f'"<int of {value.bit_length()} bits>"')
        elif value - value == 0:
            self._scalar(repr(value))
        else:
            self._scalar(f'"{value}"')  # JSON has no NaN and no infinity

    def _array(self, values: Any, depth: int) -> None:
        if self.left < _ARRAY_END + 1:
            self._put(_MARKED)
            return
        self._put("[")
        self.left -= _ARRAY_END
        separator = ""
        for value in values:
            if self.left < _ARRAY_ITEM:
                self._end(separator + _MARKED + "]", _ARRAY_END)
                return
            self._put(separator)
            self.write(value, depth + 1)
            separator = ", "
        self._end("]", _ARRAY_END)

    def _object(self, items: Any, depth: int) -> None:
        if self.left < _OBJECT_END + 1:
            self._put(_MARKED)
            return
        self._put("{")
        self.left -= _OBJECT_END
        separator = ""
        for key, value in items:
            if self.left < _OBJECT_ITEM:
                self._end(f"{separator}{_MARKED}: {_MARKED}}}", _OBJECT_END)
                return
            self._put(separator)
            name = key if type(key) is str else str(key) if isinstance(key, (str, int, float)) else type(key).__name__
            self._string(name[:64], self.left - len(_MARKED) - 2)
            self._put(": ")
            if self.redactor is not None and self.redactor.secret_name(name[:64]):
                self._string(self.redactor.masked(value), self.left)
            else:
                self.write(value, depth + 1)
            separator = ", "
        self._end("}", _OBJECT_END)

    def _end(self, piece: str, kept: int) -> None:
        self.left += kept
        self._put(piece)

    def _other(self, value: Any, depth: int) -> None:
        kind = type(value)
        if isinstance(value, (str, int, float)):
            # A subclass: its own methods are not asked.
            self.write(str.__str__(value) if isinstance(value, str) else value.real, depth)
        elif isinstance(value, _PLAIN):
            self._string(str(value.name if isinstance(value, Enum) else value), self.left)
        elif isinstance(value, (bytes, bytearray, memoryview)):
            self._string(f"<{kind.__name__} of {len(value)} bytes>", self.left)
        elif isinstance(value, BaseException):
            self._string(f"{kind.__name__}: {exception_message(value)}", self.left)
        elif isinstance(value, type):
            self._string(f"<class {value.__name__}>", self.left)
        else:
            fields = _fields(value)
            if fields is None:
                self._string(f"<{kind.__name__}>", self.left)
            else:
                self._object(fields, depth)


def _fields(value: object) -> Any:  # pairs of name and value, or None
    """Return the fields of a dataclass, attrs class, pydantic model or mapping of the standard library."""
    kind = type(value)
    names = getattr(kind, "__dataclass_fields__", None) or getattr(kind, "__pydantic_fields__", None)
    if names is None:
        attributes = getattr(kind, "__attrs_attrs__", None)
        names = [attribute.name for attribute in attributes] if attributes else None
    if kind.__name__ == "CompletedProcess" and kind.__module__ == "subprocess":
        names = ("returncode", "stdout", "stderr")
    if names is not None:
        return ((name, getattr(value, name, None)) for name in names)
    return value.items() if isinstance(value, _MAPPINGS) else None


_TOKEN = re.compile(
    r'"(?:[^"\\]|\\u[0-9a-fA-F]{4}|\\[^u])*(?P<closed>")?|(?P<punctuation>[{}\[\],:])|(?P<space>\s+)'
    r"|(?P<scalar>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null|NaN|-?Infinity)"
)
_HALF_A_PAIR = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}$")


def _cut_json(value: str, limit: int) -> str | None:  # noqa: C901  # a small state machine, best seen whole
    """Cut a JSON text where it can be closed again; None if it is no JSON as far as it goes."""
    closers: list[str] = []
    best: str | None = None
    is_key = False
    position = 0
    while position < limit:
        match = _TOKEN.match(value, position, limit)
        if match is None:
            # A word that the limit cut through, or no JSON.
            return best if limit - position < len("-Infinity") else None
        before, position = position, match.end()
        piece = match.group()
        if match.group("space"):
            continue
        if piece in "{[":
            closers.append("}" if piece == "{" else "]")
            is_key = piece == "{"
            best = _closed(value[:position], closers, limit, first=True) or best
            continue
        if piece in "}]":
            if not closers or closers.pop() != piece:
                return None
        elif piece in ",:":
            is_key = piece == "," and closers[-1:] == ["}"]
            continue
        elif piece.startswith('"') and not match.group("closed"):
            return best if is_key else _cut_string(value, before, closers, limit) or best
        if not closers:
            return best
        if not is_key:
            best = _closed(value[:position], closers, limit, first=False) or best
    return best


def _closed(head: str, closers: list[str], limit: int, *, first: bool) -> str | None:
    mark = f'"{MARK}": "{MARK}"' if closers[-1] == "}" else f'"{MARK}"'
    whole = head + ("" if first else ", ") + mark + "".join(reversed(closers))
    return whole if len(whole) <= limit else None


def _cut_string(value: str, start: int, closers: list[str], limit: int) -> str | None:
    tail = MARK + '"' + "".join(reversed(closers))
    match = _TOKEN.match(value, start, limit - len(tail))
    if match is None:
        return None
    return value[:start] + _HALF_A_PAIR.sub("", match.group()) + tail
