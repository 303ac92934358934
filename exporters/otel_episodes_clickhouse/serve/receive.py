"""OTLP over HTTP: what exporters and collectors send to ``/v1/traces`` and its siblings.

The protocol: https://opentelemetry.io/docs/specs/otlp/#otlphttp. A 200 means that every span that was not rejected is
on disk, every log record too. 429 and 503 are tried again by the sender, all others are not.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Final

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route

from otel_episodes_clickhouse.errors import StoreError
from otel_episodes_clickhouse.serve import otlp
from otel_episodes_clickhouse.serve.intake import BODY_BYTES, RefusedError, unpacked
from otel_episodes_clickhouse.serve.logs import records_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from otel_episodes_clickhouse.serve.intake import Intake
    from otel_episodes_clickhouse.serve.logs import Records

# A body that does not come whole in this time is given up.
BODY_SECONDS: Final = 30.0
# gRPC's numbers, which are what a Status in the body has.
_CODES: Final = {400: 3, 408: 4, 413: 3, 415: 3, 429: 8, 503: 14}
_INTERNAL: Final = 13
_TOO_LATE: Final = "a record with a time after the year 2262"
_AGAIN_SECONDS: Final = 5


def routes(
    intake: Intake, keep_logs: Callable[[bytes, str], Awaitable[None]], *, body_seconds: float = BODY_SECONDS
) -> list[Route]:
    """Return the routes of the three signals; ``keep_logs`` writes lines of log records down under a token."""

    async def traces(body: bytes, content_type: str, *, gzip: bool) -> bytes:
        spans = await intake.take(body, content_type, gzip=gzip)
        return otlp.answer("traces", content_type, rejected=spans.rejected, reason=spans.reason)

    async def metrics(body: bytes, content_type: str, *, gzip: bool) -> bytes:  # noqa: ARG001  # nobody keeps them
        # Answered as if they were: an exporter that is refused fills its program's log.
        return otlp.answer("metrics", content_type)

    async def logs(body: bytes, content_type: str, *, gzip: bool) -> bytes:
        found = await asyncio.to_thread(_records, body, content_type, gzip=gzip)
        if found.rows:
            try:
                # The same request again has the same token.
                await keep_logs(found.lines, hashlib.sha256(found.lines).hexdigest())
            except (StoreError, OSError) as error:
                raise RefusedError(503, str(error), retry_after=_AGAIN_SECONDS) from error
        intake.counts.log_records += found.rows
        return otlp.answer("logs", content_type, rejected=found.rejected, reason=_TOO_LATE if found.rejected else "")

    return [
        Route(f"/v1/{signal.__name__}", _endpoint(signal, intake, body_seconds), methods=["POST"])
        for signal in (traces, metrics, logs)
    ]


def _records(body: bytes, content_type: str, *, gzip: bool) -> Records:
    return records_of(unpacked(body) if gzip else body, content_type)


def _endpoint(
    signal: Callable[..., Awaitable[bytes]], intake: Intake, body_seconds: float
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        held = _Held(intake)
        try:
            if content_type not in (otlp.PROTOBUF, otlp.JSON):
                raise RefusedError(415, f"the content type is {otlp.PROTOBUF} or {otlp.JSON}")
            gzip = _is_gzip(request)
            body = await _read(request, held, body_seconds)
            content = await signal(body, content_type, gzip=gzip)
        except RefusedError as error:
            return _refused(intake, content_type, error)
        except otlp.BodyError as error:
            return _refused(intake, content_type, RefusedError(400, str(error)))
        except ClientDisconnect:
            return _refused(intake, content_type, RefusedError(400, "the body did not come whole"))
        finally:
            held.let_go()
        intake.counts.requests[signal.__name__] += 1
        return Response(content, media_type=content_type)

    endpoint.__name__ = signal.__name__
    return endpoint


class _Held:
    """The bytes kept for one request."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self.size = 0

    def add(self, size: int) -> None:
        self._intake.hold(size)
        self.size += size

    def let_go(self) -> None:
        self._intake.let_go(self.size)


def _is_gzip(request: Request) -> bool:
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip"):
        raise RefusedError(415, "the content encoding is gzip, or none")
    return encoding == "gzip"


async def _read(request: Request, held: _Held, seconds: float) -> bytes:
    said = request.headers.get("content-length", "")
    too_large = RefusedError(413, f"more than {BODY_BYTES:,} bytes: send less at once")
    if said.isdigit() and int(said) > BODY_BYTES:
        raise too_large
    parts = []
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                held.add(len(part))
                if held.size > BODY_BYTES:
                    raise too_large
                parts.append(part)
    except TimeoutError:
        raise RefusedError(408, f"the body did not come within {seconds:g} s") from None
    return b"".join(parts)


def _refused(intake: Intake, content_type: str, error: RefusedError) -> Response:
    intake.counts.refused[error.status] += 1
    kind = content_type if content_type == otlp.JSON else otlp.PROTOBUF
    headers = {"Retry-After": str(error.retry_after)} if error.retry_after else {}
    if error.status in (408, 413, 415):
        # What is left of the body is not waited for.
        headers["Connection"] = "close"
    content = otlp.refusal(kind, _CODES.get(error.status, _INTERNAL), error.reason)
    return Response(content, error.status, headers, media_type=kind)
