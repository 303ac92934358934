"""OpenInference: `@tracer.tool`, arguments and result captured as by default."""

from __future__ import annotations

from openinference.instrumentation import TracerProvider
from peer import Peer

provider = TracerProvider()
peer = Peer(
    distribution="openinference-instrumentation",
    decorate=provider.get_tracer("agent").tool(name="grep"),
    provider=provider,
    wiring="no processor",
)
