"""FastMCP: a decorated function registered as a tool of a server, called by a client."""

import asyncio

from beside import check, done, recording
from fastmcp import Client, FastMCP

from otel_episodes import episode, step


async def look_up(city: str, days: int = 1) -> str:
    """Look up the weather."""
    return f"{city}: sunny for {days}"


async def schema_and_answer(function):
    server = FastMCP("weather")
    server.tool(function, name="look_up")
    async with Client(server) as client:
        (listed,) = await client.list_tools()
        return listed.inputSchema, listed.description, (await client.call_tool("look_up", {"city": "Bern"})).data


bare = asyncio.run(schema_and_answer(look_up))
with recording() as recorded, episode("t"):
    decorated = asyncio.run(schema_and_answer(step(look_up)))
check("schema, description and answer are those of the bare function", bare == decorated)
check("the call is a step", [s.name for s in recorded.steps] == ["execute_tool look_up"])
done("fastmcp", "mcp")
