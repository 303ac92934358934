"""pydantic-ai: decorated tools with a RunContext, and one that asks for another try."""

from beside import check, done, recording
from pydantic_ai import Agent, ModelRetry, RunContext
from pydantic_ai.models.test import TestModel

from otel_episodes import episode, step

tries = []
with recording() as recorded, episode("t"):
    agent = Agent(TestModel(), deps_type=dict, retries=2)

    @agent.tool
    @step
    async def price(ctx: RunContext[dict], article: str) -> str:
        """Return the price."""
        tries.append(article)
        if len(tries) < 2:
            raise ModelRetry("try again")
        return article

    agent.run_sync("hi", deps={"secret of the shop": 1})
first, second = recorded.steps
told = [s.attributes.get("episode.step.action") or s.attributes["gen_ai.tool.call.arguments"] for s in recorded.steps]
check("the tool's argument is told", all('"article": "a"' in text for text in told))
check("what the framework injects is not", all("secret" not in text for text in told))
check("one that asks for another try has not failed", (first.status, second.status) == ("UNSET", "UNSET"))
check("the next try is linked to it", [len(s.links) for s in recorded.steps] == [0, 1])
done("pydantic-ai-slim")
