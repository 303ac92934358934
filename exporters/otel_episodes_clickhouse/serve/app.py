"""The application: what is answered at which path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from otel_episodes import __version__
from otel_episodes_clickhouse.serve import pages

if TYPE_CHECKING:
    from starlette.requests import Request

    from otel_episodes_clickhouse.serve.ask import Ask


def build_app(ask: Ask) -> Starlette:
    """Return the application that asks this store."""

    async def healthz(_request: Request) -> Response:
        await ask.rows("engine_version")
        return JSONResponse({"status": "ok", "version": __version__})

    return Starlette(routes=[Route("/healthz", healthz), *pages.routes(ask)])
