"""Hooks of coding agents: in their settings, on each event, and what they bring in."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from transcripts import OWN

from otel_episodes import UsageError
from otel_episodes_clickhouse import Store, Target
from otel_episodes_clickhouse.hooks import bring, relay, settings

SESSION = OWN / "claude-code" / "3e0d0f10-1111-4222-8333-000000000001.jsonl"
CLAUDE = settings.AGENTS["claude-code"]
OTHERS = {
    "model": "opus",
    "hooks": {"Stop": [{"hooks": [{"type": "command", "command": "say done"}]}], "PreToolUse": []},
    "permissions": {"allow": ["Bash(ls)"]},
}


def test_hooks_are_added_beside_those_of_others_once_and_taken_out_again():
    once = settings.installed(OTHERS, CLAUDE)

    assert settings.installed(once, CLAUDE) == once
    assert settings.removed(once) == OTHERS
    assert settings.removed(settings.installed({}, CLAUDE)) == {}
    assert once["hooks"]["Stop"] == [*OTHERS["hooks"]["Stop"], *settings.entries(CLAUDE)["Stop"]]
    assert list(once) == list(OTHERS)


@pytest.mark.parametrize("agent", settings.AGENTS)
def test_each_agent_has_its_own_events(agent):
    known = settings.AGENTS[agent]

    assert tuple(settings.entries(known)) == known.events
    assert f"relay.py {known.reader} " in settings.command(known)


def test_settings_are_written_with_a_copy_of_what_they_were(tmp_path):
    path = tmp_path / ".claude" / "settings.json"
    assert settings.write(path, OTHERS) is None
    before = settings.read(path)
    after = settings.installed(before, CLAUDE)

    kept = settings.write(path, after)

    assert kept is not None
    assert json.loads(kept.read_text()) == before == OTHERS
    assert settings.read(path) == after
    assert '+            "timeout": 10' in settings.difference(path, before, after)


def test_settings_that_are_not_plain_json_are_left_alone(tmp_path):
    (tmp_path / "settings.json").write_text("{// mine\n}")

    with pytest.raises(UsageError, match="add what `hooks print` shows by hand"):
        settings.read(tmp_path / "settings.json")


def on_event(home: Path, package: Path, event: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-S", "-E", relay.__file__, "claude-code", str(home), str(package)]
    text = event if isinstance(event, str) else json.dumps(event)
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    """Return a directory with a package in which whoever brings in only says that it was called."""
    package = tmp_path / "stand-in" / "otel_episodes_clickhouse" / "hooks"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    (package / "bring.py").write_text("import os, sys; os.rename(sys.argv[1] + '/queue', sys.argv[1] + '/brought')")
    return tmp_path / "stand-in"


def test_an_event_is_noted_and_what_brings_it_in_is_started(tmp_path, stand_in):
    home = tmp_path / "hooks"

    ran = on_event(home, stand_in, {"hook_event_name": "Stop", "transcript_path": str(SESSION)})

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    deadline = time.monotonic() + 30
    while not (home / "brought").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert json.loads((home / "brought").read_text()) == ["claude-code", str(SESSION)]


@pytest.mark.parametrize("event", ["", "not JSON", {}, {"transcript_path": "/not/there"}, {"transcript_path": 3}, []])
def test_a_hook_never_fails_and_prints_nothing(tmp_path, stand_in, event):
    ran = on_event(tmp_path / "hooks", stand_in, event)

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_a_hook_imports_little_beside_the_interpreter():
    program = f"import runpy, sys; runpy.run_path({relay.__file__!r}); print(len(sys.modules))"

    loaded = subprocess.run([sys.executable, "-S", "-E", "-c", program], capture_output=True, text=True, check=True)

    assert int(loaded.stdout) < 80


def test_what_hooks_bring_is_what_an_import_brings(tmp_path, monkeypatch):
    monkeypatch.setenv("OTEL_EPISODES_HOME", str(tmp_path))
    home = tmp_path / "hooks"
    home.mkdir()
    transcript = tmp_path / SESSION.name
    lines = SESSION.read_text().splitlines(keepends=True)

    for text in ("".join(lines[:5]), "".join(lines)):
        transcript.write_text(text)
        (home / "queue").write_text(json.dumps(["claude-code", str(transcript)]) + "\nnot JSON\n")
        assert bring.bring(home) == 1
    assert bring.bring(home) == 0

    assert stored() == [
        {"Task": "Round the totals to cents", "AgentName": "claude-code", "Domain": "ledger", "Steps": 3, "Spans": 7}
    ]


def stored() -> list[dict[str, Any]]:
    statement = """
        SELECT Task, AgentName, Domain, Steps, (SELECT count() FROM otel_traces) AS Spans FROM episodes
    """
    with Store.open(Target.resolve()) as store:
        return store.query(statement)


def test_the_examples_of_the_skill_run(tmp_path):
    skill = Path(relay.__file__).with_name("SKILL.md").read_text(encoding="utf-8")
    script = "\n".join(re.findall(r"```sh\n(.*?)```", skill, re.DOTALL))
    environment = {
        **os.environ,
        "OTEL_EPISODES_HOME": str(tmp_path),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }

    ran = subprocess.run(
        ["sh", "-euc", script], env=environment, capture_output=True, text=True, check=False, timeout=120
    )

    assert (ran.returncode, ran.stderr) == (0, "")
    assert len(skill.splitlines()) <= 60
