"""When to try again, what waits, and what is counted."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from faulty_proxy import INSERTS, FaultyProxy
from opentelemetry import trace
from ship_fixtures import front_end, shipping, spool_spans, target_of, wait_for
from storage_fixtures import T0, finished_spans, provider, run_python

from otel_episodes._for_store import read_span
from otel_episodes_clickhouse import EpisodeSpanProcessor
from otel_episodes_clickhouse.delivery.backoff import Backoff, Pauses
from otel_episodes_clickhouse.delivery.batch import Pace
from otel_episodes_clickhouse.spool.backlog import Backlog, measure
from otel_episodes_clickhouse.spool.drain import drain
from otel_episodes_clickhouse.spool.ledger import Account, Ledger

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from otel_episodes_clickhouse.spool.row import Row


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def backoff(clock: Clock, share: float = 1.0) -> Backoff:
    """Return a back-off that draws that share of what it may."""
    return Backoff(Pauses(), clock=clock, draw=lambda low, high: low + share * (high - low))


def test_pauses_double_up_to_a_limit() -> None:
    tested = backoff(Clock())
    assert [tested.failed() for _ in range(8)] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert tested.failures == 8
    for _ in range(2000):
        assert tested.failed() == 30.0


def test_a_pause_is_drawn_from_nothing_to_its_limit_a_permanent_one_from_half_of_it() -> None:
    tested = backoff(Clock(), share=0.0)
    assert [tested.failed() for _ in range(6)] == [0.0] * 6
    assert backoff(Clock(), share=0.0).failed(permanent=True) == 30.0
    assert backoff(Clock()).failed(permanent=True) == 60.0


def test_after_a_success_the_next_failure_is_a_first_one() -> None:
    clock = Clock()
    tested = backoff(clock)
    tested.failed(permanent=True)
    assert (tested.permanent, tested.wait()) == (True, 60.0)
    clock.now += 60
    assert tested.wait() == 0.0
    tested.succeeded()
    assert (tested.permanent, tested.failures) == (False, 0)
    assert tested.failed() == 0.5


def test_whoever_waits_may_hurry_unless_the_server_asked_for_time() -> None:
    clock = Clock()
    tested = backoff(clock)
    tested.failed(permanent=True)
    assert tested.hurry()
    assert tested.wait() == 0
    tested.failed(retry_after=120)
    assert tested.wait() == 120
    assert not tested.hurry()
    clock.now += 120
    assert tested.hurry()


class Nowhere:
    """A store that takes everything."""

    def insert_rows(self, rows: Iterable[Row], *, token: str | None = None) -> int:
        return sum(1 for _ in rows)


def test_what_waits_is_told_from_the_files_alone(tmp_path: Path) -> None:
    target = target_of("http://h", tmp_path)
    assert measure(target.spool) == Backlog()
    writer = spool_spans(target, 10, "svc")
    found = measure(target.spool)
    assert (found.files, found.rows, found.oldest) == (1, 10, T0 + 1_000_000)
    assert found.bytes == sum(path.stat().st_size for path in target.spool.glob("*.jsonl"))
    drain(Nowhere(), target.spool)
    assert measure(target.spool) == Backlog()
    for span in finished_spans(3):
        writer.append(read_span(span))
    found = measure(target.spool)
    assert (found.files, found.rows, found.oldest) == (1, 3, T0 + 1_000_000)
    assert found.lag_seconds() == pytest.approx(time.time() - T0 / 1e9, abs=60)


def test_the_account_adds_up_what_several_processes_write(tmp_path: Path) -> None:
    one, other = Ledger(tmp_path), Ledger(tmp_path)
    assert one.read() == Account()
    assert one.add({"exported": 5, "inserts": 1}, by="one", failures=0)
    assert other.add({"exported": 2, "retries": 3}, by="other", error="full")
    assert one.read() == Account(exported=7, inserts=1, retries=3, by="other", error="full")
    one.path.write_text("{half a li")
    assert one.read() == Account()
    assert one.add({"exported": 1})
    assert one.read() == Account(exported=1)
    assert not Ledger(tmp_path / "nowhere").add({"exported": 1})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with front_end(tmp_path_factory.mktemp("server")) as dsn:
        yield dsn


METRICS = """
import json, os, sys
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from otel_episodes import configure, episode, step

configure()  # before there is anyone to report to, as often as not
reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader], shutdown_on_exit=False))

from opentelemetry import trace
with episode("count me"):
    for _ in range(8):
        with step("work"):
            pass
if sys.argv[1] == "flush":
    assert trace.get_tracer_provider().force_flush(60_000)
found = {}
for resource in reader.get_metrics_data().resource_metrics:
    for scope in resource.scope_metrics:
        for metric in scope.metrics if scope.scope.name == "otel_episodes_clickhouse" else ():
            for point in metric.data.data_points:
                value = point.count if hasattr(point, "count") else point.value
                kind = point.attributes.get("error.type", "")
                found[metric.name + (" " + kind if kind else "")] = value
                assert point.attributes["otel.component.type"].endswith(".EpisodeSpanProcessor")
                assert point.attributes["otel.component.name"].endswith(".EpisodeSpanProcessor/0")
print(json.dumps(found))
os._exit(0)
"""


def reported(dsn: str, home: Path, what: str) -> dict[str, Any]:
    done = run_python(METRICS, what, OTEL_EPISODES_DSN=dsn, OTEL_EPISODES_HOME=str(home))
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_metrics_have_the_sdks_names_and_true_values(server: str, tmp_path: Path) -> None:
    found = reported(server, tmp_path, "flush")
    # The episode, its start marker and eight steps.
    assert found["otel.sdk.processor.span.processed"] == 10
    assert found["otel.sdk.exporter.span.exported"] == 10
    assert found["otel.sdk.processor.span.queue.size"] == 0
    assert found["otel.sdk.exporter.span.inflight"] == 0
    assert found["otel.sdk.exporter.operation.duration"] >= 1
    assert found["otel_episodes.spool.size"] == 0
    assert found["otel_episodes.spool.lag"] == 0
    assert found["otel_episodes.exporter.retries"] == 0
    assert found["otel_episodes.exporter.failures"] == 0


def test_metrics_say_what_waits_while_the_server_is_away(tmp_path: Path) -> None:
    found = reported("http://127.0.0.1:1/d", tmp_path, "leave")
    assert found["otel.sdk.processor.span.processed"] == 10
    assert found["otel.sdk.exporter.span.exported"] == 0
    assert found["otel.sdk.processor.span.queue.size"] == 10
    assert found["otel_episodes.spool.size"] > 1000
    assert found["otel_episodes.spool.lag"] > 0


def test_a_shipper_that_is_told_to_end_leaves_a_silent_server_alone(server: str, tmp_path: Path) -> None:
    with FaultyProxy(server) as proxy:
        target = target_of(proxy.dsn, tmp_path)
        spool_spans(target, 3, "silent")
        proxy.misbehave("hang", only=INSERTS)
        with shipping(target) as shipper:
            wait_for(proxy.inserts)
            assert shipper.stop() is False
    assert measure(target.spool).rows == 3


@pytest.mark.parametrize(("options", "left"), [({}, 0), ({"exit_timeout": "30"}, 0), ({"exit_timeout": "0"}, 5)])
def test_what_is_left_at_the_end_is_sent_unless_the_dsn_says_to_wait_for_nothing(
    server: str, tmp_path: Path, options: dict[str, str], left: int
) -> None:
    target = target_of(server, tmp_path, **options)
    writer = spool_spans(target, 3, "first")
    # It sends the first at once, and would gather for an hour now.
    with shipping(target, pace=Pace(gather_seconds=3600)) as shipper:
        wait_for(lambda: shipper.delivery.exported == 3)
        for span in finished_spans(5):
            writer.append(read_span(span))
        shipper.stop()
        wait_for(lambda: shipper._thread is None or not shipper._thread.is_alive())
    assert measure(target.spool).rows == left


def test_recording_goes_on_while_a_server_hangs(server: str, tmp_path: Path) -> None:
    with FaultyProxy(server) as proxy:
        target = target_of(proxy.dsn, tmp_path)
        processor = EpisodeSpanProcessor(target)
        tracer = provider(processor).get_tracer("app")
        proxy.misbehave("hang")
        tracer.start_span("first", attributes={"episode.id": "e"}).end()
        wait_for(lambda: proxy.faults()["hang"])
        for _ in range(500):
            tracer.start_span("step", attributes={"episode.id": "e"}).end()
        assert processor.writer.written == 501
        assert not processor.force_flush(200)
        processor.shutdown()
    assert measure(target.spool).rows == 501


def test_a_process_that_leaves_shipping_to_others_never_connects(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EPISODES_SHIP", "false")
    with FaultyProxy(server) as proxy:
        processor = EpisodeSpanProcessor(target_of(proxy.dsn, tmp_path))
        tracer = provider(processor).get_tracer("app")
        with trace.use_span(tracer.start_span("step", attributes={"episode.id": "e"}), end_on_exit=True):
            pass
        assert processor.force_flush(1000)
        processor.shutdown()
        assert proxy.seen == []
    assert measure(processor.target.spool).rows == 1
