"""How much time is left to a shipper that was told to end: one deadline, which every stage asks."""

from __future__ import annotations

import math
import time
from typing import Final

# How long the end of an application waits for one answer, since the spool keeps everything.
_ANSWER_SECONDS: Final = 0.5


class StoppedError(Exception):
    """Shipping was asked to end between two inserts."""


class Ending:
    """The time that is left: without a limit until `begin`."""

    def __init__(self) -> None:
        self.cancel()

    def cancel(self) -> None:
        """Go on without a limit: what was told to end is started again."""
        self.told = False
        # Whether inserts may still begin: what is in the spool is sent once more.
        self._draining = False
        self._last_drain_is_due = False
        self._began_at = 0.0
        self._deadline = math.inf
        self._answer_seconds = math.inf

    def begin(self, seconds: float, *, drain: bool) -> None:
        """End within that many seconds; with ``drain`` after one more look at the spool."""
        self.told = True
        self._draining = self._last_drain_is_due = drain and seconds > 0
        self._began_at = time.monotonic()
        self._deadline = self._began_at + seconds
        # The end of an application waits half a second for a silent server; a shipper alone for its insert under way.
        self._answer_seconds = _ANSWER_SECONDS if drain else seconds

    def take_last_drain(self) -> bool:
        """Return whether there is one more drain to do; True once at the most."""
        due, self._last_drain_is_due = self._last_drain_is_due, False
        return due and self._draining

    def abandon(self) -> None:
        """Begin no insert any more: the server says nothing."""
        self._draining = False

    def check(self) -> None:
        """Raise `StoppedError` where no insert may begin any more."""
        if self.told and not self._draining:
            raise StoppedError

    def over(self, asking_since: float) -> bool:
        """Return whether to wait no longer for a thread that has asked the server since then; 0: it has not."""
        now = time.monotonic()
        silent = asking_since and now - max(asking_since, self._began_at) > self._answer_seconds
        return now > self._deadline or bool(silent)
