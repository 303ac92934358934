"""A pydantic-ai agent without a decorator of ours: its own spans are the episode and its steps.

Runs offline, with a scripted model in place of a provider's: `python examples/pydantic_ai_agent.py`.
Needs: pip install pydantic-ai-slim
"""

from __future__ import annotations

from pydantic_ai import Agent, ModelRetry
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from otel_episodes import configure

STOCK = {"hammer": 3, "saw": 0}


def script(messages: list[ModelMessage], _: AgentInfo) -> ModelResponse:
    """What a model would say: look up the wrong thing, then the right one, then answer."""
    said = [
        ModelResponse([ToolCallPart("look_up", {"item": "hamer"})]),
        ModelResponse([ToolCallPart("look_up", {"item": "hammer"})]),
        ModelResponse([TextPart("There are 3 hammers.")]),
    ]
    return said[sum(isinstance(message, ModelResponse) for message in messages)]


agent = Agent(FunctionModel(script, model_name="scripted"), name="shopkeeper", instructions="Answer from the stock.")


@agent.tool_plain
def look_up(item: str) -> int:
    """Return how many of an item there are."""
    if item not in STOCK:
        raise ModelRetry(f"there is no {item!r}: the items are {', '.join(STOCK)}")
    return STOCK[item]


if __name__ == "__main__":
    configure(include_agents=True, service_name="examples")
    Agent.instrument_all()
    print(agent.run_sync("How many hammers are there?").output)
