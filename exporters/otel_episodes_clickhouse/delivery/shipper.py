"""From a spool to its server, in the background."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY

from otel_episodes_clickhouse.delivery.backoff import DEFAULT, Breaker, Pauses
from otel_episodes_clickhouse.delivery.metrics import Delivery
from otel_episodes_clickhouse.errors import StoreError, StoreUnavailableError
from otel_episodes_clickhouse.spool import drain as draining
from otel_episodes_clickhouse.spool import ledger
from otel_episodes_clickhouse.spool.directory import open_directory
from otel_episodes_clickhouse.spool.locks import ProcessLock, is_held
from otel_episodes_clickhouse.spool.reader import SpoolReader
from otel_episodes_clickhouse.store.connections import knock
from otel_episodes_clickhouse.store.insert import InsertBody
from otel_episodes_clickhouse.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_episodes_clickhouse.config import Target
    from otel_episodes_clickhouse.spool.row import Row

logger = logging.getLogger(__name__)

# An insert follows when that much has come together, or after that long.
GATHER_SECONDS: Final = 1.0
_GATHER_BYTES: Final = 4 * 1024 * 1024
_LOOK_SECONDS: Final = 0.25
# What others left behind, and files that are finished, are seen to that often.
_IDLE_SECONDS: Final = 10.0
# How long shutdown waits for one answer, since the spool keeps everything.
_STOP_SECONDS_WHEN_AWAY: Final = 0.5
# Longer than it takes another thread to wake up and take the interpreter.
_BREATH_SECONDS: Final = 0.0002

# Held by who leads: ships so that others need not.
LEAD: Final = "ship.lock"

_shippers: weakref.WeakSet[Shipper] = weakref.WeakSet()


@dataclass(frozen=True)
class Pace:
    """How hard to work.

    ``gentle``: beside an application, whose threads are to feel nothing of it. It leaves all to a shipper that is not,
    `otel-episodes ship`, while one works on the same spool.
    """

    batch_rows: int = 5_000
    gather_seconds: float = GATHER_SECONDS
    gentle: bool = True


BESIDE_AN_AGENT: Final = Pace()
ALONE: Final = Pace(batch_rows=draining.BATCH_ROWS, gentle=False)


class StoppedError(Exception):
    """Shipping was asked to end between two inserts."""


class Shipper:
    """Drains a spool into its server from a daemon thread that starts at the first span.

    An insert goes out when some megabytes have come together, or a second after the first row. The thread does not
    survive a fork; the child's own starts at the child's first span. While the server is away a `Breaker` says when it
    is tried; the log hears of it once, and once more when it is over.
    """

    def __init__(
        self,
        target: Target,
        delivery: Delivery | None = None,
        *,
        pace: Pace = BESIDE_AN_AGENT,
        pauses: Pauses = DEFAULT,
    ) -> None:
        self.target = target
        self.delivery = delivery or Delivery(target.spool)
        self._pace = pace
        self._pauses = pauses
        self._reader = SpoolReader(target.spool)
        self._lead = ProcessLock(target.spool / LEAD)
        self._ledger = ledger.Ledger(target.spool)
        self._reset()
        _shippers.add(self)

    def _reset(self) -> None:
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        # Asking the thread itself takes half a microsecond.
        self.running = False
        self._store: ShippingStore | None = None
        self._stopping = self._drain_at_stop = self._abandoning = False
        self._wanted = self._done = self._attempts_failed = 0
        # How far the last drain has come in each file, at the least.
        self._left: dict[str, int] = {}
        # Since when a server that takes connections has not said anything (time.monotonic).
        self._silent_since = 0.0
        # When the insert under way was first tried.
        self._began = 0.0
        self._written = self.delivery.counts()
        self._said = ""
        self.breaker = Breaker(self._pauses)
        self.delivery.breaker = self.breaker

    # --- from the threads of the application -----------------------------------------------------------------------

    def ensure_running(self) -> None:
        """Start the thread unless it runs; where every span does this, look at ``running`` first."""
        with self._condition:
            if self.running:
                return
            self._stopping = self._abandoning = False
            thread = threading.Thread(target=self._run, name="otel-episodes-ship", daemon=True)
            self.running = True
            try:
                thread.start()
            except RuntimeError:
                # The interpreter is ending and starts no threads any more: the next process takes the spool along.
                self.running = False
                return
            self._thread = thread

    def flush(self, timeout_seconds: float) -> bool:
        """Drain now; tell whether all that was in the spool reached the server in that time.

        An open breaker is tried all the same, unless the server itself has asked for a pause.
        """
        self.ensure_running()
        with self._condition:
            if not self.breaker.hurry():
                return False
            self._wanted += 1
            wanted, failed = self._wanted, self._attempts_failed
            self._condition.notify_all()
            self._condition.wait_for(lambda: self._done >= wanted or self._attempts_failed > failed, timeout_seconds)
            return self._done >= wanted

    def stop(self, *, drain: bool = True, within: float | None = None, answer: float = _STOP_SECONDS_WHEN_AWAY) -> bool:
        """End the thread, after a last drain unless the server is known to be away; False when it is still at it.

        Waits ``within`` seconds in all (by default what the target says) and ``answer`` seconds for the server to say
        anything; what is left stays in the spool. Without ``drain`` only the insert under way is finished.
        """
        within = self.target.exit_seconds if within is None else within
        with self._condition:
            thread = self._thread
            self._stopping, self._abandoning = True, not (drain and within > 0)
            self._drain_at_stop = drain and within > 0 and not self.breaker.failures
            self._condition.notify_all()
        begin = time.monotonic()
        while thread is not None and thread.is_alive():
            now = time.monotonic()
            asking = self._waiting_for_answer_since()
            if now - begin > within or (asking and now - max(asking, begin) > answer):
                return False
            thread.join(0.05)
        return True

    def once(self, *, wait_seconds: float) -> draining.DrainReport:
        """Send what waits now, in this thread; an error of the store passes through.

        Another process at it is waited for; then the report says ``busy``.
        """
        try:
            report = self._drain(wait_seconds)
            self._write_down()
        except (StoreError, OSError) as error:
            self._failed(error, say=False)
            raise
        finally:
            self._close_store()
        return report

    # --- the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        # What instruments HTTP clients must not record how spans are sent, in an application that records everything.
        token = context.attach(context.set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))  # noqa: FBT003  # its signature
        try:
            while self._gather():
                self._attempt()
        finally:
            try:
                self._close_store()
            finally:
                self._lead.release()
                context.detach(token)
                self.running = False

    def _gather(self) -> bool:
        """Wait until there is something to send; False when there is nothing more to do."""
        began = first = time.monotonic()
        with self._condition:
            while not self._stopping:
                self._take_the_lead()
                now = time.monotonic()
                pause = self.breaker.wait()
                led = self._led_by_another()
                grown = 0 if pause or led else self._grown()
                if not grown:
                    first = now
                if led:
                    began = now
                if not pause and self._due(grown, now - first, now - began):
                    return True
                self._condition.wait(pause or (_LOOK_SECONDS if grown else GATHER_SECONDS))
            last, self._drain_at_stop = self._drain_at_stop and not self._led_by_another(), False
            return last

    def _led_by_another(self) -> bool:
        """Tell whether to leave this spool to another process."""
        return self._pace.gentle and is_held(self._lead.path)

    def _take_the_lead(self) -> None:
        """Let those that are gentle leave this spool to us, unless another leads already."""
        if self._pace.gentle or self._lead.held:
            return
        # There may be no directory yet, which is the agents' to make.
        with suppress(OSError), open_directory(self.target.spool):
            self._lead.acquire()

    def _due(self, grown: int, since_first: float, since_last: float) -> bool:
        """Tell whether to send now: the bytes that are new, how long they have been, how long ago the last time was."""
        if self._wanted > self._done or since_last >= max(_IDLE_SECONDS, self._pace.gather_seconds):
            return True
        # Whoever has not reached the server yet finds out at once whether it is there.
        waits_for_nothing = not self.delivery.inserts or self.breaker.failures > 0
        return grown > 0 and (waits_for_nothing or since_first >= self._pace.gather_seconds or grown >= _GATHER_BYTES)

    def _grown(self) -> int:
        return sum(size - self._left.get(name, 0) for name, size in self._sizes().items())

    def _sizes(self) -> dict[str, int]:
        try:
            return {name: self._reader.size(name) for name in self._reader.segments()}
        except OSError:
            # A spool that cannot be read: the drain will say so.
            return {"": 1}

    def _attempt(self) -> None:
        """Take what the spool holds to the server, unless another process is at it."""
        wanted, sizes = self._wanted, self._sizes()
        self.delivery.retries += 1 if self.breaker.failures else 0
        complete = False
        try:
            report = self._drain(_LOOK_SECONDS)
        except StoppedError:
            return
        except Exception as error:  # noqa: BLE001  # the boundary of the thread: it must go on, less and less often
            self._failed(error)
        else:
            complete = not report.busy
        if complete:
            self._left = sizes
            self._write_down()
        with self._condition:
            if complete:
                self._done = max(self._done, wanted)
            else:
                self._attempts_failed += 1 if self.breaker.failures else 0
            self._condition.notify_all()

    def _drain(self, wait_seconds: float) -> draining.DrainReport:
        if self._store is None:
            self._store = ShippingStore(self)
        report = draining.drain(
            self._store,
            self.target.spool,
            wait_seconds=wait_seconds,
            batch_rows=self._pace.batch_rows,
            breathe=self.breathe if self._pace.gentle else None,
        )
        self.delivery.rejected += report.quarantined
        return report

    def insert(self, store: ShippingStore, rows: Iterable[Row], token: str | None) -> int:
        """Send one insert, for the drain."""
        if self._stopping and self._abandoning:
            raise StoppedError
        self._began = self._began or time.monotonic()
        body = InsertBody(self.target)
        for _ in body.add(rows):
            self.breathe()
        if not body.rows:
            return 0
        self.delivery.inflight = body.rows
        if not self.delivery.inserts:
            self._knock()
        store.prepare()
        self.breathe()
        store.insert_body(body, token=token)
        self.breathe()
        self._silent_since = 0.0
        self._inserted(body.rows)
        return body.rows

    def _knock(self) -> None:
        """Find out whether the server is there before importing what speaks to it, which takes a third of a second.

        Of one that has taken the connection and says nothing, the end of the process need not wait to hear more.
        """
        self._silent_since = time.monotonic()
        try:
            if knock(self.target):
                self._silent_since = 0.0
        except BaseException:
            self._silent_since = 0.0
            raise
        if self._silent_since and self._stopping:
            self._drain_at_stop = False
            raise StoppedError

    def breathe(self) -> None:
        """Let other threads run: after every piece of work, half a millisecond or so."""
        if self._pace.gentle:
            time.sleep(_BREATH_SECONDS)

    # --- how it went -----------------------------------------------------------------------------------------------

    def _inserted(self, count: int) -> None:
        self.delivery.inserted(count, time.monotonic() - self._began)
        self._began = 0.0
        self.breaker.succeeded()
        if self._said:
            self._said = ""
            logger.warning("%s answers again", self.target)
        self._write_down(shipped_at=time.time_ns(), error="")

    def _failed(self, error: Exception, *, say: bool = True) -> None:
        message = self.target.without_secrets(str(error) or type(error).__name__)
        lasting = error.lasting if isinstance(error, StoreUnavailableError) else isinstance(error, StoreError)
        retry_after = error.retry_after if isinstance(error, StoreUnavailableError) else None
        self.breaker.failed(lasting=lasting, retry_after=retry_after)
        kind = f"{type(error).__name__} {getattr(error, 'code', '')}"
        if say and kind != self._said:
            self._said = kind
            logger.warning("cannot send spans to %s, they stay in %s: %s", self.target, self.target.spool, message)
        if not isinstance(error, StoreUnavailableError):
            # Tables may be missing or a password changed: from the beginning.
            self._close_store()
        self._write_down(error=ledger.short(message), error_at=time.time_ns())

    def _write_down(self, **state: Any) -> None:
        """Bring the account in the spool up to date."""
        next_try = time.time_ns() + int(self.breaker.wait() * 1e9) if self.breaker.failures else 0
        state.update(breaker=self.breaker.state, failures=self.breaker.failures, next_try=next_try)
        news = self.delivery.counts() - self._written
        if (news or "error_at" in state) and self._ledger.add(news, by=ledger.this_process(), **state):
            self._written += news

    def _waiting_for_answer_since(self) -> float:
        store = self._store
        return self._silent_since or (store.asking_since if store is not None else 0.0)

    def _close_store(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            store.close()

    def _after_fork_in_child(self) -> None:
        # The connection is the parent's: forgotten rather than closed, which would talk to the server.
        self._reset()


class ShippingStore(Store):
    """A server's store that is connected to when it is first needed, and tells its shipper of every insert."""

    def __init__(self, shipper: Shipper) -> None:
        super().__init__(shipper.target, None, read_only=False)
        self._shipper = shipper

    def insert_rows(self, batch: Iterable[Row], *, token: str | None = None) -> int:
        """See `Store.insert_rows`. Raises `StoppedError` when shipping is to end."""
        return self._shipper.insert(self, batch, token)


def _after_fork_in_child() -> None:
    for shipper in list(_shippers):
        shipper._after_fork_in_child()  # noqa: SLF001  # same module


os.register_at_fork(after_in_child=_after_fork_in_child)
