"""What is drawn by lot, told from words, names and numbers by how seldom its characters stand side by side."""

from __future__ import annotations

import re
from typing import Final

# Where a name or a token has its parts, and what a text must have that is not words alone.
PARTS: Final = re.compile(r"[_-]+")
TELLING_CHARACTERS: Final = re.compile(r"[0-9]|[a-z][A-Z]|[A-Z]{2}[a-z]")
LEAST: Final = 16
# The names of classes: words with a capital, and abbreviations between them.
_NAME_OF_A_CLASS: Final = re.compile(r"(?:[A-Z]{0,5}[A-Z][a-z]{2,}){2,8}[A-Z]{0,5}")
_WORD: Final = 8
_DISTINCT: Final = 8

# How many bits each pair of characters says, where English and the names in programs are spoken: a row for each letter
# and one for digits (last), counted over the names in Python's standard library.
_BITS: Final = (
    "654497595963449593436576696", "364647884583674595573989474", "386737835934682795635799795",
    "467526793895784795564899794", "474465698985537673248664796", "476543792994873894654999794",
    "577728544994745894365799975", "288628983986673995745999797", "564556598984524595439696969",
    "478727864746873497573787774", "476615673984856686466959796", "377527993994883698545899598",
    "258628994986573399565999697", "484335384966864698435699897", "664486697965425493544657997",
    "287638874983983593545789496", "577799776996867675560879995", "386527593966563794445679598",
    "595838754976785598414989698", "486717943997684694556989597", "545645695993436494437998994",
    "277917883999686897789989885", "387647952995644793479976996", "554545975897698497739996681",
    "665756885995436296337556665", "476717763996585687677865565", "666556998898988799888994980",
)  # fmt: skip
_CAMEL_BITS: Final = 4
# Of random letters and digits one in a hundred says less a pair; of names in programs one in a hundred says more.
_RANDOM_BITS: Final = 4.55
_RANDOM_BITS_OF_LETTERS: Final = 5.0


def _pairs() -> dict[str, int]:
    letters = "abcdefghijklmnopqrstuvwxyz"
    symbols = [(letter, letter.upper()) for letter in letters] + [tuple("0123456789")]
    bits = {}
    for row, first in zip(_BITS, symbols, strict=True):
        for number, second in zip(row, symbols, strict=True):
            for one in first:
                for other in second:
                    is_camel = one.islower() and other.isupper()
                    bits[one + other] = _CAMEL_BITS if is_camel else int(number)
    return bits


_PAIRS: Final = _pairs()


def surprise(word: str) -> float:
    """Return the bits that a pair of neighbouring characters says on average: much for what is drawn by lot."""
    pairs = _PAIRS
    return sum(pairs.get(word[at : at + 2], _WORD) for at in range(len(word) - 1)) / max(len(word) - 1, 1)


def is_random(text: str, least: int = LEAST) -> bool:
    """Return True if a text of letters, digits, - and _ looks drawn by lot: no words, no number, no digest."""
    parts = [part for part in PARTS.split(text) if len(part) >= _WORD]
    joined = "".join(parts)
    if len(joined) < min(least, 12) or len(text) < least or len(set(joined)) < _DISTINCT:
        return False
    if not TELLING_CHARACTERS.search(joined) or _NAME_OF_A_CLASS.fullmatch(text):
        return False
    bits = sum(surprise(part) * len(part) for part in parts) / len(joined)
    return bits >= (_RANDOM_BITS if any(map(str.isdigit, joined)) else _RANDOM_BITS_OF_LETTERS)
