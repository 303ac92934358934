"""Logfire: `@instrument`, arguments as by default and the result by `record_return`, nothing sent."""

from __future__ import annotations

import logfire
from peer import Peer

logfire.configure(send_to_logfire=False, console=False, metrics=False, inspect_arguments=False)
peer = Peer(
    distribution="logfire",
    decorate=logfire.instrument("grep", record_return=True),
    provider=logfire.DEFAULT_LOGFIRE_INSTANCE.config.get_tracer_provider().provider,
    wiring="its scrubbing processor, no exporter",
)
