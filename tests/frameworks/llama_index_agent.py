"""LlamaIndex with OpenInference: usage ``python llama_index_agent.py DSN SCENARIO``."""

from __future__ import annotations

import asyncio
import sys

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.llms.openai import OpenAI
from openinference.instrumentation.llama_index import LlamaIndexInstrumentor
from opentelemetry import trace
from scripted_server import boom, grep, serve

from otel_episodes import configure

configure(dsn=sys.argv[1], include_agents=True)
LlamaIndexInstrumentor().instrument(tracer_provider=trace.get_tracer_provider())


async def main() -> None:
    model = OpenAI(model="gpt-4o-mini", api_base=f"{serve()}/v1", api_key="none")
    await FunctionAgent(name="triage", tools=[grep, boom], llm=model, streaming=False).run("find the TODOs")


asyncio.run(main())
