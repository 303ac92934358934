"""Importing files into a store, as a user does: by the command line, and looked at by SQL."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cli_fixtures import TAU, Shell, opened
from test_import_records import FLIGHTS, HARBOR, otlp

if TYPE_CHECKING:
    from collections.abc import Iterator

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
def tau(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """Return a shell over a store with the 80 runs of the airline benchmark."""
    with opened(tmp_path_factory.mktemp("tau")) as shell:
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
        assert ran.out == "imported 3 episodes, 6 steps, 1 other span\n"
        yield shell


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with opened(tmp_path) as shell:
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
            "spans": 0,
            "episodes_already_there": 80,
            "spans_already_there": 599,
            "bad": 0,
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
        {"Task": "Mend the build", "AgentName": "harbor-agent", "Outcome": "success", "Steps": 3, "FailedSteps": 1,
         "InputTokens": 1000},
        {"Task": "Summarise the log", "AgentName": "summariser", "Outcome": "success", "Steps": 1, "FailedSteps": 0,
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


def test_a_file_that_has_grown_brings_only_what_is_new(mixed, tmp_path):
    path = tmp_path / "grown.jsonl"
    path.write_text(f"{json.dumps(FLIGHTS)}\n{json.dumps({**FLIGHTS, 'trial': 1})}\n{json.dumps(FLIGHTS)}\n")

    ran = mixed("import", path)

    assert (ran.code, ran.out) == (
        0,
        "imported 1 episode, 2 steps; already there: 1 episode (3 spans), left as they are\n",
    )


def test_a_bad_line_is_reported_with_its_number_and_the_rest_is_imported(shell, tmp_path):
    path = tmp_path / "runs.jsonl"
    path.write_text(f'{{"messages": []}}\n{{"a"\n{{"a": 1}}\n{json.dumps(FLIGHTS)}\n')

    ran = shell("import", path)

    assert (ran.code, ran.out) == (1, "imported 2 episodes, 2 steps; 2 bad records\n")
    first, second = ran.err.splitlines()
    assert first.startswith(f"{path}:2: not JSON: ")
    assert second == f"{path}:3: neither a chat transcript nor ATIF nor OTLP-JSON: an object with a"
    assert shell.stored() == {"episodes": 2, "successes": 1, "steps": 2, "failed": 1, "spans": 4}


def test_an_import_that_was_killed_goes_on_where_it_stopped(shell, tmp_path):
    path = tmp_path / "runs.jsonl"
    path.write_text("".join(f"{json.dumps({**FLIGHTS, 'trial': n})}\n" for n in range(50)))
    killed = shell.python("-c", KILLED, path)
    assert killed.code == -9, killed.err
    halfway = shell.stored()

    assert shell("import", path).code == 0

    assert 0 < halfway["episodes"] < 50
    assert shell.stored() == {"episodes": 50, "successes": 0, "steps": 100, "failed": 50, "spans": 150}


KILLED = """
import os, sys
from pathlib import Path
from otel_episodes_clickhouse import Target
from otel_episodes_clickhouse.importers.load import FileImport
from otel_episodes_clickhouse.importers.options import ImportOptions
from otel_episodes_clickhouse import Store

def advance(read):
    if read > Path(sys.argv[1]).stat().st_size // 2:
        os.kill(os.getpid(), 9)

with Store.open(Target.resolve()) as store:
    store.migrate()
    FileImport(store, Path(sys.argv[1]), ImportOptions(), print, advance, batch_rows=10).run()
"""


def test_what_is_no_file_is_wrong_use(shell, tmp_path):
    assert [(shell("import", *arguments).code) for arguments in ([tmp_path], [tmp_path / "none"])] == [2, 2]
    assert shell("import", tmp_path / "none").err == f"otel-episodes: {tmp_path / 'none'} is not there\n"
    assert not (tmp_path / "chdb").exists()


def test_a_file_of_another_kind_is_reported_not_imported(shell, tmp_path):
    sqlite3.connect(tmp_path / "db").execute("CREATE TABLE t (a)").connection.close()
    ran = shell("import", tmp_path / "db")

    assert ran.code == 1
    assert ran.err.startswith(f"{tmp_path / 'db'}:1: not JSON")
    assert all(Path(line.split(":")[0]) == tmp_path / "db" for line in ran.err.splitlines())
