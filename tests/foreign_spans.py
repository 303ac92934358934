"""Spans that other instrumentations wrote, as rows of ``otel_traces``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otel_episodes_clickhouse.rows import Row

if TYPE_CHECKING:
    from otel_episodes_clickhouse.store import Store

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "foreign_spans"
RECORDED = Path(__file__).with_name("data") / "frameworks"

T0 = 1_767_225_600_000_000_000  # 2026-01-01
MS = 1_000_000


def rows_in(path: Path) -> list[Row]:
    """Return the spans of a file; of its events only the names may be known."""
    return [_row(span) for span in json.loads(path.read_text(encoding="utf-8"))]


def _row(span: dict[str, Any]) -> Row:
    events = [event if isinstance(event, dict) else {"Name": event} for event in span["events"]]
    return Row(
        timestamp=span["Timestamp"],
        trace_id=span["TraceId"],
        span_id=span["SpanId"],
        parent_span_id=span["ParentSpanId"],
        span_name=span["SpanName"],
        span_kind=span["SpanKind"],
        service_name="foreign",
        scope_name=span["ScopeName"],
        scope_version=span["ScopeVersion"],
        span_attributes=span["SpanAttributes"],
        duration=span["Duration"],
        status_code=span["StatusCode"],
        status_message=span["StatusMessage"],
        event_timestamps=tuple(span["Timestamp"] for _ in events),
        event_names=tuple(event["Name"] for event in events),
        event_attributes=tuple(event.get("Attributes", {}) for event in events),
    )


def recording_of(store: Store, traces: list[str]) -> list[dict[str, Any]]:
    """Return what a store holds of these traces, in the form that `rows_in` reads."""
    return store.query(
        "SELECT toUnixTimestamp64Nano(Timestamp) AS Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ScopeName, "
        "ScopeVersion, SpanAttributes, Duration, StatusCode, StatusMessage, "
        "arrayMap((n, a) -> map('Name', toJSONString(n), 'Attributes', toJSONString(a)), Events.Name, Events.Attributes) AS events "
        "FROM otel_traces WHERE has({traces:Array(String)}, TraceId) ORDER BY TraceId, Timestamp, SpanId",
        {"traces": traces},
    )


def span(  # what differs from one span to the next
    trace: str, name: str, parent: str = "", *, start: int = 0, ms: int = 10, kind: str = "Internal", status: str = "Unset",
    message: str = "", **attributes: str,
) -> Row:  # fmt: skip
    """Return a span named by its id; in keywords ``__`` stands for a dot."""
    return Row(
        timestamp=T0 + start * MS,
        trace_id=trace,
        span_id=name,
        parent_span_id=parent,
        span_name=name,
        span_kind=kind,
        service_name="foreign",
        span_attributes={key.replace("__", "."): value for key, value in attributes.items()},
        duration=ms * MS,
        status_code=status,
        status_message=message,
    )


def agent(trace: str, name: str = "agent", parent: str = "", **more: Any) -> Row:
    """Return the span of an agent that carries its name."""
    return span(trace, name, parent, gen_ai__operation__name="invoke_agent", gen_ai__agent__name="triage", **more)


def tool(trace: str, name: str, parent: str = "agent", **more: Any) -> Row:
    """Return the span of a tool named as its span."""
    names = {"gen_ai__operation__name": "execute_tool", "gen_ai__tool__name": more.pop("tool", name)}
    return span(trace, name, parent, **names, **more)


def model(trace: str, name: str, parent: str = "agent", *, tokens: tuple[int, int] = (10, 2), **more: Any) -> Row:
    """Return the span of a model call."""
    counts = {"gen_ai__usage__input_tokens": str(tokens[0]), "gen_ai__usage__output_tokens": str(tokens[1])}
    return span(trace, name, parent, gen_ai__operation__name="chat", **counts, **more)


def found(store: Store, trace: str) -> dict[str, Any] | None:
    """Return what the view says of the episode of a trace, with its steps as [tool, success], None where there is none."""
    rows = store.query(
        "SELECT EpisodeId, Task, AgentName, Outcome, Verdict, Steps, FailedSteps, ModelCalls, InputTokens, OutputTokens, Tools "
        "FROM episodes WHERE TraceId = {trace:String}",
        {"trace": trace},
    )
    if not rows:
        return None
    (row,) = rows
    steps = store.query_named("episode_steps", {"id": row["EpisodeId"]})
    return {**row, "steps": [[step["Tool"], step["Success"]] for step in steps]}
