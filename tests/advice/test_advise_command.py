"""`advise`, `feedback` and `advice`, as a shell has them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

# All commands in one process: starting one takes longer than all they do.
PROGRAM = """
import json, sys, time
from contextlib import redirect_stdout, redirect_stderr
from io import StringIO, TextIOWrapper, BytesIO
from otel_episodes_clickhouse import Store, Target
from otel_episodes_clickhouse.cli.app import run
from otel_episodes_clickhouse.learning import jobs
from learning_data import SECOND, Episode, rows_of

dsn = sys.argv[1]
start = time.time_ns() - 86_400 * SECOND
with Store.open(Target.resolve(dsn)) as store:
    runs = [Episode(f"run-{n}", "success" if n > 4 else "failure", [("find", True), ("book", n > 7), ("pay", n > 1)],
                    domain="shop", task="Book a seat", start=start + n * SECOND) for n in range(12)]
    store.migrate()
    store.insert_rows([row for each in runs for row in rows_of(each)])
    jobs.run(store, "values")

def call(*arguments):
    out, problems = TextIOWrapper(BytesIO(), write_through=True), StringIO()
    with redirect_stdout(out), redirect_stderr(problems):
        code = run([*arguments, "--dsn", dsn])
    return code, out.buffer.getvalue().decode(), problems.getvalue()

told = call("advise", "Book a seat", "--domain", "shop", "--about-to-use", 'book {"seat": "7"}')
found = json.loads(call("advise", "run-3", "--json")[1])
one = found["Items"][0]["Id"]
print(json.dumps([
    told, found, call("advise", "Swim", "--domain", "none"), call("advise", "x", "--about-to-use", "book ["),
    call("feedback", found["AdviceId"][:6], "harmed", "--item", one[:6], "--by", "person: Ada", "--json"),
    call("advice", "show", found["AdviceId"]), call("advice", "retire", one, "--reason", "old"),
    call("advice", "restore", one, "--reason", "not so"), call("advice", "hold", "--pushed", "0.3", "--json"),
    call("feedback", "nothing", "helped"),
]))
"""


@pytest.fixture(scope="module")
def said(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> list[list[object]]:
    """Return what the commands said: exit code, output and problems of each."""
    place = tmp_path_factory.mktemp("advise") / "store"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, f"chdb://{place}"],
        capture_output=True, text=True, check=False, timeout=180, cwd=Path(__file__).parents[1] / "support",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: list[list[object]] = json.loads(done.stdout)
    return found


def test_a_task_is_told_what_is_sure(said):
    code, out, note = said[0]
    assert code == 0
    assert out.splitlines()[0] == (
        "A task 100% like this one went well in 7 of 12 runs; the best is episode run-11; the latest that failed, not "
        "to be followed, is run-4."
    )
    assert "book failed in 8 of 12 runs that called it" in out
    assert "otel-episodes feedback" in note


def test_an_episode_is_found_by_its_id_and_told_as_json(said):
    found = said[1]
    assert (found["Arm"], len(found["AdviceId"])) == ("shown", 16)
    assert found["Items"][0].keys() == {
        "Id", "Kind", "Text", "Support", "Successes", "Low", "High", "Evidence",
    }  # fmt: skip


def test_where_nothing_is_sure_that_is_said_and_wrong_use_is_explained(said):
    assert said[2] == [0, "Nothing is sure enough to be told (otel-episodes jobs run learns what is new)\n", ""]
    assert said[3][0] == 2
    assert "use TOOL, or TOOL and a JSON object" in said[3][2]


def test_feedback_is_shown_beside_the_advice_and_decisions_are_taken_back(said):
    _, found, _, _, given, shown, retired, restored, held, unknown = said
    assert json.loads(given[1]) == {"AdviceId": found["AdviceId"], "Verdict": "harmed", "By": "person: Ada"}
    assert shown[1].splitlines()[-1].endswith(f"harmed of item {found['Items'][0]['Id']}, says person: Ada")
    assert [retired[1], restored[1]] == [f"{found['Items'][0]['Id']}: {state}\n" for state in ("retired", "active")]
    assert json.loads(held[1])["HeldPushed"] == 0.3
    assert unknown[0] == 1
    assert "no advice has an id that begins with 'nothing'" in unknown[2]
