"""What a browser shows of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_episodes_clickhouse.serve.pages.web import Views

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from otel_episodes_clickhouse.serve.pages.web import Asking


def routes(ask: Asking) -> list[BaseRoute]:
    """Return the routes of all pages."""
    return Views(ask).routes()
