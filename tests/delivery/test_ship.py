"""From a spool to a server that misbehaves: every span arrives, once, whatever happens on the way."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import pytest
from faulty_proxy import INSERTS, FaultyProxy
from opentelemetry import context
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY
from ship_fixtures import MISBEHAVIOURS, front_end, shipping, spool_spans, stored, target_of, wait_for
from storage_fixtures import finished_spans, lines_of

from otel_episodes._for_store import read_span
from otel_episodes_clickhouse import Store, Target
from otel_episodes_clickhouse.delivery.batch import Pace
from otel_episodes_clickhouse.spool.backlog import measure
from otel_episodes_clickhouse.spool.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SPANS = 300
TIMES = 3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the DSN of a server with all tables: the front end, or a real one at CLICKHOUSE_URL."""
    url = os.environ.get("CLICKHOUSE_URL")
    if url:
        with Store.open(Target.resolve(url)) as store:
            store.migrate()
        yield url
        return
    with front_end(tmp_path_factory.mktemp("server")) as dsn:
        with Store.open(Target.resolve(dsn)) as store:
            store.migrate()
        yield dsn


@pytest.fixture
def service(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return a service name of the test's own, by which it finds its rows."""
    return f"{request.node.name}-{tmp_path.name}-{os.getpid()}"


@pytest.mark.parametrize("how", MISBEHAVIOURS)
def test_after_a_misbehaviour_every_span_is_there_once(how: str, server: str, service: str, tmp_path: Path) -> None:
    with FaultyProxy(server) as proxy:
        proxy.misbehave(how, times=TIMES, only=INSERTS, **MISBEHAVIOURS[how])
        target = target_of(proxy.dsn, tmp_path, insert_timeout="1" if how in {"hang", "slow"} else "30")
        writer = spool_spans(target, SPANS, service)
        with shipping(target) as shipper:
            wait_for(lambda: shipper.delivery.exported)
            # A span that ends after the trouble is over comes along too.
            assert writer.append(read_span(finished_spans(1, service=service)[0]))
            # Not the first time, where an insert takes longer than it may.
            wait_for(lambda: shipper.flush(60))
            assert shipper.backoff.failures == 0
        assert stored(server, service) == {"Rows": SPANS + 1, "Spans": SPANS + 1}
        assert proxy.faults() == {how: TIMES}
        # One batch, one token, however often it was sent.
        assert len({seen.token for seen in proxy.inserts()}) == 2
        assert shipper.delivery.exported == SPANS + 1
        assert shipper.delivery.retries >= 1
    assert measure(target.spool).rows == 0


def test_nobody_listening_for_a_while_costs_nothing(server: str, service: str, tmp_path: Path) -> None:
    with FaultyProxy(server) as proxy:
        target = target_of(proxy.dsn, tmp_path)
        proxy.misbehave("refuse")
        spool_spans(target, SPANS, service).close()
        with shipping(target) as shipper:
            wait_for(lambda: shipper.backoff.failures >= 6)
            proxy.behave()
            wait_for(lambda: shipper.delivery.exported == SPANS)
        assert stored(server, service) == {"Rows": SPANS, "Spans": SPANS}
    assert lines_of(target.spool) == []


def test_a_server_that_takes_only_some_inserts_gets_them_all_in_the_end(
    server: str, service: str, tmp_path: Path
) -> None:
    with FaultyProxy(server) as proxy:
        for how in ("lose", "half", "error_500", "lose", "reset", "full", "lose"):
            proxy.misbehave(how, times=1, only=INSERTS)
        target = target_of(proxy.dsn, tmp_path)
        spool_spans(target, SPANS, service)
        with shipping(target, pace=Pace(batch_rows=50)) as shipper:
            wait_for(lambda: shipper.delivery.exported == SPANS)
        assert stored(server, service) == {"Rows": SPANS, "Spans": SPANS}
        # Of fifty lines each; three more are the header and definitions.
        assert shipper.delivery.inserts == SPANS // 50 + 1


def test_a_server_is_not_asked_before_the_time_it_gave(server: str, service: str, tmp_path: Path) -> None:
    with FaultyProxy(server) as proxy:
        proxy.misbehave("unavailable", times=1, only=INSERTS, retry_after="2")
        target = target_of(proxy.dsn, tmp_path)
        spool_spans(target, 1, service)
        with shipping(target) as shipper:
            wait_for(lambda: shipper.backoff.failures)
            # Not even for whoever waits.
            assert not shipper.flush(30)
            wait_for(lambda: shipper.delivery.exported)
        first, second = proxy.inserts()
        assert second.at - first.at >= 2


def test_a_refused_login_is_said_once_with_the_fix_and_recovers_by_itself(
    server: str, service: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with FaultyProxy(server) as proxy:
        proxy.misbehave("denied")
        target = target_of(proxy.dsn, tmp_path)
        spool_spans(target, 5, service)
        with shipping(target) as shipper:
            wait_for(lambda: shipper.backoff.failures == 1)
            assert shipper.backoff.permanent
            wait_for(lambda: shipper.backoff.failures >= 3)
            proxy.behave()
            wait_for(lambda: shipper.delivery.exported == 5)
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(said) == 2
    assert "refuses the login: check user and password" in said[0]
    assert said[1] == f"{target} answers again"


def test_the_account_beside_the_spool_says_how_it_went(server: str, service: str, tmp_path: Path) -> None:
    with FaultyProxy(server) as proxy:
        proxy.misbehave("full", times=2, only=INSERTS)
        target = target_of(proxy.dsn, tmp_path)
        spool_spans(target, 7, service)
        with shipping(target) as shipper:
            wait_for(lambda: Ledger(target.spool).read().failures)
            account = Ledger(target.spool).read()
            assert "NOT_ENOUGH_SPACE" in account.error
            assert account.error_at
            wait_for(lambda: shipper.delivery.exported == 7)
            wait_for(lambda: Ledger(target.spool).read().exported)
    account = Ledger(target.spool).read()
    assert (account.exported, account.inserts, account.retries, account.rejected) == (7, 1, 2, 0)
    assert (account.permanent, account.failures, account.error, account.next_try) == (False, 0, "", 0)
    assert account.shipped_at > account.error_at


def test_two_shippers_of_one_spool_send_each_span_once(server: str, service: str, tmp_path: Path) -> None:
    target = target_of(server, tmp_path)
    writer = spool_spans(target, 0, service)
    with shipping(target) as one, shipping(target) as other:
        for _ in range(10):
            for span in finished_spans(50, service=service):
                writer.append(read_span(span))
            assert one.flush(60)
            assert other.flush(60)
    assert stored(server, service) == {"Rows": 500, "Spans": 500}
    assert one.delivery.exported + other.delivery.exported == 500


def test_a_burst_is_sent_before_the_second_is_over(server: str, service: str, tmp_path: Path) -> None:
    target = target_of(server, tmp_path)
    with shipping(target, pace=Pace(gather_seconds=3600)) as shipper:
        writer = spool_spans(target, 1, service)
        wait_for(lambda: shipper.delivery.exported == 1)
        text = "x" * 10_000
        for span in finished_spans(500, service=service, padding=text):
            writer.append(read_span(span))
        wait_for(lambda: shipper.delivery.exported > 400)


def test_a_database_that_is_missing_is_named_with_the_fix_and_used_once_it_is_there(
    server: str, service: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with FaultyProxy(server) as proxy:
        proxy.misbehave("no_database")
        target = target_of(proxy.dsn, tmp_path)
        spool_spans(target, 3, service)
        with shipping(target) as shipper:
            wait_for(lambda: shipper.backoff.permanent)
            proxy.behave()
            wait_for(lambda: shipper.delivery.exported == 3)
    assert "names a database the server does not have: create it with `otel-episodes migrate`" in caplog.text


def test_an_account_that_may_only_insert_ships_all_the_same(server: str, service: str, tmp_path: Path) -> None:
    with FaultyProxy(server) as proxy:
        proxy.misbehave("forbidden", only="system.tables")
        target = target_of(proxy.dsn, tmp_path)
        spool_spans(target, 3, service)
        with shipping(target) as shipper:
            wait_for(lambda: shipper.delivery.exported == 3)
        assert proxy.faults()["forbidden"]


class Suppressed(logging.Handler):
    """Notes whether instrumentation was told to be quiet where something was logged."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[object] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.noted.append(context.get_value(_SUPPRESS_INSTRUMENTATION_KEY))


def test_other_instrumentations_do_not_record_how_spans_are_sent(tmp_path: Path) -> None:
    target = target_of("http://127.0.0.1:1", tmp_path)
    spool_spans(target, 1, "svc")
    logger, handler = logging.getLogger("otel_episodes_clickhouse.delivery.retry"), Suppressed()
    logger.addHandler(handler)
    try:
        with shipping(target) as shipper:
            wait_for(lambda: shipper.backoff.failures)
            wait_for(lambda: handler.noted)
    finally:
        logger.removeHandler(handler)
    assert handler.noted[0] is True
    assert context.get_value(_SUPPRESS_INSTRUMENTATION_KEY) is None
