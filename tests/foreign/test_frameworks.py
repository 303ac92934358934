"""The frameworks themselves, in the versions of today, with scripted models: what they write is read right.

Their packages are several hundred megabytes and are installed into a directory of their own, so this runs where it is
asked for: ``make test-frameworks``, or OTEL_EPISODES_TEST_FRAMEWORKS=1. What they wrote on another day is read by
tests/foreign/test_foreign.py everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from foreign_spans import CASES, MORE_CASES, Case, check_case, found, run_case
from framework_environment import ASKED_FOR, REASON, environment

from otel_episodes_clickhouse import Store, Target

if TYPE_CHECKING:
    from pathlib import Path

PACKAGES = (
    "pydantic-ai-slim", "langchain", "langgraph", "openai-agents", "smolagents", "langfuse", "mcp",
    "openinference-instrumentation-langchain", "openinference-instrumentation-openai-agents",
    "openinference-instrumentation-smolagents", "opentelemetry-instrumentation-langchain",
    "opentelemetry-instrumentation-openai-agents", "opentelemetry-instrumentation-genai-openai-agents",
    "opentelemetry-instrumentation-genai-langchain",
)  # fmt: skip

# These want other versions of what the others want too.
MORE_PACKAGES = (
    "agno", "openai", "openinference-instrumentation-agno", "strands-agents[openai]", "haystack-ai",
    "opentelemetry-haystack", "llama-index-core", "llama-index-llms-openai",
    "openinference-instrumentation-llama-index", "google-adk", "google-genai",
    "opentelemetry-instrumentation-google-genai",
)  # fmt: skip

pytestmark = pytest.mark.skipif(not ASKED_FOR, reason=REASON)


@pytest.mark.parametrize(
    ("packages", "cases"), [(PACKAGES, CASES), (MORE_PACKAGES, MORE_CASES)], ids=["frameworks", "more frameworks"]
)
def test_every_program_is_one_episode_with_the_steps_it_took(
    packages: tuple[str, ...], cases: tuple[Case, ...], tmp_path: Path
) -> None:
    dsn = f"chdb://{tmp_path / 'store'}"
    python = environment(packages)
    for case in cases:
        done = run_case(str(python), case, dsn)
        # What a tool raises ends some programs, and they say so.
        assert done.returncode == 0 or "cannot edit x" in done.stderr, f"{case.name}: {done.stderr[-2000:]}"
    with Store.open(Target.resolve(dsn)) as store:
        store.drain()
        for case in cases:
            check_case(case, _episodes(store, case))


def _episodes(store: Store, case: Case) -> list[dict[str, object]]:
    traces = store.query(
        "SELECT TraceId FROM otel_traces WHERE ServiceName = {service:String} GROUP BY TraceId ORDER BY min(Timestamp)",
        {"service": case.name},
    )
    return [episode for row in traces if (episode := found(store, row["TraceId"])) is not None]
