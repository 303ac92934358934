"""OpenLIT: `@trace` on the global provider; `init`, which adds exporters and instrumentations, is left out."""

from __future__ import annotations

import openlit
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from peer import Peer

openlit.OpenlitConfig.reset_to_defaults()
provider = TracerProvider()
trace.set_tracer_provider(provider)
peer = Peer(distribution="openlit", decorate=openlit.trace, provider=provider, wiring="no processor")
