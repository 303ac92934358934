"""What an application feels of shipping: how late its event loop wakes up while a backlog goes to a server.

    python benchmarks/shipping.py [SPANS [ROUNDS]]

The server is the front end over the embedded engine under ``tests/``, or a real one at CLICKHOUSE_URL. Each arm is a
process of its own that wakes up every millisecond and notes how late it is:

idle: nothing is shipped.
apart: another process ships the same spool in the same way, so the machine and the server have the same to do. This is
    what the thread is to be compared with.
thread: the shipper as it is beside an agent.
greedy: the same thread without its pauses.

Arms take turns, and beside the quantiles of all turns together, which one bad second of the machine decides, there is
the median of the turns' own. On a machine with other work the clock shows that work too, so there is also what the
shipping thread used of the processor from one pause to the next, reading, compressing and sending included, in which
others can run: it cannot keep the loop from running for longer. Connecting, which imports the client, is told apart, as
``start``. What is shipped are the steps of one episode, recorded beforehand.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from table import show

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_episodes_clickhouse.delivery.shipper import Shipper

TESTS = Path(__file__).resolve().parents[1] / "tests" / "support"
WAKE_SECONDS = 0.001
ARMS = ("idle", "apart", "thread", "greedy")
SHARES = (0.5, 0.99, 0.999, 1)
_TAIL = 2
COLUMNS = [
    "arm",
    "wake-ups",
    "p50",
    "p99",
    "p99.9",
    "of the median turn",
    "max",
    "between pauses: p99",
    "p99.9",
    "max",
    "start: max",
    "µs CPU",
]


def main() -> None:
    spans = int(sys.argv[1]) if len(sys.argv) > 1 else 30_000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 9  # noqa: PLR2004  # the second argument
    found: dict[str, list[dict[str, Any]]] = {arm: [] for arm in ARMS}
    with tempfile.TemporaryDirectory() as directory:
        url, server = os.environ.get("CLICKHOUSE_URL"), None
        if not url:
            command = [sys.executable, str(TESTS / "clickhouse_over_http.py"), directory]
            server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            assert server.stdout is not None
            url = f"http://127.0.0.1:{server.stdout.readline().strip()}/default"
        try:
            for number in range(rounds):
                for arm in ARMS:
                    ran = subprocess.run(
                        [sys.executable, __file__, "--arm", arm, str(spans), url, f"{directory}/{arm}{number}"],
                        stdout=subprocess.PIPE, text=True, check=True,
                    )  # fmt: skip
                    found[arm].append(json.loads(ran.stdout.splitlines()[-1]))
        finally:
            if server is not None:
                server.kill()
    tell(found, spans)


def tell(found: dict[str, list[dict[str, Any]]], spans: int) -> None:
    """Print the quantiles over all rounds, and the thread beside the other process."""
    rows, late, turns = [], {}, {}
    for arm, each in found.items():
        clock = late[arm] = quantiles([value for one in each for value in one["clock"]])
        turns[arm] = [quantiles(one["clock"])[_TAIL] for one in each]
        between = quantiles([value for one in each for value in one["between"]])
        start = max(value for one in each for value in one["start"]) * 1e3
        cpu = sum(one["cpu"] for one in each) / len(each) / spans * 1e6
        count = sum(len(one["clock"]) for one in each)
        figures = (*clock[: _TAIL + 1], median(turns[arm]), clock[-1], *between[1:], start)
        told = [f"{count:,}", *(f"{value:.2f}" for value in figures)]
        rows.append([arm, *told, f"{cpu:.1f}"])
    pairs = zip(("p50", "p99", "p99.9"), late["thread"], late["apart"], strict=False)
    note = ", ".join(f"{name} {mine - other:+.2f} ms ({mine / other:.2f} times)" for name, mine, other in pairs)
    more = median(mine - other for mine, other in zip(turns["thread"], turns["apart"], strict=True))
    note += f"; p99.9 of a turn {more:+.2f} ms in the median; load {os.getloadavg()[0]:.1f} at the end"
    show("How late an event loop wakes up, ms", COLUMNS, rows, note=f"Thread against apart: {note}.")


def run_arm(arm: str, spans: int, url: str, home: str) -> None:
    sys.path.insert(0, str(TESTS))
    from ship_fixtures import spool_spans

    from otel_episodes_clickhouse import Target
    from otel_episodes_clickhouse.delivery.batch import Pace
    from otel_episodes_clickhouse.delivery.shipper import Shipper

    target = Target.resolve(url, environ={"OTEL_EPISODES_HOME": home})
    if arm == "recorder":
        os.environ["OTEL_EPISODES_HOME"] = home
        record(spans, url)
        return
    if arm == "shipper":
        ship(Shipper(target), spans + 1)
        return
    prepare = "from otel_episodes_clickhouse.cli.app import run; run(['migrate', '--dsn', {!r}])"
    # Elsewhere, so that the client is imported by the shipper, as in an agent.
    subprocess.run([sys.executable, "-c", prepare.format(url)], stdout=subprocess.DEVNULL, check=True)
    service = f"bench {Path(home).name}"
    spool_spans(target, 1, service).close()
    elsewhere = Target.resolve(url, environ={"OTEL_EPISODES_HOME": f"{home}-made"})
    subprocess.run([sys.executable, __file__, "--arm", "recorder", str(spans), url, f"{home}-made"], check=True)
    between: list[float] = []

    class Watched(Pace):
        last = 0.0

        @property
        def breathe(self) -> Callable[[], None]:
            pause = super().breathe

            def watched() -> None:
                between.append(time.thread_time() - Watched.last)
                if pause is not None:
                    pause()
                Watched.last = time.thread_time()

            return watched

    shipper = Shipper(target, pace=Watched(gentle=arm != "greedy"))
    with other_process(spans, url, home) if arm == "apart" else nullcontext() as other:
        if arm in ("thread", "greedy"):
            shipper.ensure_running()
        start = asyncio.run(watch(lambda: first_is_there(arm, shipper, other)))
        for made in elsewhere.spool.glob("*.jsonl"):
            made.rename(target.spool / made.name)
        cpu = time.process_time()
        idle_seconds = 5 if arm == "idle" else 300
        # The first of the rest has connecting in it.
        between.clear()
        clock = asyncio.run(watch(lambda: all_is_there(arm, shipper, other, spans + 1), idle_seconds))
        cpu = time.process_time() - cpu
        shipper.stop(drain=False)
    print(
        json.dumps({"clock": clock, "between": between[1:] if arm == "thread" else [0.0], "start": start, "cpu": cpu})
    )


def record(spans: int, url: str) -> None:
    """Record an episode of that many spans."""
    from otel_episodes import configure, episode, step

    configure(dsn=url, ship=False)
    with episode("Find what is left to do", agent="bench"):
        # Besides its steps, an episode is a span and the marker of its start.
        for number in range(spans - 2):
            with step("grep", action="search TODO in src") as found:
                found.observe(f"{number % 100} matches in 4 files")


def ship(shipper: Shipper, spans: int) -> None:
    """Ship in this process; say when the first is there."""
    shipper.ensure_running()
    said = False
    while shipper.delivery.exported < spans:
        if shipper.delivery.exported and not said:
            said = True
            print("connected", flush=True)
        time.sleep(0.01)
    shipper.stop(drain=False)


@contextmanager
def other_process(spans: int, url: str, home: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, __file__, "--arm", "shipper", str(spans), url, home]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def first_is_there(arm: str, shipper: Shipper, other: subprocess.Popen[str] | None) -> bool:
    if other is not None and other.stdout is not None:
        return bool(select.select([other.stdout], [], [], 0)[0])
    return arm == "idle" or shipper.delivery.exported > 0


def all_is_there(arm: str, shipper: Shipper, other: subprocess.Popen[str] | None, spans: int) -> bool:
    if other is not None:
        return other.poll() is not None
    return arm != "idle" and shipper.delivery.exported >= spans


def quantiles(seconds: list[float]) -> list[float]:
    """Return p50, p99, p99.9 and the maximum, in milliseconds."""
    seconds.sort()
    return [seconds[min(int(len(seconds) * share), len(seconds) - 1)] * 1e3 for share in SHARES]


async def watch(done: Callable[[], bool], seconds: float = 300) -> list[float]:
    """Return how late each wake-up was, until it is done, or for that long."""
    clock: list[float] = []
    deadline = time.monotonic() + seconds
    while not clock or not done():
        now = time.monotonic()
        await asyncio.sleep(WAKE_SECONDS)
        clock.append(time.monotonic() - now - WAKE_SECONDS)
        if now > deadline:
            break
    return clock


if __name__ == "__main__":
    if sys.argv[1:2] == ["--arm"]:
        run_arm(sys.argv[2], int(sys.argv[3]), *sys.argv[4:])
    else:
        main()
