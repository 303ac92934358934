"""pydantic-ai with a model of functions: usage ``python pydantic_ai_agent.py DSN SCENARIO``."""

from __future__ import annotations

import sys

from pydantic_ai import Agent, ModelRetry, RunContext, Tool
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from otel_episodes import configure, episode, step

configure(dsn=sys.argv[1], include_agents=True)
Agent.instrument_all()


def script(*turns: list[tuple[str, dict[str, str]]]) -> FunctionModel:
    """Return a model that asks for these tools, turn by turn, and then says that it is done."""

    def answer(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        turn = sum(isinstance(message, ModelResponse) for message in messages)
        if turn < len(turns):
            return ModelResponse([ToolCallPart(name, arguments) for name, arguments in turns[turn]])
        return ModelResponse([TextPart("done")])

    return FunctionModel(answer)


def grep(pattern: str) -> str:
    """Search."""
    return f"3 hits of {pattern}"


@step(tool="grep", action="search {pattern}")
def decorated(pattern: str) -> str:
    """Search."""
    return f"3 hits of {pattern}"


@step(action="look for {pattern}")
def look(pattern: str) -> str:
    return f"looked for {pattern}"


def scan(pattern: str) -> str:
    """Look twice."""
    return look(pattern) + look(pattern + "!")


def boom(path: str) -> str:
    """Break."""
    raise ValueError(f"cannot edit {path}")


def edit_agent() -> Agent:
    agent = Agent(script([("edit", {"path": "a"})], [("edit", {"path": "b"})]), name="editor", retries=2)

    @agent.tool
    def edit(_context: RunContext[None], path: str) -> str:
        """Edit."""
        if path == "a":
            raise ModelRetry("no such file")
        return "edited"

    return agent


async def delegate(task: str) -> str:
    """Let somebody else do it."""
    helper = Agent(script([("grep", {"pattern": task})]), name="helper", tools=[grep])
    return (await helper.run(task)).output


def agent(*turns: list[tuple[str, dict[str, str]]], tools: list[object]) -> Agent:
    return Agent(script(*turns), name="triage", tools=tools)


def run(scenario: str) -> None:
    search = [("grep", {"pattern": "TODO"})]
    if scenario == "plain":
        agent(search, tools=[grep]).run_sync("find the TODOs")
    elif scenario == "recovers":
        edit_agent().run_sync("edit it")
    elif scenario == "fails":
        agent(search, [("boom", {"path": "x"})], tools=[grep, boom]).run_sync("break it")
    elif scenario == "decorated":
        agent(search, tools=[Tool(decorated, name="grep")]).run_sync("find the TODOs")
    elif scenario == "two-steps-inside":
        agent([("scan", {"pattern": "TODO"})], tools=[scan]).run_sync("scan it")
    elif scenario == "delegates":
        agent([("delegate", {"task": "look it up"})], tools=[delegate]).run_sync("get it done")
    elif scenario == "in-our-episode":
        with episode("Clean up", agent="coder", domain="web-api") as ep:
            with step("plan", action="make a plan"):
                pass
            agent(search, tools=[grep]).run_sync("find the TODOs")
            ep.succeed("clean")
    elif scenario == "decorated-in-our-episode":
        with episode("Clean up", agent="coder"):
            agent(search, tools=[Tool(decorated, name="grep")]).run_sync("find the TODOs")


if __name__ == "__main__":
    try:
        run(sys.argv[2])
    except ValueError as error:
        print(error)
