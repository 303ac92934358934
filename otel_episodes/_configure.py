"""Setting everything up in one call."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from opentelemetry import trace

from otel_episodes import _state
from otel_episodes._processor import stamp_episodes
from otel_episodes.exceptions import SetupError, UsageError

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

    from otel_episodes._redaction import Redactor
    from otel_episodes._settings import Capture, Orphans

_INSTALL = "pip install 'otel-episodes[embedded]' (with the engine) or 'otel-episodes[clickhouse]' (for a server)"

# What `configure` has added to which provider: a second call adds nothing twice.
_added: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()
_UNCHANGED: Any = object()


def configure(  # each is one independent choice
    *,
    dsn: str | None = None,
    otlp: str | None = None,
    service_name: str | None = None,
    capture: Capture | None = None,
    orphans: Orphans | None = None,
    redactor: Redactor | None = _UNCHANGED,
    stacks: bool | None = None,
    include_agents: bool = False,
    ship: bool | None = None,
    tracer_provider: TracerProvider | None = None,
) -> None:
    """Record episodes from here on: set up a tracer provider, or add to the one that is there.

    ``dsn`` is where episodes are stored: ``chdb:///path`` (embedded), ``clickhouse://user:secret@host:8443/db?secure=true``,
    ``http(s)://…``; by default ``OTEL_EPISODES_DSN``, else the embedded store in the user's data directory. ``otlp``
    sends the same spans to a collector as well (``http://host:4318``, ``grpc://host:4317``); alone, it replaces the
    store. ``ship=False`` (or ``OTEL_EPISODES_SHIP=false``) leaves it to the command ``otel-episodes ship`` to talk to
    the server: this process only writes files. ``include_agents`` stores agent spans of other instrumentations too,
    outside of episodes. ``capture``, ``orphans``, ``stacks`` and ``redactor`` change what is recorded, see the README;
    what is not given stays as it is.

    Calling it again with the same destination changes nothing twice. The store writes each span to a file before the
    step returns; no database is opened in this process unless the destination is a server.

    Raises:
        SetupError: a package that this needs is not installed.
        UsageError: an argument cannot be right.
    """
    changes = {"capture": capture, "orphans": orphans, "stacks": stacks}
    settings = replace(_state.settings, **{key: value for key, value in changes.items() if value is not None})  # type: ignore[arg-type]
    if redactor is not _UNCHANGED:
        settings = replace(settings, redactor=redactor)
    provider: Any = tracer_provider or _provider(service_name)
    if not hasattr(provider, "add_span_processor"):
        raise SetupError(
            f"the tracer provider in force, {type(provider).__name__}, takes no span processors: "
            "pass configure(tracer_provider=...) an SDK TracerProvider"
        )
    if settings.redactor is not None:
        settings.redactor.load()
    added = _added.setdefault(provider, set())
    if (dsn is not None or otlp is None) and f"store {dsn}" not in added:
        stamp_episodes(provider, by=_store(dsn, include_agents=include_agents, ship=ship))
        added.add(f"store {dsn}")
    if otlp is not None and f"otlp {otlp}" not in added:
        stamp_episodes(provider)
        provider.add_span_processor(_otlp(otlp))
        added.add(f"otlp {otlp}")
    _state.settings = settings
    _state.provider = tracer_provider


def _provider(service_name: str | None) -> Any:
    current = trace.get_tracer_provider()
    if not isinstance(current, trace.ProxyTracerProvider):
        return current
    try:
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415  # optional
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    except ImportError:
        raise SetupError(f"recording needs the OpenTelemetry SDK: {_INSTALL}") from None
    created = TracerProvider(resource=Resource.create({"service.name": service_name} if service_name else {}))
    trace.set_tracer_provider(created)
    return created


def _store(dsn: str | None, *, include_agents: bool, ship: bool | None) -> Any:
    from importlib.metadata import entry_points  # noqa: PLC0415  # slow to import, needed once

    found = next(iter(entry_points(group="otel_episodes_store")), None)
    try:
        if found is None:
            raise ImportError  # one message for both
        open_processor = found.load()
    except ImportError:
        raise SetupError(f"storing episodes needs more packages: {_INSTALL}") from None
    return open_processor(dsn, include_agents=include_agents, ship=ship)


def _otlp(endpoint: str) -> Any:
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https", "grpc") or not parts.netloc:
        raise UsageError(f"otlp={endpoint!r} is no endpoint: use http://host:4318, https://… or grpc://host:4317")
    try:
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415  # optional

        if parts.scheme == "grpc":
            from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as grpc  # noqa: PLC0415

            return BatchSpanProcessor(grpc.OTLPSpanExporter(endpoint=f"http://{parts.netloc}"))
        from opentelemetry.exporter.otlp.proto.http import trace_exporter as http  # noqa: PLC0415
    except ImportError:
        raise SetupError("sending to a collector needs: pip install 'otel-episodes[otlp]'") from None
    path = parts.path if parts.path not in ("", "/") else "/v1/traces"
    return BatchSpanProcessor(http.OTLPSpanExporter(endpoint=parts._replace(path=path).geturl()))
