"""smolagents with a scripted model: usage ``python smolagents_agent.py DSN SCENARIO``."""

from __future__ import annotations

import sys
from typing import Any

from openinference.instrumentation.smolagents import SmolagentsInstrumentor
from opentelemetry import trace
from smolagents import ChatMessage, MessageRole, Model, ToolCallingAgent, tool
from smolagents.models import ChatMessageToolCall, ChatMessageToolCallFunction
from smolagents.monitoring import TokenUsage

from otel_episodes import configure

configure(dsn=sys.argv[1], include_agents=True)
SmolagentsInstrumentor().instrument(tracer_provider=trace.get_tracer_provider())


class Scripted(Model):
    """Asks for these tools one after the other."""

    def __init__(self, *calls: tuple[str, dict[str, str]]) -> None:
        super().__init__(model_id="scripted")
        self.calls = list(calls)

    def generate(self, _messages: Any, **_options: Any) -> ChatMessage:
        name, arguments = self.calls.pop(0)
        call = ChatMessageToolCall(ChatMessageToolCallFunction(arguments, name), f"c{len(self.calls)}", "function")
        return ChatMessage(MessageRole.ASSISTANT, "", [call], token_usage=TokenUsage(10, 2))


@tool
def grep(pattern: str) -> str:
    """Search.

    Args:
        pattern: what for
    """
    return f"3 hits of {pattern}"


@tool
def boom(path: str) -> str:
    """Break.

    Args:
        path: what
    """
    raise ValueError(f"cannot edit {path}")


GREP, DONE = ("grep", {"pattern": "TODO"}), ("final_answer", {"answer": "done"})
SCENARIOS = {"plain": [GREP, DONE], "recovers": [("boom", {"path": "x"}), GREP, DONE]}

if __name__ == "__main__":
    agent = ToolCallingAgent([grep, boom], Scripted(*SCENARIOS[sys.argv[2]]), name="triage", description="finds things")
    agent.run("find the TODOs")
