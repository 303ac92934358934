"""Hooks of coding agents: in their settings, on each event, and what they bring in."""

from __future__ import annotations

import json
import os
import re
import shutil
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
from otel_episodes_clickhouse.importers.dispatch import Reading, found_under
from otel_episodes_clickhouse.importers.load import Import
from otel_episodes_clickhouse.importers.options import ImportOptions
from otel_episodes_clickhouse.spool.flock import try_lock
from otel_episodes_clickhouse.spool.locks import is_held
from otel_episodes_clickhouse.sql import Statement

SESSION = OWN / "claude-code" / "3e0d0f10-1111-4222-8333-000000000001.jsonl"
TWO_PROMPTS = SESSION.with_name("3e0d0f10-1111-4222-8333-000000000002.jsonl")
CLAUDE = settings.AGENTS["claude-code"]
OTHERS = {
    "model": "opus",
    "hooks": {"Stop": [{"hooks": [{"type": "command", "command": "say done"}]}], "Notification": []},
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


def on_event(home: Path, package: Path | str, event: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-S", "-E", relay.__file__, "claude-code", str(home), str(package), "per=prompt"]
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
    assert json.loads((home / "brought").read_text()) == ["claude-code", str(SESSION), {"per": "prompt"}]


@pytest.mark.parametrize("event", ["", "not JSON", {}, {"transcript_path": "/not/there"}, {"transcript_path": 3}, []])
def test_a_hook_never_fails_and_prints_nothing(tmp_path, stand_in, event):
    ran = on_event(tmp_path / "hooks", stand_in, event)

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_a_hook_imports_little_beside_the_interpreter():
    program = f"import runpy, sys; runpy.run_path({relay.__file__!r}); print(len(sys.modules))"

    loaded = subprocess.run([sys.executable, "-S", "-E", "-c", program], capture_output=True, text=True, check=True)

    assert int(loaded.stdout) < 80


def test_only_the_first_event_starts_what_brings_in(tmp_path, stand_in):
    home = tmp_path / "hooks"
    home.mkdir()
    with (home / "lock").open("w") as lock:
        assert try_lock(lock.fileno())
        ran = on_event(home, stand_in, {"hook_event_name": "PostToolUse", "transcript_path": str(SESSION)})
    time.sleep(0.2)

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert (home / "queue").exists()
    assert not (home / "brought").exists()


@pytest.fixture
def data(tmp_path, migrated, monkeypatch):
    """Return a data directory whose store has all tables."""
    shutil.copytree(migrated, tmp_path / "chdb", symlinks=True)
    monkeypatch.setenv("OTEL_EPISODES_HOME", str(tmp_path))
    return tmp_path


def test_what_hooks_bring_is_what_an_import_brings(data):
    lines = TWO_PROMPTS.read_text().splitlines(keepends=True)
    transcript = data / TWO_PROMPTS.name
    (data / "hooks").mkdir()

    for kept, said in ((3, {}), (5, {"end": "logout"})):
        transcript.write_text("".join(lines[:kept]))
        noted = json.dumps(["claude-code", str(transcript), said])
        (data / "hooks" / "queue").write_text(f"{noted}\nnot JSON\n[1]\n")
        assert bring.bring(data / "hooks") == 1
    assert bring.bring(data / "hooks") == 0

    with Store.open(Target.resolve()) as store:
        assert store.query("SELECT Task, AgentName, Domain, Steps, EndedHow FROM episodes") == [
            {
                "Task": "Push it",
                "AgentName": "claude-code",
                "Domain": "ledger",
                "Steps": 1,
                "EndedHow": "session ended: logout",
            }
        ]


def test_the_settings_of_the_installation_reach_what_brings_in_whatever_the_agent_passes_on(data, monkeypatch):
    (data / "chdb").rename(data / "elsewhere")
    monkeypatch.setenv("OTEL_EPISODES_DSN", f"chdb://{data / 'elsewhere'}")
    monkeypatch.setenv("OTEL_EPISODES_PASSWORD", "hunter2")
    kept = settings.keep_environment()
    for name in ("OTEL_EPISODES_HOME", "OTEL_EPISODES_DSN", "OTEL_EPISODES_PASSWORD"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(data / "home"))
    package = Path(relay.__file__).parents[2]

    ran = on_event(data / "hooks", f"{package}:{package.parent}", {"transcript_path": str(TWO_PROMPTS)})

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert "hunter2" not in kept.read_text()
    assert kept.stat().st_mode & 0o77 == 0
    deadline = time.monotonic() + 60
    while is_held(data / "hooks" / "lock") and time.monotonic() < deadline:
        time.sleep(0.05)
    with Store.open(Target.resolve(f"chdb://{data / 'elsewhere'}")) as store:
        assert store.query("SELECT min(Task) AS Task FROM episodes") == [{"Task": "Commit only"}]


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


# --- one store, which stays open: the engine takes one directory at a time ---


def grown(store: Store, place: Path, *rounds: tuple[int, ImportOptions], asked: str) -> list[list[dict[str, Any]]]:
    """Return what a question answers after each import, for which so many lines of the session are there."""
    lines = TWO_PROMPTS.read_text().splitlines(keepends=True)
    transcript = place / TWO_PROMPTS.name
    answers = []
    for kept, options in rounds:
        transcript.write_text("".join(lines[:kept]))
        Import(store, Reading(options, print)).run(found_under([transcript], {}))
        answers.append(store.query(asked))
    for table in ("otel_traces", "internal_roots", "internal_steps"):
        store.execute(Statement("emptied", f"TRUNCATE TABLE {table}"))
    return answers


def test_the_end_that_a_hook_was_told_of_stays_until_the_session_goes_on(storage_store, tmp_path):
    rounds = ((5, ImportOptions(ended_how="logout")), (5, ImportOptions()), (99, ImportOptions()))

    ends = grown(storage_store, tmp_path, *rounds, asked="SELECT EndedHow FROM episodes")

    assert [end[0]["EndedHow"] for end in ends] == ["logout", "logout", "unanswered call"]


def test_each_prompt_is_an_episode_where_that_was_asked_for_and_stays_so_in_an_import(storage_store, tmp_path):
    divided, plain = ImportOptions(per="prompt"), ImportOptions()
    asked = """
        SELECT Task, Steps, InputTokens, arrayMap(link -> link['episode.link.kind'], Links.Attributes) AS Links
        FROM episodes JOIN otel_traces AS root ON root.TraceId = episodes.TraceId AND root.ParentSpanId = ''
        ORDER BY StartTime
    """

    rounds = ((3, divided), (99, divided), (99, plain))
    first, both, imported = grown(storage_store, tmp_path, *rounds, asked=asked)
    whole = grown(storage_store, tmp_path, (99, plain), (99, divided), asked=asked)

    push = {"Task": "Push it", "Steps": 1, "InputTokens": 7, "Links": []}
    assert first == [push]
    assert both == imported == [push, {"Task": "Commit only", "Steps": 1, "InputTokens": 8, "Links": ["follows"]}]
    assert whole == [[{"Task": "Push it", "Steps": 2, "InputTokens": 15, "Links": []}]] * 2
