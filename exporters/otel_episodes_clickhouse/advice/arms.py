"""Who is shown advice, and from whom it is held back so that its effect can be measured.

Drawn for a unit (the conversation, else the outermost episode) by a hash, so that whoever asks again, in whatever
process, gets the same answer: sub-agents, resumed runs and retries are in the arm of what they belong to. The standard
library alone; ``sql/views/advice.sql`` draws the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

# Of the items that are shown, each is left out in so many of the runs: their own effect is measured by that.
ITEM_LEFT_OUT: Final = 0.1
HELD_PUSHED: Final = 0.2
HELD_ASKED: Final = 0.0
_RANGE: Final = 2**64


@dataclass(frozen=True)
class Policy:
    """By what text and how often advice is held back; an empty text: nothing is, and no effect is measured."""

    text: str = ""
    held_pushed: float = HELD_PUSHED
    held_asked: float = HELD_ASKED

    @property
    def name(self) -> str:
        """The beginning of the text's hash: it tells policies apart, and foretells no draw."""
        return sha256(self.text.encode()).hexdigest()[:8] if self.text else ""

    def share(self, *, asked: bool) -> float:
        """Return how likely advice is shown that was asked for, or that was not."""
        return 1 - (self.held_asked if asked else self.held_pushed) if self.text else 1.0

    def shows(self, unit: str, *, asked: bool) -> bool:
        """Return whether this unit is shown advice."""
        return draw(self.text, unit) < self.share(asked=asked)

    def leaves_out(self, unit: str, item: str) -> bool:
        """Return whether this item is left out of what this unit is shown."""
        return bool(self.text) and draw(self.text, f"{unit}\0{item}") < ITEM_LEFT_OUT


def draw(policy: str, unit: str) -> float:
    """Return the number from 0 to 1 that belongs to a unit: the first 8 bytes of a hash, big-endian."""
    digest = sha256(f"{policy}\0{unit}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / _RANGE
