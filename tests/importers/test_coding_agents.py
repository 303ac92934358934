"""Coding agents themselves, with our hooks and a scripted model: Claude Code, Codex and Gemini CLI of today, from npm.

They are two hundred megabytes each, so this runs where the frameworks do: ``make test-frameworks``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from framework_environment import ASKED_FOR, REASON
from learning_data import SECOND, Episode, rows_of
from scripted_model import scripted_model

from otel_episodes_clickhouse import Store, Target, run_jobs
from otel_episodes_clickhouse.advice import policy as policies
from otel_episodes_clickhouse.hooks import cached
from otel_episodes_clickhouse.spool.locks import is_held

pytestmark = pytest.mark.skipif(not ASKED_FOR, reason=REASON)

CALLS = [
    ("Bash", {"command": "echo hello", "description": "greet"}),
    ("Bash", {"command": "ls /not/there", "description": "fail"}),
    ("Agent", {"description": "look", "prompt": "a task for another", "subagent_type": "general-purpose"}),
]


def installed(package: str) -> Path:
    """Return where a package of npm is installed, in the cache; skip where it cannot be."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not here, which brings the agents")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "otel-episodes"
    place = cache / package.rpartition("/")[2]
    if not (place / "node_modules" / ".bin").exists():
        place.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--no-audit", "--no-fund", "--foreground-scripts", "--prefix", str(place), package]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
        if done.returncode:
            pytest.skip(f"{package} cannot be installed here: {done.stderr.strip()[-300:]}")
    return place / "node_modules"


@pytest.fixture(scope="module")
def claude() -> Path:
    """Return Claude Code."""
    modules = installed("@anthropic-ai/claude-code")
    # The program for this machine; what is called `claude` waits for an installation script that may not have run.
    found = sorted((modules / "@anthropic-ai").glob("claude-code-*/claude"))
    return found[0] if found else modules / ".bin" / "claude"


@pytest.fixture(scope="module")
def codex() -> Path:
    """Return Codex."""
    return installed("@openai/codex") / ".bin" / "codex"


@pytest.fixture(scope="module")
def gemini() -> Path:
    """Return Gemini CLI."""
    return installed("@google/gemini-cli") / ".bin" / "gemini"


class Machine:
    """A home directory with our hooks in an agent's settings."""

    def __init__(self, agent: str, place: Path, *options: str) -> None:
        self.place = place
        self.home, self.project = place / "home", place / "ledger"
        for folder in (self.home, self.project):
            folder.mkdir()
        self.environment = {
            "HOME": str(self.home), "PATH": os.environ["PATH"], "OTEL_EPISODES_HOME": str(place / "data"),
        }  # fmt: skip
        package = Path(__file__).parents[2]
        paths = {"PYTHONPATH": f"{package}:{package / 'exporters'}"}
        install = [sys.executable, "-m", "otel_episodes_clickhouse.cli", "hooks", "install", agent, *options]
        subprocess.run(install, env={**self.environment, **paths}, check=True, capture_output=True, timeout=60)

    def store(self) -> Store:
        return Store.open(Target.resolve(f"chdb://{self.place / 'data' / 'chdb'}"))

    def run(self, command: list[str | Path], **environment: str) -> None:
        """Let an agent do what its model says, and wait until that is brought in."""
        ran = subprocess.run(
            command, cwd=self.project, stdin=subprocess.DEVNULL, env={**self.environment, **environment},
            capture_output=True, text=True, check=False, timeout=180,
        )  # fmt: skip
        assert (ran.returncode, ran.stdout.strip()) == (0, "All done."), ran.stderr
        deadline = time.monotonic() + 60
        while is_held(self.place / "data" / "hooks" / "lock") and time.monotonic() < deadline:
            time.sleep(0.1)
        assert (self.place / "data" / "hooks" / "log").read_text() == ""

    def run_claude(self, claude: Path, address: str, *options: str) -> None:
        command = [claude, "-p", "Say hello", "--allowedTools", "Bash,Agent", *options]
        quiet = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_TELEMETRY": "1"}
        self.run(command, ANTHROPIC_API_KEY="none", ANTHROPIC_BASE_URL=address, **quiet)

    def episodes(self) -> list[dict[str, Any]]:
        with self.store() as store:
            return store.query("SELECT EpisodeId, Task, Domain, EndedHow, ParentId FROM episodes ORDER BY StartTime")

    def steps(self) -> list[tuple[Any, ...]]:
        with self.store() as store:
            rows = store.query("SELECT Tool, Success, DurationNs > 0 AS Timed FROM steps ORDER BY StartTime")
        return [tuple(row.values()) for row in rows]


def test_a_session_of_claude_code_is_an_episode_with_its_calls_its_sub_agent_and_its_end(claude, tmp_path):
    machine = Machine("claude-code", tmp_path)

    with scripted_model(CALLS, quiet_for="a task for another") as address:
        machine.run_claude(claude, address)

    session, agent = machine.episodes()
    assert [session["Task"], session["Domain"], session["ParentId"]] == ["Say hello", "ledger", ""]
    assert session["EndedHow"].startswith("session ended: ")
    assert [agent["Task"], agent["ParentId"]] == ["a task for another", session["EpisodeId"]]
    assert machine.steps() == [("Bash", True, True), ("Bash", False, True), ("Agent", True, True)]


def test_so_is_a_session_of_codex(codex, tmp_path):
    machine = Machine("codex", tmp_path)
    calls = [
        ("exec_command", {"cmd": "echo hello"}),
        ("exec_command", {"cmd": "ls /not/there"}),
        ("multi_agent_v1.spawn_agent", {"message": "a task for another"}),
    ]
    provider = """
        model = "scripted"
        model_provider = "here"
        [model_providers.here]
        name = "here"
        base_url = "{address}/v1"
        wire_api = "responses"
    """
    command = [codex, "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]

    with scripted_model(calls, quiet_for="a task for another") as address:
        (machine.home / ".codex" / "config.toml").write_text(provider.format(address=address))
        machine.run([*command, "--dangerously-bypass-hook-trust", "Say hello"])

    session, agent = machine.episodes()
    assert [session[name] for name in ("Task", "Domain", "EndedHow", "ParentId")] == [
        "Say hello", "ledger", "task_complete", "",
    ]  # fmt: skip
    assert [agent["Task"], agent["ParentId"]] == ["a task for another", session["EpisodeId"]]
    assert machine.steps() == [
        ("exec_command", True, True), ("exec_command", False, True), ("multi_agent_v1.spawn_agent", True, True),
    ]  # fmt: skip


def test_so_is_a_session_of_gemini(gemini, tmp_path):
    machine = Machine("gemini", tmp_path)
    settings = machine.home / ".gemini" / "settings.json"
    chosen = {"security": {"auth": {"selectedType": "gemini-api-key"}}}
    settings.write_text(json.dumps({**json.loads(settings.read_text()), **chosen}))
    calls = [
        ("run_shell_command", {"command": "echo hello"}),
        ("run_shell_command", {"command": "ls /not/there"}),
        ("read_file", {"file_path": "nowhere.txt"}),
    ]

    with scripted_model(calls) as address:
        command = [gemini, "-p", "Say hello", "--yolo", "--skip-trust", "-m", "gemini-2.5-flash"]
        machine.run(command, GEMINI_API_KEY="none", GOOGLE_GEMINI_BASE_URL=address)

    (session,) = machine.episodes()
    assert [session["Task"], session["Domain"]] == ["Say hello", "ledger"]
    assert session["EndedHow"].startswith("session ended: ")
    assert machine.steps() == [
        ("run_shell_command", True, True), ("run_shell_command", False, True), ("read_file", False, True),
    ]  # fmt: skip


def test_claude_code_hears_the_warning_before_the_call_and_what_helps_after_it(claude, tmp_path):
    machine, heard = Machine("claude-code", tmp_path, "--advice"), []
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
        machine.run_claude(claude, address, "--session-id", session)

    assert "Bash failed in 6 of 6 runs that called it" in heard[-1]
    assert "After this failure of Bash, Read put it right in 6 of 6 runs" in heard[-1]
    with machine.store() as store:
        found = store.query("SELECT Place, Arm, Unit FROM advice WHERE Place != 'brief' ORDER BY Time")
    assert found == [{"Place": place, "Arm": "shown", "Unit": session} for place in ("warning", "recovery")]
