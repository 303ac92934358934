"""What answers by the Model Context Protocol, loaded by its first request: that takes as long as starting all else."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from typing import TYPE_CHECKING

from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.applications import Starlette
    from starlette.types import Receive, Scope, Send

    from otel_episodes_clickhouse.store.store import Store


def routes(open_store: Callable[[], Store]) -> list[Route]:
    """Return the route of ``/mcp``; none without the extra for it."""
    return [Route("/mcp", _Loaded(open_store))] if find_spec("mcp") is not None else []


class _Loaded:
    """An application that is made by its first request, and lives as long as the event loop."""

    def __init__(self, open_store: Callable[[], Store]) -> None:
        self._open_store = open_store
        self._one_at_a_time = asyncio.Lock()
        self._app: Starlette | None = None
        self._living: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        async with self._one_at_a_time:
            app = self._app = self._app or await self._made()
        await app(scope, receive, send)

    async def _made(self) -> Starlette:
        app = await asyncio.to_thread(self._load)
        begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # A task of its own: its context has to be left where it was entered, which is when the loop ends.
        self._living = asyncio.create_task(_live(app, begun))
        await begun
        return app

    def _load(self) -> Starlette:
        from otel_episodes_clickhouse.advice.mcp_server import http_app  # noqa: PLC0415  # see above

        return http_app(self._open_store)


async def _live(app: Starlette, begun: asyncio.Future[None]) -> None:
    try:
        async with app.router.lifespan_context(app):
            begun.set_result(None)
            await asyncio.Event().wait()
    except Exception as error:  # noqa: BLE001  # the request that waits for it is told
        if not begun.done():
            begun.set_exception(error)
