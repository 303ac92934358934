"""When to try again: exponential back-off with full jitter.

A failure is followed by a pause drawn evenly from 0 to 0.5 s, 1 s, 2 s, ... at most 30 s; one that only a person can
fix (a refused login) by 30 to 60 s. A server that says when to come back (Retry-After) is never asked earlier.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Pauses:
    """How long to wait at most, in seconds: after the first failure, after many, after a permanent one."""

    first: float = 0.5
    longest: float = 30.0
    permanent: float = 60.0


DEFAULT: Final = Pauses()
# 2 ** 60 times half a second is longer than any pause.
_MOST_DOUBLINGS: Final = 60


class Backoff:
    """Counts failures in a row and returns when the next attempt may be made; not for several threads at once."""

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
        self.failures = 0
        # The last failure is one that only a person can fix.
        self.permanent = False
        self._next_try = 0.0
        # Until then the server itself has asked to be left alone.
        self._asked_until = 0.0

    def wait(self) -> float:
        """Return the seconds until the next attempt; 0 when it may be made."""
        return max(0.0, self._next_try - self._clock())

    def hurry(self) -> bool:
        """Allow an attempt now because somebody waits for it; False when the server has asked for more time."""
        now = self._clock()
        if now < self._asked_until:
            return False
        self._next_try = min(self._next_try, now)
        return True

    def failed(self, *, permanent: bool = False, retry_after: float | None = None) -> float:
        """Count a failure and return the pause that follows it."""
        self.failures += 1
        self.permanent = permanent
        if permanent:
            pause = self._draw(self._pauses.permanent / 2, self._pauses.permanent)
        else:
            doublings = min(self.failures - 1, _MOST_DOUBLINGS)
            pause = self._draw(0.0, min(self._pauses.longest, self._pauses.first * 2.0**doublings))
        now = self._clock()
        if retry_after is not None:
            self._asked_until = now + retry_after
            pause = max(pause, retry_after)
        self._next_try = now + pause
        return pause

    def succeeded(self) -> None:
        """Start over: the next failure is a first one."""
        self.failures = 0
        self.permanent = False
        self._next_try = self._asked_until = 0.0
