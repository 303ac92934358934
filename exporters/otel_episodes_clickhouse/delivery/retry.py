"""The stage that knows how it goes: it counts failures, says when to try again, and writes both down.

Nothing waits in here. An insert that failed ends the drain, which holds the spool's lock; after the pause the batch is
read again from the spool and sent under the same token.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from otel_episodes_clickhouse.errors import StoreError, StoreUnavailableError
from otel_episodes_clickhouse.spool import ledger

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from otel_episodes_clickhouse.config import Target
    from otel_episodes_clickhouse.delivery.backoff import Backoff
    from otel_episodes_clickhouse.delivery.metrics import Delivery
    from otel_episodes_clickhouse.delivery.send import Send
    from otel_episodes_clickhouse.spool.row import Row

logger = logging.getLogger(__name__)


class Retry:
    """Passes inserts on; the log hears of an outage once, and once more when it is over."""

    def __init__(self, following: Send, target: Target, delivery: Delivery, backoff: Backoff) -> None:
        self._next = following
        self._target = target
        self._delivery = delivery
        self._backoff = backoff
        self._ledger = ledger.Ledger(target.spool)
        self._written = delivery.counts()
        self._said = ""

    def insert_rows(self, rows: Iterable[Row], *, token: str | None = None) -> int:
        """Send one insert; see `Send.insert_rows`."""
        count = self._next.insert_rows(rows, token=token)
        if count:
            self._succeeded()
        return count

    def mend(self) -> None:
        """See `Send.mend`."""
        self._next.mend()

    def missing_rows(self, rows: Sequence[Row]) -> list[Row]:
        """See `Send.missing_rows`."""
        return self._next.missing_rows(rows)

    def begin(self) -> None:
        """Count an attempt that follows a failed one."""
        self._delivery.retries += 1 if self._backoff.failures else 0

    def failed(self, error: Exception, *, say: bool = True) -> None:
        """Count a failed attempt: the next one waits."""
        message = self._target.without_secrets(str(error) or type(error).__name__)
        away = error if isinstance(error, StoreUnavailableError) else None
        permanent = away.lasting if away is not None else isinstance(error, StoreError)
        self._backoff.failed(permanent=permanent, retry_after=away.retry_after if away is not None else None)
        kind = f"{type(error).__name__} {getattr(error, 'code', '')}"
        if say and kind != self._said:
            self._said = kind
            logger.warning("cannot send spans to %s, they stay in %s: %s", self._target, self._target.spool, message)
        if away is None:
            # Tables may be missing or a password changed: from the beginning.
            self._next.close()
        self.write_down(error=ledger.short(message), error_at=time.time_ns())

    def write_down(self, **state: Any) -> None:
        """Bring the account in the spool up to date."""
        waiting = self._backoff
        next_try = time.time_ns() + int(waiting.wait() * 1e9) if waiting.failures else 0
        state.update(permanent=waiting.permanent, failures=waiting.failures, next_try=next_try)
        news = self._delivery.counts() - self._written
        if (news or "error_at" in state) and self._ledger.add(news, by=ledger.this_process(), **state):
            self._written += news

    def _succeeded(self) -> None:
        self._backoff.succeeded()
        if self._said:
            self._said = ""
            logger.warning("%s answers again", self._target)
        self.write_down(shipped_at=time.time_ns(), error="")
