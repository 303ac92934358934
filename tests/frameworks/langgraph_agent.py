"""LangGraph with a scripted chat model: usage ``python langgraph_agent.py DSN SCENARIO INSTRUMENTATION``."""

from __future__ import annotations

import sys
from itertools import chain, repeat
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import ToolException, tool
from opentelemetry import trace

from otel_episodes import configure

configure(dsn=sys.argv[1], include_agents=True)


def instrument(how: str) -> None:
    if how == "openinference":
        from openinference.instrumentation.langchain import LangChainInstrumentor
    elif how == "openllmetry":
        from opentelemetry.instrumentation.langchain import LangchainInstrumentor as LangChainInstrumentor
    else:
        from opentelemetry.instrumentation.genai.langchain import LangChainInstrumentor
    LangChainInstrumentor().instrument(tracer_provider=trace.get_tracer_provider())


class Scripted(GenericFakeChatModel):
    """Says what it was told to, whatever tools it gets."""

    def bind_tools(self, _tools: Any, **_options: Any) -> Scripted:
        return self


@tool
def grep(pattern: str) -> str:
    """Search."""
    return f"3 hits of {pattern}"


@tool
def boom(path: str) -> str:
    """Break."""
    raise ValueError(f"cannot edit {path}")


def refuse(path: str) -> str:
    """Say no."""
    raise ToolException(f"{path} is read-only")


refuse = tool(refuse)
refuse.handle_tool_error = True


def call(name: str, number: int, **arguments: str) -> AIMessage:
    usage = {"input_tokens": 10, "output_tokens": 2, "total_tokens": 12}
    calls = [{"name": name, "args": arguments, "id": f"c{number}", "type": "tool_call"}]
    return AIMessage("", tool_calls=calls, usage_metadata=usage)


SCENARIOS = {
    "plain": [call("grep", 1, pattern="TODO"), call("grep", 2, pattern="FIXME")],
    "fails": [call("grep", 1, pattern="TODO"), call("boom", 2, path="x")],
    "recovers": [call("refuse", 1, path="x"), call("grep", 2, pattern="x")],
}


def main() -> None:
    instrument(sys.argv[3])
    messages = chain(SCENARIOS[sys.argv[2]], repeat(AIMessage("done")))
    agent = create_agent(Scripted(messages=messages), [grep, boom, refuse], name="triage")
    try:
        agent.invoke({"messages": [("user", "find the TODOs")]})
    except ValueError as error:
        print(error)


if __name__ == "__main__":
    main()
