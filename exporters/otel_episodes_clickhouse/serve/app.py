"""The application: what is answered at which path."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from otel_episodes import __version__
from otel_episodes_clickhouse.serve import pages, receive
from otel_episodes_clickhouse.serve.walls import Walls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from otel_episodes_clickhouse.serve.ask import Ask
    from otel_episodes_clickhouse.serve.intake import Intake
    from otel_episodes_clickhouse.serve.work import Work


def build_app(ask: Ask, intake: Intake, work: Work, tools: Sequence[Route] = (), *, token: str = "") -> ASGIApp:
    """Return the application behind its walls; ``token`` is what a request has to carry, empty for none.

    ``tools`` are the routes of other protocols (`serve.tools`).
    """

    async def healthz(_request: Request) -> Response:
        await ask.rows("engine_version")
        return JSONResponse({"status": "ok", "version": __version__})

    async def counts(_request: Request) -> Response:
        return JSONResponse({"received": intake.counts.told(), **await asyncio.to_thread(work.counts)})

    routes = [
        Route("/healthz", healthz),
        Route("/counts.json", counts),
        *receive.routes(intake, ask.keep_logs),
        *tools,
        *pages.routes(ask),
    ]
    return Walls(Starlette(routes=routes), token=token)
