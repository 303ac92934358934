"""What goes on while pages are looked at: what arrives is stored within a second, and learned from soon after."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from otel_episodes_clickhouse.delivery.batch import ALONE
from otel_episodes_clickhouse.delivery.shipper import Shipper
from otel_episodes_clickhouse.errors import StoreError
from otel_episodes_clickhouse.learning import jobs
from otel_episodes_clickhouse.spool.backlog import measure

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_episodes_clickhouse.config import Target
    from otel_episodes_clickhouse.store.store import Store

logger = logging.getLogger(__name__)

# An insert costs the engine some 40 ms: more than twice a second would be felt by those who ask.
_GATHER_SECONDS: Final = 0.3
# Half the usual: the engine's memory, and how long a command waits for the spool, grow with it.
_BATCH_ROWS: Final = 25_000
_LOOK_SECONDS: Final = 0.5
# Of all time at the most this share is spent on jobs, however much arrives.
_JOBS_SHARE: Final = 0.5
_PAUSE_SECONDS: Final = 2.0
# What others have brought in or scored is looked for that often.
_IDLE_SECONDS: Final = 10.0
_ANYWAY_SECONDS: Final = 600.0
_FAILED_SECONDS: Final = 30.0
_END_SECONDS: Final = 10.0
_JOBS_END_SECONDS: Final = 1.0


@dataclass
class Learning:
    """How the jobs go: runs, seconds the last one took, when it ended (seconds since 1970), the last error."""

    runs: int = 0
    seconds: float = 0.0
    ended: float = 0.0
    problem: str = ""


class Work:
    """The shipper and the job loop for one store, each in a thread; started by the first call of `begin`."""

    def __init__(self, target: Target, open_store: Callable[[], Store], *, learn: bool = True) -> None:
        self.learning = Learning()
        self._target = target
        self._open = open_store
        self._shipper = Shipper(target, pace=replace(ALONE, batch_rows=_BATCH_ROWS, gather_seconds=_GATHER_SECONDS))
        self._ending = threading.Event()
        self._changed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True) if learn else None

    def begin(self) -> None:
        """Start the threads."""
        self._shipper.ensure_running()
        if self._thread is not None:
            self._thread.start()

    def spooled(self) -> None:
        """Say that something waits in the spool."""
        self._shipper.look()

    def changed(self) -> None:
        """Say that something was stored past the spool, such as a score."""
        self._changed.set()

    def close(self) -> None:
        """End: the insert under way is finished, what waits stays in the spool."""
        self._ending.set()
        self._changed.set()
        self._shipper.stop(drain=False, within=_END_SECONDS)
        if self._thread is not None and self._thread.is_alive():
            # A job that is cut short is repeated by the next run.
            self._thread.join(_JOBS_END_SECONDS)

    def counts(self) -> dict[str, Any]:
        """Return what was stored and learned since the start, and what waits."""
        waiting = measure(self._target.spool)
        return {
            "stored": self._shipper.delivery.counts(),
            "waiting": {**asdict(waiting), "lag_seconds": round(waiting.lag_seconds(), 3)},
            "jobs": asdict(self.learning),
        }

    # --- the job loop ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        store: Store | None = None
        seen, looked = -1, 0.0
        while not self._ending.is_set():
            stored = self._shipper.delivery.exported
            is_new = stored != seen or self._changed.is_set()
            if not is_new and time.monotonic() - looked < _IDLE_SECONDS:
                self._changed.wait(_LOOK_SECONDS)
                continue
            self._changed.clear()
            try:
                store = store or self._open()
                pause = self._learn(store) if is_new or self._is_work(store) else 0.0
                seen, looked = stored, time.monotonic()
            except Exception as error:  # noqa: BLE001  # the boundary of the thread: it goes on, less often
                if self._ending.is_set():
                    break  # cut short, not failed
                self._failed(error)
                pause = _FAILED_SECONDS
            self._ending.wait(pause)
        if store is not None:
            store.close()

    def _is_work(self, store: Store) -> bool:
        """Return whether others have brought something in; now and then without looking, since rows show late."""
        late = time.time() - self.learning.ended > _ANYWAY_SECONDS
        return late or bool(store.query_named("job_pending")[0]["Episodes"])

    def _learn(self, store: Store) -> float:
        """Run the jobs; return how long to pause."""
        began = time.monotonic()
        store.prepare()
        jobs.run(store)
        seconds = time.monotonic() - began
        self.learning = Learning(self.learning.runs + 1, round(seconds, 3), time.time())
        return max(_PAUSE_SECONDS, seconds * (1 - _JOBS_SHARE) / _JOBS_SHARE)

    def _failed(self, error: Exception) -> None:
        said = str(error) or type(error).__name__
        if said != self.learning.problem:
            level = logging.WARNING if isinstance(error, StoreError) else logging.ERROR
            logger.log(level, "the jobs fail, and are tried again: %s", said, exc_info=level == logging.ERROR)
        self.learning = replace(self.learning, problem=said)
