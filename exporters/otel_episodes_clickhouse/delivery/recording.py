"""A tracer provider of our own, and recording to it inside a block: for the commands, the demo and imports."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from opentelemetry.context import Context
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from otel_episodes import _state
from otel_episodes._context import attach, detach

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace.id_generator import IdGenerator
    from opentelemetry.trace import TracerProvider as AnyTracerProvider


SERVICE_NAME = "otel-episodes"


def new_provider(ids: IdGenerator | None = None) -> TracerProvider:
    """Return a provider of our own that samples everything and does not wait for anybody at exit."""
    # Not Resource.create, which looks through every installed package for detectors: 30 ms.
    named = Resource({"service.name": SERVICE_NAME}).merge(OTELResourceDetector().detect())
    return TracerProvider(resource=named, sampler=ALWAYS_ON, id_generator=ids, shutdown_on_exit=False)


@contextmanager
def recording_to(provider: AnyTracerProvider) -> Iterator[None]:
    """Record to this provider inside the block, outside of any span that is current, and raise our own errors."""
    before = _state.settings, _state.provider
    _state.settings = replace(_state.settings, strict=True)
    _state.provider = provider
    token = attach(Context())
    try:
        yield
    finally:
        detach(token)
        _state.settings, _state.provider = before
