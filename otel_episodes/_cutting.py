"""Cutting texts: marked where they are cut, JSON still JSON, and no secret half seen at the cut."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_episodes._redaction import Redactor

MARK: Final = "…"
# Read further than what is kept, and show nothing of that stretch: a secret at the cut is seen whole, or not at all.
_SLACK: Final = 512
_ROUNDS: Final = 4
_DIGEST: Final = 12
# Of tags, artifacts and other lists: how long an item, and how many.
_ITEM_LIMIT: Final = 1024
_MOST_ITEMS: Final = 256
# No credential is shorter; most leaves are.
_SHORT: Final = 8


def clean(value: str, redactor: Redactor | None) -> str:
    """Return the text with secrets masked and with nothing in it that cannot be encoded."""
    if redactor is not None and (len(value) >= _SHORT or redactor.patterns):
        value = redactor.text(value)
    if not value.isascii():
        # A lone surrogate cannot be encoded, and one would cost a whole batch its export.
        value = value.encode("utf-8", "replace").decode("utf-8")
    return value


def window(value: str, room: int, redactor: Redactor | None) -> tuple[str, bool]:
    """Return what can be shown of the beginning of a text, masked, and whether there is more.

    Masking may make a text shorter and so bring into view what lies behind: then more of it is read.
    """
    size = room + _SLACK
    kept = ""
    for _ in range(_ROUNDS):
        if len(value) <= size:
            return clean(value, redactor), False
        kept = clean(value[:size], redactor)[:-_SLACK]
        if len(kept) >= room:
            break
        size += room - len(kept) + _SLACK
    return kept, True


def short_text(value: str, limit: int, redactor: Redactor | None) -> str:
    """Return a text of at most ``limit`` characters, with secrets masked."""
    if len(value) <= limit:
        if value.isascii() and (redactor is None or not redactor.suspects(value)):
            return value  # nearly always
        return cut(clean(value, redactor), limit)
    kept, more = window(value, limit, redactor)
    return cut(kept, limit, more=more)


def short_line(value: str, limit: int, redactor: Redactor | None) -> str:
    """Return a text of at most ``limit`` characters on one line, with secrets masked."""
    # Masked before the lines are joined: some secrets are known by where a line begins.
    kept, more = window(value, limit, redactor)
    return cut(" ".join(kept.split()), limit, more=more)


def masked_name(name: str, redactor: Redactor | None) -> str:
    """Return a name with secrets masked: nobody means to put one there, and it happens."""
    return name if redactor is None or not redactor.suspects(name) else redactor.text(name)


def masked_id(identifier: str, redactor: Redactor | None) -> str:
    """Return an identifier with secrets masked; two that differ only in what is masked stay two."""
    shown = masked_name(identifier, redactor)
    if shown == identifier:
        return identifier
    from hashlib import sha256  # noqa: PLC0415  # hardly ever

    return f"{shown}~{sha256(identifier.encode('utf-8', 'replace')).hexdigest()[:_DIGEST]}"


def masked_list(values: Sequence[str], redactor: Redactor | None) -> list[str]:
    """Return texts with secrets masked, each cut; of very many the first ones, and the mark."""
    shown = [short_text(value, _ITEM_LIMIT, redactor) for value in values[:_MOST_ITEMS]]
    return [*shown, MARK] if len(values) > _MOST_ITEMS else shown


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
