"""The frameworks themselves, in the versions of today, with scripted models: what they write is read right.

Their packages are several hundred megabytes and are installed into a directory of their own, so this runs where it is
asked for: ``make test-frameworks``, or OTEL_EPISODES_TEST_FRAMEWORKS=1. What they wrote on another day is read by
tests/test_foreign.py everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from foreign_spans import CASES, Case, check_case, found, run_case
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

pytestmark = pytest.mark.skipif(not ASKED_FOR, reason=REASON)


@pytest.fixture(scope="module")
def python() -> Path:
    """Return the interpreter of an environment with the frameworks and this project."""
    return environment(PACKAGES)


@pytest.fixture(scope="module")
def dsn(python: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a store into whose spool every program has written."""
    target = f"chdb://{tmp_path_factory.mktemp('frameworks') / 'store'}"
    for case in CASES:
        done = run_case(str(python), case, target)
        assert done.returncode == 0, f"{case.name}: {done.stderr[-2000:]}"
    return target


def test_every_program_is_one_episode_with_the_steps_it_took(dsn: str) -> None:
    with Store.open(Target.resolve(dsn)) as store:
        store.drain()
        for case in CASES:
            check_case(case, _episodes(store, case))


def _episodes(store: Store, case: Case) -> list[dict[str, object]]:
    traces = store.query(
        "SELECT TraceId FROM otel_traces WHERE ServiceName = {service:String} GROUP BY TraceId ORDER BY min(Timestamp)",
        {"service": case.name},
    )
    return [episode for row in traces if (episode := found(store, row["TraceId"])) is not None]
