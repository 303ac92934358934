"""Agno with OpenInference: usage ``python agno_agent.py DSN SCENARIO``."""

from __future__ import annotations

import sys

from agno.agent import Agent
from agno.models.openai import OpenAIChat
from openinference.instrumentation.agno import AgnoInstrumentor
from opentelemetry import trace
from scripted_server import boom, grep, serve

from otel_episodes import configure

configure(dsn=sys.argv[1], include_agents=True)
AgnoInstrumentor().instrument(tracer_provider=trace.get_tracer_provider())

model = OpenAIChat(id="gpt-4o-mini", base_url=f"{serve()}/v1", api_key="none")
Agent(name="triage", model=model, tools=[grep, boom], telemetry=False).run("find the TODOs")
