"""The same episode, sent to an OpenTelemetry collector instead of a store.

Needs a collector, on this machine or where OTEL_EXPORTER_OTLP_ENDPOINT says: `python examples/otlp_collector.py`.
"""

from __future__ import annotations

import os
import socket
import sys
from urllib.parse import urlsplit

from otel_episodes import configure, episode, step

ENDPOINT = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318")  # grpc://localhost:4317 for gRPC


@step(action="{a} + {b}")
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def listens(endpoint: str) -> bool:
    """Tell whether anybody answers there: the SDK's exporter would only log that nobody does, after ten seconds."""
    parts = urlsplit(endpoint)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 4318), timeout=2).close()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    if not listens(ENDPOINT):
        sys.exit(
            f"No collector listens at {ENDPOINT}: start one (collector-config/ has the configurations),"
            " or set OTEL_EXPORTER_OTLP_ENDPOINT"
        )
    configure(otlp=ENDPOINT, service_name="examples")
    with episode("Add up", agent="adder") as ep:
        ep.succeed(f"the sum is {add(20, 22)}")
    print(f"Sent to {ENDPOINT}: trace {ep.trace_id}")
