"""openai-agents with a scripted model: usage ``python openai_agents_agent.py DSN SCENARIO INSTRUMENTATION``."""

from __future__ import annotations

import sys
from typing import Any

from agents import Agent, Model, ModelResponse, RunConfig, Runner, Usage, function_tool, set_trace_processors
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText
from opentelemetry import trace

from otel_episodes import configure

configure(dsn=sys.argv[1], include_agents=True)


def instrument(how: str) -> None:
    if how == "openinference":
        from openinference.instrumentation.openai_agents import OpenAIAgentsInstrumentor
    elif how == "openllmetry":
        from opentelemetry.instrumentation.openai_agents import OpenAIAgentsInstrumentor
    else:
        from opentelemetry.instrumentation.genai.openai_agents import OpenAIAgentsInstrumentor
    set_trace_processors([])  # or it would send them to OpenAI
    OpenAIAgentsInstrumentor().instrument(tracer_provider=trace.get_tracer_provider())


class Scripted(Model):
    """Asks for these tools one after the other, then says that it is done."""

    def __init__(self, *calls: tuple[str, str]) -> None:
        self.calls = list(calls)
        self.name = "-".join(name for name, _ in calls)

    async def get_response(self, *_arguments: Any, **_options: Any) -> ModelResponse:
        output: Any
        if self.calls:
            name, arguments = self.calls.pop(0)
            output = ResponseFunctionToolCall(
                name=name, arguments=arguments, call_id=f"{self.name}-{len(self.calls)}", type="function_call"
            )
        else:
            text = ResponseOutputText(text="done", type="output_text", annotations=[])
            output = ResponseOutputMessage(
                id="m1", content=[text], role="assistant", status="completed", type="message"
            )
        usage = Usage(requests=1, input_tokens=10, output_tokens=2, total_tokens=12)
        return ModelResponse(output=[output], usage=usage, response_id=None)

    def stream_response(self, *_arguments: Any, **_options: Any) -> Any:
        raise NotImplementedError


@function_tool
def grep(pattern: str) -> str:
    """Search."""
    return f"3 hits of {pattern}"


@function_tool(failure_error_function=None)
def boom(path: str) -> str:
    """Break."""
    raise ValueError(f"cannot edit {path}")


GREP = ("grep", '{"pattern": "TODO"}')
SCENARIOS = {"plain": [GREP], "fails": [GREP, ("boom", '{"path": "x"}')]}


def main() -> None:
    instrument(sys.argv[3])
    if sys.argv[2] == "hands-over":
        second = Agent("refunds", model=Scripted(GREP), tools=[grep])
        agent = Agent("triage", model=Scripted(("transfer_to_refunds", "{}")), handoffs=[second])
    else:
        agent = Agent("triage", model=Scripted(*SCENARIOS[sys.argv[2]]), tools=[grep, boom])
    try:
        Runner.run_sync(agent, "find the TODOs", run_config=RunConfig(workflow_name="wf"))
    except Exception as error:
        print(error)


if __name__ == "__main__":
    main()
