"""Settings, the environment, and what is exported."""

import gzip
import logging
import subprocess
import sys
import threading
import types
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.sdk.trace import TracerProvider

import otel_episodes
from otel_episodes import Batch, Episode, ModelCall, Step, UsageError, configure, episode, step
from otel_episodes._settings import Settings, from_environment
from otel_episodes_clickhouse.spool.decode import LineDecoder


def test_what_is_listed_is_all_that_is_visible_and_has_a_docstring():
    for name in otel_episodes.__all__:
        assert getattr(otel_episodes, name) is not None
    loaded = {
        name
        for name, value in vars(otel_episodes).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert loaded - {"annotations", "TYPE_CHECKING"} == set(otel_episodes.__all__) - {"__version__"}
    assert dir(otel_episodes) == sorted(otel_episodes.__all__) == otel_episodes.__all__
    described = [getattr(otel_episodes, name) for name in otel_episodes.__all__ if name not in ("episode", "step")]
    assert all(value.__doc__ for value in (*described, type(step).__call__, type(episode).__call__))
    with pytest.raises(AttributeError, match="no attribute 'stop'"):
        otel_episodes.stop  # noqa: B018  # asking is the point


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (
            Episode,
            (
                "abstain agent batch context decide end fail feedback handle id leave_open log_step milestone model "
                "partial recording reward set_attribute start step succeed task trace_id"
            ),
        ),
        (ModelCall, "fail respond tokens"),
        (Step, "fail model observe recording rename set_action set_attribute tokens"),
        (Batch, "add count fail model observe recording rename set_action set_attribute tokens"),
    ],
)
def test_a_class_shows_what_its_user_needs(kind, names):
    assert [name for name in dir(kind) if not name.startswith("_")] == names.split()


def test_importing_the_package_loads_nothing_before_it_is_asked_for():
    code = "import sys, otel_episodes; print([name for name in ('opentelemetry', 'wrapt') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    code = (
        "import sys; from otel_episodes import episode, log_step\n"
        "with episode('t'): log_step(tool='a')\n"
        "print([name for name in ('asyncio', 'wrapt') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_settings_come_from_the_environment():
    assert from_environment({}) == Settings()
    assert from_environment({"OTEL_EPISODES_CAPTURE": "NONE"}).capture == "none"
    assert from_environment({"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY"}).capture == "full"
    assert (
        from_environment(
            {"OTEL_EPISODES_CAPTURE": "summary", "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true"}
        ).capture
        == "summary"
    )
    assert from_environment({"OTEL_EPISODES_REDACT": "false"}).redactor is None
    assert from_environment({"OTEL_EPISODES_ORPHANS": "span"}).orphans == "span"
    with pytest.raises(UsageError, match="capture='all' is not known: use one of none, summary, full"):
        from_environment({"OTEL_EPISODES_CAPTURE": "all"})


def test_a_typing_error_in_a_variable_does_not_keep_a_program_from_starting():
    code = "import otel_episodes._state as s; print(s.settings.capture)"
    result = subprocess.run(
        [sys.executable, "-c", code], env={"OTEL_EPISODES_CAPTURE": "al"}, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "summary"
    assert "use one of none, summary, full" in result.stderr


def test_wrong_arguments_change_nothing():
    provider = TracerProvider(shutdown_on_exit=False)
    before = otel_episodes._state.settings
    with pytest.raises(UsageError, match="use one of none, summary, full"):
        configure(tracer_provider=provider, capture="all")
    with pytest.raises(UsageError, match="is no endpoint: use http://host:4318"):
        configure(tracer_provider=provider, otlp="localhost:4318")
    assert otel_episodes._state.settings is before
    assert otel_episodes._state.provider is None


def test_configure_in_a_program_stores_without_loading_the_engine(tmp_path):
    code = """
import sys
from otel_episodes import configure, episode, step
configure(dsn="chdb://" + sys.argv[1], service_name="agent")
configure(dsn="chdb://" + sys.argv[1])
with episode("t"), step("cargo"):
    pass
print(sorted({m.split(".")[0] for m in sys.modules} & {"chdb", "clickhouse_connect", "pandas", "numpy"}))
"""
    result = subprocess.run([sys.executable, "-c", code, tmp_path / "db"], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
    lines = [line for file in (tmp_path / "db" / "spool").glob("*.jsonl") for line in file.read_text().splitlines()]
    assert sum("execute_tool cargo" in line for line in lines) == 1
    assert sum("invoke_agent" in line for line in lines) == 1


def test_the_package_itself_needs_only_the_api_and_wrapt():
    code = """
import sys
sys.modules["opentelemetry.sdk"] = None
sys.modules["orjson"] = None
import otel_episodes
from otel_episodes import episode, step, configure
with episode("t"), step("x"):
    assert step(lambda: 3)() == 3
try:
    configure()
except otel_episodes.SetupError as error:
    print(error)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'otel-episodes[embedded]'" in result.stdout


def test_importing_says_nothing(caplog):
    with caplog.at_level(logging.DEBUG):
        subprocess.run([sys.executable, "-W", "error", "-c", "import otel_episodes"], check=True)
    assert caplog.records == []


def test_the_same_spans_go_to_a_collector_as_otlp(tmp_path):
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    received = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            received.append((self.path, ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        code = """
import sys
from otel_episodes import configure, episode, step
configure(dsn="chdb://" + sys.argv[1], otlp=sys.argv[2])
with episode("t"), step("cargo"):
    pass
"""
        endpoint = f"http://127.0.0.1:{server.server_port}"
        subprocess.run([sys.executable, "-c", code, tmp_path / "db", endpoint], check=True, timeout=60)
        server.shutdown()
        thread.join()
    assert {path for path, _ in received} == {"/v1/traces"}
    spans = [s for _, r in received for rs in r.resource_spans for ss in rs.scope_spans for s in ss.spans]
    assert sorted(span.name for span in spans) == ["episode.start", "execute_tool cargo", "invoke_agent"]
    decode = LineDecoder()
    lines = [line for file in (tmp_path / "db" / "spool").glob("*.jsonl") for line in file.read_bytes().splitlines()]
    spooled = [row.span_id for row in map(decode, lines) if row is not None]
    assert sorted(span.span_id.hex() for span in spans) == sorted(spooled)
