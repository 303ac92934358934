"""Draining: every span of the spool is in the store once, whatever happened in between."""

from __future__ import annotations

import json
import os
import random
import signal
import stat
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from fault_campaign import Kept
from storage_fixtures import DAY, STEP, T0, finished_spans, run_python

from otel_episodes._for_store import read_span
from otel_episodes_clickhouse.errors import QueryError, StoreError, StoreUnavailableError
from otel_episodes_clickhouse.spool.drain import DrainReport, drain
from otel_episodes_clickhouse.spool.encode import new_encoder
from otel_episodes_clickhouse.spool.locks import ProcessLock
from otel_episodes_clickhouse.spool.reader import SpoolReader
from otel_episodes_clickhouse.spool.values import attributes_as_text
from otel_episodes_clickhouse.spool.writer import SpoolWriter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_episodes_clickhouse import Store
    from otel_episodes_clickhouse.spool.row import Row

COUNTS = """
SELECT
    (SELECT count() FROM otel_traces WHERE ServiceName = {s:String}) AS otel_traces,
    (SELECT count() FROM otel_traces_trace_id_ts WHERE TraceId IN
        (SELECT TraceId FROM otel_traces WHERE ServiceName = {s:String})) AS otel_traces_trace_id_ts,
    (SELECT count() FROM internal_steps WHERE ServiceName = {s:String}) AS internal_steps,
    (SELECT count() FROM internal_roots WHERE ServiceName = {s:String}) AS internal_roots
"""


class AnswerLost:
    """A store whose answer to an insert never arrives: the rows are in, the caller learns otherwise."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def insert_rows(self, rows: Iterable[Row], *, token: str | None = None) -> int:
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
    writer = SpoolWriter(spool, new_encoder)
    for span in found:
        writer.append(read_span(span))
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
    step = storage_store.query("SELECT * FROM internal_steps WHERE ServiceName = {s:String}", {"s": service})[0]
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
        "Arguments": "",
        "Template": "",
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
        "Tenant": "",
        "Convention": "",
    }


def test_a_living_process_is_drained_and_its_segment_kept(storage_store: Store, tmp_path: Path, service: str) -> None:
    first, second, third = spans(3, service)
    writer = record(tmp_path, [first, second])
    assert drain(storage_store, tmp_path) == DrainReport(rows=2, inserts=1, segments=1)
    assert drain(storage_store, tmp_path) == DrainReport(segments=1)

    # The resource was defined in what is drained already.
    writer.append(read_span(third))
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
    stored = {"otel_traces": 261, "otel_traces_trace_id_ts": 261, "internal_steps": 260, "internal_roots": 1}
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
    writer.append(read_span(late))
    writer.close()
    assert drain(storage_store, tmp_path) == DrainReport(rows=2, inserts=2, segments=1, deleted=1)
    assert counts(storage_store, service)["otel_traces"] == 2


def test_a_drain_killed_between_insert_and_commit_adds_nothing_when_repeated(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    record(spool, spans(5, "killed")).close()
    code = """
import os, signal, sys
from otel_episodes_clickhouse import Target
from otel_episodes_clickhouse.spool.drain import drain
from otel_episodes_clickhouse import Store
store = Store.open(Target.resolve("chdb://" + sys.argv[1]))
class Killed:
    def insert_rows(self, rows, *, token=None):
        store.insert_rows(rows, token=token)
        os.kill(os.getpid(), signal.SIGKILL)
store.migrate()
print(drain(Killed() if sys.argv[2] == "kill" else store, store.target.spool))
print(store.query("SELECT count() AS n, (SELECT count() FROM internal_steps FINAL) AS steps FROM otel_traces"))
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
    encoder = new_encoder()
    encoder(read_span(before))
    segment.write_bytes(segment.read_bytes() + b'[17,"torn\n' + encoder(read_span(after)))

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
    stored = {"otel_traces": 18, "otel_traces_trace_id_ts": 18, "internal_steps": 18, "internal_roots": 0}
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

        def insert_rows(self, rows: Iterable[Row], *, token: str | None = None) -> int:
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
        def insert_rows(self, rows: Iterable[Row], *, token: str | None = None) -> int:
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


# --- faults of the spool itself, with a store that is a dictionary ---------------------------------------------------


@pytest.fixture
def kept() -> Kept:
    return Kept({})


def named_spans(spool: Path, *names: str) -> SpoolWriter[ReadableSpan]:
    found = finished_spans(len(names))
    for name, span in zip(names, found, strict=True):
        span._attributes._dict["episode.step.action"] = name
    return record(spool, found)


def test_a_segment_of_a_later_version_is_left_alone(
    kept: Kept, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    later = tmp_path / "0-1-aa.jsonl"
    later.write_bytes(b'{"format":99,"pid":1}\nsomething new\n')
    named_spans(tmp_path, "a").close()
    for _ in range(2):
        report = kept.drain(tmp_path)
    assert (report.left, kept.rows, later.exists()) == (1, {"a": 1}, True)
    assert not (tmp_path / "quarantine").exists()
    why = "a later version of otel-episodes wrote it (format 99): upgrade this one"
    assert [line.message for line in caplog.records] == [f"segment 0-1-aa.jsonl in {tmp_path} is left alone: {why}"]


def test_a_segment_of_version_1_is_read_for_ever(storage_store: Store, tmp_path: Path, service: str) -> None:
    # As 0.1.0 wrote it, byte for byte but for the name of the service: never to be changed.
    (tmp_path / "1700000000000000000-77-0a0b0c0d.jsonl").write_bytes(
        b'{"format":1,"pid":77}\n'
        b'["r",0,{"service.name":"%s"}]\n["s",0,"otel_episodes","0.1.0"]\n'
        b'[1700000000123456789,1000000,"0af7651916cd43dd8448eb211c80319c","b7ad6b7169203331","","","execute_tool grep",'
        b'0,0,0,0,"",{"episode.id":"e1","episode.span":"step","episode.step.success":true,"ratio":0.5}]\n'
        b'[1700000000123456790,5,"0af7651916cd43dd8448eb211c80319c","b7ad6b7169203332","b7ad6b7169203331","a=b","late",'
        b'2,0,0,2,"no",{"episode.id":"e1"},[[1700000000123456791,"exception",{"n":1}]],'
        b'[["0af7651916cd43dd8448eb211c80319d","b7ad6b7169203333","",{"episode.link.kind":"retries"}]]]\n'
        % service.encode()
    )
    assert drain(storage_store, tmp_path) == DrainReport(rows=2, inserts=1, segments=1, deleted=1)
    stored = storage_store.query(
        "SELECT SpanName, SpanKind, StatusCode, StatusMessage, TraceState, SpanAttributes, Events.Name, Links.SpanId, "
        "Links.Attributes FROM otel_traces WHERE ServiceName = {s:String} ORDER BY Timestamp",
        {"s": service},
    )
    assert [tuple(row.values()) for row in stored] == [
        (
            "execute_tool grep", "Internal", "Unset", "", "",
            {"episode.id": "e1", "episode.span": "step", "episode.step.success": "true", "ratio": "0.5"}, [], [], [],
        ),
        (
            "late", "Client", "Error", "no", "a=b", {"episode.id": "e1"}, ["exception"], ["b7ad6b7169203333"],
            [{"episode.link.kind": "retries"}],
        ),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("poison", "reasons"),
    [
        (b"\0" * 5000 + b"\n", 1),
        (b"[" * 2000 + b"]" * 2000 + b"\n", 1),
        (b"[1e400,1,1,1,1,1,1,1,1,1,1,1,{}]\n", 1),
        (b'[1,1,{},"s","","","n",0,0,0,0,"",{}]\n', 1),
        (b'["r",[],{}]\n["s"]\n["x",1]\n7\n"text"\nnull\n', 6),
        (b'{"format":1}\n\n\n', 0),
        (random.Random(1).randbytes(20_000).replace(b"\n", b"") + b"\n", 1),
    ],
    ids=["zeros", "deep", "infinite", "no text", "shapes", "harmless", "random"],
)
def test_poison_is_set_aside_with_a_reason_and_blocks_nothing(
    kept: Kept, tmp_path: Path, poison: bytes, reasons: int
) -> None:
    named_spans(tmp_path, "before").close()
    segment = next(tmp_path.glob("*.jsonl"))
    segment.write_bytes(segment.read_bytes() + poison)
    named_spans(tmp_path, "after").close()

    report = kept.drain(tmp_path)

    assert (kept.rows, report.quarantined, report.deleted) == ({"before": 1, "after": 1}, reasons, 2)
    lines = [json.loads(line) for file in tmp_path.glob("quarantine/*") for line in file.read_text().splitlines()]
    assert len(lines) == reasons
    assert all(line["reason"] for line in lines)
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in tmp_path.glob("quarantine/*"))


def test_a_line_too_long_for_memory_is_set_aside_by_its_beginning(kept: Kept, tmp_path: Path) -> None:
    named_spans(tmp_path, "before").close()
    segment = next(tmp_path.glob("*.jsonl"))
    with segment.open("ab") as file:
        for _ in range(140):
            file.write(b"x" * 1024 * 1024)
        file.write(b"\n")
    writer = named_spans(tmp_path, "after")
    writer.close()
    report = kept.drain(tmp_path)
    assert (kept.rows, report.quarantined, report.deleted) == ({"before": 1, "after": 1}, 1, 2)
    (aside,) = (tmp_path / "quarantine").iterdir()
    assert json.loads(aside.read_bytes())["reason"] == "a line of 146,800,641 bytes; this is its beginning"
    assert aside.stat().st_size < 100_000


def test_a_segment_that_cannot_be_read_blocks_nothing(kept: Kept, tmp_path: Path) -> None:
    (tmp_path / "0.jsonl").mkdir()
    os.mkfifo(tmp_path / "1.jsonl")
    (tmp_path / "2.jsonl").symlink_to("/etc/hostname")
    named_spans(tmp_path, "a").close()
    report = kept.drain(tmp_path)
    assert (report.left, report.deleted, kept.rows) == (3, 1, {"a": 1})


@pytest.mark.parametrize("name", ["", "state.json", "quarantine", "drain.lock"])
def test_no_symbolic_link_is_written_through(kept: Kept, tmp_path: Path, name: str) -> None:
    spool, outside = tmp_path / "spool", tmp_path / "outside"
    named_spans(spool, "a").close()
    segment = next(spool.glob("*.jsonl"))
    segment.write_bytes(segment.read_bytes() + b"no span\n")
    if name:
        outside.mkdir() if name == "quarantine" else outside.write_bytes(b"mine")
        (spool / name).symlink_to(outside)
    else:
        spool.rename(outside)
        spool.symlink_to(outside)
    with pytest.raises(StoreError, match="cannot take in the spool"):
        kept.drain(spool)
    left = sorted(path.name for path in outside.iterdir()) if outside.is_dir() else outside.read_bytes()
    assert left == {"": [segment.name], "quarantine": []}.get(name, b"mine")

    (spool / name).unlink()
    if not name:
        outside.rename(spool)
    kept.drain(spool)
    assert kept.rows == {"a": 1}


def test_a_state_that_leads_out_of_the_spool_is_not_believed(kept: Kept, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    named_spans(tmp_path / "other", "secret").close()
    named_spans(spool, "a").close()
    name = next((tmp_path / "other").glob("*.jsonl")).name
    part = f"../other/{name}"
    state = {"format": 1, "segments": {}, "pending": {"token": "t", "parts": [[part, 0, 500]], "session": ""}}
    (spool / "state.json").write_text(json.dumps(state))
    kept.drain(spool)
    assert kept.rows == {"a": 1}


def test_a_state_of_a_later_version_is_not_touched(kept: Kept, tmp_path: Path) -> None:
    named_spans(tmp_path, "a").close()
    (tmp_path / "state.json").write_text('{"format":2,"else":true}')
    with pytest.raises(StoreError, match="later version"):
        kept.drain(tmp_path)
    assert kept.rows == {}
    assert (tmp_path / "state.json").read_text() == '{"format":2,"else":true}'


def test_what_a_crash_left_behind_is_tidied_up(kept: Kept, tmp_path: Path) -> None:
    old, young = tmp_path / ".1-1-aa.jsonl.new", tmp_path / ".2-2-bb.jsonl.new"
    for path in (old, young):
        path.write_bytes(b'{"format":1,"pid":1}\n')
    os.utime(old, (0, 0))
    (tmp_path / "state.json.new").write_bytes(b"{")
    named_spans(tmp_path, "a").close()
    kept.drain(tmp_path)
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        ".2-2-bb.jsonl.new",
        ".reserve",
        "drain.lock",
        "state.json",
    ]


def test_a_copied_or_renamed_segment_doubles_nothing(kept: Kept, tmp_path: Path) -> None:
    writer = named_spans(tmp_path, "first")
    kept.drain(tmp_path)
    segment = next(tmp_path.glob("*.jsonl"))
    copy = segment.with_name("0.jsonl")
    copy.write_bytes(segment.read_bytes())
    assert kept.drain(tmp_path).left == 1
    writer.close()
    segment.rename(segment.with_name("1.jsonl"))
    assert kept.drain(tmp_path).left == 2
    assert kept.rows == {"first": 1}


def test_a_clock_that_goes_back_changes_nothing(kept: Kept, tmp_path: Path) -> None:
    writer = named_spans(tmp_path, "first")
    kept.drain(tmp_path)
    writer.close()
    for number in range(3):
        # Each segment dated before the last, as after a step back of the clock.
        named_spans(tmp_path, f"{number}").close()
        newest = max(tmp_path.glob("*.jsonl"))
        earlier = tmp_path / f"{1000 - number:019d}-1-{number:08x}.jsonl"
        earlier.write_bytes(newest.read_bytes().replace(newest.name.encode(), earlier.name.encode(), 1))
        newest.unlink()
        if number == 1:
            kept.drain(tmp_path)
    kept.drain(tmp_path)
    assert kept.rows == {"first": 1, "0": 1, "1": 1, "2": 1}
    assert SpoolReader(tmp_path).segments() == []


def test_a_lock_file_that_was_removed_and_made_again_still_locks(kept: Kept, tmp_path: Path) -> None:
    named_spans(tmp_path, "a").close()
    first = ProcessLock(tmp_path / "drain.lock")
    assert first.acquire()
    first.path.unlink()
    second = ProcessLock(tmp_path / "drain.lock")
    assert second.acquire()
    assert kept.drain(tmp_path) == DrainReport(busy=True)
    first.release()
    second.release()
    assert kept.drain(tmp_path).rows == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk can be mounted only as root")
def test_a_spool_that_fills_its_disk_can_still_be_taken_in(kept: Kept, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", disk], check=True)
    try:
        named_spans(disk / "spool", "a").close()
        kept.drain(disk / "spool")
        names = [f"{number}" for number in range(2000)]
        writer = SpoolWriter(disk / "spool", new_encoder, limit_bytes=0)
        found = finished_spans(2000)
        returned = []
        for name, span in zip(names, found, strict=True):
            span._attributes._dict["episode.step.action"] = name
            if writer.append(read_span(span)):
                returned.append(name)
        assert 0 < len(returned) < 2000
        writer.close()
        with suppress(OSError), (disk / "ballast").open("wb", buffering=0) as ballast:
            while True:
                ballast.write(b"x")
        # A line that has to be set aside needs room too.
        segment = max((disk / "spool").glob("*.jsonl"))
        with segment.open("r+b") as file:
            start = file.read().index(b"[1700000000")
            file.seek(start)
            file.write(b"{")
        kept.drain(disk / "spool")
        assert SpoolReader(disk / "spool").segments() == []
        assert kept.rows == dict.fromkeys(["a", *returned[1:]], 1)
        assert len(list((disk / "spool" / "quarantine").iterdir())) == 1
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk_that_leaves_no_room_for_the_state_loses_and_doubles_nothing(tmp_path: Path) -> None:
    done = run_python(
        """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from fault_campaign import Kept, record_old
from otel_episodes_clickhouse.errors import StoreError
spool, kept = Path(sys.argv[1]), Kept({})
record_old(spool, "a", 20)
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
for limit in (0, 50):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        kept.drain(spool)
    except StoreError as error:
        print(error.__cause__.strerror)
    print(len(kept.rows))
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
class Loses(Kept):
    def insert_rows(self, rows, *, token=None):
        super().insert_rows(rows, token=token)
        # The disk fills up before the answer is written down.
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
loses = Loses(kept.rows)
loses.tokens = kept.tokens
try:
    loses.drain(spool)
except StoreError as error:
    print(error.__cause__.strerror)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
kept.drain(spool)
print(len(kept.rows), set(kept.rows.values()), list(spool.glob("*.jsonl")))
""",
        tmp_path,
        Path(__file__).parents[1] / "support",
    )
    assert done.stdout.splitlines() == [
        "File too large", "0", "File too large", "0", "File too large", "20 {1} []",
    ], done.stderr  # fmt: skip


def test_an_account_that_may_not_read_relies_on_the_token(tmp_path: Path) -> None:
    class Blind(Kept):
        def mend(self) -> None:
            pass

        def missing_rows(self, rows: Sequence[Row]) -> list[Row]:
            raise QueryError("not enough privileges", code=497)

        def insert_rows(self, rows: Iterable[Row], *, token: str | None = None) -> int:
            known = token in self.tokens
            count = super().insert_rows(rows, token=token)
            if not known:
                raise StoreUnavailableError("connection reset")
            return count

    named_spans(tmp_path, "a").close()
    blind = Blind({})
    with pytest.raises(StoreUnavailableError):
        blind.drain(tmp_path)
    assert blind.drain(tmp_path).rows == 1
    assert blind.rows == {"a": 1}
