"""``otel-episodes ship``: a process that takes the spool to the server until it is told to stop."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cli_fixtures import Ran
from faulty_proxy import INSERTS, FaultyProxy
from ship_fixtures import front_end, shipping, spool_spans, stored, target_of, wait_for
from storage_fixtures import finished_spans

from otel_episodes._for_store import read_span
from otel_episodes_clickhouse.spool.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_episodes_clickhouse.spool.writer import SpoolWriter

SECRET = "s3cret-of-the-dsn"
COMMAND = (sys.executable, "-m", "otel_episodes_clickhouse.cli")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with front_end(tmp_path_factory.mktemp("server")) as dsn:
        yield dsn.replace("127.0.0.1", f"me:{SECRET}@127.0.0.1")


@contextmanager
def started(dsn: str, home: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    environ = {**os.environ, "OTEL_EPISODES_DSN": dsn, "OTEL_EPISODES_HOME": str(home)}
    with subprocess.Popen(
        [*COMMAND, *arguments], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(process: subprocess.Popen[str]) -> Ran:
    out, err = process.communicate(timeout=120)
    return Ran(process.returncode, out, err)


def run(dsn: str, home: Path, *arguments: str) -> Ran:
    with started(dsn, home, *arguments) as process:
        return ended(process)


def append(writer: SpoolWriter[Any], count: int, service: str) -> None:
    for span in finished_spans(count, service=service):
        writer.append(read_span(span))


def test_it_ships_what_others_record_until_it_is_told_to_stop(server: str, tmp_path: Path) -> None:
    target = target_of(server, tmp_path)
    writer = spool_spans(target, 100, "told")
    with started(server, tmp_path, "ship", "--every", "0.2") as process:
        wait_for(lambda: stored(server, "told")["Spans"] == 100 if Ledger(target.spool).read().exported else False)
        append(writer, 50, "told")
        wait_for(lambda: Ledger(target.spool).read().exported == 150)
        listed = Path(f"/proc/{process.pid}/cmdline")
        assert not listed.exists() or SECRET not in listed.read_text()
        process.send_signal(signal.SIGTERM)
        ran = ended(process)
    assert ran.code == 0
    assert stored(server, "told") == {"Rows": 150, "Spans": 150}
    lines = ran.out.splitlines()
    assert lines[0] == f"sending {target.spool} to {target}; end with Ctrl-C or SIGTERM"
    assert "100 spans (" in lines[1]
    assert "ended: 150 spans sent in" in lines[-1]
    assert lines[-1].endswith("nothing waits")
    assert SECRET not in ran.out + ran.err


def test_agents_leave_sending_to_it_and_take_over_when_it_is_gone(server: str, tmp_path: Path) -> None:
    target = target_of(server, tmp_path)
    writer = spool_spans(target, 10, "led")
    with started(server, tmp_path, "ship", "--every", "0.2") as process:
        wait_for(lambda: Ledger(target.spool).read().exported == 10)
        with shipping(target) as agent:
            append(writer, 20, "led")
            wait_for(lambda: Ledger(target.spool).read().exported == 30)
            assert agent.delivery.inserts == 0
            findings = run(server, tmp_path, "doctor", "--json").json["findings"]
            said = next(finding["text"] for finding in findings if finding["name"] == "shipper")
            assert said.startswith(f"process {process.pid} (")
            # Who asks for a flush need not wait for the other's next turn.
            append(writer, 5, "led")
            assert agent.flush(60)
            process.kill()
            before = agent.delivery.exported
            append(writer, 40, "led")
            wait_for(lambda: agent.delivery.exported >= before + 40)
    assert stored(server, "led") == {"Rows": 75, "Spans": 75}
    assert "shipper" not in [finding["name"] for finding in run(server, tmp_path, "doctor", "--json").json["findings"]]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_insert_under_way_is_finished_first(number: int, server: str, tmp_path: Path) -> None:
    service = f"under way {number}"
    with FaultyProxy(server) as proxy:
        target = target_of(proxy.dsn, tmp_path)
        spool_spans(target, 20, service)
        proxy.misbehave("slow", seconds=1.5, times=1, only=INSERTS)
        with started(proxy.dsn, tmp_path, "ship") as process:
            wait_for(proxy.inserts)
            process.send_signal(number)
            assert ended(process).code == 0
        assert json.loads((target.spool / "state.json").read_text())["pending"] is None
        assert len(proxy.inserts()) == 1
    assert stored(server, service) == {"Rows": 20, "Spans": 20}


def test_once_sends_what_waits_and_ends(server: str, tmp_path: Path) -> None:
    spool_spans(target_of(server, tmp_path), 30, "once").close()
    ran = run(server, tmp_path, "ship", "--once")
    assert (ran.code, ran.out) == (0, "30 spans sent in 1 insert\n"), ran.err
    ran = run(server, tmp_path, "ship", "--once", "--json")
    assert ran.code == 0
    assert ran.json["rows"] == 0
    assert stored(server, "once") == {"Rows": 30, "Spans": 30}


def test_once_without_the_server_says_why_and_keeps_everything(server: str, tmp_path: Path) -> None:
    with FaultyProxy(server) as proxy:
        target = target_of(proxy.dsn, tmp_path)
        spool_spans(target, 3, "away").close()
        proxy.misbehave("denied")
        ran = run(proxy.dsn, tmp_path, "ship", "--once")
        assert ran.code == 1
        assert ran.out == ""
        assert ran.err.startswith(f"otel-episodes: {target} refuses the login: check user and password")
        assert SECRET not in ran.err
        proxy.behave()
        assert run(proxy.dsn, tmp_path, "ship", "--once").code == 0
    assert stored(server, "away") == {"Rows": 3, "Spans": 3}


def test_json_is_a_line_for_each_thing_that_happens(server: str, tmp_path: Path) -> None:
    target = target_of(server, tmp_path)
    spool_spans(target, 5, "json")
    with started(server, tmp_path, "ship", "--json") as process:
        wait_for(lambda: Ledger(target.spool).read().exported == 5)
        process.send_signal(signal.SIGTERM)
        first, last = [json.loads(line) for line in ended(process).out.splitlines()]
    assert (first["event"], first["waiting"]["rows"], first["target"]) == ("started", 5, str(target))
    assert (last["event"], last["exported"], last["waiting"]["rows"], last["whole"]) == ("ended", 5, 0, True)


def test_doctor_shows_how_shipping_goes_and_no_secret(server: str, tmp_path: Path) -> None:
    with FaultyProxy(server) as proxy:
        target = target_of(proxy.dsn, tmp_path)
        spool_spans(target, 4, "doctor").close()
        proxy.misbehave("full", times=1, only=INSERTS)
        assert run(proxy.dsn, tmp_path, "ship", "--once").code == 1
        ran = run(proxy.dsn, tmp_path, "doctor", "--json")
        found = {finding["name"]: finding for finding in ran.json["findings"]}
        assert found["spool"]["text"].startswith("4 spans (")
        assert "the oldest for" in found["spool"]["text"]
        assert found["shipping"]["state"] == "warn"
        assert "NOT_ENOUGH_SPACE" in found["shipping"]["text"]
        assert ran.json["shipping"]["failures"] == 1
        assert run(proxy.dsn, tmp_path, "ship", "--once").code == 0
        after = run(proxy.dsn, tmp_path, "doctor", "--json")
        found = {finding["name"]: finding for finding in after.json["findings"]}
        assert found["shipping"]["state"] == "ok"
        assert found["shipping"]["text"].startswith("4 spans sent in 1 insert, ")
        assert found["spool"]["text"] == "empty"
    assert SECRET not in ran.out + ran.err + after.out + after.err


@pytest.mark.parametrize(
    ("dsn", "said"),
    [
        ("chdb:///data/nowhere", "is embedded and takes in what is recorded when it is read: ship needs a server"),
        ("http://h?password_file=/nowhere", "cannot read the password from /nowhere: No such file or directory"),
        (
            "https://h?ca_cert=/nowhere",
            "cannot read /nowhere (No such file or directory): name another file",
        ),
    ],
)
def test_what_cannot_be_shipped_is_said_with_the_fix(dsn: str, said: str, tmp_path: Path) -> None:
    if not dsn.startswith("chdb"):
        spool_spans(target_of(dsn.split("?", maxsplit=1)[0], tmp_path), 1, "s").close()
    ran = run(dsn, tmp_path, "ship", "--once")
    assert said in ran.err
    assert ran.code == 2


def test_a_password_on_the_command_line_is_warned_of(tmp_path: Path) -> None:
    ran = run("", tmp_path, "ship", "--once", "--dsn", f"http://me:{SECRET}@127.0.0.1:1/d")
    assert ran.code == 0
    assert "put it in OTEL_EPISODES_PASSWORD" in ran.err
    assert SECRET not in ran.out + ran.err
