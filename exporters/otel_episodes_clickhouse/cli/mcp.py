"""`otel-episodes mcp`: what was learned, as tools of the Model Context Protocol."""

from __future__ import annotations

from importlib.util import find_spec

import typer

from otel_episodes_clickhouse.cli import options
from otel_episodes_clickhouse.config import Target
from otel_episodes_clickhouse.errors import ConfigurationError


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    options.add(app, mcp)


def mcp(dsn: options.Dsn = None) -> None:
    """Answer an agent over stdin and stdout by the Model Context Protocol, until it leaves.

    Four tools: advise, similar_runs, show, feedback. Name this command in the agent's settings;
    `otel-episodes serve` answers the same at /mcp.

    Example:
      claude mcp add episodes -- otel-episodes mcp
    """
    if find_spec("mcp") is None:
        raise ConfigurationError("the tools need one more package: pip install 'otel-episodes[embedded,mcp]'")
    from otel_episodes_clickhouse.advice.mcp_server import server  # noqa: PLC0415  # with the extra
    from otel_episodes_clickhouse.store.store import Store  # noqa: PLC0415  # with the engine

    target = Target.resolve(dsn)
    server(lambda: Store.open(target)).run("stdio")
