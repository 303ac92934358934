"""The README and the docs, run as they are written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "OTEL_EPISODES_HOME": str(tmp_path / "home"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_python_on_a_page_runs(page: Path, environ: dict[str, str], tmp_path: Path) -> None:
    code = "\n".join(blocks(page, "python"))
    if not code:
        pytest.skip("no Python on this page")
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_shell_session_of_the_readme_runs(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "runs.jsonl").write_text(
        '{"instruction": "x", "reward": 1.0, "messages": [{"role": "user", "content": "hello"}]}\n'
    )
    lines = [
        line[2:] for block in blocks(ROOT / "README.md", "console") for line in block.splitlines() if line[:2] == "$ "
    ]
    script = "\n".join(line for line in lines if not line.startswith("pip install"))
    first = "\n".join(blocks(ROOT / "README.md", "python"))
    subprocess.run([sys.executable, "-c", first], env=environ, cwd=tmp_path, check=True)
    done = subprocess.run(
        ["bash", "-euc", script + "\notel-episodes episodes --json"],
        env=environ, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert '"Build the release"' in done.stdout
