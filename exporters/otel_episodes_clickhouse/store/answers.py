"""An answer over HTTP, read as far as one is believed: so many bytes, within so many seconds.

urllib3 limits the wait for each piece of an answer. A server, or what stands in for one, can then hold a process for
ever with a byte now and then, and fill its memory with an answer that does not end. `Watch` cuts the connection when
the time for the whole is over; `read_whole` and `read_pieces` count what comes.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import contextmanager, suppress
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from otel_episodes_clickhouse.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from urllib3 import BaseHTTPResponse, PoolManager

# Of what an insert, an error and a command say. A result is as large as somebody asked for, and yet has an end.
INSERT_BYTES: Final = 1 << 20
ERROR_BYTES: Final = 64 * 1024
COMMAND_BYTES: Final = 32 << 20
RESULT_BYTES: Final = 4 << 30
# The longest wait for the next piece of a result that has begun to arrive.
PIECE_SECONDS: Final = 30.0
_PIECE_BYTES: Final = 64 * 1024
# Others can make gigabytes of a kilobyte in one step, and none of them was asked for.
_ENCODINGS: Final = frozenset(("", "identity", "gzip", "x-gzip", "deflate"))


class Watch:
    """Cuts the connection of the request under way when its time is over; one request at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None
        self._late = False

    @property
    def late(self) -> bool:
        """Whether the last request was cut."""
        return self._late

    def holds(self, descriptor: int) -> None:
        """Watch the connection behind a file descriptor, even when that is closed or wrapped for TLS meanwhile."""
        connection = socket.socket(fileno=os.dup(descriptor))
        with self._lock:
            before, self._connection = self._connection, connection
        if before is not None:
            before.close()

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Give what the block waits for that long."""
        self._late = False
        timer = threading.Timer(max(0.0, seconds), self._cut)
        timer.daemon = True
        # None can be started while the interpreter ends: then only each wait is limited.
        with suppress(RuntimeError):
            timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def let_go(self) -> None:
        """Forget the connection, which goes back to its pool."""
        with self._lock:
            before, self._connection = self._connection, None
        if before is not None:
            before.close()

    def _cut(self) -> None:
        with self._lock:
            self._late = True
            if self._connection is not None:
                with suppress(OSError):
                    self._connection.shutdown(socket.SHUT_RDWR)


def watched(pool: PoolManager, watch: Watch) -> None:
    """Have the pool's connections tell the watch which of them is in use."""
    pools = {}
    classes: dict[str, Any] = pool.pool_classes_by_scheme
    for scheme, kind in classes.items():
        connection = _telling(kind.ConnectionCls, watch)
        pools[scheme] = type(f"Watched{kind.__name__}", (kind,), {"ConnectionCls": connection})
    pool.pool_classes_by_scheme = pools


def _telling(kind: Any, watch: Watch) -> Any:
    class Telling(kind):  # type: ignore[misc]  # a connection class of urllib3
        def _new_conn(self) -> socket.socket:
            made: socket.socket = super()._new_conn()
            watch.holds(made.fileno())
            return made

        def request(self, *arguments: Any, **options: Any) -> None:
            if self.sock is not None:
                watch.holds(self.sock.fileno())
            super().request(*arguments, **options)

    return Telling


def check_encoding(response: BaseHTTPResponse) -> None:
    """Raise `StoreUnavailableError` for an answer that would have to be unpacked without a limit."""
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in _ENCODINGS:
        raise StoreUnavailableError(f"it answers in an encoding that was not asked for: {encoding[:40]}")


def read_whole(response: BaseHTTPResponse, limit: int, *, cut: bool) -> BaseHTTPResponse:
    """Return an answer with its body read; of a longer one the beginning where ``cut``, else raise."""
    from urllib3 import HTTPResponse  # noqa: PLC0415  # comes with clickhouse-connect

    body = bytearray()
    while piece := response.read1(_PIECE_BYTES, decode_content=True):
        body += piece
        if len(body) > limit:
            if not cut:
                raise StoreUnavailableError(f"it answers with more than {limit:,} bytes where a few were expected")
            del body[limit:]
            response.close()
            break
    headers = response.headers.copy()
    for name in ("Content-Encoding", "Content-Length", "Transfer-Encoding"):
        headers.discard(name)
    return HTTPResponse(BytesIO(body), headers, response.status, reason=response.reason)


def read_pieces(
    watch: Watch, stream: Callable[..., Iterator[bytes]], until: float, *arguments: Any, **options: Any
) -> Iterator[bytes]:
    """Yield the pieces of a result; raise `StoreUnavailableError` when one does not come, or there is no end."""
    from urllib3.exceptions import HTTPError  # noqa: PLC0415  # comes with clickhouse-connect

    read, pieces = 0, stream(*arguments, **options)
    while True:
        with watch.within(min(PIECE_SECONDS, until - time.monotonic())):
            try:
                piece = next(pieces, None)
            except HTTPError:
                if not watch.late:
                    raise
        if watch.late:
            raise StoreUnavailableError("the rest of its answer does not come in time")
        if piece is None:
            watch.let_go()
            return
        read += len(piece)
        if read > RESULT_BYTES:
            raise StoreUnavailableError(f"its answer has more than {RESULT_BYTES:,} bytes: ask for less at once")
        yield piece
