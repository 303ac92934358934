"""The configurations an operator copies: valid, and doing what their comments say, with a real collector."""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
import trustme
from collectors import CONFIGS, ROOT, eventually, front_end, otelcol, otelcol_binary
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.trace import Status, StatusCode
from storage_fixtures import finished_spans

from otel_episodes_clickhouse import Store, Target

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from opentelemetry.sdk.trace import ReadableSpan

COMBINATIONS = (
    ("gateway.yaml",), ("gateway.yaml", "gateway-tls.yaml"), ("gateway.yaml", "gateway-sampling.yaml"),
    ("gateway.yaml", "gateway-tls.yaml", "gateway-sampling.yaml"), ("agent.yaml",),
)  # fmt: skip
JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"


@pytest.fixture
def certificates(tmp_path: Path) -> dict[str, str]:
    """Return the variables that name the certificates of a gateway and an agent of one authority."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    names = {"GATEWAY_CA": str(tmp_path / "ca.pem"), "AGENTS_CA": str(tmp_path / "ca.pem")}
    for who, host in (("GATEWAY", "127.0.0.1"), ("AGENT", "agent.example")):
        issued = authority.issue_cert(host)
        names |= {f"{who}_CERT": str(tmp_path / f"{who}.pem"), f"{who}_KEY": str(tmp_path / f"{who}.key")}
        issued.cert_chain_pems[0].write_to_path(names[f"{who}_CERT"])
        issued.private_key_pem.write_to_path(names[f"{who}_KEY"])
    return names


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    otelcol_binary()
    with front_end(tmp_path_factory.mktemp("configs") / "server") as started:
        yield started


def export(collector: str, spans: Sequence[ReadableSpan]) -> None:
    exporter = OTLPSpanExporter(endpoint=f"http://{collector}", insecure=True)
    assert exporter.export(spans) is SpanExportResult.SUCCESS
    exporter.shutdown()


def count(store: Store, condition: str = "true") -> int:
    return int(store.sql(f"SELECT count() FROM otel_traces WHERE {condition}").rows[0][0])


@pytest.mark.parametrize("names", COMBINATIONS, ids="+".join)
def test_the_collector_finds_nothing_wrong_with_a_configuration(
    names: tuple[str, ...], certificates: dict[str, str], tmp_path: Path
) -> None:
    environ = {
        **os.environ, **certificates, "CLICKHOUSE_ENDPOINT": "http://localhost:8123",
        "GATEWAY_ENDPOINT": "gateway:4317", "OTELCOL_STORAGE": str(tmp_path),
    }  # fmt: skip
    configs = [f"--config={CONFIGS / name}" for name in names]
    done = subprocess.run(
        [otelcol_binary(), "validate", *configs], env=environ, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_every_configuration_is_tried_and_holds_no_secret() -> None:
    assert {name for names in COMBINATIONS for name in names} == {
        path.name for path in CONFIGS.glob("*.yaml") if path.name != "builder.yaml"
    }
    for path in (*CONFIGS.glob("*.yaml"), ROOT / "collector-config" / "rotel" / "rotel.env"):
        for value in re.findall(r"^\s*(?:username|password|\w+_file): *(\S+)", path.read_text(), re.MULTILINE):
            assert value.startswith("${env:"), (path, value)


def test_agent_and_gateway_pass_spans_on_over_mutual_tls_and_keep_what_is_not_taken(
    url: str, certificates: dict[str, str], tmp_path: Path
) -> None:
    with Store.open(Target.resolve(f"{url}/default")) as store, ExitStack() as stack:
        store.migrate()
        gateway = {"CLICKHOUSE_ENDPOINT": url, "JAEGER_ENDPOINT": "127.0.0.1:1", **certificates}
        with otelcol(tmp_path / "gateway", "gateway.yaml", "gateway-tls.yaml", **gateway) as to_gateway:
            agent = {"GATEWAY_ENDPOINT": to_gateway, **certificates}
            with otelcol(tmp_path / "agent", "agent.yaml", **agent) as to_agent:
                export(to_agent, finished_spans(5))
                eventually(lambda: count(store) == 5, f"the five spans, see {tmp_path}")
        # The gateway is gone. The agent takes spans all the same, is stopped, and remembers.
        with otelcol(tmp_path / "agent", "agent.yaml", **agent) as to_agent:
            export(to_agent, finished_spans(7))
        agent["GATEWAY_ENDPOINT"] = stack.enter_context(
            otelcol(tmp_path / "gateway", "gateway.yaml", "gateway-tls.yaml", **gateway)
        )
        stack.enter_context(otelcol(tmp_path / "agent", "agent.yaml", **agent))
        eventually(lambda: count(store) == 12, f"the seven spans of before, see {tmp_path}")


def test_an_answer_that_is_lost_costs_no_span_and_doubles_none(tmp_path: Path) -> None:
    otelcol_binary()
    with front_end(tmp_path / "server") as url, Store.open(Target.resolve(f"{url}/default")) as store:
        store.migrate()
        environ = {"CLICKHOUSE_ENDPOINT": url, "JAEGER_ENDPOINT": "127.0.0.1:1"}
        with otelcol(tmp_path / "otelcol", "gateway.yaml", **environ) as collector:
            lost = tmp_path / "server" / "lose-answers"
            lost.touch()
            export(collector, finished_spans(120, days=120))
            log = tmp_path / "otelcol" / "log"
            eventually(lambda: "Will retry the request" in log.read_text(), f"no second try, see {log}")
            lost.unlink()
            export(collector, finished_spans(1, service="later"))
            eventually(lambda: count(store, "ServiceName = 'later'") == 1, f"the later span, see {log}")
            # The collector is stopped, so nothing is still on its way.
        assert count(store, "ServiceName = 'svc'") == 120
        assert store.query("SELECT count() AS n FROM internal_steps WHERE ServiceName = 'svc'") == [{"n": 120}]


def test_a_gateway_that_samples_keeps_every_trace_with_an_episode_in_it(url: str, tmp_path: Path) -> None:
    with Store.open(Target.resolve(f"{url}/default")) as store:
        store.migrate()
        environ = {
            "CLICKHOUSE_ENDPOINT": url, "JAEGER_ENDPOINT": "127.0.0.1:1",
            "SAMPLING_WAIT": "1s", "SAMPLING_PERCENTAGE": "0",
        }  # fmt: skip
        with otelcol(tmp_path / "otelcol", "gateway.yaml", "gateway-sampling.yaml", **environ) as collector:
            provider = TracerProvider(resource=Resource({"service.name": "sampled"}))
            exporter = OTLPSpanExporter(endpoint=f"http://{collector}", insecure=True)
            provider.add_span_processor(SimpleSpanProcessor(exporter))
            tracer = provider.get_tracer("test")
            for number in range(20):
                inside = {"episode.id": f"e{number}"} if number % 2 else {}
                # The child says nothing of an episode, as a service that was called from a step.
                with tracer.start_as_current_span("outer", attributes=inside), tracer.start_as_current_span("inner"):
                    pass
            provider.shutdown()
            eventually(lambda: count(store, "ServiceName = 'sampled'") >= 20, f"the kept spans, see {tmp_path}")
        kept = store.query("SELECT SpanName, count() AS n FROM otel_traces WHERE ServiceName = 'sampled' GROUP BY ALL")
        assert {row["SpanName"]: row["n"] for row in kept} == {"outer": 10, "inner": 10}


def test_a_gateway_masks_what_others_let_through_and_counts_steps(url: str, tmp_path: Path) -> None:
    leaks = {"db.password": "hunter2", "note": f"sent {JWT} along", "gen_ai.usage.input_tokens": 12}
    with Store.open(Target.resolve(f"{url}/default")) as store:
        store.migrate()
        environ = {"CLICKHOUSE_ENDPOINT": url, "JAEGER_ENDPOINT": "127.0.0.1:1", "OTELCOL_METRICS_INTERVAL": "1s"}
        with otelcol(tmp_path / "otelcol", "gateway.yaml", **environ) as collector:
            spans = finished_spans(3, service="leaky", **leaks)
            for span in spans:
                span._status = Status(StatusCode.ERROR, f"refused: Bearer {JWT}")
            export(collector, spans)
            eventually(lambda: count(store, "ServiceName = 'leaky'") == 3, f"the spans, see {tmp_path}")
            (row, *_) = store.query("SELECT * FROM otel_traces WHERE ServiceName = 'leaky'")
            assert {name: row["SpanAttributes"][name] for name in leaks} == {
                "db.password": "****", "note": "sent **** along", "gen_ai.usage.input_tokens": "12",
            }  # fmt: skip
            assert row["StatusMessage"] == "refused: Bearer ****"
            calls = (
                "SELECT sum(Value) AS n FROM otel_metrics_sum WHERE MetricName = 'episodes.calls' AND "
                "Attributes['gen_ai.tool.name'] = 'grep' AND Attributes['episode.step.kind'] = 'tool_use' AND "
                "Attributes['gen_ai.agent.name'] = 'coder' AND ServiceName = 'leaky'"
            )
            eventually(lambda: store.query(calls) == [{"n": 3}], f"the counts, see {tmp_path}")


def test_a_span_of_10_megabytes_passes_and_one_that_ends_before_it_starts_took_no_time(
    url: str, tmp_path: Path
) -> None:
    large, backwards = finished_spans(2, service="odd", large="ä🦀" * 1_700_000)
    backwards._end_time = backwards._start_time - 5
    with Store.open(Target.resolve(f"{url}/default")) as store:
        store.migrate()
        environ = {"CLICKHOUSE_ENDPOINT": url, "JAEGER_ENDPOINT": "127.0.0.1:1"}
        with otelcol(tmp_path / "otelcol", "gateway.yaml", **environ) as collector:
            export(collector, [large])
            export(collector, [backwards])
            eventually(lambda: count(store, "ServiceName = 'odd'") == 2, f"the spans, see {tmp_path}")
        lengths = "SELECT length(SpanAttributes['large']) AS n FROM otel_traces WHERE ServiceName = 'odd'"
        assert store.query(lengths) == [{"n": 10_200_000}] * 2
        took = "SELECT DurationNs FROM internal_steps WHERE ServiceName = 'odd' ORDER BY DurationNs"
        assert store.query(took) == [{"DurationNs": 0}, {"DurationNs": 1_000_000}]
