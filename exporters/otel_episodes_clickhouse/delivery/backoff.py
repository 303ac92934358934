"""When to try again: exponential back-off with full jitter, and a circuit breaker around it.

::

    closed ──5 failures in a row, or one that lasts──► open ──its pause is over──► half-open ──success──► closed
                                                        ▲                              │
                                                        └───────────failure────────────┘

Closed, a failure is followed by a pause drawn evenly from 0 to 0.5 s, 1 s, 2 s, ... at most 30 s. Open, nothing is sent
for 15 to 30 s, after an error that only a person can mend (a refused login) for 30 to 60 s. Half-open, one attempt
decides. A server that says when to come back (Retry-After) is never asked earlier.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

State = Literal["closed", "open", "half_open"]


@dataclass(frozen=True)
class Pauses:
    """How long to wait, in seconds; ``open_after`` is a number of failures in a row."""

    first: float = 0.5
    longest: float = 30.0
    lasting: float = 60.0
    open_after: int = 5


DEFAULT: Final = Pauses()


class Breaker:
    """Counts failures and says when the next attempt may be made; not for several threads at once."""

    def __init__(
        self,
        pauses: Pauses = DEFAULT,
        *,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._pauses = pauses
        self._clock = clock
        self._draw = draw
        self._open = False
        self.failures = 0
        self.next_try = 0.0
        # Until then the server itself has asked to be left alone.
        self._asked_until = 0.0

    @property
    def state(self) -> State:
        """Return closed, open or half_open."""
        if not self._open:
            return "closed"
        return "open" if self._clock() < self.next_try else "half_open"

    def wait(self) -> float:
        """Return the seconds until the next attempt; 0 when it may be made."""
        return max(0.0, self.next_try - self._clock())

    def hurry(self) -> bool:
        """Allow an attempt now because somebody waits for it; False when the server has asked for more time."""
        now = self._clock()
        if now < self._asked_until:
            return False
        self.next_try = min(self.next_try, now)
        return True

    def failed(self, *, lasting: bool = False, retry_after: float | None = None) -> float:
        """Count a failure and return the pause that follows it."""
        self.failures += 1
        self._open = lasting or self._open or self.failures >= self._pauses.open_after
        if lasting:
            pause = self._draw(self._pauses.lasting / 2, self._pauses.lasting)
        elif self._open:
            pause = self._draw(self._pauses.longest / 2, self._pauses.longest)
        else:
            pause = self._draw(0.0, min(self._pauses.longest, self._pauses.first * 2.0 ** (self.failures - 1)))
        now = self._clock()
        if retry_after is not None:
            self._asked_until = now + retry_after
            pause = max(pause, retry_after)
        self.next_try = now + pause
        return pause

    def succeeded(self) -> None:
        """Close: the next failure is a first one."""
        self._open = False
        self.failures = 0
        self.next_try = self._asked_until = 0.0
