"""The commands around what is learned."""

from __future__ import annotations

import json
import re
import threading
from typing import TYPE_CHECKING, Any

import pytest
from learning_data import Episode, rows_of
from typer.testing import CliRunner, Result

from otel_episodes.exceptions import UsageError
from otel_episodes_clickhouse import Store, Target
from otel_episodes_clickhouse.cli.app import app
from otel_episodes_clickhouse.errors import StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Return a function that runs a command on a store with ten episodes and returns what it printed."""
    dsn = f"chdb://{tmp_path_factory.mktemp('learn')}"
    good, bad = [("look", True), ("act", True)], [("act", False), ("act", True)]
    with Store.open(Target.resolve(dsn)) as store:
        store.migrate()
        episodes = [
            *(Episode(f"good-{n}", steps=good, domain="d", task="t", reward=0.5 + n / 10) for n in range(5)),
            *(Episode(f"bad-{n}", outcome="failure", steps=bad, domain="d") for n in range(5)),
        ]
        store.insert_rows([row for episode in episodes for row in rows_of(episode)])

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, [*arguments, "--dsn", dsn])
        if result.exception is not None:
            raise result.exception
        return result.stdout

    run("jobs", "run")
    return run


def parsed(text: str) -> Any:
    return json.loads(text)


def test_jobs_run_reports_each_job(command: Callable[..., str]) -> None:
    reports = parsed(command("jobs", "run", "--full", "--json"))
    assert [(report["job"], report["full"], report["seen"]) for report in reports] == [
        ("facts", True, 10), ("sequences", True, 10), ("rewards", True, 10), ("reflections", True, 10),
        ("observations", True, 10), ("patterns", True, 1), ("values", True, 1),
    ]  # fmt: skip
    assert "observations (v2)" in command("jobs", "watch", "--times", "1", "--every", "1s")
    states = parsed(command("jobs", "status", "--json"))
    assert states["pending_episodes"] == 0
    assert {row["LastState"] for row in states["jobs"]} == {"done"}


def test_patterns_are_listed_and_shown_with_their_episodes(command: Callable[..., str]) -> None:
    rows = parsed(command("patterns", "--type", "tool_sequence", "--json"))
    verdicts = {tuple(row["Key"]): row["Verdict"] for row in rows}
    assert verdicts == {("look", "act"): "good", ("act", "act"): "pitfall"}
    shown = parsed(command("patterns", "show", rows[0]["PatternId"][:8], "--json"))
    assert len(shown["Episodes"]) == 5
    assert "look > act" in command("patterns", "--type", "tool_sequence")
    # Five runs went one way and five the other: two claims, in however many words.
    everything = parsed(command("patterns", "--json"))
    told = command("patterns")
    assert len(everything) > sum(row["PatternId"][:8] in told for row in everything) == 2
    heuristics = command("patterns", "--type", "heuristic")
    assert "after look (ok): act" in " ".join(heuristics.split())
    with pytest.raises(SystemExit):
        command("patterns", "--type", "loop")
    with pytest.raises(StoreError, match="no pattern begins with 'zz': see `otel-episodes patterns`"):
        command("patterns", "show", "zz")


def test_rewards_reflections_outlook_next_and_evaluation(command: Callable[..., str]) -> None:
    assert "Rewards under v2" in command("rewards")
    assert parsed(command("rewards", "--json"))["domains"][0]["Episodes"] == 10
    lessons = parsed(command("reflect", "bad-0", "--json"))
    assert " succeeded (" in lessons["Improvements"][0]
    assert lessons["Improvements"][1].startswith("100% of the successful episodes of its kind used look")
    assert parsed(command("outlook", "good-0", "--json"))["Probability"] > 0.7
    assert "likely to succeed" in command("outlook", "--domain", "d", "--tool", "act")
    assert parsed(command("next", "--domain", "d", "--json"))[0]["Tool"] == "look"
    judged = parsed(command("evaluate", "--json"))
    assert judged["tested"] == 10
    # Ten runs are too few to tell.
    assert (judged["following"]["runs"], judged["following"]["followed"]) == (10, None)
    assert command("evaluate", "--domain", "nope").startswith("Nothing to judge by in the domain nope yet")
    with pytest.raises(StoreError, match="more than one episode begins with 'good'"):
        command("reflect", "good")


def test_rewards_from_outside_are_switched_on_and_off(command: Callable[..., str]) -> None:
    reports = parsed(command("jobs", "run", "--reward", "external", "--success-at", "0.7", "--json"))
    assert {report["formula"] for report in reports if report["job"] == "observations"} == {
        "v2, external, success from 0.7"
    }
    assert parsed(command("jobs", "status", "--json"))["rewards"] == {
        "external": True, "success_at": 0.7, "formula": "v2", "episodes": 10, "judged": 5,
    }  # fmt: skip
    assert "5 of 10 episodes scored from outside" in " ".join(command("jobs", "status").split())
    shown = parsed(command("rewards", "--json"))
    assert shown["reward"] == {"external": True, "success_at": 0.7}
    assert shown["reward"]["external"] is True
    assert shown["domains"][0]["SuccessRate"] == 0.3
    assert command("rewards").startswith("Rewards from outside, else Base of v2; external, success from 0.7")
    command("jobs", "run", "--reward", "computed")
    assert parsed(command("rewards", "--json"))["domains"][0]["SuccessRate"] == 0.5


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("jobs run --reward external --success-at nan", "success at nan: it must be a finite number"),
        (
            "jobs run --success-at 0.5",
            "success at 0.5 is about scores from outside: choose the reward external with it",
        ),
        ("evaluate --share 0", "a share of 0.0 cannot be tested: it must be between 0 and 1"),
    ],
)
def test_a_wrong_option_is_told_with_what_there_is(command: Callable[..., str], arguments: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        command(*arguments.split())
    assert str(caught.value) == says


@pytest.mark.parametrize("arguments", ["jobs run --reward foo", "jobs run nope", "evaluate --split x"])
def test_a_word_that_is_not_a_choice_is_wrong_use(command: Callable[..., str], arguments: str) -> None:
    with pytest.raises(SystemExit) as caught:
        command(*arguments.split())
    assert caught.value.code == 2


@pytest.mark.parametrize("wrong", [["nope"], ["--formula", "nope"], ["--formula", "{broken}"], ["--since", "nope"]])
def test_a_run_that_is_refused_leaves_the_choice_of_rewards(
    command: Callable[..., str], wrong: list[str], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.sql"
    broken.write_text("SELECT 1 AS EpisodeId")
    before = parsed(command("jobs", "status", "--json"))["rewards"]
    with pytest.raises((UsageError, SystemExit)):
        command("jobs", "run", *(str(broken) if word == "{broken}" else word for word in wrong),
                "--reward", "external", "--success-at", "0.3")  # fmt: skip
    assert parsed(command("jobs", "status", "--json"))["rewards"] == before


@pytest.mark.parametrize("every", ["", "x", "5", "-1s", "0m", "nans", "infs", "1e300s", "9000h"])
def test_a_pause_that_is_none_is_refused(command: Callable[..., str], every: str) -> None:
    with pytest.raises(UsageError, match="use 30s, 5m or 1h"):
        command("jobs", "watch", "--times", "1", "--every", every)


def watched(dsn: str, times: int) -> Result:
    """Watch a store that other tests know nothing of, and return what came of it."""
    return CliRunner().invoke(app, ["jobs", "watch", "--every", "0.2s", "--times", str(times), "--dsn", dsn])


def test_watching_goes_on_once_the_store_is_back(tmp_path: Path) -> None:
    with Store.open(Target.resolve(f"chdb://{tmp_path}/aside")) as store:
        store.migrate()
    back = threading.Timer(0.5, (tmp_path / "aside").rename, [tmp_path / "store"])
    back.start()
    result = watched(f"chdb://{tmp_path}/store", 5)
    back.join()
    assert result.exception is None
    assert "observations (v2)" in result.stdout
    lines = result.stderr.splitlines()
    assert 1 <= len(lines) < 5
    assert all(re.fullmatch(r"otel-episodes: nothing is recorded at .* \(next try in 0.2s\)", line) for line in lines)


def test_watching_ends_with_the_problem_of_its_last_turn_and_at_once_with_a_lasting_one() -> None:
    result = watched("clickhouse://127.0.0.1:1/db", 2)
    assert isinstance(result.exception, StoreUnavailableError)
    assert result.stderr.count("next try in 0.2s") == 1
    result = watched("clickhouse://127.0.0.1:1/db?nonsense=1", 2)
    assert isinstance(result.exception, UsageError)
    assert result.stderr == ""


def test_installing_into_the_embedded_engine_is_refused(command: Callable[..., str]) -> None:
    with pytest.raises(UsageError, match="jobs watch"):
        command("jobs", "install")
    assert "nothing was installed" in command("jobs", "uninstall")
