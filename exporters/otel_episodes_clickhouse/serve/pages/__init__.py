"""What a browser shows of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from otel_episodes_clickhouse.serve.ask import Ask


def routes(ask: Ask) -> list[BaseRoute]:  # noqa: ARG001  # what pages will ask
    """Return the routes of all pages."""
    return []
