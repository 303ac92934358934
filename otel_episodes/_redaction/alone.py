"""Tokens that nothing tells of but that they are drawn by lot: no service is known by them, no name stands before.

Much else is drawn by lot: digests, identifiers, files in base64, paths of drawings. What such a thing is shows in how
it begins, in what stands before it, or in what follows.
"""

from __future__ import annotations

import re
from binascii import Error, a2b_base64
from typing import TYPE_CHECKING, Final

from otel_episodes._redaction import kinds
from otel_episodes._redaction.drawn import LEAST, PARTS, surprise

if TYPE_CHECKING:
    from collections.abc import Iterator

Span = tuple[int, int]

# What is looked at: twenty characters in a row that a word of one of these kinds may have.
_MARKS: Final = bytes(
    ord("x" if chr(code).isascii() and (chr(code).isalnum() or chr(code) in "_+/-") else " ") for code in range(256)
)
_SHORTEST: Final = "x" * 20
_TWO_ISLANDS: Final = re.compile("[0-9][^0-9]{1,256}[0-9]")
_NO_WORD: Final = re.compile("[+/-]")
# Letters and digits, with a digit here and there: names have them at the end, if at all.
_WORD: Final = re.compile(
    r"(?<![A-Za-z0-9_-])(?=[A-Za-z_-]{0,64}[0-9]{1,64}[A-Za-z_-]{1,64}[0-9])[A-Za-z0-9_-]{20,}", re.ASCII
)
# The same in base64, of which a sixteenth is no letter or digit.
_BASE64: Final = re.compile(
    r"(?<![A-Za-z0-9+/=.~-])(?=[A-Za-z0-9]{0,199}[+/])[A-Za-z0-9+][A-Za-z0-9+/]{26,199}={0,2}(?![A-Za-z0-9+/=_-])"
)
_RUN: Final = re.compile("[A-Za-z0-9]{16}")
_HEX: Final = re.compile(r"[0-9a-f-]+|[0-9A-F-]+")
# A few letters, and a digest's worth of hex digits.
_LETTERS_AND_HEX: Final = re.compile(r"([A-Za-z]{1,7}[g-zG-Z])[A-Fa-f]{0,2}(?:[0-9a-f]{32,128}|[0-9A-F]{32,128})")
_BEYOND_HEX: Final = re.compile("[g-zG-Z]")
_LEAST_BEYOND_HEX: Final = 3
_ISLAND: Final = re.compile("[0-9]+")
_NUMBER: Final = re.compile("[0-9]{2,}")
_ALL_LOWER: Final = re.compile("[a-zA-Z]?[a-z]{3,}")
# Algorithms have digits in their names.
_ALGORITHM: Final = re.compile("SHA[0-9]|AES[0-9]|MD5|HMAC|PKCS|UTF8|OAuth2|Base64|X509")
_DRAWING: Final = frozenset("MmLlHhVvCcSsQqTtAaZz0123456789-")
_ISLANDS: Final = 2
_ISLANDS_IN_BASE64: Final = 3
_PART: Final = 8
_LEAST_OF_PARTS: Final = 12
_BITS: Final = 4.8
_BITS_IN_CAPITALS: Final = 4.6
# How long a word of one alphabet must be; identifiers are shorter (a UUID in 62 digits has 22).
_LEAST_MIXED: Final = 24
_LEAST_WITH_MARKS: Final = 28
_LEAST_UPPER: Final = 20
_LEAST_LOWER: Final = 32
# What a service gives out to name a thing is shorter than this, prefix and all, or written in hex.
_LONGEST_IDENTIFIER: Final = 40
_MOST: Final = 256
_DISTINCT: Final = 10

# What is known by how it begins: identifiers that sort by time or name what they are, addresses of contents, keys that
# are public, and files in base64 (PNG, GIF, JPEG, WebP, PDF, ZIP, gzip, SVG, XML, DER, PEM, fonts, sounds).
_KNOWN: Final = re.compile(
    r"""(?x)
    [0-7][0-9A-HJKMNP-TV-Z]{25}\Z | [0-7][0-9a-hjkmnp-tv-z]{25}\Z | [12][A-Za-z0-9]{26}\Z
    | A(?:IDA|ROA|GPA|IPA|NPA|NVA|SCA|PKA)[A-Z0-9]{12} | Qm[A-Za-z0-9]{44}\Z | baf[yk]
    | (?!nsec)[a-z]{2,8}1[02-9ac-hj-np-z]{38,90}\Z
    | AAAA | iVBOR | R0lGOD | /9j/ | UklGR | JVBER | UEsDB | H4sI | PHN2Z | PD94 | MI[IGH] | LS0t
    | AAAB | d09G | T2dnU | SUQz | Qk[0-9A-Za-z]{4}AAAA
    """
)
_DIGEST_BEFORE: Final = re.compile(
    r"(?i)(?:sha-?\d{1,3}|md5|h1|digest|checksum|integrity|etag|blake\w{1,4}|base64)[\"']?[=:,-] ?[\"']?\Z"
)
# Five groups or more of five or six capitals and digits: what is printed on a licence, and what one writes down.
_GROUPS: Final = re.compile(r"(?<![\w-])(?:[A-Z0-9]{1,3}-)?(?:[A-Z0-9]{5,6}-){4,7}[A-Z0-9]{5,6}(?![\w-])", re.ASCII)
_LEAST_IN_GROUPS: Final = 4
_CHAIN_BEFORE: Final = re.compile(r"(?<![\w./@~-])(?:[\w~-]{1,256}\.){1,5}\Z", re.ASCII)
_CHAIN_AFTER: Final = re.compile(r"(?:\.[\w~-]{1,512}){1,5}", re.ASCII)
_FILE: Final = re.compile(r"[A-Za-z]{1,6}\d?|\d?[a-z]{1,2}")
_PREFIX: Final = 12
_NAME_BEFORE: Final = re.compile(
    r"([A-Za-z][\w.-]{0,63})\\{0,3}[\"'`]?\s{0,2}(?:[=:]|=>|:=)?\s{0,2}[bru]?\\{0,3}[\"'`]?\Z", re.ASCII
)
_SPOKEN: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")
# Values of these names are drawn by lot, and no secrets.
_NAMES: Final = kinds.set_of(
    """
    id ids uid uuid guid oid gid kid rid cid hash hashes sha sha1 sha256 sha512 digest checksum integrity etag md5 rev
    revision commit cursor nonce fingerprint thumbprint challenge version ref trace span slug build address addr
    account serial number href src image img icon data d path url uri file filename name content body html svg css js
    font sri crc blob chunk asset sum tag branch marker continuation snapshot cid multihash ipfs object
    """
)
_FILE_OR_CALL: Final = re.compile(r"\.[A-Za-z]|@[A-Za-z]|[(/+\[]|\s{1,4}=\s|=(?![=\s\"'&,;:)\]}`|]|\Z)")
_WRAPPED: Final = re.compile(r"[A-Za-z0-9+/]{16}(?:\\n|\r?\n)[ \t]{0,16}\Z")
_PUBLIC: Final = re.compile(r"(?:CERTIFICATE|PUBLIC KEY|REQUEST|SIGNATURE)[A-Z0-9 ]{0,8}-----(?:\\n|\s){1,8}\Z")
_WRAPS: Final = re.compile(r"(?:\\n|\r?\n)[ \t]{0,16}[A-Za-z0-9+/]{16}")
_SHORTEST_LINE: Final = 60


def find(text: str) -> Iterator[Span]:
    """Yield where tokens that stand alone begin and end."""
    marks = text.encode("latin-1", "replace").translate(_MARKS).decode("latin-1")
    start = marks.find(_SHORTEST)
    while start >= 0:
        end = marks.find(" ", start)
        end = len(text) if end < 0 else end
        if _TWO_ISLANDS.search(text, start, end):
            yield from _words(text, start, end)
            if _NO_WORD.search(text, start, end):
                yield from _others(text, start, end)
        start = marks.find(_SHORTEST, end)


def _words(text: str, start: int, end: int) -> Iterator[Span]:
    for match in _WORD.finditer(text, start, end):
        begin, stop = match.span()
        if stop - begin > _MOST:
            continue
        if begin and text[begin - 1] in "\\%":
            begin += _left_of_an_escape(text, begin)
        chain = _chain(text, begin, stop)
        if (
            chain is not None
            and _is_token(text[begin:stop], in_chain=chain != (begin, stop))
            and _stands_alone(text, *chain)
        ):
            yield chain


def _others(text: str, start: int, end: int) -> Iterator[Span]:
    for match in _BASE64.finditer(text, start, end + 3):
        if _is_base64(match.group()) and _stands_alone(text, *match.span()):
            yield match.span()
    for match in _GROUPS.finditer(text, start, end):
        if len(re.findall("[0-9]", match.group())) >= _LEAST_IN_GROUPS <= len(_BEYOND_HEX.findall(match.group())):
            yield match.span()


def _chain(text: str, start: int, end: int) -> Span | None:
    """Return what a word is a part of, joined by points: ``pat.one.two``; None if that is a file, a host or a name."""
    if text[end : end + 1] == ".":
        after = _CHAIN_AFTER.match(text, end)
        if after is not None:
            if _FILE.fullmatch(after.group().rpartition(".")[2]):
                return None
            end = after.end()
    if text[start - 1 : start] == "." and start:
        before = _CHAIN_BEFORE.search(text, max(0, start - _MOST), start)
        if before is None or not _begins_a_token(before.group()[:-1].split(".")):
            return None
        start = before.start()
    return start, end


def _begins_a_token(parts: list[str]) -> bool:
    first = parts[0].lower()
    if len(first) > 2 and first in kinds.IDENTIFIERS:  # noqa: PLR2004  # dp.pt., sl.
        return False
    return first[:1].isalnum() and all(len(part) <= _PREFIX or len(part) >= _LEAST_OF_PARTS for part in parts)


_ESCAPE: Final = re.compile(r"(?<=\\)(?:[nrtbfv]|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2})|(?<=%)[0-9A-Fa-f]{2}")


def _left_of_an_escape(text: str, start: int) -> int:
    match = _ESCAPE.match(text, start)
    return 0 if match is None else match.end() - start


def _is_token(word: str, *, in_chain: bool) -> bool:
    if _HEX.fullmatch(word) or _KNOWN.match(word) or _DRAWING.issuperset(word) or _ALGORITHM.search(word):
        return False
    lettered = _LETTERS_AND_HEX.fullmatch(word)
    if lettered is not None:
        first = lettered[1].lower()
        return first not in kinds.IDENTIFIERS and first not in kinds.DIGESTS
    first = PARTS.split(word, maxsplit=1)[0].lower()
    if (first in kinds.IDENTIFIERS and len(word) < _LONGEST_IDENTIFIER) or len(
        _BEYOND_HEX.findall(word)
    ) < _LEAST_BEYOND_HEX:
        return False
    is_mixed = not (word.islower() or word.isupper())
    if "-" in word or "_" in word:
        least = _LEAST_WITH_MARKS if is_mixed else _MOST
    else:
        least = _LEAST_MIXED if is_mixed else _LEAST_UPPER if word.isupper() else _LEAST_LOWER
    if len(word) < (_LEAST_UPPER if in_chain else least) or len(set(word)) < _DISTINCT:
        return False
    bits = _BITS if is_mixed else _BITS_IN_CAPITALS
    return _average(PARTS.split(word)) >= bits and not _is_text(word)


def is_surprising(word: str) -> bool:
    """Return True for a word of both cases with digits here and there that no name would have."""
    if (
        len(word) < LEAST
        or word.islower()
        or word.isupper()
        or len(set(word)) < _DISTINCT
        or len(_ISLAND.findall(word)) < _ISLANDS
    ):
        return False
    return _average(PARTS.split(word)) >= _BITS


def _average(parts: list[str]) -> float:
    long = [part for part in parts if len(part) >= _PART]
    length = sum(map(len, long))
    return (
        sum(surprise(_NUMBER.sub("0", part)) * len(part) for part in long) / length if length >= _LEAST_OF_PARTS else 0
    )


def _is_base64(word: str) -> bool:
    bare = word.rstrip("=")
    parts = re.split("[+/]", bare)
    return (
        len(parts) > 1
        and _RUN.search(bare) is not None
        and not _KNOWN.match(bare)
        and not any(map(_ALL_LOWER.fullmatch, parts))
        and len(_ISLAND.findall(bare)) >= _ISLANDS_IN_BASE64
        and re.search("[a-z]", bare) is not None
        and re.search("[A-Z]", bare) is not None
        and _average(parts) >= _BITS
        and not _is_text(word)
    )


def _is_text(word: str) -> bool:
    """Return True for what is text in base64, but for a user and a password."""
    bare = word.rstrip("=")
    try:
        said = a2b_base64(bare + "=" * (-len(bare) % 4))
    except (Error, ValueError):
        return False
    return all(32 <= byte < 127 or byte in b"\t\r\n" for byte in said) and (b" " in said or b":" not in said)  # noqa: PLR2004


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Return True if what stands around does not tell that it is an identifier, a digest or a part of a file."""
    padded = end
    while padded < len(text) and padded < end + 2 and text[padded] == "=":
        padded += 1
    if _FILE_OR_CALL.match(text, padded if padded - end and not text[padded : padded + 1].isalnum() else end):
        return False
    before = text[max(0, start - 80) : start]
    last = before[-1:]
    if last and last in "/@#+~$^&.":
        return False
    if _DIGEST_BEFORE.search(before) or _PUBLIC.search(before):
        return False
    name = _NAME_BEFORE.search(before)
    if name is not None and not _NAMES.isdisjoint(word.lower() for word in _SPOKEN.findall(name[1])[-2:]):
        return False
    return end - start < _SHORTEST_LINE or not (_WRAPPED.search(before) or _WRAPS.match(text, end))
