"""Measure what a program feels of delivery, beside the standard path: the SDK's batches, OTLP and a collector.

    python benchmarks/delivery.py [--only throughput ...]

Both paths end in the same store: the front end over the embedded engine under ``tests/``, or a server at
CLICKHOUSE_URL. The collector is rotel (in the group `dev`). Every arm is a process of its own; rows are counted in
the table. Takes about ten minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from table import show

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from collectors import front_end, rotel, rotel_environ

from otel_episodes_clickhouse import Store, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).resolve().parent
COUNT = "SELECT count() AS Rows FROM otel_traces WHERE ServiceName = {name:String} AND SpanName = 'execute_tool grep'"
ARRIVE_SECONDS = 90
WAYS = {
    "none": "no processor",
    "store": "spool, shipped by a thread",
    "apart": "spool, otel-episodes ship beside",
    "standard": "BatchSpanProcessor, OTLP, rotel",
}


@dataclass(frozen=True)
class Stage:
    """Where the arms deliver to, and a directory for their files."""

    server: str
    collector: str
    directory: Path
    minutes: int = 60
    rounds: int = 3

    def address(self, way: str) -> str:
        """Return what the arm is to be configured with."""
        return f"grpc://{self.collector}" if way == "standard" else self.server

    def run(self, way: str, measure: str, steps: int, *, address: str | None = None, **environ: str) -> dict[str, Any]:
        """Run an arm to its end; add how long it took to exit, and how many of its steps are rows in the end."""
        name = f"{measure}-{way}"
        home = {"OTEL_EPISODES_HOME": str(self.directory / name), "PYTHONHASHSEED": "0"}
        command = [sys.executable, str(HERE / "delivery_arm.py"), way, measure, str(steps), name]
        with ExitStack() as stack:
            if way in ("apart", "led"):
                stack.enter_context(shipping(self.server, {**os.environ, **home}))
            ran = subprocess.run(
                [*command, address or self.address(way)],
                env={**os.environ, **home, **environ}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                check=True,
            )  # fmt: skip
            found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
            found["exit"] = time.time() - found["ended"]
            if way == "store" and address is None:
                # What the exit did not wait for is in the spool, for whoever ships next.
                found["at_exit"] = self.rows(name)
                once = [sys.executable, "-m", "otel_episodes_clickhouse.cli", "ship", "--once", "--dsn", self.server]
                subprocess.run(once, env={**os.environ, **home}, capture_output=True, check=True)
            if way != "none" and address is None:
                found["rows"] = self.arrived(name, steps)
                found["arrived"] = time.time() - found["ended"]
        return found

    def rows(self, name: str) -> int:
        """Return how many rows of the arm's steps there are now."""
        with Store.open(Target.resolve(self.server), read_only=True) as store:
            return int(store.query(COUNT, {"name": name})[0]["Rows"])

    def arrived(self, name: str, steps: int) -> int:
        """Return how many rows there are once no more come, or all are there."""
        rows, since = -1, time.monotonic()
        with Store.open(Target.resolve(self.server), read_only=True) as store:
            while time.monotonic() - since < (10 if rows > 0 else ARRIVE_SECONDS):
                now = store.query(COUNT, {"name": name})[0]["Rows"]
                if now >= steps:
                    return int(now)
                if now != rows:
                    rows, since = now, time.monotonic()
                time.sleep(0.5)
        return rows


@contextmanager
def shipping(server: str, environ: dict[str, str]) -> Iterator[None]:
    """Run `otel-episodes ship` beside the arm."""
    command = [sys.executable, "-m", "otel_episodes_clickhouse.cli", "ship", "--dsn", server]
    with subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()
            process.wait(60)


@contextmanager
def nobody() -> Iterator[int]:
    """Give a port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        yield silent.getsockname()[1]


def throughput(stage: Stage) -> None:
    """CPU of the recording process per span, from its end to the row, and how long the rows took."""
    steps = 20_000
    # Room for all of it: here nothing is to be lost.
    roomy = {"OTEL_BSP_MAX_QUEUE_SIZE": str(steps * 2), "OTEL_BSP_EXPORT_TIMEOUT": "120000"}
    ways = {name: text for name, text in WAYS.items() if name != "none"}
    # Here also an agent that could send by itself.
    ways["led"] = "spool, ship beside, agent not told"
    # By turns, and relative to what a step takes undelivered in the same process: the machine's clock moves.
    runs = [{way: stage.run(way, "throughput", steps, **roomy) for way in ways} for _ in range(stage.rounds)]
    shares = {way: [(run[way]["own"] + run[way]["others"]) / run[way]["alone"] for run in runs] for way in ways}
    rows = []
    for way, text in ways.items():
        each = [run[way] for run in runs]
        ratios = sorted(theirs / mine for theirs, mine in zip(shares["standard"], shares[way], strict=True))
        rows.append([
            text, f"{sum(one['rows'] >= steps for one in each)} of {len(runs)}",
            f"{median(one['own'] for one in each):.0f}", f"{median(one['others'] for one in each):.0f}",
            f"{median(shares[way]):.2f}", f"{median(one['arrived'] for one in each):.1f}",
            f"{median(ratios):.1f} ({ratios[0]:.1f} to {ratios[-1]:.1f})",
        ])  # fmt: skip
    columns = [
        "path", "runs with every row", "µs, its thread", "µs, others", "of a step", "s to the last row", "times cheaper"
    ]  # fmt: skip
    alone = median(run[way]["alone"] for run in runs for way in ways)
    note = (
        f"CPU of the recording process per span, medians of {len(runs)} runs of {steps:,}. Its thread: what a step "
        f"takes more than one that nobody takes ({alone:.0f} µs), paired in one process. Others: all other threads, "
        f"and flushing. Of a step: both, relative to that one; and so the last column. Load {os.getloadavg()[0]:.1f}."
    )
    show("From span end to stored row", columns, rows, note=note)


def burst(stage: Stage) -> None:
    """50,000 steps at once, every setting at its default."""
    steps = 50_000
    rows = []
    for way in ("store", "apart", "standard"):
        found = stage.run(way, "burst", steps)
        lost = steps - found["rows"]
        at_exit = f"{found['at_exit']:,}" if "at_exit" in found else ""
        told = [WAYS[way], at_exit, f"{found['rows']:,}", f"{lost:,} ({lost / steps:.0%})", f"{found['exit']:.1f} s"]
        rows.append(told)
    columns = ["path", "rows at exit", "in the end", "lost", "exit took"]
    show("A burst of 50,000 steps", columns, rows, note="In the end: with what the next process ships from the spool.")


def latency(stage: Stage) -> None:
    """Quantiles of one call by the clock."""
    rows = []
    for way, text in WAYS.items():
        found = stage.run(way, "latency", 30_000)
        rows.append([text, *(f"{found[key]:.0f}" for key in ("p50", "p99", "p99.9"))])
    show("A step, µs by the clock", ["path", "p50", "p99", "p99.9"], rows)


def memory(stage: Stage) -> None:
    """Resident memory over as many steps as an hour has at 100 a second."""
    rows = []
    for way in ("store", "apart", "standard"):
        found = stage.run(way, "memory", 360_000)["megabytes"]
        rows.append([WAYS[way], *(f"{found[place]:.0f}" for place in (0, 2, 5, 8, 11)), f"{found[-1] - found[0]:+.0f}"])
    columns = ["path", "5 min", "15 min", "30 min", "45 min", "60 min", "growth"]
    show("Resident MB over 360,000 steps (an hour at 100 a second, as fast as possible)", columns, rows)


def hour(stage: Stage) -> None:
    """Resident memory and CPU over so many minutes at 100 steps a second, every path at once."""
    steps = stage.minutes * 60 * 100
    with ThreadPoolExecutor() as pool:
        running = {way: pool.submit(stage.run, way, "paced", steps) for way in WAYS}
        found = {way: each.result() for way, each in running.items()}
    rows = []
    for way, text in WAYS.items():
        each = found[way]
        sizes = each["megabytes"]
        told = [text, f"{each['rows']:,} of {steps:,}" if "rows" in each else ""]
        told += [f"{sizes[place]:.1f}" for place in (0, 2, 5, 8, 11)]
        rows.append([*told, f"{sizes[-1] - sizes[0]:+.1f}", f"{each['cpu'] / each['seconds']:.2%}"])
    columns = ["path", "rows", "1/12", "1/4", "1/2", "3/4", "at the end", "growth", "of a core"]
    show(f"Resident MB over {stage.minutes} minutes at 100 steps a second", columns, rows)


def threads(stage: Stage) -> None:
    """Sixteen threads at once."""
    steps = 32_000
    rows = []
    for way, text in WAYS.items():
        found = stage.run(way, "threads", steps)
        rows.append([text, str(found.get("rows", "")), f"{found['micros']:.0f}"])
    show(f"16 threads, {steps:,} steps", ["path", "rows", "µs CPU a step, shipping included"], rows)


def away(stage: Stage) -> None:
    """Exit and force_flush(2 s) while the server refuses, and while it never answers."""
    rows = []
    with nobody() as silent, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, not listening: refused
        for case, port in (("refuses", closed.getsockname()[1]), ("never answers", silent)):
            for way, scheme in (("store", "http"), ("standard", "http")):
                address = f"{scheme}://127.0.0.1:{port}" + ("/default" if way == "store" else "")
                found = stage.run(way, "away", 1_000, address=address)
                rows.append([WAYS[way], case, f"{found['flush']:.2f} s", f"{found['exit']:.2f} s"])
    show("With the server away", ["path", "it", "force_flush(2 s) took", "exit took"], rows)


def exits(stage: Stage) -> None:
    """How long the end of a program of ten steps takes after its last line, and how many rows are there then."""
    rows = []
    with nobody() as silent, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, not listening: refused
        servers = {"answers": None, "refuses": closed.getsockname()[1], "never answers": silent}
        for case, port in servers.items():
            address = f"http://127.0.0.1:{port}/default" if port else None
            for way in ("none", "store") if port is None else ("store",):
                took, stored = [], []
                for measure in ("short", "longer"):
                    runs = [stage.run(way, measure, 10, address=address) for _ in range(stage.rounds)]
                    took.append(f"{median(run['exit'] for run in runs):.2f} s")
                    stored.append(f"{runs[0]['at_exit']} of 10" if "at_exit" in runs[0] else "")
                rows.append([WAYS[way], case, *took, ", ".join(filter(None, stored))])
    columns = ["path", "server", "ends at once", "ends after 2 s", "rows at that moment"]
    show("The end of a program", columns, rows, note=f"Medians of {stage.rounds}; load {os.getloadavg()[0]:.1f}.")


MEASURES: dict[str, Callable[[Stage], None]] = {
    measure.__name__: measure for measure in (latency, throughput, burst, memory, hour, threads, away, exits)
}


def main() -> None:
    """Run what is asked for."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument(
        "--only", nargs="+", choices=MEASURES, default=[name for name in MEASURES if name != "hour"], metavar="MEASURE"
    )
    options.add_argument("--minutes", type=int, default=60, help="of `hour`, which only runs when asked for")
    options.add_argument("--rounds", type=int, default=3, help="of `throughput` and `exits`")
    given = options.parse_args()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = os.environ.get("CLICKHOUSE_URL") or stack.enter_context(front_end(directory / "engine"))
        server = f"{url}/default"
        with Store.open(Target.resolve(server)) as store:
            store.migrate()
        collector = stack.enter_context(rotel(directory / "rotel", **rotel_environ(url, "default")))
        for name in given.only:
            MEASURES[name](Stage(server, collector, directory, given.minutes, given.rounds))


if __name__ == "__main__":
    main()
