"""OpenTelemetry's own GenAI utilities: no decorator, so `handler.tool` as a context manager, content on the span."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.util.genai.handler import TelemetryHandler
from peer import Peer

if TYPE_CHECKING:
    from paired import Tool

provider = TracerProvider()
handler = TelemetryHandler(tracer_provider=provider)


def decorate(tool: Tool) -> Tool:
    """Record a tool call the way the utilities document it."""

    def grep(pattern: str, path: str) -> str:
        with handler.tool("grep") as invocation:
            invocation.arguments = {"pattern": pattern, "path": path}
            found = tool(pattern, path)
            invocation.tool_result = found
            return found

    return grep


peer = Peer(
    distribution="opentelemetry-util-genai", decorate=decorate, provider=provider, wiring="no processor, no meter"
)
