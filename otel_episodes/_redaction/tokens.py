"""Tokens, told by how they look, wherever they stand: those of known services, and those that are built alike."""

from __future__ import annotations

import re
from collections import defaultdict
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_episodes._redaction import alone, kinds
from otel_episodes._redaction.drawn import LEAST, PARTS, TELLING_CHARACTERS, is_random

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Where a token may begin: not within a word; but after what an escape, a percent code or a colour leaves of it.
_EDGE: Final = (
    r"(?:(?<![A-Za-z0-9])|(?<=\\[nrtbfv])|(?<=\\u[0-9a-fA-F]{4})|(?<=\\x[0-9a-fA-F]{2})|(?<=%[0-9A-Fa-f]{2})"
    r"|(?<=\[[0-9]m)|(?<=\[[0-9]{2}m)|(?<=;[0-9]m)|(?<=;[0-9]{2}m))"
)
# What goes on with a token beyond what it is known by.
_REST: Final = re.compile(r"[\w~-]{0,65536}(?:\.[\w-]{2,256}){0,5}(?:=[0-9A-F]{8}(?![\w=])|={0,2})", re.ASCII)
_REST_OF_BASE64: Final = re.compile(r"[\w+/=~-]{0,65536}", re.ASCII)
_MORE_PARTS: Final = re.compile(r"(?:\.[\w-]{16,256}){0,5}", re.ASCII)
# What a token can be part of: nothing else in a text is looked at for tokens.
_WORD_OF_ONE: Final = re.compile(r"[\w.~+/=:%$-]{16,}", re.ASCII)
# A word with parts, at least twenty characters long; the rule for tokens of services that are not known.
_PIECE: Final = re.compile(r"(?<![A-Za-z0-9_~-])[A-Za-z][A-Za-z0-9]*(?=[_-])[\w-]{12,}", re.ASCII)
_ESCAPE: Final = re.compile(r"[nrtbfv]|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}")
_HEX: Final = re.compile(r"[0-9a-f-]+|[0-9A-F-]+")
_FILE_OR_HOST: Final = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,}|@[A-Za-z]")
# Identifiers that sort by time: ULID, TypeID, KSUID.
_SORTED_IDENTIFIER: Final = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}|[0-7][0-9a-hjkmnp-tv-z]{25}|[12][A-Za-z0-9]{26}")
_DIGEST_BEFORE: Final = re.compile(
    r"(?i)(?:sha-?\d{1,3}|md5|h1|digest|checksum|integrity|etag|blake\w{1,4})[\"']?[=:-] ?[\"']?$"
)
_PREFIX_OF_ONE: Final = re.compile(r"[a-z]{2,}\d{0,2}|[A-Z]{2,}\d{0,2}|[A-Z]\d|[a-z]{1,4}\d[a-z]{0,3}")
_LONGEST_PREFIX: Final = 3
_PREFIX: Final = 12
_WORD: Final = 8
_LEAST: Final = 20
# A digest, or a UUID; after a short name and a dash it is a commit.
_LEAST_HEX: Final = 32
_LONGEST_BEFORE_HEX: Final = {"_": 14, "-": 6}
_LEAST_HEX_TELLING: Final = 24
_LEAST_SHAPED: Final = 32
_LONG: Final = 28


class _Body(NamedTuple):
    """What follows the beginning of a token."""

    follows: str
    least: int
    in_base64: bool
    is_common: bool

    def compiled(self) -> re.Pattern[str]:
        return _compiled(self.follows, self.least)


class Finder:
    """Finds the tokens of some kinds, and those that are built like them."""

    def __init__(self, known: Iterable[kinds.Kind] = kinds.KINDS, shapes: Iterable[kinds.Shape] = kinds.SHAPES) -> None:
        self._kinds: dict[str, list[_Body]] = defaultdict(list)
        hints = set()
        for kind in known:
            for prefix in kind.prefixes.split():
                self._kinds[prefix].append(_body(kind, prefix))
                if "/" in kind.follows:
                    hints.add(prefix.lower())
        # With a character that is not one of a word, a token in base64 may have no long run of those.
        self.base64_hints = tuple(sorted(hints))
        self._begins = re.compile(_EDGE + trie(self._kinds)) if self._kinds else None
        either = "|".join(shape.pattern for shape in shapes)
        self._shaped = re.compile(f"{_EDGE}(?:{either})", re.ASCII) if either else None

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield where tokens begin and end; they may overlap."""
        for word in _WORD_OF_ONE.finditer(text):
            start, end = word.span()
            if self._begins is not None:
                yield from self._known(text, start, end)
            for match in _PIECE.finditer(text, start, end):
                yield from _alike(text, match)
            if self._shaped is not None and end - start >= _LEAST_SHAPED:
                for match in self._shaped.finditer(text, start, end):
                    yield match.start(), _REST.match(text, match.end()).end()  # type: ignore[union-attr]

    def _known(self, text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
        past = start
        for match in self._begins.finditer(text, start, end):  # type: ignore[union-attr]
            if match.start() < past:
                continue  # within one that was found
            for body in self._kinds[match.group()]:
                found = body.compiled().match(text, match.end())
                if found is None:
                    continue
                rest = _REST_OF_BASE64 if body.in_base64 else _REST
                past = rest.match(text, found.end()).end()  # type: ignore[union-attr]
                if not body.is_common or is_random(text[match.end() : past].partition(".")[0]):
                    yield match.start(), past


def _body(kind: kinds.Kind, prefix: str) -> _Body:
    # A beginning that words have too asks that the rest is not one.
    bare = prefix.rstrip("-_.")
    is_word = len(bare) < _LONGEST_PREFIX or bare in kinds.IDENTIFIERS
    is_short = kind.least < _LONG and kind.follows in (kinds.LETTERS, kinds.ALNUM)
    is_common = is_word and (is_short or kind.follows in (kinds.URL, r"\w"))
    return _Body(kind.follows, kind.least, "/" in kind.follows, is_common)


@cache
def _compiled(follows: str, least: int) -> re.Pattern[str]:
    # Not before one begins: most kinds are never met.
    return re.compile(f"[{follows}]{{{least}}}", re.ASCII)


def _alike(text: str, piece: re.Match[str]) -> Iterator[tuple[int, int]]:
    start, end = piece.span()
    if start and text[start - 1] in "\\%[;":
        start += _left_of_an_escape(text, start)
    if _is_built_like_one(text[start:end], text, end) and not _DIGEST_BEFORE.search(text, max(0, start - 16), start):
        end = _MORE_PARTS.match(text, end).end()  # type: ignore[union-attr]  # matches anything
        rest = _REST_OF_BASE64.match(text, end).group()  # type: ignore[union-attr]  # likewise
        yield start, end + len(rest) if "+" in rest or is_random(rest.replace("/", "-")) else end


def _left_of_an_escape(text: str, start: int) -> int:
    r"""Return how many characters of a piece belong to what stands before it: the n of \n, a colour's 31m."""
    before = text[start - 1]
    if before == "\\":
        match = _ESCAPE.match(text, start)
    elif before == "%":
        match = re.compile("[0-9A-Fa-f]{2}").match(text, start)
    else:
        match = re.compile("[0-9;]{0,8}m").match(text, start)
    return 0 if match is None else match.end() - start


def _is_built_like_one(piece: str, text: str, end: int) -> bool:
    """Return True for a short prefix, a separator, and what is drawn by lot: ``acme_pat_`` and forty characters."""
    if not TELLING_CHARACTERS.search(piece):
        return False
    parts = PARTS.split(piece)
    first = parts[0].lower()
    if first in kinds.DIGESTS or len(first) > _PREFIX:
        return False
    telling = not kinds.TELLING.isdisjoint(part.lower() for part in parts[:4] if len(part) < _WORD)
    if not telling and (first in kinds.IDENTIFIERS or not _PREFIX_OF_ONE.fullmatch(parts[0])):
        return False
    if not telling and _FILE_OR_HOST.match(text, end):
        return False
    at = 0
    for part in parts[:_LONGEST_PREFIX]:
        if len(part) > _PREFIX:
            return False
        at += len(part)
        while at < len(piece) and piece[at] in "-_":
            at += 1
        if _is_body(piece[at:], piece[:at], telling=telling):
            return True
    return False


def _is_body(body: str, prefix: str, *, telling: bool) -> bool:
    if _HEX.fullmatch(body.replace("_", "-")):
        digits = len(body.replace("-", "").replace("_", ""))
        if telling:
            return digits >= _LEAST_HEX_TELLING
        longest = max(map(len, PARTS.split(body)))
        return longest >= _LEAST_HEX and len(prefix) <= _LONGEST_BEFORE_HEX[prefix[-1]]
    if not telling and _SORTED_IDENTIFIER.fullmatch(body):
        return False
    return is_random(body, LEAST if telling else _LEAST) or any(map(alone.is_surprising, PARTS.split(body)))


def trie(words: Iterable[str]) -> str:
    """Return a regular expression for any of the words, the longest first, that looks at each character once."""
    branches: dict[str, list[str]] = defaultdict(list)
    is_end = False
    for word in words:
        if word:
            branches[word[0]].append(word[1:])
        else:
            is_end = True
    if not branches:
        return ""
    pieces = [re.escape(first) + trie(rest) for first, rest in sorted(branches.items())]
    either = pieces[0] if len(pieces) == 1 and not is_end else f"(?:{'|'.join(pieces)})"
    return f"{either}?" if is_end else either
