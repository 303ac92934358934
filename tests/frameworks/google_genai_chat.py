"""Google's GenAI library with OpenTelemetry's instrumentation: usage ``python google_genai_chat.py DSN SCENARIO``."""

from __future__ import annotations

import os
import sys

os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "SPAN_ONLY"

from google import genai
from google.genai import types
from opentelemetry import trace
from opentelemetry.instrumentation.google_genai import GoogleGenAiSdkInstrumentor
from scripted_server import boom, grep, serve

from otel_episodes import configure

configure(dsn=sys.argv[1], include_agents=True)
GoogleGenAiSdkInstrumentor().instrument(tracer_provider=trace.get_tracer_provider())

client = genai.Client(api_key="none", http_options=types.HttpOptions(base_url=serve()))
# The library calls the functions itself, and goes on until the model is done.
config = types.GenerateContentConfig(tools=[grep, boom])
client.models.generate_content(model="gemini-2.5-flash", contents="find the TODOs", config=config)
