"""AgentOps: `@tool`; its core is handed a provider, since `init` always signs in and exports to its service."""

from __future__ import annotations

from agentops.sdk.core import tracer as core
from agentops.sdk.decorators import tool
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from peer import Peer

provider = TracerProvider()
trace.set_tracer_provider(provider)
core.provider = provider
core._initialized = True  # nothing public sets it up without its service
peer = Peer(distribution="agentops", decorate=tool(name="grep"), provider=provider, wiring="no processor")
