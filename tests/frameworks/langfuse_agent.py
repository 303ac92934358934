"""A hand-written agent under Langfuse's decorators: usage ``python langfuse_agent.py DSN SCENARIO``."""

from __future__ import annotations

import sys

from langfuse import Langfuse, get_client, observe
from opentelemetry import trace

from otel_episodes import configure

configure(dsn=sys.argv[1], include_agents=True)
# Nobody listens there: what it would send to its own server is lost, what it writes on the provider is kept.
client = Langfuse(
    public_key="pk", secret_key="sk", host="http://127.0.0.1:9", tracer_provider=trace.get_tracer_provider()
)


@observe(as_type="tool")
def grep(pattern: str) -> str:
    return f"3 hits of {pattern}"


@observe(as_type="tool")
def boom(path: str) -> str:
    raise ValueError(f"cannot edit {path}")


@observe(as_type="generation")
def think(prompt: str) -> str:
    get_client().update_current_generation(model="scripted", usage_details={"input": 10, "output": 2})
    return prompt


@observe(as_type="agent")
def triage(task: str) -> str:
    think(task)
    grep("TODO")
    if sys.argv[2] == "fails":
        boom("x")
    return think("done")


if __name__ == "__main__":
    try:
        triage("find the TODOs")
    except ValueError as error:
        print(error)
