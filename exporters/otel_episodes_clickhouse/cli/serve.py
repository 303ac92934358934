"""`otel-episodes serve`: spans in, pages out, in one process."""

from __future__ import annotations

import socket
from typing import Annotated

import typer

from otel_episodes_clickhouse import config
from otel_episodes_clickhouse.cli import options, output
from otel_episodes_clickhouse.config import Target
from otel_episodes_clickhouse.errors import ConfigurationError, StoreUnavailableError

_PORT = 4318
_TOKEN_LENGTH = 16


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    options.add(app, serve)


def serve(
    host: Annotated[str, typer.Option(help="Another address than loopback needs OTEL_EPISODES_TOKEN.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = _PORT,
    learn: Annotated[bool, typer.Option(help="Run the jobs as runs arrive.")] = True,
    dsn: options.Dsn = None,
    json: options.Json = False,
) -> None:
    """Take spans from any OpenTelemetry SDK, and show what is recorded to a browser, until told to stop.

    Send with OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318, and OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf where the
    default is gRPC. What arrives is on disk before it is acknowledged, stored within a second and learned from soon
    after. Other commands and agents use the same store as ever.

    Examples:
      otel-episodes serve
      OTEL_EPISODES_TOKEN=$(openssl rand -hex 24) otel-episodes serve --host 0.0.0.0
    """
    _check_installed()
    from otel_episodes_clickhouse.serve.walls import is_loopback  # noqa: PLC0415  # with the extra

    target, token = Target.resolve(dsn), config.token()
    if not is_loopback(host) and len(token) < _TOKEN_LENGTH:
        raise ConfigurationError(
            f"{host} can be reached from other machines: put a token of {_TOKEN_LENGTH} characters or more in "
            f"{config.TOKEN_VARIABLE}, or leave --host out"
        )
    from otel_episodes_clickhouse.serve import service  # noqa: PLC0415  # with the extra

    with _listening(host, port) as listener:
        address = f"http://{_shown(host)}:{listener.getsockname()[1]}"
        service.run(target, listener, lambda: _say(target, address, json=json), token=token, learn=learn)


def _say(target: Target, address: str, *, json: bool) -> None:
    if json:
        output.json({"event": "started", "address": address, "target": str(target)}, indent=False)
    else:
        output.line(f"{target} at {address}; end with Ctrl-C or SIGTERM", flush=True)


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else "localhost" if host == "127.0.0.1" else host


def _check_installed() -> None:
    try:
        import jinja2  # noqa: F401, PLC0415  # only here
        import starlette  # noqa: F401, PLC0415  # likewise
        import uvicorn  # noqa: F401, PLC0415  # likewise
        from opentelemetry.proto.collector.trace.v1 import trace_service_pb2  # noqa: F401, PLC0415  # likewise
    except ModuleNotFoundError as error:
        raise StoreUnavailableError(
            f"serve needs more packages ({error.name} is missing): pip install 'otel-episodes[embedded,serve]', or "
            "[serve] alone for a server"
        ) from error


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StoreUnavailableError(f"cannot listen at {host}:{port} ({reason}): name another with --port") from error
