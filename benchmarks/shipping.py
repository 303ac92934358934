"""What an application feels of shipping: the longest stalls of its event loop while a backlog goes to a server.

    python benchmarks/shipping.py [SPANS]

The server is the front end over the embedded engine under ``tests/``, or a real one at CLICKHOUSE_URL. Each arm is a
process of its own that wakes up every millisecond and notes how late it is: with nothing to ship, beside the shipper
as it is, and beside one that does not make room for others.

On a machine with other work the clock shows that work too. So lateness is given twice: by the clock, and by what the
shipping thread itself used of the processor past that millisecond, which is what it can have kept the loop from.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_episodes_clickhouse.shipper import Shipper

TESTS = Path(__file__).resolve().parents[1] / "tests"
WAKE_SECONDS = 0.001
ARMS = ("idle", "gentle", "greedy")


def main() -> None:
    spans = int(sys.argv[1]) if len(sys.argv) > 1 else 60_000
    with tempfile.TemporaryDirectory() as directory:
        url, server = os.environ.get("CLICKHOUSE_URL"), None
        if not url:
            command = [sys.executable, str(TESTS / "clickhouse_over_http.py"), directory]
            server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            assert server.stdout is not None
            url = f"http://127.0.0.1:{server.stdout.readline().strip()}/default"
        try:
            print(
                f"{'arm':8} {'p50 ms':>8} {'p99 ms':>8} {'p99.9 ms':>9} {'max ms':>8} {'wall s':>7} {'CPU µs/span':>12}"
            )
            for arm in ARMS:
                ran = subprocess.run(
                    [sys.executable, __file__, "--arm", arm, str(spans), url, f"{directory}/{arm}"],
                    stdout=subprocess.PIPE, text=True, check=True,
                )  # fmt: skip
                print_row(arm, json.loads(ran.stdout))
        finally:
            if server is not None:
                server.kill()


def print_row(arm: str, found: dict[str, Any]) -> None:
    clock, own = found["clock"], found["own"]
    print(f"{arm:8} {found['wakes']:5}   ", *(f"{value:7.2f}" for value in clock), "    ", end="")
    print(*(f"{value:7.2f}" for value in own[1:]), f"{found['cpu']:13.1f}", flush=True)


def run_arm(arm: str, spans: int, url: str, home: str) -> None:
    sys.path.insert(0, str(TESTS))
    from ship_fixtures import spool_spans

    from otel_episodes_clickhouse.config import Target
    from otel_episodes_clickhouse.shipper import BESIDE_AN_AGENT, Pace, Shipper
    from otel_episodes_clickhouse.store import Store

    target = Target.resolve(url, environ={"OTEL_EPISODES_HOME": home})
    with Store.open(target) as store:
        store.migrate()
    spool_spans(target, spans, f"bench {arm}").close()
    shipper = Shipper(target, pace=BESIDE_AN_AGENT if arm == "gentle" else Pace(gentle=False))
    cpu = time.process_time()
    clock, own = asyncio.run(watch(shipper, spans, ships=arm != "idle"))
    cpu = (time.process_time() - cpu) / spans * 1e6
    print(json.dumps({"clock": quantiles(clock), "own": quantiles(own), "cpu": cpu, "wakes": len(clock)}))


def quantiles(seconds: list[float]) -> list[float]:
    """Return p50, p99, p99.9 and the maximum, in milliseconds."""
    seconds.sort()
    return [seconds[min(int(len(seconds) * share), len(seconds) - 1)] * 1e3 for share in (0.5, 0.99, 0.999, 1)]


async def watch(shipper: Shipper, spans: int, *, ships: bool) -> tuple[list[float], list[float]]:
    """Return how late each wake-up was, until everything is shipped, or for five seconds."""
    clock, own = [], []
    if ships:
        shipper.ensure_running()
    used = cpu_clock()
    deadline = time.monotonic() + (300 if ships else 5)
    while shipper.delivery.exported < spans and time.monotonic() < deadline:
        now, before = time.monotonic(), used()
        await asyncio.sleep(WAKE_SECONDS)
        clock.append(time.monotonic() - now - WAKE_SECONDS)
        own.append(max(0.0, used() - before - WAKE_SECONDS))
    if ships:
        shipper.stop(drain=False)
    return clock, own


def cpu_clock() -> Callable[[], float]:
    """Return what tells the seconds of CPU that the shipping thread has used."""
    thread = next((each for each in threading.enumerate() if each.name == "otel-episodes-ship"), None)
    if thread is None or thread.ident is None:
        return lambda: 0.0
    number = time.pthread_getcpuclockid(thread.ident)
    return lambda: time.clock_gettime(number)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--arm"]:
        run_arm(sys.argv[2], int(sys.argv[3]), *sys.argv[4:])
    else:
        main()
