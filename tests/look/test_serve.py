"""`otel-episodes serve`: what any SDK sends is kept, nobody else gets in, and every command works meanwhile."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any

import exporters_built as exporters
import pytest
from collectors import eventually, front_end, otelcol
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, StatusCode, set_span_in_context
from serving import INTAKE, Serving, children, serving, spooled
from storage_fixtures import STEP, T0, Keep, provider

from otel_episodes._for_store import read_span
from otel_episodes_clickhouse import sql
from otel_episodes_clickhouse.cli.app import run
from otel_episodes_clickhouse.config import Target
from otel_episodes_clickhouse.errors import QueryError, StoreError
from otel_episodes_clickhouse.spool.decode import LineDecoder
from otel_episodes_clickhouse.spool.encode import new_encoder
from otel_episodes_clickhouse.store import confinement, served
from otel_episodes_clickhouse.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

SPANS_OF = "SELECT * FROM otel_traces WHERE TraceId = {id:String}"
SPANS_OF_ALL = "SELECT * FROM otel_traces WHERE TraceId IN {ids:Array(String)} ORDER BY ALL"
LOGS_OF_ALL = "SELECT * FROM otel_logs WHERE TraceId IN {ids:Array(String)} ORDER BY ALL"
PROTOBUF, JSON = "application/x-protobuf", "application/json"
ROUNDS = 100 if os.environ.get("OTEL_EPISODES_CAMPAIGN") else 3
needs_kernel = pytest.mark.skipif(
    not confinement.available().whole, reason=f"this kernel walls off {confinement.available()}"
)


@pytest.fixture(scope="module")
def target(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Target:
    # Longer than the address of a socket may be.
    place = tmp_path_factory.mktemp("serve") / ("d" * 120) / "store"
    shutil.copytree(migrated, place, symlinks=True)
    return Target.resolve(f"chdb://{place}")


@pytest.fixture(scope="module")
def server(target: Target) -> Iterator[Serving]:
    with serving(str(target)) as running:
        yield running
    assert running.process.returncode == 0
    assert target.path is not None
    assert not (target.path / served.NAME).exists()


@pytest.fixture(scope="module")
def store(server: Serving, target: Target) -> Iterator[Store]:
    """Return the store as another process than the one that serves it has it."""
    with Store.open(target) as opened:
        assert opened.served
        yield opened


def request_of(*spans: dict[str, Any]) -> bytes:
    scope = {"scope": {"name": "s"}, "spans": list(spans)}
    return json.dumps({"resourceSpans": [{"resource": {}, "scopeSpans": [scope]}]}).encode()


def span(number: int, **fields: Any) -> dict[str, Any]:
    times = {"startTimeUnixNano": str(T0), "endTimeUnixNano": str(T0 + 5)}
    return {"traceId": f"{number:032x}", "spanId": f"{number:016x}", "name": "n", **times, **fields}


# --- OTLP in -------------------------------------------------------------------------------------------------------


def record_all_kinds(tracer: Any) -> None:
    """Record spans that have everything a span can have."""
    with tracer.start_as_current_span("invoke_agent coder", kind=SpanKind.CLIENT, attributes=STEP) as root:
        root.set_attribute("list", ["a", "b"])
        root.set_attribute("numbers", [1, 2])
        root.set_attribute("float", 1.5)
        root.set_attribute("whole", 2.0)
        root.set_attribute("nan", float("nan"))
        root.set_attribute("big", 2**62)
        root.set_attribute("text", "naïve ☃ \x00 \u2028 </script>")
        root.add_event("happened", {"why": "so", "count": 3})
        link = Link(root.get_span_context(), {"of": "it"})
        with tracer.start_as_current_span("execute_tool grep", kind=SpanKind.INTERNAL, links=[link]) as inner:
            inner.set_status(StatusCode.ERROR, "broken")
        for kind in (SpanKind.SERVER, SpanKind.PRODUCER, SpanKind.CONSUMER):
            tracer.start_span("plain", kind=kind).end()


def rows_of(keep: Keep) -> dict[str, Any]:
    """Return the rows that our own exporter makes of spans, by their ids."""
    encode, decode = new_encoder(), LineDecoder()
    lines = [line for kept in keep.spans for line in encode(read_span(kept)).splitlines(keepends=True)]
    return {row.span_id: row for line in lines if (row := decode(line)) is not None}


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
def test_what_the_official_exporter_sends_are_the_rows_of_our_own(
    server: Serving, store: Store, compression: Compression
) -> None:
    keep = Keep()
    exporter = OTLPSpanExporter(f"{server.url}/v1/traces", compression=compression)
    tracing = provider(keep, SimpleSpanProcessor(exporter), service="svc")
    before = server.stored(0)["stored"]["exported"]
    record_all_kinds(tracing.get_tracer("scope", "1.2"))
    exporter.shutdown()
    ours = rows_of(keep)
    server.stored(before + len(ours))
    traces = {row.trace_id for row in ours.values()}
    rows = {row["SpanId"]: row for trace in traces for row in store.query(SPANS_OF, {"id": trace})}
    assert len(rows) == len(ours) == 5
    for name, row in rows.items():
        expected = ours[name]
        assert list(row.values())[:15] == [
            expected.timestamp, *expected[1:8], dict(expected.resource_attributes), *expected[9:11],
            dict(expected.span_attributes), expected.duration, expected.status_code, expected.status_message,
        ]  # fmt: skip
        assert row["Events.Name"] == list(expected.event_names)
        assert row["Events.Attributes"] == list(map(dict, expected.event_attributes))
        assert row["Links.SpanId"] == list(expected.link_span_ids)
        assert row["Links.Attributes"] == list(map(dict, expected.link_attributes))


SENT_BY_OTHERS = [
    {
        "ParentSpanId": "", "SpanName": "invoke_agent coder", "SpanKind": "Client", "ServiceName": "svc",
        "ScopeName": "scope", "ScopeVersion": "1.2", "Timestamp": T0, "Duration": 9, "StatusCode": "Unset",
        "StatusMessage": "", "Events.Timestamp": [T0], "Events.Name": ["happened"],
        "Events.Attributes": [{"why": "so"}],
        "Links.Attributes": [],
        "SpanAttributes": {
            "float": "1.5", "gen_ai.agent.name": "coder", "list": '["a","b"]', "text": "naïve ☃", "whole": "2",
            "yes": "true",
        },
    },
    {
        "ParentSpanId": "ROOT", "SpanName": "execute_tool grep", "SpanKind": "Internal", "ServiceName": "svc",
        "ScopeName": "scope", "ScopeVersion": "1.2", "Timestamp": T0, "Duration": 5, "StatusCode": "Error",
        "StatusMessage": "broken", "Events.Timestamp": [], "Events.Name": [], "Events.Attributes": [],
        "Links.Attributes": [{"of": "it"}], "SpanAttributes": {},
    },
]  # fmt: skip


@pytest.mark.parametrize("sender", ["js proto", "js http", "go"])
def test_what_other_languages_send_is_what_they_recorded(server: Serving, store: Store, sender: str) -> None:
    before = server.stored(0)["stored"]["exported"]
    if sender == "go":
        trace = said_by(exporters.go_program(), f"{server.url}/v1/traces")
    else:
        trace = said_by("node", exporters.SEND_JS, exporters.node_modules(), sender[3:], f"{server.url}/v1/traces")
    server.stored(before + 2)
    rows = {row["SpanName"]: row for row in store.query(SPANS_OF, {"id": trace})}
    root = rows["invoke_agent coder"]
    expected = [{**row, "ParentSpanId": root["SpanId"] if row["ParentSpanId"] else ""} for row in SENT_BY_OTHERS]
    assert [{name: rows[row["SpanName"]][name] for name in row} for row in expected] == expected
    assert rows["execute_tool grep"]["Links.SpanId"] == [root["SpanId"]]


def said_by(*program: object) -> str:
    done = subprocess.run([str(part) for part in program], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def test_what_a_collector_sends_on_are_the_rows_that_it_writes_itself(
    server: Serving, store: Store, tmp_path: Path
) -> None:
    before = server.stored(0)["stored"]["exported"]
    config = tmp_path / "both.yaml"
    config.write_text(exporters.BOTH_WAYS)
    keep = Keep()
    with (
        front_end(tmp_path / "server") as url,
        otelcol(tmp_path / "otelcol", str(config), CLICKHOUSE_ENDPOINT=url, SERVE=server.url) as grpc,
        Store.open(Target.resolve(url, environ={"OTEL_EPISODES_HOME": str(tmp_path)})) as theirs,
    ):
        tracing = provider(keep, SimpleSpanProcessor(GrpcExporter(f"http://{grpc}", insecure=True)))
        record_all_kinds(tracing.get_tracer("scope", "1.2"))
        logging = LoggerProvider(resource=Resource({"service.name": "judge"}), shutdown_on_exit=False)
        logging.add_log_record_processor(SimpleLogRecordProcessor(GrpcLogExporter(f"http://{grpc}", insecure=True)))
        told = {"list": ["a", 1], "float": 1.5, "whole": 2.0, "text": "naïve ☃", "yes": True}
        where = set_span_in_context(NonRecordingSpan(SpanContext(0xC5, 0xB5, is_remote=True)))
        for body in ("said", {"a": [1, None]}, 7, None):
            logging.get_logger("s", "1").emit(
                timestamp=T0, context=where, severity_text="WARN", body=body, event_name="e", attributes=told
            )
        logging.shutdown()
        server.stored(before + 5)
        ids = [f"{0xC5:032x}", *(f"{one.context.trace_id:032x}" for one in keep.spans)]
        for statement, count in ((SPANS_OF_ALL, 5), (LOGS_OF_ALL, 4)):
            written = complete(theirs, statement, ids, count)
            rows = complete(store, statement, ids, count)
            assert [{name: row[name] for name in written[0]} for row in rows] == written


def complete(store: Store, statement: str, ids: list[str], count: int) -> list[dict[str, Any]]:
    """Return rows once there are so many of them."""
    eventually(lambda: len(store.query(statement, {"ids": ids})) == count, f"{count} rows")
    return store.query(statement, {"ids": ids})


def test_json_is_taken_and_what_of_it_is_not_a_span_is_told(server: Serving, store: Store) -> None:
    before = server.stored(0)["stored"]["exported"]
    body = gzip.compress(request_of(span(0xA1), span(0xA2, traceId="abc"), span(0xA3, parentSpanId=f"{0xA1:016x}")))
    answer = server.post("/v1/traces", body, "application/json; charset=utf-8", Content_Encoding="gzip")
    assert (answer.status, answer.headers["content-type"]) == (200, JSON)
    assert answer.json == {
        "partialSuccess": {
            "rejectedSpans": "1",
            "errorMessage": "a span that is not in OTLP's form: traceId 'abc' is not an id: hex, not all zero",
        }
    }
    server.stored(before + 2)
    assert [row["ParentSpanId"] for row in store.query(SPANS_OF, {"id": f"{0xA3:032x}"})] == [f"{0xA1:016x}"]


def test_protobuf_tells_what_it_has_not_taken(server: Serving) -> None:
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    spans.add(trace_id=b"\1" * 16, span_id=b"\2" * 8, start_time_unix_nano=T0, end_time_unix_nano=T0)
    spans.add(trace_id=b"\1" * 16, span_id=b"", start_time_unix_nano=T0)
    spans.add(trace_id=b"\0" * 16, span_id=b"\3" * 8)
    spans.add(trace_id=b"\1" * 16, span_id=b"\4" * 8, start_time_unix_nano=2**64 - 1)
    answer = server.post("/v1/traces", request.SerializeToString(), PROTOBUF)
    told = ExportTraceServiceResponse.FromString(answer.body).partial_success
    assert (answer.status, told.rejected_spans) == (200, 3)
    assert told.error_message == "a span whose id is not 8 bytes, or all zero"


def test_nothing_is_a_request_too(server: Serving) -> None:
    assert server.post("/v1/traces", b"", PROTOBUF).body == b""
    assert server.post("/v1/traces", b"{}", JSON).json == {}
    assert server.post("/v1/metrics", b"{}", JSON).json == {}
    assert server.post("/v1/metrics", b"", PROTOBUF).status == 200


def test_an_evaluation_result_that_comes_as_a_log_record_scores_its_run(
    server: Serving, store: Store, episode: str
) -> None:
    exporter = OTLPLogExporter(f"{server.url}/v1/logs")
    logging = LoggerProvider(resource=Resource({"service.name": "judge"}), shutdown_on_exit=False)
    logging.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    said = {"gen_ai.evaluation.name": "judge", "gen_ai.evaluation.score.value": 0.25}
    where = set_span_in_context(NonRecordingSpan(SpanContext(int(episode, 16), 0xB1, is_remote=True)))
    logging.get_logger("s").emit(
        timestamp=T0, context=where, event_name="gen_ai.evaluation.result", body={"a": [1]}, attributes=said
    )
    logging.shutdown()
    (row,) = store.query("SELECT * FROM otel_logs WHERE TraceId = {id:String}", {"id": episode})
    told = ("Timestamp", "SpanId", "ServiceName", "Body", "LogAttributes", "EventName")
    assert [row[name] for name in told] == [
        T0, f"{0xB1:016x}", "judge", '{"a":[1]}',
        {"gen_ai.evaluation.name": "judge", "gen_ai.evaluation.score.value": "0.25"}, "gen_ai.evaluation.result",
    ]  # fmt: skip
    (event,) = store.query("SELECT * FROM internal_log_events WHERE TraceId = {id:String}", {"id": episode})
    assert (event["Event"], event["Score"]) == ("evaluation", 0.25)


def test_half_a_character_costs_no_batch(server: Serving, store: Store) -> None:
    """JavaScript cuts texts between the two halves of a character, and says so in JSON."""
    said = {"key": "cut \ude00", "value": {"stringValue": "left \ud83d"}}
    body = request_of(span(0xC3, name="name \ud83d", attributes=[said]))
    assert server.post("/v1/traces", body, JSON).json == {}
    record = {"timeUnixNano": str(T0), "traceId": f"{0xC3:032x}", "body": {"stringValue": "said \ud83d"}}
    logs = {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}
    assert server.post("/v1/logs", json.dumps(logs).encode(), JSON).json == {}
    asked = {"id": f"{0xC3:032x}"}
    assert store.query("SELECT Body FROM otel_logs WHERE TraceId = {id:String}", asked) == [{"Body": "said \ufffd"}]
    eventually(lambda: store.query(SPANS_OF, asked), "the span is stored")
    (row,) = store.query(SPANS_OF, asked)
    assert (row["SpanName"], row["SpanAttributes"]) == ("name \ufffd", {"cut \ufffd": "left \ufffd"})


def test_records_that_a_killed_process_left_are_brought_in_once(store: Store, tmp_path: Path) -> None:
    from otel_episodes_clickhouse.serve.log_spool import LogSpool
    from otel_episodes_clickhouse.serve.logs import records_of

    class Away:
        def insert_log_records(self, lines: bytes, *, token: str) -> None:
            raise StoreError("away")

    record = {"timeUnixNano": str(T0), "traceId": f"{0xC4:032x}", "body": {"stringValue": "late"}}
    body = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}).encode()
    lines = records_of(body, JSON).lines
    away: Any = Away()
    LogSpool(tmp_path).keep(away, lines, "t")
    (left,) = (tmp_path / "logs").glob("*.rows")
    for _ in range(2):
        LogSpool(tmp_path).bring_in(store)
        left.write_bytes(lines)
    rows = store.query("SELECT Body FROM otel_logs WHERE TraceId = {id:String}", {"id": f"{0xC4:032x}"})
    assert rows == [{"Body": "late"}]


def test_log_records_in_json_are_stored_once_however_often_they_are_sent(server: Serving, store: Store) -> None:
    trace = f"{0xC1:032x}"
    record = {"timeUnixNano": str(T0), "traceId": trace, "severityNumber": 9, "body": {"stringValue": "hello"}}
    body = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [record, {"timeUnixNano": str(2**64 - 1)}]}]}]})
    for _ in range(2):
        answer = server.post("/v1/logs", body.encode(), JSON)
        assert answer.json["partialSuccess"]["rejectedLogRecords"] == "1"
    rows = store.query("SELECT Body, SeverityNumber FROM otel_logs WHERE TraceId = {id:String}", {"id": trace})
    assert rows == [{"Body": "hello", "SeverityNumber": 9}]
    for wrong in ({"resourceLogs": 5}, {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"traceId": "xyz"}]}]}]}):
        assert server.post("/v1/logs", json.dumps(wrong).encode(), JSON).status == 400


BOMB = gzip.compress(b"\0" * (64 << 20), 9)


@pytest.mark.parametrize(
    ("body", "content_type", "headers", "status"),
    [
        (b"{}", "text/plain", {}, 415),
        (b"{}", "", {}, 415),
        (b"{}", JSON, {"Content_Encoding": "br"}, 415),
        (b"not json", JSON, {}, 400),
        (b"[]", JSON, {}, 400),
        (b'{"resourceSpans": 5}', JSON, {}, 400),
        (b'{"resourceSpans": [{"scopeSpans": 5}]}', JSON, {}, 400),
        (b"[" * 100_000, JSON, {}, 400),
        (b"\xff" * 50, PROTOBUF, {}, 400),
        (b"\x0a\x02" * 5000, PROTOBUF, {}, 400),
        (gzip.compress(b"{}")[:-4], JSON, {"Content_Encoding": "gzip"}, 400),
        (b"{}", JSON, {"Content_Encoding": "gzip"}, 400),
        (BOMB, PROTOBUF, {"Content_Encoding": "gzip"}, 413),
        (BOMB, JSON, {"Content_Encoding": "gzip"}, 413),
        (b"", JSON, {"Content_Length": str(100 << 20)}, 413),
    ],
    ids=range(15),
)
def test_what_is_not_an_export_request_is_refused(
    server: Serving, body: bytes, content_type: str, headers: dict[str, str], status: int
) -> None:
    answer = server.post("/v1/traces", body, content_type, **headers)
    assert answer.status == status, answer.body
    if content_type == JSON:
        assert set(answer.json) == {"code", "message"}
    assert server.get("/healthz").status == 200


def test_a_hundred_megabytes_in_pieces_are_refused_before_they_are_all_there(server: Serving) -> None:
    sent = 0

    def pieces() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield b" " * (1 << 20)

    try:
        status = server.ask("POST", "/v1/traces", pieces(), {"Content_Type": JSON}).status
    except (BrokenPipeError, ConnectionResetError):
        status = 413
    assert status == 413
    assert sent < 80


@pytest.fixture(scope="module")
def intake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving("", str(tmp_path_factory.mktemp("intake") / "spool"), command=INTAKE) as running:
        yield running


@pytest.mark.parametrize(
    "begin",
    [
        b"",
        b"POST /v1/traces HTTP/1.1\r\nHost: localh",
        b"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{",
    ],
    ids=["nothing", "half a head", "half a body"],
)
def test_a_slow_client_is_not_waited_for(intake: Serving, begin: bytes) -> None:
    import socket

    with socket.create_connection(("127.0.0.1", intake.port), timeout=30) as client:
        client.sendall(begin)
        said = client.recv(1000)
    assert said == b"" or said.startswith(b"HTTP/1.1 408 ")


# --- nothing acknowledged is lost ----------------------------------------------------------------------------------


@pytest.mark.campaign
def test_what_was_acknowledged_outlives_a_kill(tmp_path: Path) -> None:
    for number in range(ROUNDS):
        spool = tmp_path / f"spool-{number}"
        acknowledged: list[int] = []
        with serving("", str(spool), command=INTAKE) as running:
            threads = [threading.Thread(target=_send_on, args=(running, n, acknowledged)) for n in (1, 2, 3)]
            for thread in threads:
                thread.start()
            while len(acknowledged) < 5 + number % 20:
                threads[0].join(0.001)
            running.process.kill()
            for thread in threads:
                thread.join(30)
        rows = {int(row.span_id, 16) for row in spooled(spool)}
        assert set(acknowledged) <= rows, f"round {number}"


def _send_on(running: Serving, sender: int, acknowledged: list[int]) -> None:
    number = sender << 32
    while True:
        number += 1
        try:
            answer = running.post("/v1/traces", request_of(span(number)), JSON)
        except (OSError, HTTPException):
            return
        if answer.status == 200:
            acknowledged.append(number)


# --- commands meanwhile --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def episode(server: Serving, target: Target) -> str:
    """Return the trace id of a run that was sent."""
    before = server.stored(0)["stored"]["exported"]
    attributes = [
        {"key": "gen_ai.operation.name", "value": {"stringValue": "invoke_agent"}},
        {"key": "gen_ai.agent.name", "value": {"stringValue": "coder"}},
    ]
    body = request_of(span(0xB1, name="invoke_agent coder", attributes=attributes))
    assert server.post("/v1/traces", body, JSON).status == 200
    server.stored(before + 1)
    return f"{0xB1:032x}"


def test_commands_find_what_was_sent_while_it_is_served(
    target: Target, episode: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--dsn", str(target), "show", episode, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["AgentName"] == "coder"
    assert run(["--dsn", str(target), "score", episode, "good", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["Outcome"] == "success"
    assert run(["--dsn", str(target), "migrate"]) == 0
    capsys.readouterr()
    assert run(["--dsn", str(target), "doctor", "--json"]) in (0, 1)
    assert "otel-episodes serve has it open" in capsys.readouterr().out


def test_who_asks_goes_before_what_writes(store: Store) -> None:
    text = "INSERT INTO internal_settings (Name, Value) SELECT 'tried', toString(getSetting('priority'))"
    (write,) = sql.parse(f"-- name: tried\n{text};\n")
    store.execute(write)
    asked = "SELECT Value, toString(getSetting('priority')) AS Own FROM internal_settings WHERE Name = 'tried'"
    assert store.query(asked) == [{"Value": "10", "Own": "1"}]


def test_what_was_sent_is_learned_from(store: Store, episode: str) -> None:
    eventually(
        lambda: store.query("SELECT 1 FROM internal_facts WHERE EpisodeId = {id:String}", {"id": episode}),
        "no job has looked at it",
    )


def test_an_engine_that_dies_takes_the_server_along_and_no_span(migrated: Path, tmp_path: Path) -> None:
    place = tmp_path / "store"
    shutil.copytree(migrated, place, symlinks=True)
    with serving(f"chdb://{place}", "--no-learn") as running:
        (engine,) = children(running.process.pid)
        assert running.post("/v1/traces", request_of(span(0xD1)), JSON).status == 200
        os.kill(engine, signal.SIGKILL)
        assert running.process.wait(30) == 1
    asked = command("sql", "SELECT SpanId FROM otel_traces", "--dsn", f"chdb://{place}", "--json")
    assert json.loads(asked.stdout) == [{"SpanId": f"{0xD1:016x}"}]


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    whole = [sys.executable, "-m", "otel_episodes_clickhouse.cli", *arguments]
    return subprocess.run(whole, capture_output=True, text=True, timeout=120, check=False)


def test_a_question_of_ones_own_is_asked_where_the_store_is_open(
    target: Target, episode: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = command("sql", "SELECT AgentName FROM episodes WHERE TraceId = {id:String}", "--param", f"id={episode}",
                    "--dsn", str(target), "--json")  # fmt: skip
    assert (asked.stderr, json.loads(asked.stdout)) == ("", [{"AgentName": "coder"}])
    for statement in ("SELECT * FROM file('/etc/passwd', 'LineAsString')", "SELECT 1 INTO OUTFILE 'x.txt'"):
        assert run(["--dsn", str(target), "sql", statement]) == 1
        assert capsys.readouterr().out == ""


@needs_kernel
@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT * FROM url('http://127.0.0.1:{port}/healthz', 'LineAsString') SETTINGS http_max_tries = 1",
        "SELECT * FROM executable('/bin/ls', 'TSV', 'x String')",
        "INSERT INTO FUNCTION file('/tmp/otel-episodes-out.txt', 'LineAsString', 'x String') SELECT 'a'",
        "SELECT 1 INTO OUTFILE '/tmp/otel-episodes-out.txt'",
    ],
)
def test_behind_the_socket_no_statement_reaches_out(server: Serving, store: Store, statement: str) -> None:
    with pytest.raises(StoreError):
        store.query(statement.replace("{port}", str(server.port)))
    assert not Path("/tmp/otel-episodes-out.txt").exists()


def test_a_question_cannot_write_into_the_store(store: Store, target: Target) -> None:
    assert target.path is not None
    with pytest.raises(QueryError, match="OUTFILE"):
        store._read_only(f"SELECT 1 INTO/**/OUTFILE '{target.path}/x.txt'", {})
    with pytest.raises(QueryError):
        store._read_only("DROP TABLE otel_traces", {})
    assert not (target.path / "x.txt").exists()


def test_the_socket_is_for_its_owner_only(server: Serving, target: Target) -> None:
    assert target.path is not None
    assert stat.S_IMODE((target.path / served.NAME).stat().st_mode) == 0o600
    with served.connected(target.path) as connection:
        assert served.user_of(connection) == os.geteuid()


def test_a_directory_that_is_not_a_store_is_told(tmp_path: Path) -> None:
    (tmp_path / "metadata").write_text("a file where the engine wants a directory")
    refused = command("serve", "--port=0", "--dsn", f"chdb://{tmp_path}")
    assert refused.returncode == 1
    assert refused.stderr.startswith("otel-episodes: Code: 1001. ")
    assert refused.stderr.endswith(f'["{tmp_path}/metadata"]. (STD_EXCEPTION)\n')
    assert not (tmp_path / served.NAME).exists()


def test_a_second_one_says_who_serves_already(server: Serving, target: Target) -> None:
    second = command("serve", "--port=0", "--dsn", str(target))
    assert second.returncode == 1
    assert "is served by another otel-episodes serve: end that first" in second.stderr


# --- walls ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example:4318"}, 421),
        ({"Host": ""}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "no-cors"}, 403),
        ({"Host": "localhost"}, 200),
        ({"Host": "LOCALHOST:80"}, 200),
        ({"Host": "evil.example@localhost"}, 421),
        ({"Host": "localhost/evil.example"}, 421),
        ({"Host": "localhost#.evil.example"}, 421),
        ({"Host": "[localhost]"}, 421),
        ({"Transfer_Encoding": "chunked", "Content_Length": "0"}, 400),
        ({"Host": "[::1]:4318"}, 200),
        ({"Sec_Fetch_Site": "same-origin"}, 200),
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}, 200),
    ],
    ids=str,
)
def test_only_this_machine_is_answered_and_no_other_site(server: Serving, headers: dict[str, str], status: int) -> None:
    answer = server.get("/healthz", **headers)
    assert answer.status == status
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in answer.headers["content-security-policy"]


def test_another_address_needs_a_token(target: Target, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--host", "0.0.0.0", "--port=0", "--dsn", str(target)]) == 2
    assert "OTEL_EPISODES_TOKEN" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/page", {}, 401),
        ("GET", "/page", {"accept": "text/html"}, 303),
        ("POST", "/v1/traces", {}, 401),
        ("GET", "/page", {"authorization": "Bearer wrong"}, 401),
        ("GET", "/page", {"cookie": "otel_episodes=0123456789abcdef"}, 401),
        ("GET", "/page", {"authorization": "Bearer 0123456789abcdef"}, 200),
        ("GET", "/healthz", {}, 200),
        ("POST", "/page", {"authorization": "Bearer 0123456789abcdef", "origin": "http://other"}, 403),
    ],
    ids=str,
)
async def test_with_a_token_nobody_is_answered_without_it(
    method: str, path: str, headers: dict[str, str], status: int
) -> None:
    answer = await _through_walls(method, path, {"host": "h", **headers})
    assert answer["status"] == status


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_another_site_cannot_send_a_form(site: str) -> None:
    """A form that sends itself is a navigation as the browser tells it, and so is a link."""
    told = {"host": "h", "authorization": "Bearer 0123456789abcdef", "sec-fetch-site": site}
    told |= {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert (await _through_walls("GET", "/page", told))["status"] == 200
    for origin in ({}, {"origin": "http://evil.example"}, {"origin": "null"}, {"origin": "http://["}):
        assert (await _through_walls("POST", "/page", {**told, **origin}))["status"] == 403


async def test_a_browser_is_known_by_a_cookie_that_is_not_the_token() -> None:
    wrong = await _through_walls("POST", "/login", {"host": "h"}, b"token=wrong")
    assert wrong["status"] == 403
    answer = await _through_walls("POST", "/login", {"host": "h"}, b"token=0123456789abcdef")
    cookie = dict(answer["headers"])[b"set-cookie"].decode()
    assert "0123456789abcdef" not in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    known = await _through_walls("GET", "/page", {"host": "h", "cookie": cookie.partition(";")[0]})
    assert known["status"] == 200


async def _through_walls(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> dict[str, Any]:
    """Return the beginning of the answer of an application that takes everything, behind walls with a token."""
    from starlette.responses import PlainTextResponse

    from otel_episodes_clickhouse.serve.walls import Walls

    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "scheme": "http", "server": ("h", 80), "client": ("c", 1), "root_path": "", "http_version": "1.1",
    }  # fmt: skip
    await Walls(PlainTextResponse("page"), token="0123456789abcdef")(scope, receive, send)
    return dict(sent[0])


# --- a full spool --------------------------------------------------------------------------------------------------


async def test_a_full_spool_asks_senders_to_come_back(tmp_path: Path) -> None:
    import asyncio

    from otel_episodes_clickhouse.serve.intake import Intake, RefusedError

    intake = Intake(tmp_path / "spool", limit_bytes=1)
    try:
        assert (await intake.take(request_of(span(1)), JSON, gzip=False)).accepted == 1
        await asyncio.sleep(0.6)
        with pytest.raises(RefusedError) as refused:
            await intake.take(request_of(span(2)), JSON, gzip=False)
        assert (refused.value.status, refused.value.retry_after) == (429, 5)
        # What is not a span takes no room.
        assert (await intake.take(b"{}", JSON, gzip=False)).accepted == 0
    finally:
        intake.close()
    assert [row.span_id for row in spooled(tmp_path / "spool")] == [f"{1:016x}"]
    assert not list((tmp_path / "spool").glob("*.dropped"))


async def test_a_disk_that_takes_nothing_is_not_acknowledged(tmp_path: Path) -> None:
    from otel_episodes_clickhouse.serve.intake import Intake, RefusedError

    (tmp_path / "spool").write_text("a file where a directory belongs")
    intake = Intake(tmp_path / "spool")
    try:
        with pytest.raises(RefusedError) as refused:
            await intake.take(request_of(span(1)), JSON, gzip=False)
        assert (refused.value.status, refused.value.retry_after) == (503, 5)
    finally:
        intake.close()


def test_exporters_see_that_it_succeeded(server: Serving) -> None:
    keep = Keep()
    provider(keep).get_tracer("t").start_span("one").end()
    assert OTLPSpanExporter(f"{server.url}/v1/traces").export(keep.spans) is SpanExportResult.SUCCESS
