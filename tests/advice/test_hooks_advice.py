"""What hooks tell an agent: the brief at the prompt, a warning before a tool, what helps after a failure."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from learning_data import SECOND, Episode, rows_of

from otel_episodes_clickhouse import Store, Target, run_jobs
from otel_episodes_clickhouse.advice import policy as policies
from otel_episodes_clickhouse.advice.arms import Policy
from otel_episodes_clickhouse.hooks import at_tool, cached, relay
from otel_episodes_clickhouse.importers.run_rows import RunIds

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = "/home/ada/ledger"
FAILURE = "Exit code 2\nls: cannot access '/not/there': No such file"


@pytest.fixture(scope="module")
def home(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the directory of hooks beside a store in which Bash fails always and Read puts it right."""
    data = tmp_path_factory.mktemp("advice")
    shutil.copytree(migrated, data / "chdb", symlinks=True)
    (data / "hooks").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EPISODES_HOME", str(data))
        with Store.open(Target.resolve()) as store:
            for number in range(6):
                steps = [("Bash", False), ("Read", True), ("Edit", True)]
                run = Episode(
                    f"run-{number}", task="Round the totals", domain="ledger", steps=steps, errors={0: FAILURE},
                    start=time.time_ns() - (90_000 + number) * SECOND,
                )  # fmt: skip
                store.insert_rows(rows_of(run))
            run_jobs(store)
            cached.refresh(store, data / "hooks", FOLDER)
        yield data / "hooks"


def hook(home: Path, name: str, session: str, **said: Any) -> str:
    """Return what the hook prints for an event of Claude Code."""
    package = Path(relay.__file__).parents[2]
    paths = f"{package}:{package.parent}"
    command = [sys.executable, "-S", "-E", relay.__file__, "claude-code", str(home), paths, "advice=on"]
    event = {"hook_event_name": name, "session_id": session, "cwd": FOLDER, "transcript_path": "/not/there", **said}
    # Agents keep such variables from their hooks.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    ran = subprocess.run(
        command, input=json.dumps(event), env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


def policy_of(home: Path) -> Policy:
    known = json.loads(Path(at_tool.cache_of(str(home), FOLDER)).read_text())
    return Policy(known["policy"], known["held"])


def unit(home: Path, *, shown: bool) -> str:
    """Return a session that is shown advice, nothing left out; or one from which it is held back."""
    policy = policy_of(home)
    known = json.loads(Path(at_tool.cache_of(str(home), FOLDER)).read_text())
    items = [item["id"] for found in known["warnings"].values() for item in found]
    names = (f"session-{shown}-{number}" for number in range(500))
    return next(
        name for name in names
        if policy.shows(name, asked=False) is shown and not any(policy.leaves_out(name, item) for item in items)
    )  # fmt: skip


def told(printed: str) -> tuple[str, str]:
    said = json.loads(printed)["hookSpecificOutput"]
    return said["hookEventName"], said["additionalContext"]


def test_a_warning_before_a_call_that_usually_fails_once_and_of_no_other_tool(home):
    session = unit(home, shown=True)

    first = hook(home, "PreToolUse", session, tool_name="Bash", tool_input={"command": "ls"})

    event, text = told(first)
    assert event == "PreToolUse"
    assert text.startswith("Bash failed in 6 of 6 runs that called it")
    assert hook(home, "PreToolUse", session, tool_name="Bash", tool_input={"command": "ls"}) == ""
    assert hook(home, "PreToolUse", session, tool_name="Read", tool_input={}) == ""
    assert hook(home, "PostToolUse", session, tool_name="Bash", tool_response="ok") == ""
    assert hook(home, "PreToolUse", session, tool_name="Bash", cwd="/elsewhere") == ""


def test_what_put_this_failure_right_after_it_and_after_no_other(home):
    names = (f"failing-{number}" for number in range(500))
    policy = policy_of(home)
    known = json.loads(Path(at_tool.cache_of(str(home), FOLDER)).read_text())["recoveries"]["Bash"]
    items = [item["id"] for found in known.values() for item in found]
    session = next(
        name for name in names
        if policy.shows(name, asked=False) and not any(policy.leaves_out(name, item) for item in items)
    )  # fmt: skip

    other = hook(home, "PostToolUseFailure", session, tool_name="Bash", error="Exit code 1\nno rights")
    again = FAILURE.replace("/not/there", "/nor/here").replace("2", "3")
    event, text = told(hook(home, "PostToolUseFailure", session, tool_name="Bash", error=again))

    assert other == ""
    assert event == "PostToolUseFailure"
    assert text.startswith("After this failure of Bash, Read put it right in 6 of 6 runs")


def test_the_arm_is_drawn_as_everywhere_and_what_was_shown_or_held_becomes_a_span(home):
    policy = policy_of(home)
    held = unit(home, shown=False)

    assert hook(home, "PreToolUse", held, tool_name="Bash", tool_input={}) == ""

    for number in range(50):
        assert (at_tool._draw(policy.text, f"u{number}") < 1 - policy.held_pushed) is policy.shows(
            f"u{number}", asked=False
        )
    with Store.open(Target.resolve()) as store:
        assert policies.of_store(store) == policy
        assert cached.take_inbox(store, home, "claude-code") == 3
        assert cached.take_inbox(store, home, "claude-code") == 0
        found = store.query(
            "SELECT EpisodeId, Unit, Place, Arm, length(Items) AS Said, Share FROM advice ORDER BY Time"
        )
    episode = RunIds("claude-code", held).trace_id
    assert [(row["Place"], row["Arm"]) for row in found] == [
        ("warning", "shown"), ("recovery", "shown"), ("warning", "held"),
    ]  # fmt: skip
    assert found[-1] == {
        "EpisodeId": episode, "Unit": held, "Place": "warning", "Arm": "held", "Said": 1, "Share": 0.8,
    }  # fmt: skip


def test_the_brief_at_the_first_prompt_and_at_no_other(home):
    session = unit(home, shown=True)

    event, text = told(hook(home, "UserPromptSubmit", session, prompt="Round the totals"))

    assert event == "UserPromptSubmit"
    assert text.startswith("What earlier runs here show:\n")
    assert len(text) <= 8000
    assert hook(home, "UserPromptSubmit", session, prompt="Round the totals") == ""
    with Store.open(Target.resolve()) as store:
        store.drain()
        found = store.query("SELECT Unit, TraceId, Arm FROM advice WHERE Place = 'brief'")
    assert found == [{"Unit": session, "TraceId": RunIds("claude-code", session).trace_id, "Arm": "shown"}]


def test_nothing_is_told_where_nothing_can_be_read(tmp_path):
    Path(at_tool.cache_of(str(tmp_path), FOLDER)).parent.mkdir(parents=True)
    for text in ("not JSON", "[]", "{}", "x" * (at_tool.MOST_BYTES + 1)):
        Path(at_tool.cache_of(str(tmp_path), FOLDER)).write_text(text)
        assert hook(tmp_path, "PreToolUse", "s", tool_name="Bash", tool_input={}) == ""
