"""The stage that makes batches: what waits in the spool, cut into inserts that can be repeated as they were."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_episodes_clickhouse.spool import drain as draining

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from otel_episodes_clickhouse.delivery.metrics import Delivery
    from otel_episodes_clickhouse.spool.sink import RowSink

# An insert follows when that much has come together, or after that long.
GATHER_SECONDS: Final = 1.0
# Longer than it takes another thread to wake up and take the interpreter.
_BREATH_SECONDS: Final = 0.0002


@dataclass(frozen=True)
class Pace:
    """How hard to work.

    ``gentle``: beside an application, whose threads are to feel nothing of it. It leaves all to a shipper that is not,
    `otel-episodes ship`, while one works on the same spool.
    """

    batch_rows: int = 5_000
    gather_seconds: float = GATHER_SECONDS
    gentle: bool = True

    @property
    def breathe(self) -> Callable[[], None] | None:
        """Return what lets other threads run: to be called after every piece of work, half a millisecond or so."""
        return _breathe if self.gentle else None


BESIDE_AN_AGENT: Final = Pace()
ALONE: Final = Pace(batch_rows=draining.BATCH_ROWS, gentle=False)


class Batch:
    """Takes what the spool holds to the next stage, one insert after the other."""

    def __init__(self, following: RowSink, spool: Path, delivery: Delivery, pace: Pace) -> None:
        self._next = following
        self._spool = spool
        self._delivery = delivery
        self._pace = pace

    def send(self, *, wait_seconds: float) -> draining.DrainReport:
        """Send all that waits now; ``busy`` in the report when another process was at it for that long."""
        report = draining.drain(
            self._next,
            self._spool,
            wait_seconds=wait_seconds,
            batch_rows=self._pace.batch_rows,
            breathe=self._pace.breathe,
        )
        self._delivery.rejected += report.quarantined
        return report


def _breathe() -> None:
    time.sleep(_BREATH_SECONDS)
