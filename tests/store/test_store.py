"""The store: one process at a time, honest answers, and errors that say what to do."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from storage_fixtures import T0, run_python

from otel_episodes_clickhouse import Store, Target
from otel_episodes_clickhouse.errors import (
    DataError,
    QueryError,
    StoreLockedError,
    StoreUnavailableError,
)
from otel_episodes_clickhouse.spool.row import Row

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
import sys, time
from otel_episodes_clickhouse import Store, Target
with Store.open(Target.resolve("chdb://" + sys.argv[1])):
    print("open", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def test_rows_are_inserted_and_read_with_their_nanoseconds(storage_store: Store) -> None:
    row = Row(T0, "1" * 32, "2" * 16, span_name="n", span_attributes={"a": "b"}, duration=3, event_timestamps=(T0 + 1,),
              event_names=("e",), event_attributes=({},))  # fmt: skip
    assert storage_store.insert_rows([row]) == 1
    statement = "SELECT Timestamp, Duration, Events.Timestamp AS Events FROM otel_traces WHERE TraceId = {id:String}"
    assert storage_store.query(statement, {"id": "1" * 32}) == [{"Timestamp": T0, "Duration": 3, "Events": [T0 + 1]}]


def test_times_of_any_precision_are_read_as_nanoseconds(storage_store: Store) -> None:
    statement = """
        SELECT toDateTime64('2020-01-01 00:00:00.123', 3, 'UTC') AS ms,
            toNullable(toDateTime64('2020-01-01 00:00:00.123456', 6, 'UTC')) AS us,
            CAST(NULL AS Nullable(DateTime64(3))) AS none
    """
    expected = {"ms": 1_577_836_800_123_000_000, "us": 1_577_836_800_123_456_000, "none": None}
    assert storage_store.query(statement) == [expected]


@pytest.mark.parametrize("days", [1, 130])
def test_the_same_rows_under_the_same_token_are_inserted_once(storage_store: Store, days: int) -> None:
    trace = f"{days:032x}"
    rows = [Row(T0 + day * 86_400 * 10**9, trace, f"{day:016x}") for day in range(days)]
    for _ in range(3):
        storage_store.insert_rows(rows, token=f"token-{days}")
    counted = "SELECT count() AS rows, (SELECT count() FROM otel_traces_trace_id_ts WHERE TraceId = {id:String}) AS ts FROM otel_traces WHERE TraceId = {id:String}"
    assert storage_store.query(counted, {"id": trace}) == [{"rows": days, "ts": 1}]


def test_nothing_to_insert_is_no_insert(storage_store: Store) -> None:
    assert storage_store.insert_rows([]) == 0


def test_a_failed_read_leaves_nothing_behind_for_the_next(storage_store: Store) -> None:
    for _ in range(2):
        # Fails after rows have been produced: on the same connection the engine would answer with these next.
        with pytest.raises(QueryError, match="throwIf"):
            storage_store.query(
                "SELECT number, throwIf(number = 300000) FROM numbers(400000) SETTINGS max_block_size = 1000"
            )
        assert storage_store.query("SELECT 1 AS one") == [{"one": 1}]


def test_a_failed_insert_leaves_the_store_usable(storage_store: Store) -> None:
    with pytest.raises(QueryError):
        storage_store.sql("INSERT INTO no_such_table VALUES (1)", read_only=False)
    assert storage_store.insert_rows([Row(T0, "c" * 32, "1" * 16)]) == 1


def test_a_users_sql_comes_back_with_names_types_and_rows(storage_store: Store) -> None:
    result = storage_store.sql("SELECT toUInt8(number + 1) AS a, ['x', 'y'][a] AS b FROM numbers(2) ORDER BY a;\n")
    assert (result.columns, result.types, result.rows) == (("a", "b"), ("UInt8", "String"), [(1, "x"), (2, "y")])


@pytest.mark.parametrize(
    "text",
    [
        "DROP TABLE otel_traces",
        "INSERT INTO internal_settings (Name, Value) VALUES ('a', 'b')",
        "SELECT 1; DROP TABLE otel_traces",
        "SELECT 1 SETTINGS readonly = 0",
        "SET readonly = 0",
        "CREATE TABLE t (a Int8) ENGINE = Memory",
        "SELECT * FROM file('/etc/hostname', 'LineAsString')",
    ],
)
def test_read_only_sql_changes_nothing(storage_store: Store, text: str) -> None:
    with pytest.raises(QueryError, match="sql --write` allows it|Multi-statements"):
        storage_store.sql(text)
    # And is forgotten after: the next is as free as before.
    storage_store.sql("INSERT INTO internal_settings (Name, Value) VALUES ('a', 'b')", read_only=False)
    assert storage_store.query("EXISTS TABLE otel_traces") == [{"result": 1}]


def test_read_only_sql_writes_no_file(storage_store: Store, tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="redirect"):
        storage_store.sql(f"SELECT 1 into  outfile '{tmp_path}/out'")
    assert not (tmp_path / "out").exists()


def test_a_statement_that_is_no_sql_says_so(storage_store: Store) -> None:
    with pytest.raises(QueryError, match="Syntax error") as caught:
        storage_store.sql("SELEC 1")
    assert caught.value.code == 62


def test_values_at_fault_are_told_from_other_refusals(storage_store: Store) -> None:
    with pytest.raises(DataError):
        storage_store.query("SELECT toUInt8('x')")


def test_a_second_process_is_told_who_has_the_store(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path), "20"], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(StoreLockedError, match=rf"is in use by process {holder.pid} .* since .*OTEL_EPISODES_DSN"):
            Store.open(Target.resolve(f"chdb://{tmp_path}"), wait_seconds=0.2)
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        holder.stdout.close()


def test_the_lock_of_a_killed_process_is_free_and_what_it_wrote_is_there(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from otel_episodes_clickhouse import Target
from otel_episodes_clickhouse.spool.row import Row
from otel_episodes_clickhouse import Store
store = Store.open(Target.resolve("chdb://" + sys.argv[1]), wait_seconds=1)
store.migrate()
if sys.argv[2] == "kill":
    store.insert_rows([Row(1, "t", "s")])
    os.kill(os.getpid(), signal.SIGKILL)
print(store.query("SELECT TraceId FROM otel_traces"))
store.close()
"""
    assert run_python(code, tmp_path, "kill").returncode == -signal.SIGKILL
    done = run_python(code, tmp_path, "")
    assert done.stdout == "[{'TraceId': 't'}]\n", done.stderr


def test_a_users_own_client_opens_the_same_data(tmp_path: Path) -> None:
    done = run_python(
        """
import sys
from otel_episodes_clickhouse import Target
from otel_episodes_clickhouse.spool.row import Row
from otel_episodes_clickhouse import Store
with Store.open(Target.resolve("chdb://" + sys.argv[1])) as store:
    store.migrate()
    store.insert_rows([Row(1, "t", "s")])
import clickhouse_connect
with clickhouse_connect.get_client(dsn="chdb://" + sys.argv[1]) as client:
    print(client.query("SELECT TraceId FROM otel_traces").result_rows)
""",
        tmp_path,
    )
    assert done.stdout == "[('t',)]\n", done.stderr


def test_a_crash_ends_the_process_at_once_with_the_engine_loaded(tmp_path: Path) -> None:
    begin = time.monotonic()
    done = run_python(
        """
import os, signal, sys
from otel_episodes_clickhouse import Store, Target
with Store.open(Target.resolve("chdb://" + sys.argv[1])):
    os.kill(os.getpid(), signal.SIGSEGV)
""",
        tmp_path,
        timeout=20,
    )
    assert done.returncode == -signal.SIGSEGV
    assert time.monotonic() - begin < 15


def test_a_store_opened_read_only_refuses_to_write(tmp_path: Path) -> None:
    done = run_python(
        """
import sys
from otel_episodes_clickhouse import Target
from otel_episodes_clickhouse.errors import StoreError
from otel_episodes_clickhouse.spool.row import Row
from otel_episodes_clickhouse import Store
with Store.open(Target.resolve("chdb://" + sys.argv[1]), read_only=True) as store:
    for write in (store.migrate, store.drain, lambda: store.insert_rows([Row(1, "t", "s")])):
        try:
            write()
        except StoreError as error:
            print(error)
    print(store.query("SELECT 1 AS one"))
""",
        tmp_path,
    )
    refused = [f"cannot {doing}: this store was opened read-only" for doing in ("migrate", "drain", "insert")]
    assert done.stdout.splitlines() == [*refused, "[{'one': 1}]"], done.stderr


def test_a_server_that_is_away_is_named_without_the_password() -> None:
    target = Target.resolve("clickhouse://me:s3cret@127.0.0.1:1/db")
    with pytest.raises(StoreUnavailableError, match=r"http://127\.0\.0\.1:1/db does not answer") as caught:
        Store.open(target)
    assert "s3cret" not in str(caught.value)


def test_a_directory_nobody_can_write_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreUnavailableError, match="cannot write to .*file"):
        Store.open(Target.resolve(f"chdb://{tmp_path}/file"))


def test_without_the_engine_the_message_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "chdb.py").write_text("raise ImportError('no engine here')")
    done = run_python(
        """
import sys
from otel_episodes_clickhouse import Store, Target
Store.open(Target.resolve("chdb://" + sys.argv[1] + "/data"))
""",
        tmp_path,
        PYTHONPATH=str(tmp_path),
    )
    assert (
        "StoreUnavailableError: the embedded engine is not installed: pip install 'otel-episodes[embedded]'"
        in done.stderr
    )


def test_closing_lets_the_next_process_in(tmp_path: Path) -> None:
    for _ in range(2):
        done = run_python(HOLD, tmp_path, 0)
        assert done.stdout == "open\n", done.stderr
