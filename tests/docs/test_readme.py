"""The README and the docs, run as they are written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.campaign
ROOT = Path(__file__).resolve().parents[2]
# Pages whose sessions are run by other means.
NOT_HERE = {
    "examples": "its sessions are compared with what they print, by test_examples.py",
    "serve": "it goes on until it is ended; test_serve.py runs it",
    "look-at-pages": "it serves, which goes on until it is ended; the tests of the pages run it",
    "mcp": "the agents it is added to do not come with the tests; test_mcp.py speaks to the server",
    "forgetting": "its episode is the reader's own; test_forget.py forgets some",
    "hooks-advice": "it changes the settings of an agent; test_hooks_advice.py and test_coding_agents.py run the hooks",
    "skills": "its skills are those of the reader's own runs; test_skills.py makes some",
    "handing-over": "its episode is the reader's own; test_marks.py hands one over",
    "importing": "its files are the reader's own; test_import*.py import some of each format",
}
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        # Nothing of the user's own is written to.
        "HOME": str(tmp_path),
        "OTEL_EPISODES_HOME": str(tmp_path / "home"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_python_on_a_page_runs(page: Path, environ: dict[str, str], tmp_path: Path) -> None:
    code = "\n".join(blocks(page, "python"))
    if not code:
        pytest.skip("no Python on this page")
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environ, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "console")], ids=lambda page: page.stem)
def test_the_shell_session_of_a_page_runs(page: Path, environ: dict[str, str], tmp_path: Path) -> None:
    if page.stem in NOT_HERE:
        pytest.skip(NOT_HERE[page.stem])
    lines = [line[2:] for block in blocks(page, "console") for line in block.splitlines() if line[:2] == "$ "]
    # What the page has in Python comes first, as the file that the quickstart has the reader save.
    (tmp_path / "agent.py").write_text("\n".join(blocks(page, "python")))
    own = [line for line in lines if not line.startswith(("pip install", "python agent.py"))]
    subprocess.run([sys.executable, "agent.py"], env=environ, cwd=tmp_path, check=True)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(own)],
        env=environ, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
