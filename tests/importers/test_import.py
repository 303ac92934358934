"""Importing files into a store, as a user does: by the command line, and looked at by SQL."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from cli_fixtures import TAU, Shell, opened
from test_import_records import FLIGHTS, HARBOR, NOON, otlp
from transcripts import OWN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

needs_tau = pytest.mark.skipif(not TAU.exists(), reason=f"the runs are not part of the repository: {TAU} is absent")

LIVE = """
import json, sys
from otel_episodes import configure, episode, step

configure()
runs = [json.loads(line) for line in open(sys.argv[1])]
answers = {}

def stub(name):
    @step(tool=name, success=lambda answer: not answer.startswith("Error"))
    def tool(call_id, **arguments):
        return answers[call_id]
    return tool

tools = {}
for run in runs:
    answers = {m["tool_call_id"]: m["content"] for m in run["messages"] if m["role"] == "tool"}
    with episode(run["instruction"], agent="stub") as ep:
        for message in run["messages"]:
            for call in message.get("tool_calls") or []:
                name = call["function"]["name"]
                tool = tools.get(name) or tools.setdefault(name, stub(name))
                tool(call["id"], **json.loads(call["function"]["arguments"]))
        ep.reward(run["reward"])
        ep.succeed() if run["reward"] >= 1 else ep.fail()
"""


@pytest.fixture(scope="module")
def tau(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """Return a shell over a store with the 80 runs of the airline benchmark."""
    with opened(tmp_path_factory.mktemp("tau"), migrated) as shell:
        ran = shell.process("import", TAU)
        assert (ran.code, ran.out, ran.err) == (0, "imported 80 episodes, 519 steps\n", "")
        yield shell


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """Return a shell over a store with one record of each format."""
    home = tmp_path_factory.mktemp("mixed")
    for name, record in (("chat.json", FLIGHTS), ("atif.json", HARBOR), ("otlp.jsonl", otlp())):
        (home / name).write_text(json.dumps(record))
    with opened(home) as shell:
        ran = shell("import", *sorted(home.glob("*.json*")))
        assert (ran.code, ran.err) == (0, "")
        assert ran.out == (
            "imported 3 episodes, 6 steps, 3 model calls, 1 other span; how 2 of them ended is unknown\n"
        )
        yield shell


@pytest.fixture(scope="module")
def shared(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """Return a shell over a store that several tests import into, each other runs."""
    with opened(tmp_path_factory.mktemp("shared"), migrated) as shell:
        yield shell


@pytest.fixture
def shell(migrated: Path, tmp_path: Path) -> Iterator[Shell]:
    with opened(tmp_path, migrated) as shell:
        yield shell


COUNTS = {"episodes": 80, "successes": 29, "steps": 519, "failed": 33, "spans": 599}


@needs_tau
def test_all_runs_are_stored_with_their_outcomes(tau):
    assert tau.stored() == COUNTS


@needs_tau
def test_tools_are_counted_right_by_sql(tau):
    expected = Counter(
        call["function"]["name"]
        for line in TAU.read_text().splitlines()
        for message in json.loads(line)["messages"]
        for call in message.get("tool_calls") or []
    )

    found = tau.sql("SELECT Tool, count() AS n FROM internal_steps FINAL GROUP BY Tool")

    assert {row["Tool"]: row["n"] for row in found} == expected


@needs_tau
def test_steps_keep_the_order_of_the_calls(tau):
    run = json.loads(TAU.read_text().splitlines()[0])
    expected = [call["function"]["name"] for m in run["messages"] for call in m.get("tool_calls") or []]

    found = tau.sql(
        "SELECT arrayMap(s -> s.2, arraySort(groupArray((StepIndex, Tool)))) AS Tools FROM internal_steps FINAL "
        "WHERE EpisodeId IN (SELECT EpisodeId FROM episodes WHERE Attributes['task_id'] = '0' "
        "AND Attributes['trial'] = '0') GROUP BY EpisodeId"
    )

    assert found == [{"Tools": expected}]


@needs_tau
def test_importing_again_changes_nothing(tau):
    ran = tau("import", TAU, "--json")

    assert (ran.code, ran.json) == (
        0,
        {
            "episodes": 0,
            "steps": 0,
            "model_calls": 0,
            "spans": 0,
            "agents": 0,
            "unknown": 0,
            "episodes_updated": 0,
            "episodes_already_there": 80,
            "spans_already_there": 599,
            "files": 1,
            "skipped": 0,
            "bad": 0,
            "forgotten": 0,
            "problems": [],
        },
    )
    assert tau.stored() == COUNTS


@needs_tau
def test_the_same_runs_through_the_live_api_give_the_same_counts(shell):
    ran = shell.python("-c", LIVE, TAU)

    assert (ran.code, ran.err) == (0, "")
    # A live run also says that it has begun.
    assert shell.stored() == {**COUNTS, "spans": 599 + 80}


@needs_tau
def test_a_field_can_be_the_id_only_if_it_tells_runs_apart(shell):
    ran = shell("import", TAU, "--id", "task_id", "--json")

    tasks = {json.loads(line)["task_id"] for line in TAU.read_text().splitlines()}
    assert (ran.code, ran.json["episodes"], ran.json["bad"]) == (1, len(tasks), 80 - len(tasks))
    assert "--id must name a field that tells runs apart" in ran.err
    assert shell("show", "0", "--json").json["EpisodeId"] == "0"


def test_one_record_of_each_format_is_found_by_its_content(mixed):
    statement = "SELECT Task, AgentName, Outcome, Steps, FailedSteps, InputTokens FROM episodes ORDER BY Task"
    assert mixed.sql(statement) == [
        {"Task": "Book the cheapest flight", "AgentName": "", "Outcome": "failure", "Steps": 2, "FailedSteps": 1,
         "InputTokens": 0},
        {"Task": "Mend the build", "AgentName": "harbor-agent", "Outcome": "unknown", "Steps": 3, "FailedSteps": 1,
         "InputTokens": 1000},
        {"Task": "Summarise the log", "AgentName": "summariser", "Outcome": "unknown", "Steps": 1, "FailedSteps": 0,
         "InputTokens": 0},
    ]  # fmt: skip
    assert mixed.sql("SELECT SpanName, ServiceName FROM otel_traces WHERE ScopeName = 'my.library'") == [
        {"SpanName": "work", "ServiceName": "my.service"}
    ]


def test_a_run_with_a_sub_agent_is_shown_with_it(mixed):
    ran = mixed("show", next(row["EpisodeId"] for row in mixed("episodes", "--task", "mend", "--json").json))

    assert ran.code == 0
    assert "summariser: Summa" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80


def test_lines_that_are_added_to_a_file_are_all_that_it_brings(mixed, tmp_path):
    path = tmp_path / "grown.jsonl"
    path.write_text(f"{json.dumps(FLIGHTS)}\n{json.dumps({**FLIGHTS, 'trial': 1})}\n{json.dumps(FLIGHTS)}\n")

    ran = mixed("import", path)

    assert (ran.code, ran.out) == (
        0,
        "imported 1 episode, 2 steps; already there: 1 episode (3 spans), left as they are\n",
    )


def test_a_session_that_has_grown_is_the_same_run(shared, tmp_path):
    lines = (OWN / "claude-code" / "3e0d0f10-1111-4222-8333-000000000002.jsonl").read_text().splitlines(keepends=True)
    path = tmp_path / "3e0d0f10-1111-4222-8333-000000000002.jsonl"
    path.write_text("".join(lines[:2]))
    first = shared("import", path).out
    path.write_text("".join(lines))

    second, third = shared("import", path).out, shared("import", path).out

    assert first == "imported 1 episode, 1 step, 1 model call; how it ended is unknown\n"
    assert second == (
        "imported 0 episodes, 1 step, 1 model call; grown: 1 episode; "
        "already there: 0 episodes (1 span), left as they are\n"
    )
    assert third == "imported 0 episodes, 0 steps; already there: 1 episode (5 spans), left as they are\n"
    (episode,) = shared.sql("SELECT EpisodeId, Outcome, Steps, InputTokens FROM episodes WHERE Task = 'Push it'")
    of_it = f"WHERE TraceId = '{episode.pop('EpisodeId')}'"
    assert episode == {"Outcome": "unknown", "Steps": 2, "InputTokens": 15}
    assert shared.sql(f"SELECT count() AS spans, uniq(SpanId) AS ids FROM otel_traces {of_it}") == [
        {"spans": 5, "ids": 5}
    ]
    assert shared.sql(f"SELECT Tool, ErrorType FROM steps {of_it} ORDER BY StepIndex") == [
        {"Tool": "Bash", "ErrorType": "rejected"},
        {"Tool": "Bash", "ErrorType": ""},
    ]


def test_an_older_copy_takes_nothing_back(shared, tmp_path):
    name = "3e0d0f10-1111-4222-8333-000000000001.jsonl"
    shared("import", OWN / "claude-code" / name)
    lines = (OWN / "claude-code" / name).read_text().splitlines(keepends=True)
    (tmp_path / name).write_text("".join(lines[:4]))

    ran = shared("import", tmp_path / name, "--json").json

    assert (ran["episodes_updated"], ran["episodes_already_there"], ran["steps"]) == (0, 1, 0)
    (episode,) = shared.sql("SELECT Steps, EndedHow FROM episodes WHERE Task = 'Round the totals to cents'")
    assert episode == {"Steps": 3, "EndedHow": "interrupted"}


def test_a_run_without_times_stays_where_it_was_when_its_file_is_written_again(shared, tmp_path):
    path = tmp_path / "run.json"
    path.write_text(json.dumps({**FLIGHTS, "trial": 7}))
    os.utime(path, ns=(NOON, NOON))
    shared("import", path)
    longer = [*FLIGHTS["messages"], {"role": "user", "content": "thanks"}]
    path.write_text(json.dumps({**FLIGHTS, "trial": 7, "messages": longer}))

    assert shared("import", path).out == (
        "imported 0 episodes, 0 steps; grown: 1 episode; already there: 0 episodes (2 spans), left as they are\n"
    )
    (row,) = shared.sql(
        "SELECT count() AS spans, min(Timestamp) AS began FROM otel_traces WHERE TraceId IN "
        "(SELECT TraceId FROM episodes WHERE Attributes['trial'] = '7')"
    )
    assert (row["spans"], row["began"][:19]) == (3, "2023-11-14T22:13:20")


def test_all_samples_are_imported_from_their_directory_once(shell):
    first, second = shell("import", OWN, "--json").json, shell("import", OWN, "--json").json

    expected = [file["episodes"] for path in OWN.glob("*/expected.json") for file in files_of(path)]
    episodes = [episode for some in expected for episode in some]
    assert (first["episodes"], first["problems"]) == (len(episodes), [])
    assert first["steps"] == sum(len(episode["steps"]) for episode in episodes)
    assert first["unknown"] == sum(episode["outcome"] is None for episode in episodes)
    assert (second["episodes"], second["steps"], second["episodes_updated"]) == (0, 0, 0)
    assert second["episodes_already_there"] == len(episodes)
    found = shell.sql("SELECT Outcome, count() AS n FROM episodes GROUP BY Outcome")
    assert {row["Outcome"]: row["n"] for row in found} == Counter(
        episode["outcome"] or "unknown" for episode in episodes
    )


def files_of(path: Path) -> list[dict[str, Any]]:
    """Return what is expected of the files of a folder, of those that are read with another left out."""
    return [file for file in json.loads(path.read_text())["files"].values() if "of" not in file]


def test_a_bad_line_is_reported_with_its_number_and_the_rest_is_imported(shell, tmp_path):
    path = tmp_path / "runs.jsonl"
    path.write_text(f'{{"messages": []}}\n{{"a"\n{{"a": 1}}\n{json.dumps(FLIGHTS)}\n')

    ran = shell("import", path)

    assert (ran.code, ran.out) == (1, "imported 1 episode, 2 steps; 3 bad records\n")
    first, second, third = ran.err.splitlines()
    assert first == f"{path}:1: not in the form of any run: an object with messages"
    assert second.startswith(f"{path}:2: not JSON: ")
    assert third == f"{path}:3: not in the form of any run: an object with a"
    assert shell.stored() == {"episodes": 1, "successes": 0, "steps": 2, "failed": 1, "spans": 3}


def test_the_same_complaint_is_made_once_with_a_count(shared, tmp_path):
    path = tmp_path / "runs.jsonl"
    path.write_text('{"a": 1}\n' * 2000)

    ran = shared("import", path)

    assert (ran.code, ran.out) == (1, "imported 0 episodes, 0 steps; 2,000 bad records\n")
    assert ran.err.splitlines() == [
        f"{path}:1: not in the form of any run: an object with a",
        "and 1,999 more records: not in the form of any run: an object with a",
    ]


def test_an_import_that_was_killed_goes_on_where_it_stopped(shell, tmp_path):
    path = tmp_path / "runs.jsonl"
    path.write_text("".join(f"{json.dumps({**FLIGHTS, 'trial': n})}\n" for n in range(200)))
    killed = shell.python("-c", KILLED, path)
    assert killed.code == -9, killed.err
    halfway = shell.stored()

    assert shell("import", path).code == 0

    assert 0 < halfway["episodes"] < 200
    assert shell.stored() == {"episodes": 200, "successes": 0, "steps": 400, "failed": 200, "spans": 600}


KILLED = """
import os, sys
from pathlib import Path
from otel_episodes_clickhouse import Target
from otel_episodes_clickhouse.importers.dispatch import Reading, found_under
from otel_episodes_clickhouse.importers.load import Import
from otel_episodes_clickhouse.importers.options import ImportOptions
from otel_episodes_clickhouse import Store

def advance(source, read):
    if read > Path(sys.argv[1]).stat().st_size // 2:
        os.kill(os.getpid(), 9)

with Store.open(Target.resolve()) as store:
    store.migrate()
    Import(store, Reading(ImportOptions(), print, advance), batch_rows=10).run(found_under([Path(sys.argv[1])], {}))
"""


def test_what_is_no_file_is_wrong_use_and_no_store_is_made(tmp_path):
    with opened(tmp_path) as shell:
        assert [shell("import", *arguments).code for arguments in ([], [tmp_path / "none"], ["/dev/zero"])] == [2, 2, 2]
        assert shell("import", tmp_path / "none").err == f"otel-episodes: {tmp_path / 'none'} is not there\n"
        assert "is a device or a socket" in shell("import", "/dev/zero").err
    assert not (tmp_path / "chdb").exists()


def test_a_file_of_another_kind_is_reported_not_imported(shared, tmp_path):
    sqlite3.connect(tmp_path / "db").execute("CREATE TABLE t (a)").connection.close()
    ran = shared("import", tmp_path / "db")

    assert ran.code == 1
    assert ran.err == f"{tmp_path / 'db'}:1: not text: there are zero bytes in it\n"


def test_a_pipe_that_nobody_writes_to_does_not_hold_the_store(shared, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    shared.close()
    waiting = shared.start("import", tmp_path / "pipe")
    try:
        assert shared("import", OWN / "chat" / "runs.jsonl").code == 0
        shared.close()
        (tmp_path / "pipe").write_text(json.dumps({**FLIGHTS, "trial": 8}))
        out, _ = waiting.communicate(timeout=60)
    finally:
        waiting.kill()

    assert out == "imported 1 episode, 2 steps\n"


def test_standard_input_is_read_where_a_file_is_called_by_a_dash(shared):
    shared.close()
    running = shared.start("import", "-", stdin=subprocess.PIPE)
    out, _ = running.communicate(json.dumps({**FLIGHTS, "trial": 9}), timeout=60)

    assert out == "imported 1 episode, 2 steps\n"


def test_sessions_are_found_where_the_agent_keeps_them(shared, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(OWN / "claude-code", home / ".claude" / "projects" / "-home-ada-ledger")

    ran = shared("import", "--from", "claude-code", "--json", HOME=str(home), CLAUDE_CONFIG_DIR="")

    assert (ran.code, ran.err) == (0, "")
    assert ran.json["episodes"] + ran.json["episodes_already_there"] == 3
    none = shared("import", "--from", "codex", HOME=str(home), CODEX_HOME="")
    assert (none.code, none.err[:51]) == (2, "otel-episodes: no sessions of codex here: looked in")
