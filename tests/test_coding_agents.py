"""A coding agent itself, with our hooks and a scripted model: Claude Code in the version of today, from npm.

It is two hundred megabytes, so this runs where the frameworks do: ``make test-frameworks``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from framework_environment import ASKED_FOR, REASON
from learning_data import SECOND, Episode, rows_of
from scripted_model import scripted_model

from otel_episodes_clickhouse import Store, Target, run_jobs
from otel_episodes_clickhouse.advice import policy as policies
from otel_episodes_clickhouse.hooks import cached
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


class Machine:
    """A home directory with our hooks in Claude Code's settings."""

    def __init__(self, claude: Path, place: Path, *options: str) -> None:
        self.claude, self.place = claude, place
        self.home, self.project = place / "home", place / "ledger"
        for folder in (self.home, self.project):
            folder.mkdir()
        self.environment = {
            "HOME": str(self.home), "PATH": os.environ["PATH"], "OTEL_EPISODES_HOME": str(place / "data"),
            "ANTHROPIC_API_KEY": "none", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_TELEMETRY": "1",
        }  # fmt: skip
        package = Path(__file__).parents[1]
        paths = {"PYTHONPATH": f"{package}:{package / 'exporters'}"}
        install = [sys.executable, "-m", "otel_episodes_clickhouse.cli", "hooks", "install", "claude-code", *options]
        subprocess.run(install, env={**self.environment, **paths}, check=True, capture_output=True, timeout=60)

    def store(self) -> Store:
        return Store.open(Target.resolve(f"chdb://{self.place / 'data' / 'chdb'}"))

    def run(self, address: str, *options: str) -> None:
        """Let Claude Code do what the model at this address says, and wait until that is brought in."""
        ran = subprocess.run(
            [self.claude, "-p", "Say hello", "--allowedTools", "Bash,Agent", *options], cwd=self.project,
            stdin=subprocess.DEVNULL, env={**self.environment, "ANTHROPIC_BASE_URL": address}, capture_output=True,
            text=True, check=False, timeout=180,
        )  # fmt: skip
        assert (ran.returncode, ran.stdout.strip()) == (0, "All done."), ran.stderr
        deadline = time.monotonic() + 60
        while is_held(self.place / "data" / "hooks" / "lock") and time.monotonic() < deadline:
            time.sleep(0.1)
        assert (self.place / "data" / "hooks" / "log").read_text() == ""


def test_a_session_of_claude_code_is_an_episode_with_its_calls_its_sub_agent_and_its_end(claude, tmp_path):
    machine = Machine(claude, tmp_path)

    with scripted_model(CALLS, quiet_for="a task for another") as address:
        machine.run(address)

    with machine.store() as store:
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


def test_claude_code_hears_the_warning_before_the_call_and_what_helps_after_it(claude, tmp_path):
    machine, heard = Machine(claude, tmp_path, "--advice"), []
    with machine.store() as store:
        store.prepare()
        for number in range(6):
            failed = [("Bash", False), ("Read", True)]
            error = "Exit code 2 ls: cannot access '/not/there': No such file or directory"
            start = time.time_ns() - (90_000 + number) * SECOND
            run = Episode(f"run-{number}", domain="ledger", steps=failed, errors={0: error}, start=start)
            store.insert_rows(rows_of(run))
        run_jobs(store)
        known, policy = cached.content(store, "ledger"), policies.of_store(store)
    items = [known["warnings"]["Bash"][0]["id"], next(iter(known["recoveries"]["Bash"].values()))[0]["id"]]
    session = next(
        name for name in (str(uuid.uuid4()) for _ in range(1000))
        if policy.shows(name, asked=False) and not any(policy.leaves_out(name, item) for item in items)
    )  # fmt: skip

    with scripted_model(CALLS[1:2], heard=heard) as address:
        machine.run(address, "--session-id", session)

    assert "Bash failed in 6 of 6 runs that called it" in heard[-1]
    assert "After this failure of Bash, Read put it right in 6 of 6 runs" in heard[-1]
    with machine.store() as store:
        found = store.query("SELECT Place, Arm, Unit FROM advice WHERE Place != 'brief' ORDER BY Time")
    assert found == [{"Place": place, "Arm": "shown", "Unit": session} for place in ("warning", "recovery")]
