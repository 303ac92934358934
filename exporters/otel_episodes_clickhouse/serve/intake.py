"""What is sent here, on disk before it is acknowledged.

One thread unpacks, reads and spools. While it writes and waits for the disk more requests come together, and all of
those share the next write and the next fsync. What waits is limited in bytes: beyond that a sender is asked to come
back.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import zlib
from collections import Counter
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from otel_episodes_clickhouse.serve import otlp
from otel_episodes_clickhouse.spool.limit import is_over_limit
from otel_episodes_clickhouse.spool.received import new_encoder
from otel_episodes_clickhouse.spool.writer import SpoolWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from otel_episodes_clickhouse.spool.received import Group

logger = logging.getLogger(__name__)

# Of one request, as sent and unpacked. The collector takes 20 MiB.
BODY_BYTES: Final = 32 << 20
# Of all requests that are being read or wait.
_WAITING_BYTES: Final = 128 << 20
# How much is spooled at once: the first of those that come together waits for the last.
_TOGETHER_BYTES: Final = 8 << 20
_LOOK_SECONDS: Final = 0.5
_GZIP_WINDOW: Final = 31


class RefusedError(Exception):
    """A request that is not taken: the status of the answer, the reason, and after how many seconds to try again."""

    def __init__(self, status: int, reason: str, *, retry_after: int = 0) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after


@dataclass
class Counts:
    """What has come in since the start."""

    requests: Counter[str] = field(default_factory=Counter)
    refused: Counter[int] = field(default_factory=Counter)
    spans: int = 0
    rejected_spans: int = 0
    log_records: int = 0

    def told(self) -> dict[str, Any]:
        """Return them for JSON."""
        refused = {str(status): count for status, count in self.refused.items()}
        return {**vars(self), "requests": dict(self.requests), "refused": refused}


@dataclass(frozen=True)
class _Request:
    body: bytes
    content_type: str
    gzip: bool
    answer: Future[otlp.Spans]


class Intake:
    """Takes export requests into a spool; `take` returns when they are durable, after ``spooled`` was called."""

    def __init__(
        self, spool: Path, *, limit_bytes: int | None = None, spooled: Callable[[], None] | None = None
    ) -> None:
        self.counts = Counts()
        self._spooled = spooled
        self._spool = spool
        self._limit_bytes = limit_bytes
        # Looked after here, where a full spool is an answer and not a loss.
        self._writer: SpoolWriter[Sequence[Group]] = SpoolWriter(
            spool, new_encoder, limit_bytes=0, fsync=True, last_hope=False
        )
        self._waiting: list[_Request] = []
        self._held = 0
        self._full = False
        self._look_at = 0.0
        self._condition = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)
        self._thread.start()

    async def take(self, body: bytes, content_type: str, *, gzip: bool) -> otlp.Spans:
        """Spool the spans of a request; raise `RefusedError` for what is not taken."""
        answer: Future[otlp.Spans] = Future()
        with self._condition:
            if self._closing:
                raise RefusedError(503, "this server is ending", retry_after=1)
            self._waiting.append(_Request(body, content_type, gzip, answer))
            self._condition.notify()
        return await asyncio.wrap_future(answer)

    def hold(self, size: int) -> None:
        """Count bytes that are kept for a request; raise `RefusedError` when there are too many of all."""
        if self._held + size > _WAITING_BYTES:
            raise RefusedError(429, "too much comes at once: try again", retry_after=1)
        self._held += size

    def let_go(self, size: int) -> None:
        """Give back what was held for a request that has its answer."""
        self._held -= size

    def close(self) -> None:
        """Finish what waits, and the segment."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        self._thread.join()
        self._writer.close()

    # --- the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while requests := self._next():
            try:
                self._spool_together(requests)
            except Exception:
                # The boundary of the thread. Nobody is told that it was stored; the sender tries again.
                logger.exception("requests could not be taken")
                for request in requests:
                    _fail(request, RefusedError(503, "it could not be stored: see the log", retry_after=5))

    def _next(self) -> list[_Request]:
        """Wait for requests and return those to be spooled together; none at the end."""
        with self._condition:
            while not self._waiting and not self._closing:
                self._condition.wait()
            size = count = 0
            while count < len(self._waiting) and size < _TOGETHER_BYTES:
                size += len(self._waiting[count].body)
                count += 1
            taken, self._waiting = self._waiting[:count], self._waiting[count:]
            return taken

    def _spool_together(self, requests: Sequence[_Request]) -> None:
        """Spool what requests have, in pieces: what is small when packed need not be small."""
        found: list[tuple[_Request, otlp.Spans]] = []
        size = 0
        for request in requests:
            try:
                body = unpacked(request.body) if request.gzip else request.body
                found.append((request, otlp.spans_of(body, request.content_type)))
            except otlp.BodyError as error:
                _fail(request, RefusedError(400, str(error)))
            except RefusedError as error:
                _fail(request, error)
            else:
                size += len(body)
            if size >= _TOGETHER_BYTES:
                self._keep(found)
                found, size = [], 0
        self._keep(found)

    def _keep(self, found: Sequence[tuple[_Request, otlp.Spans]]) -> None:
        groups = [group for _, spans in found for group in spans.groups]
        problem = self._written(groups) if groups else None
        for request, spans in found:
            if problem is not None and spans.groups:
                _fail(request, problem)
                continue
            self.counts.spans += spans.accepted
            self.counts.rejected_spans += spans.rejected
            # Its sender may have gone.
            with suppress(InvalidStateError):
                request.answer.set_result(spans)

    def _written(self, groups: Sequence[Group]) -> RefusedError | None:
        if self._is_full():
            return RefusedError(
                429, f"the spool {self._spool} is full, until what waits there is stored", retry_after=5
            )
        if not self._writer.append(groups):
            return RefusedError(503, f"cannot write to {self._spool}", retry_after=5)
        if self._spooled is not None:
            self._spooled()
        return None

    def _is_full(self) -> bool:
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + _LOOK_SECONDS
            try:
                self._full = is_over_limit(self._spool, self._limit_bytes)
            except OSError:
                # There may be no directory yet. What cannot be written says so by itself.
                self._full = False
        return self._full


def unpacked(body: bytes) -> bytes:
    """Undo gzip as far as a request may be large; raise `RefusedError` for more, and for what is not whole."""
    parts: list[bytes] = []
    size, rest = 0, body
    while rest:
        stream = zlib.decompressobj(wbits=_GZIP_WINDOW)
        try:
            part = stream.decompress(rest, BODY_BYTES + 1 - size)
        except zlib.error as error:
            raise RefusedError(400, f"not gzip: {error}") from None
        size += len(part)
        if size > BODY_BYTES:
            raise RefusedError(413, f"more than {BODY_BYTES:,} bytes when unpacked")
        if not stream.eof:
            raise RefusedError(400, "the gzip data ends early")
        parts.append(part)
        rest = stream.unused_data
    return b"".join(parts)


def _fail(request: _Request, error: RefusedError) -> None:
    with suppress(InvalidStateError):
        request.answer.set_exception(error)
