"""The MCP SDK, client and server in one process: usage ``python mcp_tools.py DSN SCENARIO``."""

from __future__ import annotations

import asyncio
import sys

from mcp import Client
from mcp.server.mcpserver import MCPServer
from opentelemetry import trace

from otel_episodes import configure

configure(dsn=sys.argv[1], include_agents=True)
server = MCPServer("weather")


@server.tool()
def get_weather(city: str) -> str:
    """Return the weather."""
    if city == "Atlantis":
        raise ValueError("no such city")
    return f"{city}: sunny"


async def main() -> None:
    tracer = trace.get_tracer("app")
    attributes = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "triage"}
    async with Client(server) as client:
        with tracer.start_as_current_span("invoke_agent triage", attributes=attributes):
            await client.list_tools()
            for city in ("Paris", "Atlantis"):
                await client.call_tool("get_weather", {"city": city})


if __name__ == "__main__":
    asyncio.run(main())
