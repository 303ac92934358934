"""A coding agent itself, with our hooks and a scripted model: Claude Code in the version of today, from npm.

It is two hundred megabytes, so this runs where the frameworks do: ``make test-frameworks``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from framework_environment import ASKED_FOR, REASON
from scripted_model import scripted_model

from otel_episodes_clickhouse import Store, Target
from otel_episodes_clickhouse.spool.locks import is_held

pytestmark = pytest.mark.skipif(not ASKED_FOR, reason=REASON)

PACKAGE = "@anthropic-ai/claude-code"
CALLS = [
    ("Bash", {"command": "echo hello", "description": "greet"}),
    ("Bash", {"command": "ls /not/there", "description": "fail"}),
    ("Agent", {"description": "look", "prompt": "a task for another", "subagent_type": "general-purpose"}),
]


@pytest.fixture(scope="module")
def claude() -> Path:
    """Return Claude Code, installed into the cache; skip where it cannot be."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not here, which brings Claude Code")
    place = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "otel-episodes" / "claude-code"
    program = place / "node_modules" / ".bin" / "claude"
    if not program.exists():
        place.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--no-audit", "--no-fund", "--foreground-scripts", "--prefix", str(place), PACKAGE]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
        if done.returncode:
            pytest.skip(f"Claude Code cannot be installed here: {done.stderr.strip()[-300:]}")
    # The program for this machine; what is called `claude` waits for an installation script that may not have run.
    found = sorted((place / "node_modules" / "@anthropic-ai").glob("claude-code-*/claude"))
    return found[0] if found else program


def test_a_session_of_claude_code_is_an_episode_with_its_calls_its_sub_agent_and_its_end(claude, tmp_path):
    home, project = tmp_path / "home", tmp_path / "ledger"
    for folder in (home, project):
        folder.mkdir()
    environment = {
        "HOME": str(home), "PATH": os.environ["PATH"], "OTEL_EPISODES_HOME": str(tmp_path / "data"),
        "ANTHROPIC_API_KEY": "none", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_TELEMETRY": "1",
    }  # fmt: skip
    program = [sys.executable, "-m", "otel_episodes_clickhouse.cli", "hooks", "install", "claude-code"]
    package = Path(__file__).parents[1]
    paths = f"{package}:{package / 'exporters'}"
    subprocess.run(program, env={**environment, "PYTHONPATH": paths}, check=True, capture_output=True, timeout=60)

    with scripted_model(CALLS, quiet_for="a task for another") as address:
        ran = subprocess.run(
            [claude, "-p", "Say hello", "--allowedTools", "Bash,Agent"], cwd=project, stdin=subprocess.DEVNULL,
            env={**environment, "ANTHROPIC_BASE_URL": address}, capture_output=True, text=True, check=False,
            timeout=180,
        )  # fmt: skip

    assert (ran.returncode, ran.stdout.strip()) == (0, "All done."), ran.stderr
    deadline = time.monotonic() + 60
    while is_held(tmp_path / "data" / "hooks" / "lock") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert (tmp_path / "data" / "hooks" / "log").read_text() == ""
    with Store.open(Target.resolve(f"chdb://{tmp_path / 'data' / 'chdb'}")) as store:
        episodes = store.query("SELECT EpisodeId, Task, Domain, EndedHow, ParentId FROM episodes ORDER BY StartTime")
        steps = store.query("SELECT Tool, Success, DurationNs > 0 AS Timed FROM steps ORDER BY StartTime")
    session, agent = episodes
    assert [session["Task"], session["Domain"], session["ParentId"]] == ["Say hello", "ledger", ""]
    assert session["EndedHow"].startswith("session ended: ")
    assert [agent["Task"], agent["ParentId"]] == ["a task for another", session["EpisodeId"]]
    assert steps == [
        {"Tool": "Bash", "Success": True, "Timed": True},
        {"Tool": "Bash", "Success": False, "Timed": True},
        {"Tool": "Agent", "Success": True, "Timed": True},
    ]
