"""``otel-episodes migrate``: what it says before, while and after."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cli_fixtures import Shell, opened
from schema_fixtures import VERSION_0_1

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAKE_0_1 = """
import sys
from pathlib import Path
from otel_episodes_clickhouse import Store, Target, sql
with Store.open(Target.resolve("")) as store:
    for folder in ("schema", "views"):
        for file in sorted((Path(sys.argv[1]) / folder).glob("*.sql")):
            for statement in sql.parse(file.read_text()):
                store.execute(statement)
"""


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with opened(tmp_path / "home") as kept:
        yield kept


def test_a_plan_says_what_would_be_done_and_why_and_does_nothing(shell: Shell) -> None:
    assert shell.python("-c", MAKE_0_1, VERSION_0_1).code == 0
    planned = shell("migrate", "--plan")
    assert planned.code == 0
    lines = [line.split() for line in planned.out.splitlines()]
    assert lines[0] == ["DO", "WHAT", "WHY"]
    assert ["create", "internal_steps_mv", "there", "is", "no", "such", "materialized", "view"] in lines
    assert ["migrate", "002_steps"] in [line[:2] for line in lines]
    changes = shell("migrate", "--plan", "--json").json["changes"]
    (moved,) = [change for change in changes if change["name"] == "002_steps"]
    assert (moved["action"], moved["why"].split(":")[0]) == ("migrate", "From 0.1")
    assert moved["sql"][0].startswith("INSERT INTO internal_steps\n")
    done = shell("migrate")
    assert "migrated: 002_old_views" in done.out
    assert "otel-episodes jobs run" in done.out
    for option in ((), ("--plan",)):
        assert shell("migrate", *option).out.endswith("is up to date\n")


def test_a_plan_with_something_refused_exits_with_1(shell: Shell) -> None:
    assert shell("migrate").code == 0
    assert shell("sql", "--write", "ALTER TABLE internal_roots MODIFY COLUMN Verdict Nullable(String)").code == 0
    planned = shell("migrate", "--plan")
    assert planned.code == 1
    assert "refuse" in planned.out
    refused = shell("migrate")
    assert refused.code == 1
    assert refused.err.startswith(
        "otel-episodes: internal_roots: column Verdict is Nullable(String), not String: run ALTER"
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--cluster", "main"), "the embedded engine has no cluster"),
        (("--replicated",), "the embedded engine has no cluster"),
        (("--cluster", "main", "--replicated"), "leave --replicated out"),
        (("--cluster", "a b", "--dsn", "http://127.0.0.1:1/x"), "is no name of a cluster"),
        (("--print", "--dsn", "http://127.0.0.1:1/a`b"), "database is called by letters"),
    ],
)
def test_what_cannot_be_meant_is_wrong_use(shell: Shell, options: tuple[str, ...], said: str) -> None:
    ran = shell("migrate", *options)
    assert ran.code == 2
    assert said in ran.err


def test_printing_for_a_cluster_asks_no_server(shell: Shell) -> None:
    ran = shell("migrate", "--print", "--cluster", "main", "--dsn", "http://127.0.0.1:1/agents")
    assert ran.code == 0
    assert ran.out.startswith("-- database\nCREATE DATABASE IF NOT EXISTS agents ON CLUSTER `main`;\n")
    assert "ENGINE = Distributed(`main`, currentDatabase(), otel_traces_local, cityHash64(TraceId));" in ran.out


def test_a_tenant_of_the_resource_can_be_asked_for(shell: Shell) -> None:
    for tenant in ("acme", "other"):
        resource = {"OTEL_RESOURCE_ATTRIBUTES": f"tenant.id={tenant}"}
        handle = shell.process("start", f"work of {tenant}", **resource).out.strip()
        assert shell.process("step", handle, "--tool", "x", **resource).code == 0
    (found,) = shell("episodes", "--tenant", "acme", "--json").json
    assert (found["Task"], found["Tenant"], found["Steps"]) == ("work of acme", "acme", 1)
    assert shell.sql("SELECT Tenant FROM internal_steps FINAL ORDER BY Tenant") == [
        {"Tenant": "acme"},
        {"Tenant": "other"},
    ]
    assert shell("episodes", "--tenant", "nobody", "--json").json == []


def test_a_secret_given_to_the_shell_commands_is_not_stored(shell: Shell) -> None:
    secret = "ghp_" + "a1B2" * 9
    handle = shell("start", f"use {secret}", "--agent", "a").out.strip()
    assert (
        shell("step", handle, "--tool", "x", "--action", secret, "--failed", "--observation", f"no: {secret}").code == 0
    )
    assert shell("step", handle, "--kind", "milestone", "--action", f"has {secret}").code == 0
    assert shell("complete", handle, "--outcome", "failure", "--verdict", f"lost {secret}").code == 0
    found = shell.sql("SELECT toString(tuple(*)) AS row FROM otel_traces")
    assert len(found) == 4
    assert all(secret not in row["row"] for row in found)
    assert sum("[REDACTED]" in row["row"] for row in found) == 4
