"""MLflow: `@trace(span_type="TOOL")` on the shared provider, with its own processor but no store behind it.

MLflow adds that processor to a provider that has none; putting it there first keeps the exporter ours.
"""

from __future__ import annotations

import mlflow
from mlflow.entities.trace_location import MlflowExperimentLocation
from mlflow.tracing.processor.mlflow_v3 import MlflowV3SpanProcessor
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from peer import NoExporter, Peer

mlflow.tracing.set_destination(MlflowExperimentLocation(experiment_id="0"))
provider = TracerProvider()
provider.add_span_processor(MlflowV3SpanProcessor(span_exporter=NoExporter(), export_metrics=False))
trace.set_tracer_provider(provider)
peer = Peer(
    distribution="mlflow-tracing",
    decorate=mlflow.trace(name="grep", span_type="TOOL"),
    provider=provider,
    wiring="its processor, dropping exporter",
    scope=lambda: mlflow.start_span("invoke_agent coder"),
)
