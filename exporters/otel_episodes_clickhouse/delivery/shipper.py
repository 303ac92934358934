"""From a spool to its server, in the background: queue → batch → retry → send, each in the module of its name.

Each stage knows the one after it and nothing of the one before. The thread here asks the queue whether it is time,
then lets the batches go down the chain; an error comes up again as an exception, and `Retry` says how long to pause.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from typing import TYPE_CHECKING, Final

from otel_episodes._for_store import suppressed
from otel_episodes_clickhouse.delivery.backoff import DEFAULT, Backoff, Pauses
from otel_episodes_clickhouse.delivery.batch import BESIDE_AN_AGENT, GATHER_SECONDS, Batch, Pace
from otel_episodes_clickhouse.delivery.ending import Ending, StoppedError
from otel_episodes_clickhouse.delivery.metrics import Delivery
from otel_episodes_clickhouse.delivery.queue import Queue
from otel_episodes_clickhouse.delivery.retry import Retry
from otel_episodes_clickhouse.delivery.send import Send
from otel_episodes_clickhouse.errors import StoreError

if TYPE_CHECKING:
    from otel_episodes_clickhouse.config import Target
    from otel_episodes_clickhouse.spool.drain import DrainReport

_LOOK_SECONDS: Final = 0.25

_shippers: weakref.WeakSet[Shipper] = weakref.WeakSet()


class Shipper:
    """Drains a spool into its server from a daemon thread that starts at the first span.

    An insert goes out when some megabytes have come together, or a second after the first row. The thread does not
    survive a fork; the child's own starts at the child's first span.
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
        self._wire()
        _shippers.add(self)

    def _wire(self) -> None:
        """Make the chain: at first, and again in a child, where the connection and the locks are the parent's."""
        target, delivery, pace = self.target, self.delivery, self._pace
        self.backoff = delivery.backoff = Backoff(self._pauses)
        self._ending = Ending()
        self._send = Send(target, delivery, self._ending, pace.breathe)
        self._retry = Retry(self._send, target, delivery, self.backoff)
        self._batch = Batch(self._retry, target.spool, delivery, pace)
        self._queue = Queue(target.spool, pace)
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        # Asking the thread itself takes half a microsecond.
        self.running = False
        # Drains that were asked for, those that are done, and attempts that failed, for whoever waits in `flush`.
        self._wanted = self._done = self._attempts_failed = 0

    # --- from the threads of the application -----------------------------------------------------------------------

    def ensure_running(self) -> None:
        """Start the thread unless it runs; where every span does this, look at ``running`` first."""
        with self._condition:
            if self.running:
                return
            self._ending.cancel()
            thread = threading.Thread(target=self._run, name="otel-episodes-ship", daemon=True)
            self.running = True
            try:
                thread.start()
            except RuntimeError:
                # The interpreter is ending and starts no threads any more: the next process takes the spool along.
                self.running = False
                return
            self._thread = thread

    def look(self) -> None:
        """Look at the spool now, not in a while: something was just written there."""
        with self._condition:
            self._condition.notify_all()

    def flush(self, timeout_seconds: float) -> bool:
        """Drain now; return whether all that was in the spool reached the server in that time.

        After a failure it is tried all the same, unless the server itself has asked for a pause.
        """
        self.ensure_running()
        with self._condition:
            if not self.backoff.hurry():
                return False
            self._wanted += 1
            wanted, failed = self._wanted, self._attempts_failed
            self._condition.notify_all()
            self._condition.wait_for(lambda: self._done >= wanted or self._attempts_failed > failed, timeout_seconds)
            return self._done >= wanted

    def stop(self, *, drain: bool = True, within: float | None = None) -> bool:
        """End the thread, after a last drain unless the server is known to be away; False when it is still at it.

        Waits ``within`` seconds in all (by default what the target says); what is left stays in the spool. Without
        ``drain`` only the insert under way is finished.
        """
        within = self.target.exit_seconds if within is None else within
        with self._condition:
            thread = self._thread
            self._ending.begin(within, drain=drain)
            self._condition.notify_all()
        while thread is not None and thread.is_alive():
            if self._ending.over(self._send.asking_since):
                return False
            thread.join(0.05)
        return True

    def once(self, *, wait_seconds: float) -> DrainReport:
        """Send what waits now, in this thread; an error of the store passes through.

        Another process at it is waited for; then the report says ``busy``.
        """
        try:
            report = self._batch.send(wait_seconds=wait_seconds)
            self._retry.write_down()
        except (StoreError, OSError) as error:
            self._retry.failed(error, say=False)
            raise
        finally:
            self._send.close()
        return report

    # --- the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        # What instruments HTTP clients must not record how spans are sent, in an application that records everything.
        with suppressed():
            try:
                while self._gather():
                    self._attempt()
            finally:
                try:
                    self._send.close()
                finally:
                    self._queue.release_the_lead()
                    self.running = False

    def _gather(self) -> bool:
        """Wait until there is something to send; False when there is nothing more to do."""
        began = first = time.monotonic()
        with self._condition:
            while not self._ending.told:
                self._queue.take_the_lead()
                now = time.monotonic()
                pause = self.backoff.wait()
                led = self._queue.led_by_another()
                grown = 0 if pause or led else self._queue.grown()
                if not grown:
                    first = now
                if led:
                    began = now
                if not pause and self._is_due(grown, now - first, now - began):
                    return True
                self._condition.wait(pause or (_LOOK_SECONDS if grown else GATHER_SECONDS))
            return self._ending.take_last_drain() and not self.backoff.failures and not self._queue.led_by_another()

    def _is_due(self, grown: int, since_first: float, since_last: float) -> bool:
        # Without an answer so far, the first span finds out at once whether the server is there.
        eager = not self.delivery.inserts or self.backoff.failures > 0
        return self._wanted > self._done or self._queue.is_due(grown, since_first, since_last, eager=eager)

    def _attempt(self) -> None:
        """Take what the spool holds to the server, unless another process is at it."""
        wanted, sizes = self._wanted, self._queue.sizes()
        self._retry.begin()
        complete = False
        try:
            report = self._batch.send(wait_seconds=_LOOK_SECONDS)
        except StoppedError:
            return
        except Exception as error:  # noqa: BLE001  # the boundary of the thread: it must go on, less and less often
            self._retry.failed(error)
        else:
            complete = not report.busy
        if complete:
            self._queue.taken(sizes)
            self._retry.write_down()
        with self._condition:
            if complete:
                self._done = max(self._done, wanted)
            else:
                self._attempts_failed += 1 if self.backoff.failures else 0
            self._condition.notify_all()

    def _after_fork_in_child(self) -> None:
        # The connection is the parent's: forgotten rather than closed, which would talk to the server.
        self._wire()


def _after_fork_in_child() -> None:
    for shipper in list(_shippers):
        shipper._after_fork_in_child()  # noqa: SLF001  # same module


os.register_at_fork(after_in_child=_after_fork_in_child)
