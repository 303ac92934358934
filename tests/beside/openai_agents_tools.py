"""openai-agents: a decorated function tool with the run's context."""

import asyncio

from agents import RunContextWrapper, function_tool
from agents.tool_context import ToolContext
from beside import check, done, recording

from otel_episodes import episode, step


def weather(ctx: RunContextWrapper[dict], city: str) -> str:
    """Return the weather.

    Args:
        city: Where.
    """
    return city


bare, decorated = function_tool(weather), function_tool(step(weather))
check("its schema is that of the bare function", bare.params_json_schema == decorated.params_json_schema)
context = ToolContext(
    context={"catalogue": list(range(99))}, tool_name="weather", tool_call_id="1", tool_arguments="{}"
)
with recording() as recorded, episode("t"):
    check("it runs", asyncio.run(decorated.on_invoke_tool(context, '{"city": "Bern"}')) == "Bern")
attributes = recorded.steps[0].attributes
told = attributes.get("episode.step.action") or attributes["gen_ai.tool.call.arguments"]
check("the tool's argument is told, the context is not", told == '{"city": "Bern"}')
done("openai-agents")
