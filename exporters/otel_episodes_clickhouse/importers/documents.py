"""The records of a file, one after the other: JSON Lines, one JSON document, or an array of records.

Only one record is in memory at a time, whatever the size of the file.
"""

from __future__ import annotations

import codecs
import json
import re
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK: Final = 1024 * 1024
_PEEK: Final = 4096
_SPACE: Final = re.compile(r"[ \t\r\n]*")
# What a message, an item or an event has, of which a list is one transcript; and what only a record of its own has.
_OF_MESSAGES: Final = frozenset(("role", "from", "lc"))
_OF_EVENTS: Final = frozenset(("action", "observation", "kind"))
_MESSAGE_TYPES: Final = frozenset((
    "human", "ai", "tool", "system", "message", "reasoning", "function_call", "AIMessageChunk", "HumanMessage",
    "SystemMessage", "AIMessage", "ToolMessage",
))  # fmt: skip
_OF_RECORDS: Final = frozenset((
    "messages", "conversations", "conversation", "trajectory", "traj", "steps", "contents", "samples", "simulations",
    "history", "resourceSpans", "payload", "message", "output",
))  # fmt: skip
_BOM: Final = b"\xef\xbb\xbf"
_DECODER: Final = json.JSONDecoder()


@dataclass(frozen=True)
class Record:
    """A decoded record, or why there is none: ``problem`` is then not empty. ``end`` is the byte behind it."""

    line: int
    end: int
    value: Any = None
    problem: str = ""


def records(file: IO[bytes]) -> Iterator[Record]:
    """Read a file; what cannot be read is a record with a problem, not an exception."""
    buffered = _Rereading(file, file.read(_PEEK))
    start = buffered.start.removeprefix(_BOM).lstrip()
    if b"\0" in start:
        # Else one line without an end is read into memory: of a device, a sparse file.
        yield Record(1, 0, problem="not text: there are zero bytes in it")
    elif start[:1] == b"[" or _goes_on(start):
        yield from _Document(buffered).records()
    else:
        yield from _lines(buffered)


class _Rereading:
    """A file whose beginning has been looked at."""

    def __init__(self, file: IO[bytes], start: bytes) -> None:
        self.start = start
        self._file = file
        self._unread = start

    def read(self, size: int) -> bytes:
        unread, self._unread = self._unread, b""
        return unread + self._file.read(size)

    def __iter__(self) -> Iterator[bytes]:
        lines = self._unread.split(b"\n")
        self._unread = b""
        yield from (line + b"\n" for line in lines[:-1])
        rest = lines[-1] + self._file.readline()
        if rest:
            yield rest
        yield from self._file


def _goes_on(start: bytes) -> bool:
    """Tell whether the first line is only the beginning of a record: then this is a document, not JSON Lines."""
    line = start.partition(b"\n")[0].rstrip()
    return b"\n" in start and line.endswith((b"{", b"[", b",")) and line.startswith(b"{")


def _lines(file: _Rereading) -> Iterator[Record]:
    end = 0
    for number, line in enumerate(file, start=1):
        end += len(line)
        text = line.removeprefix(_BOM).strip() if number == 1 else line.strip()
        if not text:
            continue
        value, problem = _decoded(text)
        several = _several(text) if problem else []
        if several:
            yield from (Record(number, end, one) for one in several)
        else:
            yield Record(number, end, value, problem)


def _decoded(text: bytes) -> tuple[Any, str]:
    try:
        return decoded(text), ""
    except ValueError as error:
        return None, f"not JSON: {error}"


def decoded(text: bytes) -> Any:  # any JSON value
    """Return a value decoded; raise `ValueError` for what is not JSON, or nested too deep.

    Lenient where writers are: NaN, half a surrogate pair, numbers of any length.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise error from None


def is_message(value: Any) -> bool:
    """Return True for a message, an item or an event; False for a record with messages in it."""
    if not isinstance(value, dict) or any(isinstance(value.get(name), (list, dict)) for name in _OF_RECORDS):
        return False
    if not _OF_MESSAGES.isdisjoint(value) or str(value.get("type")) in _MESSAGE_TYPES:
        return True
    return "source" in value and not _OF_EVENTS.isdisjoint(value)


def _several(line: bytes) -> list[Any]:
    """Return the values of a line on which several stand one behind the other; none where it is not that."""
    found, at, text = [], 0, line.decode(errors="replace")
    try:
        while at < len(text):
            value, at = _DECODER.raw_decode(text, at)
            found.append(value)
            space = _SPACE.match(text, at)
            at = space.end() if space else at
    except (ValueError, RecursionError):
        return []
    return found


class _Document:
    """Values that may span lines: a pretty-printed object, several of them, or arrays of them."""

    def __init__(self, file: _Rereading) -> None:
        self._file = file
        self._decode = codecs.getincrementaldecoder("utf-8-sig")()
        # What has been read and where in it we are; what lies before is dropped with the next chunk.
        self._text = ""
        self._at = 0
        self._read = 0
        self._line = 1
        self._in_array = False
        self._problem = ""

    def records(self) -> Iterator[Record]:
        while self._next() and not self._problem:
            line, mark = self._line, self._text[self._at]
            if self._in_array and mark in ",]":
                self._in_array = mark == ","
                self._advance(self._at + 1)
            elif mark == "[" and not self._in_array and not self._is_transcript():
                self._in_array = True
                self._advance(self._at + 1)
            else:
                value = self._value()
                if not self._problem:
                    yield Record(line, self._read, value)
        if self._in_array and not self._problem:
            self._problem = "not JSON: the file ends inside an array"
        if self._problem:
            # Where one value ends is unknown now, so nothing behind it can be read.
            yield Record(self._line, self._read, problem=f"{self._problem}; the file is not read further")

    def _next(self) -> bool:
        """Go to where the next value, or a mark between values, begins; tell whether there is one."""
        while True:
            space = _SPACE.match(self._text, self._at)
            self._advance(space.end() if space else self._at)
            if self._at < len(self._text):
                return True
            if not self._fill():
                return False

    def _is_transcript(self) -> bool:
        """Return True if the array that begins here is a transcript, a list of messages, and not a list of records."""
        while True:
            try:
                start = _SPACE.match(self._text, self._at + 1)
                first, _ = _DECODER.raw_decode(self._text, start.end() if start else self._at + 1)
            except (ValueError, RecursionError):
                if self._double():
                    continue
                return False
            return is_message(first)

    def _value(self) -> Any:  # decoded JSON
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except (ValueError, RecursionError) as error:
                if self._double():
                    continue
                self._problem = self._problem or f"not JSON: {error}"
                return None
            self._advance(end)
            return value

    def _double(self) -> bool:
        """Read on where a value is perhaps only cut off: twice as much, so that a value is read few times."""
        size = len(self._text) - self._at
        while len(self._text) - self._at < 2 * size and self._fill():
            pass
        return len(self._text) - self._at > size

    def _fill(self) -> bool:
        data = self._file.read(_CHUNK)
        self._read += len(data)
        try:
            self._text = self._text[self._at :] + self._decode.decode(data, final=not data)
        except UnicodeDecodeError as error:
            self._problem = f"not UTF-8: {error.reason}"
            return False
        self._at = 0
        return bool(data)

    def _advance(self, to: int) -> None:
        self._line += self._text.count("\n", self._at, to)
        self._at = to
