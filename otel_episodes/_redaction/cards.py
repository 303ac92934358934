"""Numbers of payment cards, as issuers give them (ISO/IEC 7812): first digits, lengths, then the checksum decides."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

CARD: Final = re.compile(r"[2-6](?:[ -]?[0-9]){12,18}")
_ISSUED: Final = re.compile(
    r"3[47]\d{13}|4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:2[2-9]|[3-6]\d|7[01])\d{13}|2720\d{12}|6(?:011|5\d\d|4[4-9]\d)\d{12}"
    r"|3(?:0[0-5]|[689]\d)\d{11}|35(?:2[89]|[3-8]\d)\d{12}|62\d{14,17}"
)


def cards(text: str) -> Iterator[tuple[int, int]]:
    """Yield where the numbers of cards stand."""
    for match in CARD.finditer(text):
        if _is_card(match):
            yield match.span()


def digits(number: str) -> str:
    """Return a card's number without what groups it."""
    return number.replace(" ", "").replace("-", "")


def _is_card(match: re.Match[str]) -> bool:
    before, after = match.string[match.start() - 1 : match.start()], match.string[match.end() : match.end() + 1]
    if match.start() > 1 and match.string[match.start() - 2] == "\\" and before in "nrt":
        before = ""
    number = digits(match.group())
    if before == "." and match.string[match.start() - 2 : match.start() - 1].isdigit():
        return False  # decimals
    if before.isalnum() or after.isalnum() or not _ISSUED.fullmatch(number):
        return False  # a piece of a longer number or identifier, or none that an issuer gives
    figures = [int(figure) for figure in number]
    # Luhn's checksum: every second digit from the right doubled, nines cast out.
    doubled = [sum(divmod(2 * figure, 10)) for figure in figures[-2::-2]]
    return (sum(doubled) + sum(figures[-1::-2])) % 10 == 0
