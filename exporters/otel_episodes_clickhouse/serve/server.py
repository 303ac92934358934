"""The HTTP server: uvicorn, with no patience for clients that are slow on purpose."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

    from starlette.types import ASGIApp

# For the first line and the headers of a request.
HEAD_SECONDS: Final = 10.0
_IDLE_SECONDS: Final = 60
_CONNECTIONS: Final = 512
_HEAD_BYTES: Final = 32 * 1024
_END_SECONDS: Final = 5


class Impatient(H11Protocol):
    """Closes a connection whose next request does not begin, or whose headers do not end, in time."""

    head_seconds = HEAD_SECONDS
    _giving_up: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the base
        """Give the first request its time."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take what comes; while it is no whole head, the time goes on."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the time."""
        self._forget()
        super().connection_lost(exc)

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._forget()
        elif self._giving_up is None:
            self._giving_up = self.loop.call_later(self.head_seconds, self.transport.close)

    def _forget(self) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None


class Server(uvicorn.Server):
    """Serves an application until SIGTERM or SIGINT; requests under way have some seconds."""

    def __init__(self, app: ASGIApp, *, head_seconds: float = HEAD_SECONDS) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=type("Impatient", (Impatient,), {"head_seconds": head_seconds}),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=_CONNECTIONS,
                timeout_keep_alive=_IDLE_SECONDS,
                timeout_graceful_shutdown=_END_SECONDS,
                h11_max_incomplete_event_size=_HEAD_BYTES,
            )
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End by a signal without being ended by it: there is more to close than connections."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
