"""From an agent to a server over HTTP: the front end over the embedded engine, and a real one at CLICKHOUSE_URL."""

from __future__ import annotations

import os
import random
import secrets
import subprocess
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from canaries import canaries
from hostile_sql import statement

from otel_episodes_clickhouse import Store, Target, findings
from otel_episodes_clickhouse.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AGENT = """
from opentelemetry import trace
from otel_episodes import configure, episode, step
configure()
with episode("over http", agent="coder"):
    for n in range(50):
        with step("work", action=str(n)):
            pass
assert trace.get_tracer_provider().force_flush(30_000)
"""


@pytest.fixture
def real_server() -> Iterator[str]:
    url = os.environ.get("CLICKHOUSE_URL")
    if not url:
        pytest.skip("no ClickHouse server: set CLICKHOUSE_URL to try one, http://user:password@host:8123")
    database = f"otel_episodes_test_{secrets.token_hex(4)}"
    with Store.open(Target.resolve(url)) as store:
        store.sql("CREATE DATABASE {name:Identifier}", {"name": database}, read_only=False)
        try:
            yield urlsplit(url)._replace(path=f"/{database}").geturl()
        finally:
            store.sql("DROP DATABASE {name:Identifier}", {"name": database}, read_only=False)


@pytest.mark.parametrize("server", ["storage_server", "real_server"])
def test_an_agents_episode_reaches_the_server(server: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    dsn = request.getfixturevalue(server)
    environ = {**os.environ, "OTEL_EPISODES_DSN": dsn, "OTEL_EPISODES_HOME": str(tmp_path / "home")}
    subprocess.run([sys.executable, "-c", AGENT], env=environ, check=True, timeout=120)
    with Store.open(Target.resolve(dsn, environ=environ)) as store:
        found = store.query("SELECT Task, Outcome, Steps, Tools FROM episodes")
        assert found == [{"Task": "over http", "Outcome": "success", "Steps": 50, "Tools": ["work"]}]
        spans = store.query("SELECT count() AS n, uniqExact(TraceId, SpanId) AS u FROM otel_traces")
        assert spans == [{"n": 52, "u": 52}]


@pytest.fixture
def asking_account(real_server: str) -> Iterator[str]:
    """Return the DSN of an account as docs/explanation/security.md has it; the front end cannot make accounts."""
    name, password = f"asker_{secrets.token_hex(4)}", secrets.token_hex(16)
    url = urlsplit(real_server)
    with Store.open(Target.resolve(real_server)) as store:
        store.migrate()
        store.sql(f"CREATE USER {name} IDENTIFIED BY '{password}' SETTINGS readonly = 1", read_only=False)
        try:
            store.sql(f"GRANT SELECT ON {url.path[1:]}.* TO {name}", read_only=False)
            yield url._replace(netloc=f"{name}:{password}@{url.netloc.rpartition('@')[2]}").geturl()
        finally:
            store.sql(f"DROP USER {name}", read_only=False)


def test_an_account_made_for_questions_is_a_wall_by_itself(asking_account: str, tmp_path: Path) -> None:
    dice = random.Random(20_261_128)
    with Store.open(Target.resolve(asking_account)) as store, canaries(tmp_path, tmp_path) as watched:
        assert findings.account(store).state == "ok"
        for _ in range(300):
            text = statement(dice, watched.places())
            try:
                said = str(store._read_only(text, {}).result_rows)
            except StoreError as error:
                said = str(error)
            assert watched.secret not in said, text
            assert (watched.opened(), watched.fetched, watched.written()) == (0, 0, []), text
