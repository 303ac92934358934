"""The first stage: the spool as a queue of spans, and whether it is time to send what is in it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from otel_episodes_clickhouse.spool.directory import open_directory
from otel_episodes_clickhouse.spool.locks import ProcessLock, is_held
from otel_episodes_clickhouse.spool.reader import SpoolReader

if TYPE_CHECKING:
    from pathlib import Path

    from otel_episodes_clickhouse.delivery.batch import Pace

# Held by the process that leads: it ships so that others need not.
LEAD: Final = "ship.lock"
_GATHER_BYTES: Final = 4 * 1024 * 1024
# What others left behind, and files that are finished, are seen to that often.
_IDLE_SECONDS: Final = 10.0


class Queue:
    """What is new in a spool since it was last taken from."""

    def __init__(self, spool: Path, pace: Pace) -> None:
        self._spool = spool
        self._pace = pace
        self._reader = SpoolReader(spool)
        self._lead = ProcessLock(spool / LEAD)
        # How far the last drain has come in each file, at the least.
        self._taken: dict[str, int] = {}

    def sizes(self) -> dict[str, int]:
        """Return the bytes in each file of the spool."""
        try:
            return {name: self._reader.size(name) for name in self._reader.segments()}
        except OSError:
            # A spool that cannot be read: the drain will say so.
            return {"": 1}

    def taken(self, sizes: dict[str, int]) -> None:
        """Note that all of these bytes were taken."""
        self._taken = sizes

    def grown(self) -> int:
        """Return how many bytes are new."""
        return sum(size - self._taken.get(name, 0) for name, size in self.sizes().items())

    def is_due(self, grown: int, since_first: float, since_last: float, *, eager: bool) -> bool:
        """Return whether to send now: how many bytes are new, since when, and how long ago the last time was.

        ``eager``: whether the server is there has yet to be found out, so nothing is gathered.
        """
        if since_last >= max(_IDLE_SECONDS, self._pace.gather_seconds):
            return True
        return grown > 0 and (eager or since_first >= self._pace.gather_seconds or grown >= _GATHER_BYTES)

    def led_by_another(self) -> bool:
        """Return whether to leave this spool to another process."""
        return self._pace.gentle and is_held(self._lead.path)

    def take_the_lead(self) -> None:
        """Let those that are gentle leave this spool to us, unless another leads already."""
        if self._pace.gentle or self._lead.held:
            return
        # There may be no directory yet, which is the agents' to make.
        with suppress(OSError), open_directory(self._spool):
            self._lead.acquire()

    def release_the_lead(self) -> None:
        """Let others lead."""
        self._lead.release()
