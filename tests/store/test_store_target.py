"""Targets: what a DSN means, and that no secret shows."""

from __future__ import annotations

import html
import json
from base64 import b64encode, urlsafe_b64encode
from pathlib import Path
from urllib.parse import quote

import pytest
from clickhouse_connect.driver.models import SettingDef
from storage_fixtures import run_python

from otel_episodes_clickhouse import Target
from otel_episodes_clickhouse.errors import ConfigurationError, StoreError, StoreUnavailableError
from otel_episodes_clickhouse.store.insert import needed_settings

HOME = {"OTEL_EPISODES_HOME": "/data/home"}


def resolve(dsn: str | None, **environ: str) -> Target:
    return Target.resolve(dsn, environ={**HOME, **environ})


@pytest.mark.parametrize("dsn", [None, "", "chdb://", "chdb:///", " chdb:// "])
def test_the_default_is_the_embedded_engine_in_the_home_directory(dsn: str | None) -> None:
    assert resolve(dsn) == Target(embedded=True, path=Path("/data/home/chdb"), spool=Path("/data/home/chdb/spool"))


def test_an_argument_wins_over_the_variable_and_that_over_the_default() -> None:
    assert resolve("chdb:///a", OTEL_EPISODES_DSN="chdb:///b").path == Path("/a")
    assert resolve(None, OTEL_EPISODES_DSN="chdb:///b").path == Path("/b")


def test_a_path_is_taken_as_clickhouse_connect_takes_it() -> None:
    target = resolve("chdb:///data/./my%20dir/")
    assert target.client_arguments() == {"interface": "chdb", "path": "/data/my%20dir"}
    assert target.describe() == "chdb:///data/my%20dir"


@pytest.mark.parametrize(
    ("dsn", "host", "port", "secure", "database"),
    [
        ("clickhouse://h", "h", 8123, False, "default"),
        ("clickhouse://h:81/d", "h", 81, False, "d"),
        ("clickhouse://h/d?secure=true", "h", 8443, True, "d"),
        ("clickhouses://h", "h", 8443, True, "default"),
        ("http://h/d", "h", 8123, False, "d"),
        ("https://h", "h", 8443, True, "default"),
        ("https://h:443/my%2Ddb", "h", 443, True, "my-db"),
        ("http://[::1]:8123", "::1", 8123, False, "default"),
    ],
)
def test_a_server_is_found(dsn: str, host: str, port: int, secure: bool, database: str) -> None:
    target = resolve(dsn)
    assert (target.host, target.port, target.secure, target.database) == (host, port, secure, database)
    assert target.embedded is False
    assert target.path is None


def test_user_password_and_options_reach_the_client() -> None:
    target = resolve("clickhouse://me:p%40ss@h/d?verify=false&ch_max_threads=2")
    assert target.client_arguments() == {
        "host": "h",
        "port": 8123,
        "interface": "http",
        "database": "d",
        "username": "me",
        "password": "p@ss",
        "verify": "false",
        "settings": {"max_threads": "2"},
        "compress": "gzip",
    }


def test_a_token_replaces_user_and_password() -> None:
    arguments = resolve("https://h?access_token=t0ken").client_arguments()
    assert arguments["access_token"] == "t0ken"
    assert not {"username", "password"} & set(arguments)


def test_nothing_shows_a_secret() -> None:
    target = resolve("clickhouse://me:s3cret@h:81/d?access_token=t0ken")
    shown = f"{target!r} {target} {target.describe()} {target.spool}"
    assert "s3cret" not in shown
    assert "t0ken" not in shown
    assert str(target) == "http://h:81/d"


def test_each_server_database_and_user_has_a_spool_of_its_own_whatever_the_password() -> None:
    dsns = ["http://h/d", "http://h/e", "https://h/d", "http://h:81/d", "http://u@h/d", "http://i/d"]
    spools = [resolve(dsn).spool for dsn in dsns]
    assert len(set(spools)) == len(dsns)
    assert resolve("http://u:1@h/d").spool == resolve("http://u:2@h/d").spool == resolve("http://u@h/d").spool
    assert spools[0].parent == Path("/data/home/spool")
    assert spools[0].name.startswith("h_8123_d-")


def test_a_password_does_not_come_back_in_any_spelling() -> None:
    password = "Sé<cret/\\'pw&0rd+"
    target = resolve(f"http://bob:{quote(password, safe='')}@h/d")
    raw = password.encode()
    spelled = [
        password, quote(password), quote(password, safe=""), json.dumps(password),
        json.dumps(password, ensure_ascii=False),
        repr(password), html.escape(password), raw.hex(), raw.hex().upper(), b64encode(raw).decode(),
        b64encode(b"bob:" + raw).decode(), urlsafe_b64encode(raw).decode().rstrip("="),
        *(b64encode(b"x" * before + raw + b"y" * behind).decode() for before in range(4) for behind in range(4)),
    ]  # fmt: skip
    said = [target.without_secrets(f"Code: 516. {text} no") for text in spelled]
    assert [text for text in said if "***" not in text] == []
    # What is left of base64 are the characters at the seams.
    assert max(len(text.replace("***", "")) for text in said[11:]) <= len("Code: 516.  no") + 12


def test_a_home_that_the_engine_would_cut_short_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"'/data/a.x=1/chdb' cannot be opened: .* no \? in a path"):
        Target.resolve(environ={"OTEL_EPISODES_HOME": "/data/a?x=1"})


@pytest.mark.parametrize(
    ("dsn", "fix"),
    [
        ("postgres://me:s3cret@h", "unknown scheme 'postgres'.*use chdb:///"),
        ("me:s3cret@h", "not a DSN: use"),
        ("/data/episodes", "put chdb:// before"),
        ("chdb://memory", "three slashes"),
        ("chdb://relative/path", "three slashes"),
        ("chdb:///a?password=s3cret", "remove what follows"),
        ("chdb:///a\udcff", "'/a.udcff' cannot be opened: .* UTF-8 alone"),
        ("clickhouse://", "names no host"),
        ("clickhouse://me:s3cret", "port is no number"),
        ("clickhouse://h:9000", "use port 8123"),
        ("clickhouses://h:9440", "use port 8443"),
        ("clickhouse://h?pasword=s3cret", "unknown option pasword.*known are"),
    ],
)
def test_what_is_no_dsn_is_refused_with_the_fix_and_without_the_secret(dsn: str, fix: str) -> None:
    with pytest.raises(ConfigurationError, match=fix) as caught:
        resolve(dsn)
    assert "s3cret" not in str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, StoreError)


def test_finding_the_spool_and_recording_load_no_database_code(tmp_path: Path) -> None:
    done = run_python(
        """
import sys
from otel_episodes_clickhouse import open_processor
from opentelemetry.sdk.trace import TracerProvider
provider = TracerProvider()
provider.add_span_processor(open_processor("chdb://" + sys.argv[1]))
provider.get_tracer("t").start_span("s", attributes={"episode.id": "e"}).end()
provider.force_flush()
print(sorted({"chdb", "clickhouse_connect", "pandas", "numpy", "pyarrow"} & set(sys.modules)))
provider.shutdown()
""",
        tmp_path,
    )
    assert done.stdout == "[]\n", done.stderr
    assert len(list((tmp_path / "spool").glob("*.jsonl"))) == 1


def test_only_settings_that_differ_are_sent_and_one_that_is_fixed_is_named() -> None:
    account = {
        "async_insert": SettingDef("async_insert", "0", 1),
        "insert_deduplicate": SettingDef("insert_deduplicate", "0", 0),
        "max_insert_threads": SettingDef("max_insert_threads", "4", 0),
    }
    wanted = {"async_insert": 0, "insert_deduplicate": 1, "max_insert_threads": 4, "insert_deduplication_token": "t"}
    assert needed_settings(account, wanted) == {"insert_deduplicate": 1, "insert_deduplication_token": "t"}
    with pytest.raises(StoreUnavailableError) as refused:
        needed_settings({"async_insert": SettingDef("async_insert", "1", 1)}, wanted)
    assert refused.value.lasting
    assert str(refused.value).startswith(
        "the account's profile fixes async_insert = 1, and inserts that can be repeated need async_insert = 0:"
    )


@pytest.mark.parametrize("name", ["a%60b", "a%20b", "a%27b", "a;b", "%C3%BC"])
def test_a_database_by_another_name_than_docs_allow_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="letters, digits"):
        resolve(f"http://h/{name}")
