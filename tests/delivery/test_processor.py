"""The processor and the exporter: what ends in an episode is stored, by every wiring, whatever ends the process."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from storage_fixtures import Keep, finished_spans, lines_of, provider, run_python

from otel_episodes.testing import capture_episodes
from otel_episodes_clickhouse import ClickHouseSpanExporter, EpisodeSpanProcessor, Store, Target, open_processor
from otel_episodes_clickhouse.errors import ConfigurationError
from otel_episodes_clickhouse.spool.drain import DrainReport

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor


def record(processor: SpanProcessor, *spans: dict[str, Any]) -> None:
    tracer = provider(processor).get_tracer("app", "1.0")
    for attributes in spans:
        tracer.start_span("s", attributes=attributes).end()


def stored(spool: Path) -> list[dict[str, Any]]:
    """Return the attributes of the spans in a spool."""
    return [fields[12] for line in lines_of(spool) if isinstance((fields := orjson.loads(line))[0], int)]


def test_only_spans_of_an_episode_are_stored(tmp_path: Path) -> None:
    processor = open_processor(f"chdb://{tmp_path}")
    record(
        processor,
        {"episode.id": "e"},
        {"http.method": "GET"},
        {"episode.span": "start"},
        {"gen_ai.operation.name": "chat"},
    )
    processor.shutdown()
    assert stored(tmp_path / "spool") == [{"episode.id": "e"}, {"episode.span": "start"}]


def test_spans_of_other_agent_instrumentations_are_stored_on_request(tmp_path: Path) -> None:
    processor = open_processor(f"chdb://{tmp_path}", include_agents=True)
    agents = [{"gen_ai.operation.name": "chat"}, {"openinference.span.kind": "LLM"}, {"traceloop.span.kind": "tool"}]
    record(processor, {"http.method": "GET"}, *agents)
    processor.shutdown()
    assert stored(tmp_path / "spool") == agents


def test_a_span_that_was_not_sampled_is_not_stored(tmp_path: Path) -> None:
    processor = open_processor(f"chdb://{tmp_path}")
    made = provider(processor)
    made.sampler = ALWAYS_OFF
    made.get_tracer("app").start_span("s", attributes={"episode.id": "e"}).end()
    (span,) = finished_spans()
    span._context = type(span.context)(1, 2, is_remote=False, trace_flags=type(span.context.trace_flags)(0))
    processor.on_end(span)
    assert not (tmp_path / "spool").exists()


def test_a_span_that_ends_after_shutdown_is_stored(tmp_path: Path) -> None:
    processor = open_processor(f"chdb://{tmp_path}")
    processor.shutdown()
    record(processor, {"episode.id": "late"})
    processor.shutdown()
    assert stored(tmp_path / "spool") == [{"episode.id": "late"}]


def test_two_of_ours_on_one_provider_store_a_span_once(tmp_path: Path) -> None:
    made = provider(open_processor(f"chdb://{tmp_path}"), open_processor(f"chdb://{tmp_path}"))
    made.add_span_processor(SimpleSpanProcessor(ClickHouseSpanExporter(f"chdb://{tmp_path}")))
    made.get_tracer("app").start_span("s", attributes={"episode.id": "e"}).end()
    made.shutdown()
    assert stored(tmp_path / "spool") == [{"episode.id": "e"}]


def test_the_exporter_stores_what_it_is_given(tmp_path: Path) -> None:
    exporter = ClickHouseSpanExporter(f"chdb://{tmp_path}")
    assert exporter.export(finished_spans(3)) is SpanExportResult.SUCCESS
    assert exporter.force_flush()
    exporter.shutdown()
    assert len(stored(tmp_path / "spool")) == 3


def test_an_error_of_ours_never_reaches_the_span_and_is_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("OTEL_EPISODES_STRICT", raising=False)
    processor = open_processor(f"chdb://{tmp_path}")
    for span in finished_spans(2):
        span._status = None  # what no SDK does
        processor.on_end(span)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    processor.shutdown()


def test_an_error_of_ours_is_raised_under_test(tmp_path: Path) -> None:
    (span,) = finished_spans()
    span._status = None
    with capture_episodes(), pytest.raises(AttributeError):
        open_processor(f"chdb://{tmp_path}").on_end(span)


def test_an_embedded_store_cannot_be_shipped_to(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="needs a server"):
        open_processor(f"chdb://{tmp_path}", ship=True)


def test_kill_9_right_after_a_span_ends_loses_nothing(tmp_path: Path) -> None:
    done = run_python(
        """
import os, signal, sys
from opentelemetry.sdk.trace import TracerProvider
from otel_episodes_clickhouse import open_processor
provider = TracerProvider()
provider.add_span_processor(open_processor("chdb://" + sys.argv[1]))
tracer = provider.get_tracer("app")
for number in range(3000):
    tracer.start_span("s", attributes={"episode.id": "e", "n": number}).end()
os.kill(os.getpid(), signal.SIGKILL)
""",
        tmp_path,
    )
    assert done.returncode == -signal.SIGKILL
    assert [attributes["n"] for attributes in stored(tmp_path / "spool")] == list(range(3000))


def test_forked_children_store_their_spans(tmp_path: Path) -> None:
    processor = open_processor(f"chdb://{tmp_path}")
    record(processor, {"episode.id": "parent"})
    children = []
    for number in range(3):
        child = os.fork()
        if child == 0:
            record(processor, {"episode.id": f"child {number}"})
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    record(processor, {"episode.id": "parent"})
    processor.shutdown()
    found = sorted(attributes["episode.id"] for attributes in stored(tmp_path / "spool"))
    assert found == ["child 0", "child 1", "child 2", "parent", "parent"]


# --- the standard wirings, in applications that know only the OpenTelemetry API

APP = """
import os, signal, sys
from opentelemetry import trace
tracer = trace.get_tracer("app", "1.0")
with tracer.start_as_current_span("invoke_agent a", attributes={"episode.id": "e1", "episode.span": "episode"}):
    with tracer.start_as_current_span("execute_tool grep", attributes={"episode.id": "e1", "episode.span": "step"}):
        pass
with tracer.start_as_current_span("GET /"):
    pass
if "kill" in sys.argv:
    os.kill(os.getpid(), signal.SIGKILL)
"""
BOTH = [{"episode.id": "e1", "episode.span": "step"}, {"episode.id": "e1", "episode.span": "episode"}]
CONFIGURATION = """
file_format: "1.0"
tracer_provider:
  processors:
    - simple:
        exporter:
          episodes: {}
"""


def instrumented(directory: Path, *arguments: str, **environ: str) -> int:
    (directory / "app.py").write_text(APP)
    tool = Path(sys.executable).with_name("opentelemetry-instrument")
    code = f"""
import os
os.execv({str(tool)!r}, [{str(tool)!r}, {sys.executable!r}, "app.py", *{list(arguments)!r}])
"""
    settings = {"OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none", "OTEL_EPISODES_HOME": str(directory)}
    done = run_python(f"import os; os.chdir({str(directory)!r})" + code, **settings, **environ)
    assert "rror" not in done.stderr
    return done.returncode


@pytest.mark.parametrize(("argument", "code"), [("kill", -signal.SIGKILL), ("", 0)])
def test_the_environment_alone_is_enough(tmp_path: Path, argument: str, code: int) -> None:
    assert instrumented(tmp_path, argument, OTEL_TRACES_EXPORTER="episodes") == code
    assert stored(tmp_path / "chdb" / "spool") == BOTH


def test_a_configuration_file_is_enough(tmp_path: Path) -> None:
    (tmp_path / "otel.yaml").write_text(CONFIGURATION)
    assert instrumented(tmp_path, "kill", OTEL_CONFIG_FILE=str(tmp_path / "otel.yaml")) == -signal.SIGKILL
    assert stored(tmp_path / "chdb" / "spool") == BOTH


# --- a server --------------------------------------------------------------------------------------------------------


def server_target(dsn: str, home: Path) -> Target:
    return Target.resolve(dsn, environ={"OTEL_EPISODES_HOME": str(home)})


def in_store(target: Target) -> list[str]:
    with Store.open(target) as store:
        return [
            row["Id"] for row in store.query("SELECT SpanAttributes['episode.id'] AS Id FROM otel_traces ORDER BY Id")
        ]


def test_a_server_has_the_spans_when_force_flush_returns(storage_server: str, tmp_path: Path) -> None:
    target = server_target(storage_server, tmp_path)
    processor = EpisodeSpanProcessor(target)
    record(processor, {"episode.id": "a"}, {"episode.id": "b"})
    assert processor.force_flush(20_000)
    assert in_store(target) == ["a", "b"]
    record(processor, {"episode.id": "c"})
    processor.shutdown()
    assert in_store(target) == ["a", "b", "c"]
    assert lines_of(target.spool) == []


def test_a_server_gets_the_spans_without_being_asked(storage_server: str, tmp_path: Path) -> None:
    target = server_target(storage_server, tmp_path)
    processor = EpisodeSpanProcessor(target)
    record(processor, {"episode.id": "a"})
    assert processor.force_flush(20_000)
    record(processor, {"episode.id": "b"})
    deadline = time.monotonic() + 10
    while in_store(target) != ["a", "b"] and time.monotonic() < deadline:
        time.sleep(0.2)
    assert in_store(target) == ["a", "b"]
    processor.shutdown()


def test_answers_lost_on_the_way_double_nothing(storage_server: str, tmp_path: Path) -> None:
    target = server_target(storage_server, tmp_path)
    with Store.open(target) as store:
        store.migrate()
    (tmp_path / "server" / "lose-answers").touch()
    processor = EpisodeSpanProcessor(target)
    record(processor, {"episode.id": "a"})
    assert not processor.force_flush(20_000)
    assert in_store(target) == ["a"]

    (tmp_path / "server" / "lose-answers").unlink()
    record(processor, {"episode.id": "b"})
    assert processor.force_flush(20_000)
    assert in_store(target) == ["a", "b"]
    processor.shutdown()


def test_a_forked_child_ships_with_a_connection_of_its_own(storage_server: str, tmp_path: Path) -> None:
    target = server_target(storage_server, tmp_path)
    done = run_python(
        """
import os, sys
from pathlib import Path
from opentelemetry.sdk.trace import TracerProvider
from otel_episodes_clickhouse import EpisodeSpanProcessor, Target
processor = EpisodeSpanProcessor(Target.resolve(sys.argv[1]))
provider = TracerProvider(shutdown_on_exit=False)
provider.add_span_processor(processor)
tracer = provider.get_tracer("app")
tracer.start_span("s", attributes={"episode.id": "parent"}).end()
print(processor.force_flush(20_000), flush=True)
child = os.fork()
tracer.start_span("s", attributes={"episode.id": "child" if child == 0 else "parent again"}).end()
print(processor.force_flush(20_000), flush=True)
if child:
    os.waitpid(child, 0)
os._exit(0)
""",
        storage_server,
        OTEL_EPISODES_HOME=str(tmp_path),
    )
    assert done.stdout.splitlines() == ["True"] * 3, done.stderr
    assert in_store(target) == ["child", "parent", "parent again"]


def test_a_server_that_is_away_delays_the_end_by_less_than_a_second_and_the_spool_keeps_all(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target = server_target("http://127.0.0.1:1", tmp_path)
    processor = EpisodeSpanProcessor(target)
    record(processor, {"episode.id": "a"})
    assert not processor.force_flush(5_000)
    begin = time.monotonic()
    processor.shutdown()
    assert time.monotonic() - begin < 1
    assert stored(target.spool) == [{"episode.id": "a"}]
    said = f"cannot send spans to {target}, they stay in {target.spool}: {target} does not answer: Connection refused"
    assert [line.message for line in caplog.records] == [said]


def test_a_server_that_never_answers_delays_the_end_by_little(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        target = server_target(f"http://127.0.0.1:{silent.getsockname()[1]}", tmp_path)
        processor = EpisodeSpanProcessor(target)
        record(processor, {"episode.id": "a"})
        assert not processor.force_flush(1_500)
        begin = time.monotonic()
        processor.shutdown()
        assert time.monotonic() - begin < 1
    assert stored(target.spool) == [{"episode.id": "a"}]


def test_what_a_dead_process_left_is_taken_along_by_the_next_reader(storage_server: str, tmp_path: Path) -> None:
    target = server_target(storage_server, tmp_path)
    processor = EpisodeSpanProcessor(target, ship=False)
    record(processor, {"episode.id": "a"})
    processor.shutdown()
    with Store.open(target) as store:
        assert store.drain() == DrainReport(rows=1, inserts=1, segments=1, deleted=1)
    assert in_store(target) == ["a"]


def test_a_keeper_of_spans_sees_what_we_see(tmp_path: Path) -> None:
    keep = Keep()
    made = provider(open_processor(f"chdb://{tmp_path}"), keep)
    made.get_tracer("app").start_span("s", attributes={"episode.id": "e"}).end()
    # Our mark on the span does not show.
    assert dict(keep.spans[0].attributes or {}) == {"episode.id": "e"}
    assert "stored" not in keep.spans[0].to_json()
    made.shutdown()
