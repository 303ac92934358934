"""Decorated functions beside frameworks: each program of ``tests/beside`` runs one, and says what holds."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest
from framework_environment import ASKED_FOR, REASON, ROOT, environment

# A program a line, in the order of the page.
PACKAGES = (
    "numpy", "Django", "SQLAlchemy", "celery", "ray", "joblib", "cloudpickle", "langchain-core", "langgraph", "fastmcp",
    "openai-agents", "pydantic-ai-slim", "fastapi", "uvicorn", "httpx", "trio", "anyio", "gevent", "nbformat",
    "nbclient", "ipykernel",
)  # fmt: skip
# These want versions of their own of what others want too.
ALONE = {"crewai_tools": ("crewai",), "dspy_tools": ("dspy",)}
PROGRAMS = sorted((Path(__file__).parents[1] / "beside").glob("*_*.py"))
PAGE = ROOT / "docs" / "reference" / "frameworks.md"


@pytest.mark.skipif(not ASKED_FOR, reason=REASON)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_a_program_says_that_all_holds(program: Path) -> None:
    python = environment(ALONE.get(program.stem, PACKAGES))
    done = subprocess.run([python, program], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "FAILED" not in done.stdout


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_the_page_says_what_each_program_tries(program: Path) -> None:
    tried = " ".join((ast.get_docstring(ast.parse(program.read_text())) or "").split())
    name, what = tried.split(": ", 1)
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith(f"| {name} |")]
    assert len(rows) == 1, f"{PAGE.name} has no row for {name}"
    assert rows[0].endswith(f"| {what.rstrip('.')} |")
