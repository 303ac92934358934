"""Draining: every span of the spool is in the store once, whatever happened in between."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from storage_fixtures import DAY, STEP, T0, finished_spans, run_python

from otel_episodes_clickhouse.drain import DrainReport, drain
from otel_episodes_clickhouse.errors import StoreUnavailableError
from otel_episodes_clickhouse.rows import SpanEncoder, attributes_as_text
from otel_episodes_clickhouse.spool import SpoolReader, SpoolWriter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_episodes_clickhouse.rows import Row
    from otel_episodes_clickhouse.store import Store

COUNTS = """
SELECT
    (SELECT count() FROM otel_traces WHERE ServiceName = {s:String}) AS otel_traces,
    (SELECT count() FROM otel_traces_trace_id_ts WHERE TraceId IN
        (SELECT TraceId FROM otel_traces WHERE ServiceName = {s:String})) AS otel_traces_trace_id_ts,
    (SELECT count() FROM episode_steps WHERE ServiceName = {s:String}) AS episode_steps,
    (SELECT count() FROM episode_roots WHERE ServiceName = {s:String}) AS episode_roots
"""


class AnswerLost:
    """A store whose answer to an insert never arrives: the rows are in, the caller learns otherwise."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def insert_rows(self, rows: Sequence[Row], *, token: str | None = None) -> int:
        self._store.insert_rows(rows, token=token)
        raise StoreUnavailableError("connection reset")


@pytest.fixture
def service(request: pytest.FixtureRequest) -> str:
    """Return a service name of the test's own, by which it finds its rows."""
    return str(request.node.name)


def counts(store: Store, service: str) -> dict[str, int]:
    return store.query(COUNTS, {"s": service})[0]


def spans(count: int, service: str, **more: Any) -> list[ReadableSpan]:
    return finished_spans(count, service=service, **more)


def record(spool: Path, found: list[ReadableSpan]) -> SpoolWriter[ReadableSpan]:
    writer = SpoolWriter(spool, SpanEncoder)
    for span in found:
        writer.append(span)
    return writer


def test_a_span_arrives_as_the_collector_would_have_stored_it(
    storage_store: Store, tmp_path: Path, service: str
) -> None:
    (span,) = spans(1, service, ratio=0.5)
    record(tmp_path, [span]).close()

    report = drain(storage_store, tmp_path)

    assert report == DrainReport(rows=1, inserts=1, segments=1, deleted=1)
    stored = storage_store.query("SELECT * FROM otel_traces WHERE ServiceName = {s:String}", {"s": service})
    assert stored == [
        {
            "Timestamp": T0,
            "TraceId": f"{span.context.trace_id:032x}",
            "SpanId": f"{span.context.span_id:016x}",
            "ParentSpanId": "",
            "TraceState": "",
            "SpanName": "execute_tool grep",
            "SpanKind": "Internal",
            "ServiceName": service,
            "ResourceAttributes": {"service.name": service},
            "ScopeName": "otel_episodes",
            "ScopeVersion": "0.1.0",
            "SpanAttributes": {**attributes_as_text(STEP), "ratio": "0.5"},
            "Duration": 1_000_000,
            "StatusCode": "Unset",
            "StatusMessage": "",
            "Events.Timestamp": [],
            "Events.Name": [],
            "Events.Attributes": [],
            "Links.TraceId": [],
            "Links.SpanId": [],
            "Links.TraceState": [],
            "Links.Attributes": [],
        }
    ]
    step = storage_store.query("SELECT * FROM episode_steps WHERE ServiceName = {s:String}", {"s": service})[0]
    assert step.pop("InsertedAt") > T0
    assert step == {
        "EpisodeId": "e1",
        "TraceId": f"{span.context.trace_id:032x}",
        "SpanId": f"{span.context.span_id:016x}",
        "ParentSpanId": "",
        "Segment": 0,
        "StepIndex": 1,
        "Kind": "tool_use",
        "Tool": "grep",
        "Action": "search TODO",
        "Observation": "3 hits",
        "Success": True,
        "ErrorType": "",
        "ErrorMessage": "",
        "StartTime": T0,
        "DurationNs": 1_000_000,
        "InputTokens": 0,
        "OutputTokens": 0,
        "BatchCount": 0,
        "BatchErrors": 0,
        "AgentName": "coder",
        "ServiceName": service,
    }


def test_a_living_process_is_drained_and_its_segment_kept(storage_store: Store, tmp_path: Path, service: str) -> None:
    first, second, third = spans(3, service)
    writer = record(tmp_path, [first, second])
    assert drain(storage_store, tmp_path) == DrainReport(rows=2, inserts=1, segments=1)
    assert drain(storage_store, tmp_path) == DrainReport(segments=1)

    # The resource was defined in what is drained already.
    writer.append(third)
    assert drain(storage_store, tmp_path) == DrainReport(rows=1, inserts=1, segments=1)
    writer.close()
    assert drain(storage_store, tmp_path) == DrainReport(segments=1, deleted=1)
    assert counts(storage_store, service)["otel_traces"] == 3
    assert SpoolReader(tmp_path).segments() == []


def test_many_segments_go_into_one_insert(storage_store: Store, tmp_path: Path, service: str) -> None:
    for span in spans(20, service):
        record(tmp_path, [span]).close()
    assert drain(storage_store, tmp_path) == DrainReport(rows=20, inserts=1, segments=20, deleted=20)
    assert counts(storage_store, service)["otel_traces"] == 20


def test_more_than_a_batch_goes_in_several_inserts(storage_store: Store, tmp_path: Path, service: str) -> None:
    record(tmp_path, spans(25, service)).close()
    report = drain(storage_store, tmp_path, batch_rows=10)
    # Header and definitions count as lines: 10, 10 and 5 rows at most, so three inserts.
    assert (report.rows, report.inserts, report.deleted) == (25, 3, 1)
    assert counts(storage_store, service)["otel_traces"] == 25


@pytest.mark.parametrize("days", [1, 130])
def test_an_insert_whose_answer_was_lost_adds_nothing_when_repeated(
    storage_store: Store, tmp_path: Path, service: str, days: int
) -> None:
    found = [*spans(260, service, days=days), *spans(1, service, **{"episode.span": "episode"})]
    record(tmp_path, found).close()
    with pytest.raises(StoreUnavailableError):
        drain(AnswerLost(storage_store), tmp_path)
    # Every span here is a trace of its own.
    stored = {"otel_traces": 261, "otel_traces_trace_id_ts": 261, "episode_steps": 260, "episode_roots": 1}
    assert counts(storage_store, service) == stored

    with pytest.raises(StoreUnavailableError):
        drain(AnswerLost(storage_store), tmp_path)
    assert drain(storage_store, tmp_path) == DrainReport(rows=261, inserts=1, segments=1, deleted=1)
    assert counts(storage_store, service) == stored


def test_what_was_recorded_after_a_lost_answer_is_added_once(
    storage_store: Store, tmp_path: Path, service: str
) -> None:
    early, late = spans(2, service)
    writer = record(tmp_path, [early])
    with pytest.raises(StoreUnavailableError):
        drain(AnswerLost(storage_store), tmp_path)
    writer.append(late)
    writer.close()
    assert drain(storage_store, tmp_path) == DrainReport(rows=2, inserts=2, segments=1, deleted=1)
    assert counts(storage_store, service)["otel_traces"] == 2


def test_a_drain_killed_between_insert_and_commit_adds_nothing_when_repeated(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    record(spool, spans(5, "killed")).close()
    code = """
import os, signal, sys
from otel_episodes_clickhouse.config import Target
from otel_episodes_clickhouse.drain import drain
from otel_episodes_clickhouse.store import Store
store = Store.open(Target.resolve("chdb://" + sys.argv[1]))
class Killed:
    def insert_rows(self, rows, *, token=None):
        store.insert_rows(rows, token=token)
        os.kill(os.getpid(), signal.SIGKILL)
store.migrate()
print(drain(Killed() if sys.argv[2] == "kill" else store, store.target.spool))
print(store.query("SELECT count() AS n, (SELECT count() FROM episode_steps FINAL) AS steps FROM otel_traces"))
"""
    assert run_python(code, tmp_path, "kill").returncode == -signal.SIGKILL
    again = run_python(code, tmp_path, "")
    assert again.stdout.splitlines() == [
        "DrainReport(rows=5, inserts=1, quarantined=0, segments=1, deleted=1, busy=False, left=0)",
        "[{'n': 5, 'steps': 5}]",
    ], again.stderr


def test_a_line_that_is_no_span_is_set_aside(storage_store: Store, tmp_path: Path, service: str) -> None:
    before, after = spans(2, service)
    record(tmp_path, [before]).close()
    segment = next(tmp_path.glob("*.jsonl"))
    offset = segment.stat().st_size
    encoder = SpanEncoder()
    encoder(before)
    segment.write_bytes(segment.read_bytes() + b'[17,"torn\n' + encoder(after))

    assert drain(storage_store, tmp_path) == DrainReport(rows=2, inserts=1, quarantined=1, segments=1, deleted=1)
    (kept,) = (tmp_path / "quarantine").iterdir()
    line = orjson.loads(kept.read_bytes())
    assert line == {"offset": str(offset), "reason": line["reason"], "line": '[17,"torn'}
    assert line["reason"].startswith("no JSON")
    assert counts(storage_store, service)["otel_traces"] == 2


def test_half_a_line_of_a_process_that_ended_is_set_aside(storage_store: Store, tmp_path: Path, service: str) -> None:
    record(tmp_path, spans(1, service)).close()
    segment = next(tmp_path.glob("*.jsonl"))
    segment.write_bytes(segment.read_bytes() + b'[17,"to')
    assert drain(storage_store, tmp_path) == DrainReport(rows=1, inserts=1, quarantined=1, segments=1, deleted=1)
    (kept,) = (tmp_path / "quarantine").iterdir()
    assert orjson.loads(kept.read_bytes())["line"] == '[17,"to'


@pytest.fixture
def odd_rows_refused(storage_store: Store) -> Iterator[None]:
    """Make the store refuse some rows, as a constraint of the user's own would."""
    ready = (
        "ALTER TABLE otel_traces ADD CONSTRAINT no_odd CHECK NOT endsWith(SpanAttributes['episode.step.action'], 'odd')"
    )
    storage_store.sql(ready, read_only=False)
    yield
    storage_store.sql("ALTER TABLE otel_traces DROP CONSTRAINT no_odd", read_only=False)


@pytest.mark.usefixtures("odd_rows_refused")
def test_a_row_the_store_refuses_does_not_block_the_others(storage_store: Store, tmp_path: Path, service: str) -> None:
    found = spans(20, service)
    for place in (5, 12):
        found[place]._attributes._dict["episode.step.action"] = f"{place} odd"
    record(tmp_path, found).close()

    assert drain(storage_store, tmp_path) == DrainReport(rows=18, inserts=1, quarantined=2, segments=1, deleted=1)
    (kept,) = (tmp_path / "quarantine").iterdir()
    refused = [orjson.loads(line) for line in kept.read_bytes().splitlines()]
    assert [
        f"'episode.step.action': '{place} odd'" in line["row"] for place, line in zip((5, 12), refused, strict=True)
    ] == [True, True]
    assert all("no_odd" in line["reason"] for line in refused)
    stored = {"otel_traces": 18, "otel_traces_trace_id_ts": 18, "episode_steps": 18, "episode_roots": 0}
    assert counts(storage_store, service) == stored


@pytest.mark.usefixtures("odd_rows_refused")
def test_halves_whose_answer_was_lost_add_nothing_when_repeated(
    storage_store: Store, tmp_path: Path, service: str
) -> None:
    found = spans(20, service)
    found[7]._attributes._dict["episode.step.action"] = "odd"
    record(tmp_path, found).close()

    class LosesTheThird:
        inserts = 0

        def insert_rows(self, rows: Sequence[Row], *, token: str | None = None) -> int:
            count = storage_store.insert_rows(rows, token=token)
            self.inserts += 1
            if self.inserts == 3:
                raise StoreUnavailableError("connection reset")
            return count

    with pytest.raises(StoreUnavailableError):
        drain(LosesTheThird(), tmp_path)
    assert drain(storage_store, tmp_path).quarantined == 1
    assert counts(storage_store, service)["otel_traces"] == 19


def test_two_drains_at_once_do_not_double_anything(storage_store: Store, tmp_path: Path, service: str) -> None:
    record(tmp_path, spans(1, service)).close()
    inside, leave = threading.Event(), threading.Event()

    class Slow:
        def insert_rows(self, rows: Sequence[Row], *, token: str | None = None) -> int:
            inside.set()
            leave.wait(10)
            return storage_store.insert_rows(rows, token=token)

    first = threading.Thread(target=drain, args=(Slow(), tmp_path))
    first.start()
    inside.wait(10)
    assert drain(storage_store, tmp_path) == DrainReport(busy=True)
    leave.set()
    first.join()
    assert drain(storage_store, tmp_path) == DrainReport()
    assert counts(storage_store, service)["otel_traces"] == 1


def test_a_damaged_state_is_kept_and_the_spool_read_from_its_start(
    storage_store: Store, tmp_path: Path, service: str
) -> None:
    record(tmp_path, spans(1, service)).close()
    (tmp_path / "state.json").write_text("{")
    assert drain(storage_store, tmp_path) == DrainReport(rows=1, inserts=1, segments=1, deleted=1)
    assert (tmp_path / "state.damaged").read_text() == "{"


def test_an_empty_spool_needs_no_directory(storage_store: Store, tmp_path: Path) -> None:
    assert drain(storage_store, tmp_path / "none") == DrainReport()
    assert not (tmp_path / "none").exists()


def test_a_spool_of_many_days_goes_in_at_once(storage_store: Store, tmp_path: Path, service: str) -> None:
    record(tmp_path, spans(150, service, days=150)).close()
    assert drain(storage_store, tmp_path).inserts == 1
    stored = storage_store.query(
        "SELECT uniqExact(toDate(Timestamp)) AS days, min(Timestamp) AS first, max(Timestamp) AS last "
        "FROM otel_traces WHERE ServiceName = {s:String}",
        {"s": service},
    )
    assert stored == [{"days": 150, "first": T0, "last": T0 + 149 * DAY + 149}]
