"""Traceloop (OpenLLMetry): `@tool`, set up with a processor that does nothing and without instrumentations."""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO

from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor
from peer import Peer
from traceloop.sdk import Traceloop
from traceloop.sdk.decorators import tool

with redirect_stdout(StringIO()):
    Traceloop.init(app_name="bench", processor=SpanProcessor(), telemetry_enabled=False, instruments=set())
peer = Peer(
    distribution="traceloop-sdk",
    decorate=tool(name="grep"),
    provider=trace.get_tracer_provider(),
    wiring="its start hook, no exporter",
)
