"""A tracer provider of our own: for the commands, the demo and imports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.id_generator import IdGenerator

SERVICE_NAME = "otel-episodes"


def resource_of_ours() -> Resource:
    """Return what the spans of the commands say of where they are from."""
    # Not Resource.create, which looks through every installed package for detectors: 30 ms.
    return Resource({"service.name": SERVICE_NAME}).merge(OTELResourceDetector().detect())


def new_provider(ids: IdGenerator | None = None, *, tenant: str = "") -> TracerProvider:
    """Return a provider of our own that samples everything and does not wait for anybody at exit."""
    resource = resource_of_ours().merge(Resource({"tenant.id": tenant} if tenant else {}))
    return TracerProvider(resource=resource, sampler=ALWAYS_ON, id_generator=ids, shutdown_on_exit=False)
