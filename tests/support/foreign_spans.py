"""Spans that other instrumentations wrote, as rows of ``otel_traces``."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otel_episodes_clickhouse.spool.row import Row

if TYPE_CHECKING:
    from otel_episodes_clickhouse import Store

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "foreign_spans"
RECORDED = (Path(__file__).parents[1] / "data") / "frameworks"

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


def recording_of(store: Store, service: str) -> list[dict[str, Any]]:
    """Return the spans of a service, in the form that `rows_in` reads; without the stacks of exceptions."""
    rows = store.query(
        "SELECT toUnixTimestamp64Nano(Timestamp) AS Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ScopeName, "
        "ScopeVersion, SpanAttributes, Duration, StatusCode, StatusMessage, Events.Name AS names, Events.Attributes AS attributes "
        "FROM otel_traces WHERE ServiceName = {service:String} ORDER BY Timestamp, SpanId",
        {"service": service},
    )
    for row in rows:
        events = zip(row.pop("names"), row.pop("attributes"), strict=True)
        row["events"] = [
            {
                "Name": name,
                "Attributes": {key: text for key, text in attributes.items() if key != "exception.stacktrace"},
            }
            for name, attributes in events
        ]
    return rows


@dataclass(frozen=True)
class Case:
    """A program of ``tests/frameworks``, and what must be read in the spans it writes."""

    name: str
    outcome: str
    steps: list[list[Any]]
    task: str = "find the TODOs"
    agent: str = "triage"
    model_calls: int = 0
    tokens: tuple[int, int] | None = None

    @property
    def arguments(self) -> list[str]:
        """The program, its scenario, and for some the instrumentation."""
        return self.name.split(",")

    @property
    def file(self) -> str:
        """Where its recorded spans are kept."""
        return f"{self.name.replace(',', '.')}.json"


GREP = ["grep", True]
CASES = (
    Case("pydantic_ai_agent,plain", "success", [GREP], model_calls=2),
    Case("pydantic_ai_agent,recovers", "success", [["edit", False], ["edit", True]], "edit it", "editor", 3),
    Case("pydantic_ai_agent,fails", "failure", [GREP, ["boom", False]], "break it", model_calls=2),
    Case("pydantic_ai_agent,decorated", "success", [GREP], model_calls=2),
    Case(
        "pydantic_ai_agent,two-steps-inside",
        "success",
        [["scan", True], ["look", True], ["look", True]],
        "scan it",
        model_calls=2,
    ),
    Case("pydantic_ai_agent,delegates", "success", [["delegate", True], GREP], "get it done", model_calls=4),
    Case("pydantic_ai_agent,in-our-episode", "success", [["plan", True], GREP], "Clean up", "coder", 2),
    Case("pydantic_ai_agent,decorated-in-our-episode", "success", [GREP], "Clean up", "coder", 2),
    Case("langgraph_agent,plain,openinference", "success", [GREP, GREP], model_calls=3, tokens=(20, 4)),
    Case("langgraph_agent,fails,openinference", "failure", [GREP, ["boom", False]], model_calls=2, tokens=(20, 4)),
    Case("langgraph_agent,recovers,openinference", "success", [["refuse", False], GREP], model_calls=3, tokens=(20, 4)),
    Case("langgraph_agent,plain,openllmetry", "success", [GREP, GREP], model_calls=3, tokens=(20, 4)),
    Case("langgraph_agent,fails,openllmetry", "failure", [GREP, ["boom", False]], model_calls=2, tokens=(20, 4)),
    Case("langgraph_agent,fails,genai", "failure", [GREP, ["boom", False]], "invoke_agent triage"),
    Case("openai_agents_agent,plain,openinference", "success", [GREP], "triage"),
    Case("openai_agents_agent,fails,openinference", "failure", [GREP, ["boom", False]], "triage"),
    Case("openai_agents_agent,plain,openllmetry", "success", [GREP], "triage.agent"),
    Case("openai_agents_agent,hands-over,openllmetry", "success", [GREP], "triage.agent"),
    Case("openai_agents_agent,plain,genai", "success", [GREP], "invoke_agent triage"),
    Case("openai_agents_agent,fails,genai", "failure", [GREP, ["boom", False]], "invoke_agent triage"),
    Case("smolagents_agent,plain", "success", [GREP, ["final_answer", True]], tokens=(20, 4)),
    Case("smolagents_agent,recovers", "success", [["boom", False], GREP, ["final_answer", True]], tokens=(30, 6)),
    Case("langfuse_agent,plain", "success", [GREP], model_calls=2, tokens=(20, 4)),
    Case("langfuse_agent,fails", "failure", [GREP, ["boom", False]], model_calls=1, tokens=(10, 2)),
    Case("mcp_tools,plain", "success", [["get_weather", True], ["get_weather", False]], "invoke_agent triage"),
)

BOOM = ["boom", False]
# Run where they are installed; what they write is not kept.
MORE_CASES = (
    Case("agno_agent,plain", "success", [GREP, GREP], model_calls=3, tokens=(30, 6)),
    Case("agno_agent,fails", "success", [GREP, BOOM], model_calls=3, tokens=(30, 6)),
    Case("strands_agent,plain", "success", [GREP, GREP], model_calls=3, tokens=(30, 6)),
    Case("strands_agent,fails", "success", [GREP, BOOM], model_calls=3, tokens=(30, 6)),
    # Its spans have no agent's name, and no tokens.
    Case("haystack_agent,plain", "success", [GREP, GREP], agent="haystack.agent", model_calls=3, tokens=(0, 0)),
    Case("haystack_agent,fails", "success", [GREP, BOOM], agent="haystack.agent", model_calls=3, tokens=(0, 0)),
    Case("llama_index_agent,plain", "success", [GREP, GREP], agent="", model_calls=3, tokens=(30, 6)),
    Case("llama_index_agent,fails", "success", [GREP, BOOM], agent="", model_calls=3, tokens=(30, 6)),
    Case("google_adk_agent,plain", "success", [GREP, GREP], "invoke_agent triage", model_calls=3, tokens=(30, 6)),
    Case("google_adk_agent,fails", "failure", [GREP, BOOM], "invoke_agent triage", model_calls=2, tokens=(20, 4)),
    # One span for all that the library asks the model by itself.
    Case("google_genai_chat,plain", "success", [GREP, GREP], agent="", model_calls=1),
    Case("google_genai_chat,fails", "success", [GREP, BOOM], agent="", model_calls=1),
)


def run_case(python: str, case: Case, dsn: str) -> subprocess.CompletedProcess[str]:
    """Run a case's program with that interpreter; its spans go to the spool of the store, its name is the service's."""
    program, *arguments = case.arguments
    return subprocess.run(
        [python, (Path(__file__).parents[1] / "frameworks") / f"{program}.py", dsn, *arguments],
        env={**os.environ, "OTEL_SERVICE_NAME": case.name},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
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
    """Return what the view says of the episode of a trace, with its steps as [tool, success]; None where there is none."""
    rows = store.query(
        "SELECT EpisodeId, Task, AgentName, Outcome, Verdict, Steps, FailedSteps, ModelCalls, InputTokens, OutputTokens, Tools "
        "FROM episodes WHERE TraceId = {trace:String}",
        {"trace": trace},
    )
    if not rows:
        return None
    (row,) = rows
    steps = store.query_named("steps_of_episode", {"id": row["EpisodeId"], "limit": 1000, "offset": 0})
    return {**row, "steps": [[step["Tool"], step["Success"]] for step in steps]}


def check_case(case: Case, episodes: list[dict[str, Any]]) -> None:
    """Assert that the episodes are the one that a case is about."""
    (episode,) = episodes
    read = {key: episode[key] for key in ("Outcome", "steps", "Task", "AgentName", "ModelCalls")}
    wanted = {
        "Outcome": case.outcome, "steps": case.steps, "Task": case.task, "AgentName": case.agent, "ModelCalls": case.model_calls,
    }  # fmt: skip
    assert (case.name, read) == (case.name, wanted)
    assert episode["Steps"] == len(case.steps)
    assert case.tokens in (None, (episode["InputTokens"], episode["OutputTokens"])), case.name
