"""Langfuse: `@observe(as_type="tool")`; its client adds its own batch processor, here with an exporter that drops."""

from __future__ import annotations

from langfuse import Langfuse, observe
from opentelemetry.sdk.trace import TracerProvider
from peer import NoExporter, Peer

provider = TracerProvider()
# The client wants keys to record at all; nothing is signed in with them.
Langfuse(public_key="none", secret_key="none", tracer_provider=provider, span_exporter=NoExporter())
peer = Peer(
    distribution="langfuse",
    decorate=observe(name="grep", as_type="tool"),
    provider=provider,
    wiring="its batch processor, dropping exporter",
)
