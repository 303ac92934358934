"""The last stage: one insert into the server, in one request."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from otel_episodes_clickhouse.delivery.ending import StoppedError
from otel_episodes_clickhouse.store.connections import knock
from otel_episodes_clickhouse.store.insert import InsertBody
from otel_episodes_clickhouse.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from otel_episodes_clickhouse.config import Target
    from otel_episodes_clickhouse.delivery.ending import Ending
    from otel_episodes_clickhouse.delivery.metrics import Delivery
    from otel_episodes_clickhouse.spool.row import Row


class Send:
    """Sends inserts to a store that is connected to when the first is made."""

    def __init__(
        self, target: Target, delivery: Delivery, ending: Ending, breathe: Callable[[], None] | None = None
    ) -> None:
        self._target = target
        self._delivery = delivery
        self._ending = ending
        self._breathe = breathe or _go_on
        self._store: Store | None = None
        # Since when a server that has taken the connection says nothing (time.monotonic); 0 when none does.
        self._knocking_since = 0.0
        # When the insert under way was first tried.
        self._began_at = 0.0

    @property
    def asking_since(self) -> float:
        """When what the server has not answered yet was sent (time.monotonic); 0 when there is nothing."""
        return self._knocking_since or (self._store.asking_since if self._store is not None else 0.0)

    def insert_rows(self, rows: Iterable[Row], *, token: str | None = None) -> int:
        """Send one insert and return how many rows it had; raise `StoppedError` when shipping is to end."""
        self._ending.check()
        self._began_at = self._began_at or time.monotonic()
        body = InsertBody(self._target)
        for _ in body.add(rows):
            self._breathe()
        if not body.rows:
            return 0
        self._delivery.inflight = body.rows
        if not self._delivery.inserts and not self._target.embedded:
            self._knock()
        store = self._opened()
        store.prepare()
        self._breathe()
        store.insert_body(body, token=token)
        self._breathe()
        self._knocking_since = 0.0
        self._delivery.inserted(body.rows, time.monotonic() - self._began_at)
        self._began_at = 0.0
        return body.rows

    def mend(self) -> None:
        """See `Store.mend`."""
        self._opened().mend()

    def missing_rows(self, rows: Sequence[Row]) -> list[Row]:
        """See `Store.missing_rows`."""
        return self._opened().missing_rows(rows)

    def close(self) -> None:
        """Close the connection; the next insert opens another."""
        store, self._store = self._store, None
        if store is not None:
            store.close()

    def _opened(self) -> Store:
        if self._store is None:
            # An embedded store is another process's, which answers for it.
            embedded = self._target.embedded
            self._store = Store.open(self._target) if embedded else Store(self._target, None, read_only=False)
        return self._store

    def _knock(self) -> None:
        """Find out whether the server is there before importing what speaks to it, which takes a third of a second.

        Of one that has taken the connection and says nothing, the end of the process need not wait to hear more.
        """
        self._knocking_since = time.monotonic()
        with ExitStack() as refused:
            refused.callback(self._stop_knocking)
            if not knock(self._target):
                refused.pop_all()
        if self._knocking_since and self._ending.told:
            self._ending.abandon()
            raise StoppedError

    def _stop_knocking(self) -> None:
        self._knocking_since = 0.0


def _go_on() -> None:
    """Do not pause."""
