"""Strands Agents, which write spans by themselves: usage ``python strands_agent.py DSN SCENARIO``."""

from __future__ import annotations

import sys

from scripted_server import boom, grep, serve
from strands import Agent, tool
from strands.models.openai import OpenAIModel

from otel_episodes import configure

configure(dsn=sys.argv[1], include_agents=True)

model = OpenAIModel(client_args={"base_url": f"{serve()}/v1", "api_key": "none"}, model_id="gpt-4o-mini")
Agent(name="triage", model=model, tools=[tool(grep), tool(boom)], callback_handler=None)("find the TODOs")
