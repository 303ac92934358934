"""The command line, as a user sees it."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, get_args

import pytest
from cli_fixtures import Shell, opened

from otel_episodes import semconv
from otel_episodes_clickhouse.cli import choices
from otel_episodes_clickhouse.importers import registry
from otel_episodes_clickhouse.importers.rules import RULES
from otel_episodes_clickhouse.learning.jobs import JOBS
from otel_episodes_clickhouse.store.confinement import available

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Tasks of the demo in which somebody looked something up.
REPAIRS = ["Fix a panic on empty input", "Fix the failing lexer tests", "Fix the failing parser tests"]
COMMANDS = ["demo", "start", "step", "complete", "import", "episodes", "show", "sql", "doctor", "migrate"]
WITHOUT_ENGINE = """
import sys
from otel_episodes_clickhouse.cli import main
try:
    main()
finally:
    heavy = {"clickhouse_connect", "chdb", "pandas", "numpy"} & set(sys.modules)
    print("loaded:", sorted(heavy), "rich" in sys.modules, file=sys.stderr)
"""


@pytest.fixture
def shell(tmp_path) -> Iterator[Shell]:
    with opened(tmp_path) as shell:
        yield shell


@pytest.fixture(scope="module")
def scratch(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """Return a shell over a store that several tests write to, each an episode of its own."""
    with opened(tmp_path_factory.mktemp("scratch"), migrated) as shell:
        yield shell


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shell, str]]:
    """Return a shell whose default store is that of the demo, and what `demo` printed."""
    home = tmp_path_factory.mktemp("demo")
    with opened(home) as shell:
        ran = shell.process("demo")
        assert (ran.code, ran.err) == (0, "")
        (home / "demo").rename(home / "chdb")
        yield shell, ran.out


# --- recording -----------------------------------------------------------------------------------------------------


def test_an_episode_is_recorded_from_a_shell(shell):
    started = shell.process(
        "start", "Fix the flaky test", "--agent", "me", "--language", "rust", "--tag", "ci", "--tag", "x"
    )
    handle = started.out.strip()
    assert (started.code, started.out.count("\n"), started.err) == (0, 1, "")

    steps = [
        ("--tool", "cargo", "--action", "test", "--latency-ms", "3200", "--failed", "--observation", "2 tests failed"),
        ("--tool", "llm", "--action", "mend it", "--tokens", "1200/300"),
        ("--tool", "cargo", "--action", "test", "--tokens", "2800", "--kind", "error_handling"),
        ("--kind", "milestone", "--action", "tests green"),
    ]
    assert [(ran.code, ran.out, ran.err) for ran in (shell.process("step", handle, *step) for step in steps)] == [
        (0, "", "")
    ] * 4
    running = shell("episodes", "--json").json
    assert [(row["Outcome"], row["Steps"]) for row in running] == [("running", 4)]

    assert shell("complete", handle, "--outcome", "success", "--artifact", "a.rs", "--reward", "0.5").code == 0
    shown = shell("show", running[0]["EpisodeId"][:6], "--json").json
    expected = {
        "Task": "Fix the flaky test", "AgentName": "me", "Language": "rust", "Tags": ["ci", "x"], "Outcome": "success",
        "Artifacts": ["a.rs"], "ExternalReward": 0.5, "Steps": 4, "FailedSteps": 1, "Tools": ["cargo", "llm"],
        "InputTokens": 1200, "OutputTokens": 3100,
    }  # fmt: skip
    assert {key: shown[key] for key in expected} == expected
    # A nanosecond is what a step has without a latency; what took 3.2 s ended when it was told.
    found = [
        (s["Kind"], s["Tool"], s["Action"], s["Success"], s["DurationNs"], s["InputTokens"], s["OutputTokens"])
        for s in shown["StepList"]
    ]
    assert found == [
        ("tool_use", "cargo", "test", False, 3_200_000_000, 0, 0),
        ("tool_use", "llm", "mend it", True, 1, 1200, 300),
        ("error_handling", "cargo", "test", True, 1, 0, 2800),
        ("milestone", "", "tests green", True, 1, 0, 0),
    ]
    assert shown["StepList"][0]["ErrorMessage"] == "2 tests failed"


def test_processes_record_into_one_episode_at_once(scratch):
    handle = scratch.process("start", "Many hands").out.strip()

    with ThreadPoolExecutor(4) as pool:
        codes = list(pool.map(lambda n: scratch.process("step", handle, "--tool", f"tool-{n}").code, range(4)))

    assert codes == [0] * 4
    assert scratch.sql("SELECT Task, Steps, length(Tools) AS Tools FROM episodes WHERE Task = 'Many hands'") == [
        {"Task": "Many hands", "Steps": 4, "Tools": 4}
    ]


def test_an_episode_that_has_ended_is_resumed_in_a_new_segment(scratch):
    first = scratch("start", "In two parts").out.strip()
    scratch("step", first, "--tool", "one")
    scratch("complete", first, "--outcome", "partial", "--done", "1", "--not-done", "2")
    second = scratch("start", "--resume", first).out.strip()
    scratch("step", second, "--tool", "two")
    scratch("complete", second, "--outcome", "success")

    ran = scratch("episodes", "--task", "in two parts", "--json")

    assert [(row["Task"], row["Outcome"], row["Tools"]) for row in ran.json] == [
        ("In two parts", "success", ["one", "two"])
    ]
    assert "resumed" in scratch("show", ran.json[0]["EpisodeId"]).out


@pytest.mark.parametrize(
    ("arguments", "fix"),
    [
        (["start"], "name the task"),
        (["start", "x", "--complexity", "huge"], "'huge' is not one of 'simple', 'moderate', 'complex'"),
        (["start", "--resume", "nonsense"], "pass the whole line that `otel-episodes start` printed"),
        (["start", "--resume", "HANDLE", "--agent", "x"], "--agent cannot change in a resumed episode"),
        (["step", "nonsense", "--tool", "x"], "pass the whole line that `otel-episodes start` printed"),
        (["step", "HANDLE"], "name the tool"),
        (["step", "HANDLE", "--tool", "x", "--kind", "y"], "'y' is not one of 'tool_use', 'decision_point'"),
        (["step", "HANDLE", "--tool", "x", "--latency-ms", "-1"], "0 or more"),
        (["step", "HANDLE", "--tool", "x", "--latency-ms", "nan"], "0 or more"),
        (["step", "HANDLE", "--tool", "x", "--latency-ms", "long"], "step --help"),
        (["step", "HANDLE", "--tool", "x", "--tokens", "-5"], "use 2800 (output tokens) or 1200/300"),
        (["step", "HANDLE", "--tool", "x", "--tokens", "1/"], "use 2800 (output tokens) or 1200/300"),
        (["step", "HANDLE", "--tool", "x" * 200], "at most 128 characters"),
        (["step", "HANDLE", "--tool", "x", "--error-type", "E"], "--error-type goes with --failed"),
        (["complete", "HANDLE"], "--outcome"),
        (["complete", "HANDLE", "--outcome", "great"], "'great' is not one of 'success', 'partial', 'failure'"),
        (["complete", "HANDLE", "--outcome", "partial", "--done", "-1"], "--done -1 must be a whole number"),
        (["complete", "HANDLE", "--outcome", "success", "--done", "1"], "go with --outcome partial"),
        (["complete", "HANDLE", "--outcome", "failure", "--artifact", "a"], "goes with --outcome success"),
        (["complete", "HANDLE", "--outcome", "success", "--reward", "nan"], "must be a finite number"),
        (["nonsense"], "otel-episodes --help"),
        (["step", "HANDLE", "--nonsense"], "step --help"),
        (["episodes", "--since", "soon"], "use 30m, 2h, 7d or a date"),
        (["episodes", "--outcome", "great"], "'great' is not one of 'success', 'partial'"),
        (["episodes", "--json", "--csv"], "--json and --csv: choose one"),
        (["patterns", "--type", "x"], "'x' is not one of 'tool_sequence'"),
        (["jobs", "run", "facts", "dreams"], "'dreams' is not one of 'prices', 'facts', 'rewards'"),
        (["evaluate", "--split", "x"], "'x' is not one of 'episode', 'task', 'time'"),
        (["--json", "doctor", "--nonsense"], "doctor --help"),
        (["--json", "start", "x"], "start does not print JSON"),
        (["episodes", "--limit", "0"], "1 or more"),
        (["episodes", "--dsn", "postgres://x"], "unknown scheme"),
        (["sql", " ; "], "give a statement"),
        (["sql", "SELECT 1", "--param", "x"], "NAME=VALUE"),
    ],
)  # fmt: skip
def test_wrong_use_is_one_line_with_the_fix_and_writes_nothing(arguments, fix, wrong_use):
    shell, handle = wrong_use
    before = shell.spooled()

    ran = shell(*(handle if argument == "HANDLE" else argument for argument in arguments))

    assert (ran.code, ran.out, shell.spooled()) == (2, "", before)
    assert ran.err.count("\n") == 1
    assert ran.err.startswith("otel-episodes: ")
    assert fix in ran.err


@pytest.fixture(scope="module")
def wrong_use(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shell, str]]:
    with opened(tmp_path_factory.mktemp("wrong-use")) as shell:
        yield shell, shell("start", "x").out.strip()


def test_what_cannot_be_written_is_said(shell):
    (shell.home / "chdb").write_text("in the way")

    ran = shell("start", "x")

    assert (ran.code, ran.out) == (1, "")
    assert "nothing was recorded" in ran.err


def test_a_switched_off_sdk_is_said_rather_than_an_empty_handle_printed(scratch):
    ran = scratch("start", "x", OTEL_SDK_DISABLED="true")

    assert (ran.code, ran.out) == (1, "")
    assert "OTEL_SDK_DISABLED is set" in ran.err


@pytest.mark.parametrize("arguments", [["--help"], ["start", "x"], ["step", "--help"], ["sql", "--help"]])
def test_recording_and_help_load_neither_engine_nor_client_nor_rich(scratch, arguments):
    ran = scratch.python("-c", WITHOUT_ENGINE, *arguments)

    assert (ran.code, ran.err) == (0, "loaded: [] False\n")


def test_the_choices_of_options_are_those_of_the_code():
    assert get_args(choices.FileFormat) == registry.FORMATS
    assert get_args(choices.Agent) == (
        *(reader.name for reader in registry.READERS if reader.homes), "gemini",
    )  # fmt: skip
    assert tuple(choices.Job) == JOBS
    assert tuple(choices.Rule) == tuple(RULES)
    assert set(semconv.OUTCOMES) < set(get_args(choices.AnyOutcome))


def test_help_lists_every_command_in_a_group(scratch):
    out = scratch("--help").out

    groups = re.findall(r"^(\w+):$", out, re.MULTILINE)
    assert groups == ["Options", "Record", "Look", "Learn", "Advise", "Operate"]


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Shell]:
    """Return a shell that has opened no store: its process takes one directory at a time."""
    with opened(tmp_path) as shell:
        yield shell


def test_where_and_how_may_be_said_before_the_command(elsewhere):
    place = f"chdb://{elsewhere.home}/elsewhere"
    handle = elsewhere("--dsn", place, "start", "Say it first").out.strip()

    before = elsewhere("--json", "--dsn", place, "episodes")
    after = elsewhere("episodes", "--json", "--dsn", place)
    assert [row["Task"] for row in before.json] == ["Say it first"]
    assert (after.code, after.out, after.err) == (0, before.out, "")
    # What stands after the command overrides, and both override the environment.
    nowhere = f"chdb://{elsewhere.home}/nowhere"
    assert elsewhere("--dsn", nowhere, "episodes", "--json", "--dsn", place).out == after.out
    assert elsewhere("--dsn", place, "episodes", "--json", OTEL_EPISODES_DSN=nowhere).out == after.out
    assert elsewhere("--json", "--dsn", place, "sql", "SELECT Task FROM episodes").json == [{"Task": "Say it first"}]
    assert elsewhere("--json", "--dsn", place, "jobs", "run", "facts").json[0]["job"] == "facts"
    # The same mistake, the same exit code.
    found = [elsewhere("--dsn", place, command, "zzzz") for command in ("show", "reflect", "outlook")]
    assert [ran.code for ran in found] == [1, 1, 1]
    assert elsewhere("--dsn", place, "patterns", "show", "zzzz").code == 1
    assert handle


def test_lists_are_printed_as_csv(scratch):
    scratch("start", 'A task with "quotes", and a comma', "--tag", "a", "--tag", "b")

    listed = list(csv.DictReader(io.StringIO(scratch("episodes", "--csv", "--task", "quotes").out)))
    assert [(row["Task"], row["Outcome"], row["Tools"]) for row in listed] == [
        ('A task with "quotes", and a comma', "running", "[]")
    ]
    query = "SELECT 1 AS n, NULL AS nothing, ['x', 'y'] AS list WHERE {yes:Bool}"
    assert scratch("sql", query, "--param", "yes=true", "--csv").out == 'n,nothing,list\n1,,"[""x"",""y""]"\n'


# --- looking -------------------------------------------------------------------------------------------------------


def test_the_demo_shows_a_day_and_one_episode_in_80_columns(demo):
    _, out = demo
    table, _, rest = out.partition("One of them")

    for word in ("success", "partial", "failure", "abstained", "Build the release", "Get clippy clean"):
        assert word in table
    assert "2 tests failed: parses_empty_input" in rest
    assert "█" in rest
    # Where the data is can be any length.
    assert max(map(len, out.partition("Stored in")[0].splitlines())) <= 80


def test_what_the_demo_suggests_works(demo):
    shell, out = demo
    # As typed, less the name of the program and the store, which the fixture has moved to where a shell looks.
    suggested = [shlex.split(line)[1:-2] for line in out.splitlines() if " --dsn " in line]

    assert [command[0] for command in suggested] == ["episodes", "show", "patterns", "sql", "doctor"]
    assert [shell(*command).code for command in suggested] == [0] * 5


def test_a_second_demo_adds_a_day_and_shows_only_that(demo):
    shell, _ = demo
    ran = shell("demo", "--dsn", f"chdb://{shell.home / 'chdb'}")

    assert ran.code == 0
    assert ran.out.count("Build the release") == 1
    assert "76 episodes there now" in ran.out


def test_episodes_are_filtered(demo):
    shell, _ = demo

    def tasks(*arguments: str) -> list[str]:
        ran = shell("episodes", "--json", *arguments)
        assert ran.code == 0, ran.err
        return sorted({row["Task"] for row in ran.json})

    assert tasks("--outcome", "abstained") == ["Rotate the signing key of the package feed"]
    assert tasks("--tool", "grep") == REPAIRS
    assert tasks("--task", "CLIPPY") == ["Get clippy clean"]
    assert tasks("--since", "2100-01-01") == []
    assert len(tasks("--since", "2d")) == 10
    assert len(shell("episodes", "--json", "--limit", "3").json) == 3


def test_the_demo_learns_and_advises_the_next_run(demo):
    _, out = demo
    learned = out.partition("Learned from 38 episodes")[2]

    assert "grep → read_file: 13 of 16 such runs succeeded" in learned
    ranked = learned.partition("LIFT")[2].split()
    assert ranked[ranked.index("WON") + 1] == "grep"


def test_episodes_come_newest_first(demo):
    shell, _ = demo
    starts = [row["StartTime"] for row in shell("episodes", "--json").json]

    assert starts == sorted(starts, reverse=True)


def test_nothing_found_is_said_on_stderr(demo):
    shell, _ = demo
    ran = shell("episodes", "--task", "no such task")

    assert (ran.code, ran.out) == (0, "")
    assert "matches" in ran.err


def test_an_id_that_fits_several_or_none_is_an_error_that_helps(demo):
    shell, _ = demo
    # More ids than there are first letters.
    for number in range(17):
        shell("start", f"episode {number}")
    ids = [row["EpisodeId"] for row in shell("episodes", "--json", "--limit", "100").json]

    several = shell("show", Counter(identifier[0] for identifier in ids).most_common(1)[0][0])
    none = shell("show", "not-an-id")

    assert (none.code, none.out) == (1, "")
    assert "no episode's id begins with not-an-id" in none.err
    assert (several.code, several.out) == (1, "")
    assert "give more of it" in several.err


def test_steps_are_shown_below_the_step_they_happened_in(scratch):
    code = (
        "from otel_episodes import configure, episode, step\n"
        "configure()\n"
        "with episode('nested'), step('outer'):\n"
        "    with step('inner'):\n"
        "        pass\n"
    )
    assert scratch.python("-c", code).code == 0

    lines = scratch("show", scratch("episodes", "--task", "nested", "--json").json[0]["EpisodeId"]).out.splitlines()

    assert [line.split("  ok")[0].rstrip() for line in lines if "─" in line] == ["1 └─ outer", "2    └─ inner"]


def test_text_from_agents_cannot_act_on_the_terminal(scratch):
    handle = scratch("start", "evil \x1b[31mred\x07\nnext").out.strip()
    scratch("step", handle, "--tool", "t", "--observation", "\x1b]0;title\x07[bold]kept[/bold]")

    table = scratch("episodes", FORCE_COLOR="1", COLUMNS="120").out
    shown = scratch("show", handle[3:10]).out

    assert "evil [31mred next" in table
    assert "\x07" not in table + shown
    assert "[bold]kept[/bold]" in shown


def test_colours_are_for_terminals_and_not_under_no_color(demo):
    shell, _ = demo

    assert "\x1b" not in shell("episodes").out
    assert "\x1b[" in shell("episodes", FORCE_COLOR="1", TERM="xterm").out
    assert "\x1b[3" not in shell("episodes", FORCE_COLOR="1", TERM="xterm", NO_COLOR="1").out


def test_sql_takes_parameters_and_prints_tables_or_json(demo):
    shell, _ = demo
    statement = "SELECT Task, Steps FROM episodes WHERE Outcome = {outcome:String} LIMIT 1"

    assert shell.sql(statement, "--param", "outcome=abstained") == [
        {"Task": "Rotate the signing key of the package feed", "Steps": 1}
    ]
    ran = shell("sql", statement, "--param", "outcome=abstained")
    assert ran.out.split() == [
        "Task",
        "Steps",
        *["Rotate", "the", "signing", "key", "of", "the", "package", "feed"],
        "1",
    ]
    assert ran.err == "(1 row)\n"


def test_sql_changes_nothing_unless_told_so(demo):
    shell, _ = demo

    refused = shell("sql", "TRUNCATE TABLE internal_settings")
    allowed = shell("sql", "--write", "INSERT INTO internal_settings (Name, Value) VALUES ('mine', '1')")

    assert (refused.code, refused.out, "--write" in refused.err) == (1, "", True)
    assert allowed.code == 0, allowed.err
    assert shell.sql("SELECT Value FROM internal_settings WHERE Name = 'mine'") == [{"Value": "1"}]


def test_a_wrong_statement_is_one_line(demo):
    shell, _ = demo
    ran = shell("sql", "SELEC 1")

    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert "Syntax error" in ran.err


def test_looking_where_nothing_is_makes_nothing(shell):
    ran = shell("episodes")

    assert (ran.code, ran.out) == (1, "")
    assert "otel-episodes demo" in ran.err
    assert list(shell.home.iterdir()) == []


# --- health --------------------------------------------------------------------------------------------------------


def test_the_doctor_finds_a_healthy_store_healthy(demo):
    shell, _ = demo
    found = shell("doctor", "--json")

    assert (found.code, found.json["ok"]) == (0, True)
    states = {finding["name"]: finding["state"] for finding in found.json["findings"]}
    # Not every kernel has them.
    assert states.pop("walls") == ("ok" if available().whole else "warn")
    assert states == dict.fromkeys(
        ["versions", "data", "spool", "recording", "store", "schema", "storing", "episodes", "rewards"], "ok"
    )


def test_the_doctor_names_what_is_wrong_and_what_to_do(shell):
    spool = shell.home / "chdb" / "spool"
    (spool / "quarantine").mkdir(parents=True)
    (spool / "quarantine" / "x.json").write_text("{}\n")

    before = shell("doctor", "--json").json
    migrated = shell("migrate")
    after = shell("doctor")

    wrong = {finding["name"]: finding["fix"] for finding in before["findings"] if finding["state"] == "warn"}
    assert wrong == {
        "quarantine": "each line says why; delete what you do not need",
        "schema": "update it: otel-episodes migrate",
    }
    assert migrated.out.startswith("made: internal_forgotten, otel_traces, ")
    assert "is up to date" in shell("migrate").out
    assert "warn  quarantine" in after.out
    assert "ok    schema" in after.out


def test_the_doctor_fails_where_the_server_does_not_answer_and_never_shows_the_password(shell):
    ran = shell("doctor", OTEL_EPISODES_DSN="clickhouse://me:s3cr3t-word@127.0.0.1:9/x")

    assert ran.code == 1
    assert "fail" in ran.out
    assert "s3cr3t-word" not in ran.out + ran.err


def test_the_doctor_says_who_holds_the_store(demo):
    shell, _ = demo
    hold = (  # opens the store, then asks the doctor in another process
        "from otel_episodes_clickhouse import Target\n"
        "from otel_episodes_clickhouse import Store\n"
        "import subprocess, sys\n"
        "with Store.open(Target.resolve()):\n"
        "    sys.exit(subprocess.run([sys.executable, '-m', 'otel_episodes_clickhouse.cli', 'doctor']).returncode)\n"
    )

    ran = shell.python("-c", hold)

    assert ran.code == 0, ran.err
    assert "is in use by process" in " ".join(ran.out.split())


def test_migrate_can_print_its_sql(shell):
    ran = shell("migrate", "--print")

    assert ran.code == 0
    assert "CREATE TABLE IF NOT EXISTS otel_traces" in ran.out
    assert list(shell.home.iterdir()) == []


# --- all of them ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_teaches_by_example(scratch, command):
    ran = scratch(command, "--help")

    assert ran.code == 0
    assert f"    otel-episodes {command}" in ran.out or f"=$(otel-episodes {command}" in ran.out
    assert "--dsn" in ran.out


def test_without_arguments_the_commands_are_listed(scratch):
    ran = scratch()

    assert ran.code == 0
    assert all(f"  {command} " in ran.out for command in COMMANDS)


def test_missing_packages_are_named_with_what_installs_them(scratch):
    code = "import sys\nsys.modules['typer'] = None\nfrom otel_episodes_clickhouse.cli import main\nmain()\n"
    ran = scratch.python("-c", code)

    assert (ran.code, ran.out) == (1, "")
    assert ran.err.count("\n") == 1
    assert "pip install 'otel-episodes[embedded]'" in ran.err


def test_json_goes_to_stdout_alone(demo):
    shell, _ = demo
    for arguments in (
        ["episodes"],
        ["sql", "SELECT 1 AS a, [1.5, nan] AS b, toUInt256(1) AS c, now() AS d"],
        ["doctor"],
    ):
        ran = shell(*arguments, "--json")
        assert json.loads(ran.out) is not None
        assert ran.err == ""


def test_doctor_counts_the_episodes_whose_context_was_lost(shell):
    code = """
import contextvars
from otel_episodes import configure, episode
configure()
block = episode("request")
contextvars.copy_context().run(block.__enter__)
contextvars.copy_context().run(block.__exit__, None, None, None)
"""
    assert shell.python("-c", code).err == ""
    shell("episodes")
    told = {finding["name"]: finding["text"] for finding in shell("doctor", "--json").json["findings"]}
    assert told["contexts"] == "1 episode of the last 7 days left elsewhere than entered"
