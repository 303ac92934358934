"""`otel-episodes serve`: spans in, pages out, in one process."""

from __future__ import annotations

from typing import Annotated

import typer

from otel_episodes_clickhouse.cli import options, output
from otel_episodes_clickhouse.config import Target
from otel_episodes_clickhouse.errors import StoreUnavailableError

_PORT = 4318


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    options.add(app, serve)


def serve(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where it listens.")] = _PORT,
    dsn: options.Dsn = None,
) -> None:
    """Show what is recorded to a browser on this machine, until told to stop.

    Examples:
      otel-episodes serve
    """
    try:
        import uvicorn  # noqa: PLC0415  # only here
        from starlette.applications import Starlette  # noqa: F401, PLC0415  # likewise
    except ModuleNotFoundError as error:
        raise StoreUnavailableError(
            f"serve needs more packages ({error.name} is missing): pip install 'otel-episodes[embedded,serve]'"
        ) from error
    from otel_episodes_clickhouse.serve.app import build_app  # noqa: PLC0415  # with the extra
    from otel_episodes_clickhouse.serve.ask import Ask  # noqa: PLC0415  # likewise
    from otel_episodes_clickhouse.store.store import Store  # noqa: PLC0415  # with the engine

    target = Target.resolve(dsn)
    with Store.open(target) as store:
        store.drain()
        ask = Ask(lambda: Store(target, None, read_only=False))
        output.line(f"http://127.0.0.1:{port}", flush=True)
        uvicorn.run(build_app(ask), host="127.0.0.1", port=port, log_level="warning")
        ask.close()
