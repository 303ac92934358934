"""Ours: `@step` within an episode, default capture; the action names both arguments, the observation is the result."""

from __future__ import annotations

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from peer import Peer

from otel_episodes import episode, step

provider = TracerProvider()
trace.set_tracer_provider(provider)
peer = Peer(
    distribution="otel-episodes",
    decorate=step("grep", action="search {pattern} in {path}"),
    provider=provider,
    wiring="no processor",
    scope=lambda: episode("Find what is left to do", agent="coder"),
)
