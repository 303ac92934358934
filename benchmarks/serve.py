"""Measure `otel-episodes serve`: start, spans a second, memory, commands meanwhile, and what a kill leaves.

    python benchmarks/serve.py [--spans 102400] [--phoenix] [--mlflow]

Spans are sent one request of 512 after the other, as protobuf in gzip, by one sender in this process. ``--phoenix``
sends a tenth of the same to Phoenix's local server (``pip install arize-phoenix``, into an environment on PATH),
``--mlflow`` to MLflow's (``pip install mlflow``), and counts in their databases. Wall times are those of the machine as
it is; the last columns of the first table are processor seconds, which other programs do not change much.
"""

from __future__ import annotations

import argparse
import gzip
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from threading import Thread
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from table import show

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from collectors import free_port
from serving import children, serving

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BATCH, STEPS = 512, 7
START_SECONDS = 300
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Sent:
    """What a load came to."""

    acknowledged: int
    seconds: float

    @property
    def rate(self) -> str:
        return f"{self.acknowledged / self.seconds:,.0f}"


def bodies(count: int) -> list[bytes]:
    """Return requests of runs, each an agent with seven calls of a tool."""
    made, now = [], time.time_ns()
    for _ in range(count // BATCH):
        request = ExportTraceServiceRequest()
        group = request.resource_spans.add()
        group.resource.attributes.add(key="service.name").value.string_value = "load"
        spans = group.scope_spans.add().spans
        for _ in range(BATCH // (STEPS + 1)):
            add_run(spans, now)
        made.append(gzip.compress(request.SerializeToString(), 1))
    return made


def add_run(spans: Any, now: int) -> None:
    trace, root = os.urandom(16), os.urandom(8)
    for number in range(STEPS + 1):
        start = now + number * 1000
        span = spans.add(trace_id=trace, kind=1, start_time_unix_nano=start, end_time_unix_nano=start + 500)
        if number == 0:
            span.span_id, span.name = root, "invoke_agent coder"
            told = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "coder"}
        else:
            span.span_id, span.parent_span_id, span.name = os.urandom(8), root, "execute_tool grep"
            told = {
                "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "grep",
                "gen_ai.tool.call.arguments": '{"pattern":"TODO in src"}', "gen_ai.tool.call.result": "src/a.py:3" * 8,
            }  # fmt: skip
        for key, value in told.items():
            span.attributes.add(key=key).value.string_value = value


def send(url: str, requests: list[bytes], own: Mapping[str, str] = MappingProxyType({})) -> Sent:
    began, acknowledged = time.monotonic(), 0
    for body in requests:
        headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip", **own}
        try:
            with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=60):
                acknowledged += BATCH
        except urllib.error.HTTPError:
            time.sleep(0.05)
        except OSError:
            break
    return Sent(acknowledged, time.monotonic() - began)


def processor(process: int) -> float:
    """Return the processor seconds of a process so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def megabytes(process: int) -> float:
    line = next(line for line in Path(f"/proc/{process}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def command(dsn: str, *arguments: str) -> str:
    whole = [sys.executable, "-m", "otel_episodes_clickhouse.cli", *arguments, "--dsn", dsn]
    return subprocess.run(whole, check=True, capture_output=True, text=True).stdout


def measure_ours(dsn: str, requests: list[bytes]) -> None:
    command(dsn, "migrate")
    began = time.monotonic()
    with serving(dsn, "--no-learn") as running:
        running.get("/")
        start = time.monotonic() - began
        (engine,) = children(running.process.pid)
        both = (running.process.pid, engine)
        idle = [megabytes(one) for one in both]
        used = [processor(one) for one in both]
        began = time.monotonic()
        sent = send(f"{running.url}/v1/traces", requests)
        taking = processor(both[0]) - used[0]
        running.stored(sent.acknowledged)
        stored = sent.acknowledged / (time.monotonic() - began)
        spent = [processor(one) - before for one, before in zip(both, used, strict=True)]
        after = [megabytes(one) for one in both]
    show(
        "serve",
        [
            "", "first page s", "acknowledged/s", "stored/s", "MB idle", "MB after", "server s to take", "server s",
            "engine s",
        ],
        [[
            "", f"{start:.1f}", sent.rate, f"{stored:,.0f}", f"{idle[0]:.0f} + {idle[1]:.0f}",
            f"{after[0]:.0f} + {after[1]:.0f}", f"{taking:.1f}", f"{spent[0]:.1f}", f"{spent[1]:.1f}",
        ]],
    )  # fmt: skip


def measure_commands(dsn: str, requests: list[bytes]) -> None:
    """Time commands while spans come in and jobs run."""
    rows = []
    asked = (("sql", "SELECT count() FROM episodes"), ("episodes", "--limit", "20"), ("jobs", "status"))
    with serving(dsn) as running:
        going = True

        def load() -> None:
            while going:
                send(f"{running.url}/v1/traces", requests[:4])

        thread = Thread(target=load)
        thread.start()
        for arguments in asked:
            took = []
            for _ in range(5):
                began = time.monotonic()
                command(dsn, *arguments)
                took.append(time.monotonic() - began)
            rows.append([" ".join(arguments), f"{median(took):.2f}", f"{max(took):.2f}"])
        going = False
        thread.join()
    show("while spans come in and jobs run", ["command", "median s", "longest s"], rows)


def measure_kill(dsn: str, requests: list[bytes]) -> None:
    """Kill it right after the last answer, and count."""
    count = "SELECT count() AS n FROM otel_traces"
    before = int(command(dsn, "sql", count, "--csv").splitlines()[1])
    with serving(dsn, "--no-learn") as running:
        sent = send(f"{running.url}/v1/traces", requests)
        running.process.kill()
        running.process.wait()
    after = int(command(dsn, "sql", count, "--csv").splitlines()[1])
    show(
        "kill -9 after the last answer",
        ["acknowledged", "there afterwards"],
        [[f"{sent.acknowledged:,}", f"{after - before:,}"]],
    )


@dataclass(frozen=True)
class Peer:
    """Another local server: how it is started on a port, and where it keeps spans."""

    name: str
    command: tuple[str, ...]
    database: str
    environ: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()

    @contextmanager
    def serving(self, directory: str) -> Iterator[tuple[str, subprocess.Popen[bytes], float]]:
        """Run it; yield its address, its process and after how many seconds it answered."""
        places = {"DIRECTORY": directory, "PORT": str(free_port()), "OTHER": str(free_port())}
        own = {name: value.format(**places) for name, value in self.environ}
        began = time.monotonic()
        with subprocess.Popen(
            [part.format(**places) for part in self.command], env={**os.environ, **own}, cwd=directory,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        ) as process:  # fmt: skip
            try:
                url = f"http://127.0.0.1:{places['PORT']}"
                while not answers(url) and time.monotonic() - began < START_SECONDS:
                    time.sleep(0.05)
                yield url, process, time.monotonic() - began
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def kept(self, directory: str) -> int:
        with closing(sqlite3.connect(f"file:{directory}/{self.database}?mode=ro", uri=True)) as database:
            return int(database.execute("SELECT count(*) FROM spans").fetchone()[0])


PHOENIX = Peer(
    "Phoenix", ("phoenix", "serve"), "phoenix.db",
    environ=(("PHOENIX_PORT", "{PORT}"), ("PHOENIX_GRPC_PORT", "{OTHER}"), ("PHOENIX_WORKING_DIR", "{DIRECTORY}")),
)  # fmt: skip
MLFLOW = Peer(
    "MLflow", ("mlflow", "server", "--port", "{PORT}"), "mlflow.db",
    # Spans go to the experiment that there is at first.
    headers=(("x-mlflow-experiment-id", "0"),),
)  # fmt: skip


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False


def measure_peer(peer: Peer, requests: list[bytes]) -> None:
    headers = dict(peer.headers)
    with tempfile.TemporaryDirectory() as directory, peer.serving(directory) as (url, process, start):
        members = family(process.pid)
        used, began = sum(map(processor, members)), time.monotonic()
        sent = send(f"{url}/v1/traces", requests, headers)
        while peer.kept(directory) < sent.acknowledged and time.monotonic() - began < START_SECONDS:
            time.sleep(0.5)
        stored = peer.kept(directory) / (time.monotonic() - began)
        spent = sum(map(processor, members)) - used
        memory = sum(map(megabytes, members))
    with tempfile.TemporaryDirectory() as directory:
        with peer.serving(directory) as (url, process, _):
            killed = send(f"{url}/v1/traces", requests, headers)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        left = peer.kept(directory)
    show(
        peer.name,
        [
            "", "first page s", "acknowledged/s", "stored/s", "processor s", "MB after", "before kill -9",
            "there afterwards",
        ],
        [[
            "", f"{start:.1f}", sent.rate, f"{stored:,.0f}", f"{spent:.1f}", f"{memory:.0f}",
            f"{killed.acknowledged:,}", f"{left:,}",
        ]],
    )  # fmt: skip


def family(process: int) -> list[int]:
    """Return a process and all that it started, and they."""
    return [process, *(each for child in children(process) for each in family(child))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=102_400)
    parser.add_argument("--phoenix", action="store_true")
    parser.add_argument("--mlflow", action="store_true")
    options = parser.parse_args()
    requests = bodies(options.spans)
    print(f"load of the machine: {os.getloadavg()[0]:.1f}; {len(requests) * BATCH:,} spans")
    with tempfile.TemporaryDirectory() as directory:
        dsn = f"chdb://{directory}/store"
        measure_ours(dsn, requests)
        measure_commands(dsn, requests)
        measure_kill(dsn, requests[:40])
    for peer in [PHOENIX] * options.phoenix + [MLFLOW] * options.mlflow:
        measure_peer(peer, requests[:20])


if __name__ == "__main__":
    main()
