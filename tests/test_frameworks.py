"""The frameworks themselves, in the versions of today, with scripted models: what they write is read right.

Their packages are several hundred megabytes and are installed into a directory of their own, so this runs where it is
asked for: ``make test-frameworks``, or OTEL_EPISODES_TEST_FRAMEWORKS=1. What they wrote on another day is read by
tests/test_foreign.py everywhere.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from foreign_spans import CASES, Case, check_case, found, run_case

from otel_episodes_clickhouse import Store, Target

ROOT = Path(__file__).parents[1]
PACKAGES = (
    "pydantic-ai-slim", "langchain", "langgraph", "openai-agents", "smolagents", "langfuse", "mcp",
    "openinference-instrumentation-langchain", "openinference-instrumentation-openai-agents",
    "openinference-instrumentation-smolagents", "opentelemetry-instrumentation-langchain",
    "opentelemetry-instrumentation-openai-agents", "opentelemetry-instrumentation-genai-openai-agents",
    "opentelemetry-instrumentation-genai-langchain",
)  # fmt: skip

pytestmark = pytest.mark.skipif(
    os.environ.get("OTEL_EPISODES_TEST_FRAMEWORKS", "") in ("", "0"),
    reason="several hundred megabytes of frameworks: make test-frameworks installs and runs them",
)


@pytest.fixture(scope="module")
def python() -> Path:
    """Return the interpreter of an environment with the frameworks and this project; made once, kept for a new day."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "otel-episodes"
    digest = hashlib.sha256(" ".join((*PACKAGES, sys.version, str(ROOT))).encode()).hexdigest()[:12]
    home = Path(os.environ.get("OTEL_EPISODES_FRAMEWORKS") or cache / f"frameworks-{digest}")
    interpreter = home / "bin" / "python"
    if not (home / ".installed").exists():
        uv = shutil.which("uv")
        make = [uv, "venv", "--quiet", "--python", sys.executable, home] if uv else [sys.executable, "-m", "venv", home]
        install = [uv, "pip", "install", "--python", interpreter] if uv else [interpreter, "-m", "pip", "install"]
        for command in (make, [*install, "--quiet", "--editable", f"{ROOT}[clickhouse]", *PACKAGES]):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"the frameworks cannot be installed here: {done.stderr.strip()[-300:]}")
        (home / ".installed").touch()
    return interpreter


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
