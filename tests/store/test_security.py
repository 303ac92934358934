"""Nobody let in: read-only SQL that stays so, names that stay values, passwords that stay inside."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from cli_fixtures import Shell, opened
from learning_data import Episode, rows_of

from otel_episodes_clickhouse import Store, Target, findings
from otel_episodes_clickhouse.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# {file} is a file that exists, {out} one that must not.
BYPASSES = [
    "SELECT 1 INTO OUTFILE '{out}'",
    "SELECT 1 INTO/**/OUTFILE '{out}'",
    "SELECT 1 INTO -- x\n OUTFILE '{out}'",
    "SELECT 1 into #!x\n outfile '{out}' TRUNCATE",
    "SELECT 1 UNION ALL SELECT 2 INTO OUTFILE '{out}' FORMAT CSV",
    "INSERT INTO FUNCTION file('{out}', 'CSV', 'a Int') VALUES (1)",
    "SELECT file('{file}')",
    "SELECT FILE('{file}')",
    "SELECT `file`('{file}')",
    'SELECT "file"/**/($x${file}$x$)',
    "SELECT 1 WHERE file('{file}') != ''",
    "SELECT * FROM file('{file}')",
    "WITH x AS (SELECT * FROM file('{file}', 'LineAsString')) SELECT * FROM x",
    "SELECT * FROM '{file}'",
    "DESCRIBE file('{file}', 'CSVWithNames')",
    "DESCRIBE (SELECT * FROM file('{file}', 'CSVWithNames'))",
    "EXPLAIN SELECT * FROM file('{file}', 'CSVWithNames')",
    "EXISTS TABLE `{file}`; DROP TABLE otel_traces",
    "SELECT * FROM url('http://127.0.0.1:1/x', 'CSV', 'a Int')",
    "DESCRIBE url('http://127.0.0.1:1/x', 'CSV')",
    "SELECT * FROM s3('http://127.0.0.1:1/bucket/x', 'CSV', 'a Int')",
    "DESCRIBE s3('http://127.0.0.1:1/bucket/x', 'CSV')",
    "SELECT * FROM remote('127.0.0.1:1', system.one)",
    "SELECT * FROM remoteSecure('127.0.0.1:1', system.one)",
    "SELECT * FROM cluster('x', system.one)",
    "SELECT * FROM mysql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
    "SELECT * FROM postgresql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
    "SELECT * FROM sqlite('{file}', 't')",
    "SELECT * FROM executable('x.sh', 'CSV', 'a Int')",
    "SELECT * FROM python('x')",
    "SELECT * FROM loop(file('{file}', 'LineAsString')) LIMIT 1",
    "SELECT a FROM values('x UInt8, a String ALIAS file(''{file}'')', 1)",
    "SELECT * FROM generateRandom('a String DEFAULT file(''{file}'')') LIMIT 1",
    "SELECT * FROM null('a String MATERIALIZED file(''{file}'')')",
    "SELECT * FROM format(Values, $$(file('{file}'))$$)",
    "SELECT 1 SETTINGS readonly = 0",
    "SELECT 1 SETTINGS allow_ddl = 1, readonly = 2",
    "SET readonly = 0",
    "SELECT 1; DROP TABLE otel_traces",
    "SELECT 1; SELECT 2",
    "SELECT 1 PARALLEL WITH DROP TABLE otel_traces",
    "SYSTEM FLUSH LOGS",
    "SYSTEM SHUTDOWN",
    "KILL QUERY WHERE 1",
    "CREATE TEMPORARY TABLE x (a Int)",
    "CREATE FUNCTION f AS x -> x",
    "INSERT INTO internal_settings (Name, Value) VALUES ('a', 'b')",
    "INSERT INTO internal_settings (Name, Value) SELECT 'a', 'b'",
    "DROP TABLE otel_traces",
    "TRUNCATE TABLE otel_traces",
    "DETACH TABLE otel_traces",
    "ALTER TABLE otel_traces DELETE WHERE 1",
    "OPTIMIZE TABLE otel_traces FINAL",
    "EXCHANGE TABLES otel_traces AND internal_steps",
    "BACKUP TABLE otel_traces TO File('{out}')",
    "GRANT ALL ON *.* TO default",
    "USE system",
]


@pytest.mark.parametrize("text", BYPASSES)
def test_read_only_sql_changes_writes_and_reaches_nothing(storage_store: Store, tmp_path: Path, text: str) -> None:
    counted = (
        "SELECT count() AS tables, (SELECT count() FROM internal_settings) AS settings FROM system.tables "
        "WHERE database = 'default'"
    )
    before = storage_store.query(counted)
    present, absent = tmp_path / "present.csv", tmp_path / "absent"
    present.write_text("topsecret\n1\n")
    with pytest.raises(QueryError) as refused:
        storage_store.sql_here(text.format(file=present, out=absent), {})
    assert "topsecret" not in str(refused.value)
    assert not absent.exists()
    assert storage_store.query(counted) == before


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 'INTO OUTFILE', 'file(1)', 1 AS file",
        "WITH 1 AS a SELECT a -- file('x')",
        "(SELECT 1) UNION ALL (SELECT 2);",
        "FROM numbers(2) SELECT number",
        "SHOW TABLES",
        "DESCRIBE internal_steps",
        "EXPLAIN SELECT count() FROM episodes",
        "EXISTS TABLE episodes",
        "SELECT count() FROM merge(currentDatabase(), '^internal_ro')",
        "SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t",
        "SELECT format('{}', 'x'), extractURLParameter('http://x?a=1', 'a')",
        "SELECT count() FROM episodes WHERE has(Tools, {tool:String}) /* tab\there */ AND Task != 'it''s \\n \\\\'",
    ],
)
def test_read_only_sql_answers_every_question_about_the_store(storage_store: Store, text: str) -> None:
    assert storage_store.sql_here(text, {"tool": "it's \"`;--"}).columns


def test_the_doctor_sees_that_no_room_is_left_for_this_user(storage_store: Store) -> None:
    assert findings._storing(storage_store).state == "ok"
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, most))
    try:
        found = findings._storing(storage_store)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))
    assert (found.state, found.text) == ("fail", "cannot add 32.0 MB: File too large")


NAMES = [
    "x'; DROP TABLE internal_steps; --", 'x"; DROP TABLE internal_steps', "x` DROP", "x\\", "x' OR '1'='1",
    "{a:Identifier}", "%(a)s", "${HOME}", "[x]", "-- x", "/* x", "🙂\ud7ff",
]  # fmt: skip


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    home = tmp_path_factory.mktemp("home")
    with opened(home) as kept:
        handle = kept("start", "t", "--agent", "a", "--domain", "d").out.strip()
        assert kept("step", handle, "--tool", "x", "--action", "y").code == 0
        assert kept("complete", handle, "--outcome", "success").code == 0
        assert kept("jobs", "run").code == 0
        yield kept


@pytest.mark.parametrize("name", NAMES)
def test_a_name_on_the_command_line_never_becomes_sql(shell: Shell, name: str) -> None:
    commands = [
        ("episodes", "--tool", name, "--task", name, "--tenant", name),
        ("episodes", "--since", name),
        ("show", "--", name),
        ("sql", "SELECT {v:String} AS v", "--param", f"v={name}"),
        ("sql", "SELECT count() FROM {t:Identifier}", "--param", f"t={name}"),
        ("patterns", "--domain", name),
        ("rewards", "--formula", name),
        ("next", "--tool", name, "--domain", name),
        ("outlook", "--", name),
        ("jobs", "run", "--since", name),
        ("start", name, "--domain", name, "--agent", name),
    ]
    for command in commands:
        ran = shell(*command)
        assert ran.code in (0, 1, 2), (command, ran.err)
        assert "Traceback" not in ran.err
        assert len(ran.err.splitlines()) <= 3, (command, ran.err)
    assert shell("sql", "SELECT {v:String} AS v", "--param", f"v={name}", "--json").json == [{"v": name}]
    assert shell.sql("SELECT count() AS n FROM internal_steps") == [{"n": 1}]


SECRET = "S3cret-Pw0rd"
BAD_DSNS = [
    f"clickhouse://bob:{SECRET}@127.0.0.1:1/db",
    f"clickhouse://bob:{SECRET}@no-such-host.invalid/db",
    f"clickhouse://bob:{SECRET}@127.0.0.1:notaport/db",
    f"clickhouse://bob:{SECRET}",
    f"clickhouse://bob:{SECRET}@127.0.0.1:9000/db",
    f"clickhouse://bob:{SECRET}@127.0.0.1:1/db?nope={SECRET}",
    f"https://127.0.0.1:1/db?access_token={SECRET}",
    f"mysql://bob:{SECRET}@127.0.0.1/db",
    f"chdb://{SECRET}",
    f"bob:{SECRET}@127.0.0.1",
    SECRET,
]


@pytest.mark.parametrize("dsn", BAD_DSNS)
def test_no_command_says_the_password_of_its_dsn(shell: Shell, dsn: str) -> None:
    for command in (
        ("episodes",),
        ("doctor",),
        ("doctor", "--json"),
        ("migrate",),
        ("migrate", "--plan"),
        ("jobs", "run"),
    ):
        ran = shell(*command, OTEL_EPISODES_DSN=dsn)
        assert ran.code in (1, 2)
        assert SECRET not in ran.out + ran.err, command


LOGGED = """
import logging, sys
logging.basicConfig(level=logging.DEBUG)
from otel_episodes_clickhouse import Store, Target
target = Target.resolve(sys.argv[1])
print(repr(target), target)
with Store.open(target) as store:
    store.migrate()
    for text in ("SELECT nonsense", "SELECT 1"):
        try:
            print(store.sql(text))
        except Exception:
            logging.exception("failed")
"""


def test_neither_logs_nor_tracebacks_hold_the_password(storage_server: str) -> None:
    dsn = storage_server.replace("://", f"://bob:{SECRET}@")
    done = subprocess.run([sys.executable, "-c", LOGGED, dsn], capture_output=True, text=True, timeout=120, check=True)
    assert "DEBUG" in done.stderr
    assert "failed" in done.stderr
    assert SECRET not in done.stdout + done.stderr


def walls_of(shell: Shell, environ: dict[str, str]) -> tuple[str, str]:
    found = next(one for one in shell("doctor", "--json", **environ).json["findings"] if one["name"] == "walls")
    return found["state"], found["text"].partition(" the server")[0]


def test_whoever_may_only_read_can_use_every_command_that_reads(storage_server: str, tmp_path: Path) -> None:
    with Store.open(Target.resolve(storage_server)) as store:
        store.migrate()
        store.insert_rows(rows_of(Episode("e" * 32, steps=[("a", True)], domain="d", task="t")))
    with opened(tmp_path / "home") as shell:
        environ = {"OTEL_EPISODES_DSN": storage_server}
        assert shell("jobs", "run", **environ).code == 0
        assert walls_of(shell, environ) == ("ok", "this account may change the store and reach files and addresses of")
        for level in ("2", "1"):
            (tmp_path / "server" / "read-only").write_text(level)
            assert shell("sql", "SELECT 1", **environ).code == 0
        # The accounts of the embedded engine can be denied no source.
        assert walls_of(shell, environ) == ("warn", "this account may only read and reach files and addresses of")
        for command in (
            ("episodes",), ("show", "eeee"), ("sql", "SELECT 1"), ("patterns",), ("rewards",), ("reflect", "eeee"),
            ("outlook", "eeee"), ("jobs", "status"), ("migrate", "--plan"), ("next", "--domain", "d"),
            ("evaluate",),
        ):  # fmt: skip
            ran = shell(*command, **environ)
            assert (ran.code, ran.err.replace("(1 row)\n", "")) == (0, ""), (command, ran.err)
        assert shell("migrate", **environ).code == 0


def test_migrate_makes_the_database_that_is_missing_and_others_say_how(storage_server: str) -> None:
    dsn = storage_server.replace("/default", "/agents")
    environ = {**os.environ, "OTEL_EPISODES_DSN": dsn}
    said = []
    for command in ("episodes", "migrate", "episodes"):
        arguments = [sys.executable, "-m", "otel_episodes_clickhouse.cli", command]
        done = subprocess.run(arguments, env=environ, capture_output=True, text=True, check=False, timeout=120)
        said.append((done.returncode, done.stderr.strip()))
    missing, made, there = said
    assert missing[0] == 1
    assert missing[1].endswith("names a database the server does not have: create it with `otel-episodes migrate`")
    assert made == (0, "made the database agents")
    assert (there[0], there[1].startswith("no episodes yet: record some")) == (0, True)
