"""Haystack with its own tracer, content on: usage ``python haystack_agent.py DSN SCENARIO``."""

from __future__ import annotations

import os
import sys

os.environ["HAYSTACK_CONTENT_TRACING_ENABLED"] = "true"
os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "false"

from haystack import tracing
from haystack.components.agents import Agent
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage
from haystack.tools import create_tool_from_function
from haystack.utils import Secret
from haystack_integrations.tracing.opentelemetry import OpenTelemetryTracer
from opentelemetry import trace
from scripted_server import boom, grep, serve

from otel_episodes import configure

configure(dsn=sys.argv[1], include_agents=True)
tracing.enable_tracing(OpenTelemetryTracer(trace.get_tracer("haystack")))
tracing.tracer.is_content_tracing_enabled = True

model = OpenAIChatGenerator(model="gpt-4o-mini", api_key=Secret.from_token("none"), api_base_url=f"{serve()}/v1")
agent = Agent(chat_generator=model, tools=[create_tool_from_function(tool) for tool in (grep, boom)])
agent.run(messages=[ChatMessage.from_user("find the TODOs")])
