"""Questions to the store from coroutines: each in a thread that has a store of its own."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar

from otel_episodes_clickhouse.learning import scores

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_episodes_clickhouse.serve.log_spool import LogSpool
    from otel_episodes_clickhouse.store.store import Store

    Given = ParamSpec("Given")
    Answer = TypeVar("Answer")

_THREADS: Final = 4


def _nothing() -> None:
    pass


class Ask:
    """The store as pages see it: named statements, and the few things a page changes.

    ``open_store`` is called once in each of a few threads; ``logs`` is where log records wait; ``changed`` is called
    after what a page has changed. Errors are those of `Store`.
    """

    def __init__(
        self, open_store: Callable[[], Store], logs: LogSpool, *, changed: Callable[[], None] = _nothing
    ) -> None:
        self._open = open_store
        self._logs = logs
        self._changed = changed
        self._own = threading.local()
        self._opened: list[Store] = []
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="ask")

    async def rows(self, statement_name: str, **parameters: Any) -> list[dict[str, Any]]:
        """Run a statement of ``sql/queries`` or ``sql/jobs`` and return its rows; times are integer nanoseconds."""
        return await self.do(_rows, statement_name, parameters)

    async def score(self, episode: str, value: float | str, *, note: str = "", by: str = "human") -> float:
        """Score an episode; see `scores.score`."""
        number = await self.do(scores.score, episode, value, note=note, by=by)
        self._changed()
        return number

    async def keep_logs(self, lines: bytes, token: str) -> None:
        """Keep log records, among them scores; see `LogSpool.keep`."""
        await self.do(self._logs.keep, lines, token)
        self._changed()

    async def do(
        self,
        function: Callable[Concatenate[Store, Given], Answer],
        /,
        *arguments: Given.args,
        **named: Given.kwargs,
    ) -> Answer:
        """Return what a function makes of the store, called in a thread: what is learned has many such."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: function(self._store(), *arguments, **named))

    def close(self) -> None:
        """Wait for what is being asked, and close the stores."""
        self._threads.shutdown(cancel_futures=True)
        for store in self._opened:
            store.close()

    def _store(self) -> Store:
        store: Store | None = getattr(self._own, "store", None)
        if store is None:
            store = self._own.store = self._open()
            self._opened.append(store)
        return store


def _rows(store: Store, name: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    return store.query_named(name, parameters)
