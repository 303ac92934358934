"""Measure how long the pages of `otel-episodes serve` take, embedded.

Usage: python benchmarks/pages.py [EPISODES ...] [--keep DIRECTORY] [--requests N] [--json]

For each size (default 10,000 and 100,000 episodes of 12 steps, as benchmarks/learning.py generates them) a store is
made, in DIRECTORY/<episodes> where one is kept, learned from, and served without the job loop. A size above 100,000 is
that with copies of its rows under other ids and from other weeks (sql/pages.sql): all is there that grows with the
number of episodes, but for the spans as they were sent. Each view is then asked for N times (default 40), one request
after the other, each time about other episodes or with another filter.
Milliseconds: ``first`` of the request that finds nothing kept from one before, p50 and p95 of all by the clock, ``cpu``
the mean of what the server's processes used: on a machine that does other work too that says more than the clock.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import learning
from table import show as show_table

from otel_episodes_clickhouse import Store, Target, sql
from otel_episodes_clickhouse.learning import jobs

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = (10_000, 100_000)
LARGEST = 100_000
STATEMENTS = {
    statement.name: statement for statement in sql.parse((Path(__file__).parent / "sql" / "pages.sql").read_text())
}
COPIES = {
    "copy_facts": ("internal_facts", "internal_sequences"),
    "copy_spans": ("internal_steps", "internal_roots"), "forget_arrivals": ("",), "old_arrivals": ("",),
    "copy_results": ("internal_rewards", "internal_reflections"),
    "copy_observations": ("",), "copy_buckets": ("",),
}  # fmt: skip
# 100,000 episodes are of five.
WEEKS_BETWEEN = 6
REQUESTS = 40
# Of what takes seconds.
FEW = 5
TOOLS = ("grep", "read", "edit", "build", "test", "lint", "git", "plan", "fetch", "query", "think", "deploy")
DOMAINS = ("web-api", "cli", "data", "infra", "docs")
ALL_TIME = "3650d"
SETTLED_SECONDS = 3


def views(ids: list[str]) -> dict[str, Callable[[int], str]]:
    """Return by view the address of its nth request."""

    def episodes(**query: Any) -> str:
        return f"/episodes?{urlencode(query)}"

    def pair(n: int) -> dict[str, str]:
        return {"left": ids[n % len(ids)], "right": ids[(n + 1) % len(ids)]}

    return {
        "episodes": lambda n: episodes(limit=50 + n % 2),
        "episodes, text": lambda n: episodes(text=f"task {n}"),
        "episodes, tool": lambda n: episodes(tool=TOOLS[n % len(TOOLS)], outcome=("success", "failure")[n % 2]),
        "episodes, domain, by time": lambda n: episodes(domain=DOMAINS[n % len(DOMAINS)], sort="duration"),
        "episodes, by reward": lambda n: episodes(sort="reward", order=("asc", "desc")[n % 2]),
        "one episode": lambda n: f"/episodes/{ids[n % len(ids)]}",
        "side by side": lambda n: f"/compare?{urlencode(pair(n))}",
        "most alike": lambda n: f"/alike?{urlencode({'episode': ids[n % len(ids)]})}",
        "outlook": lambda n: f"/outlook?{urlencode({'episode': ids[n % len(ids)]})}",
        "learned": lambda _: "/learned",
        "tools": lambda _: f"/tools?since={ALL_TIME}",
        "health": lambda _: "/health",
        "pulse": lambda _: "/pulse",
    }


def prepare(path: Path, episodes: int) -> None:
    """Make a store of so many episodes that were learned from, unless it is there."""
    if episodes > LARGEST:
        multiply(path, episodes // LARGEST)
        return
    with Store.open(Target.resolve(f"chdb://{path}")) as store:
        store.migrate()
        done = learning.episodes_in(store)
        if done < episodes:
            learning.generate(store, "otel_traces", done, episodes - done)
        if store.query_named("page_totals")[0]["Episodes"] < episodes:
            jobs.run(store)
        # What arrived just before the jobs began is read once more: it has to have settled.
        if store.query_named("page_changed", {"limit": 1}):
            time.sleep(SETTLED_SECONDS)
            jobs.run(store)


def multiply(path: Path, times: int) -> None:
    """Make a store of that many times the largest that is learned from, which lies beside it."""
    if path.exists():
        return
    one = path.with_name(str(LARGEST))
    prepare(one, LARGEST)
    shutil.copytree(one, path, symlinks=True, ignore=shutil.ignore_patterns("*.sock"))
    with Store.open(Target.resolve(f"chdb://{path}")) as store:
        for name, tables in COPIES.items():
            for table in tables:
                store.execute(STATEMENTS[name], {"table": table, "copies": times - 1, "weeks": WEEKS_BETWEEN})


def measure(path: Path, requests: int) -> dict[str, Any]:
    """Serve a store and return what each view took, in milliseconds."""
    command = (
        sys.executable, "-m", "otel_episodes_clickhouse.cli", "serve", "--port", "0", "--json", "--no-learn",
        "--dsn", f"chdb://{path}",
    )  # fmt: skip
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = json.loads(process.stdout.readline())["address"]
            get(address, "/episodes")
            started = time.perf_counter() - began
            listed = json.loads(get(address, f"/episodes?limit={requests + 1}&format=json"))["Episodes"]
            wanted = views([row["EpisodeId"] for row in listed])
            found = {
                name: took(process.pid, address, of, FEW if name == "outlook" else requests)
                for name, of in wanted.items()
            }
            memory = sum(resident(pid) for pid in family(process.pid))
            return {"views": found, "start_seconds": round(started, 2), "memory_megabytes": memory}
        finally:
            process.terminate()


def took(pid: int, address: str, of: Callable[[int], str], requests: int) -> dict[str, float]:
    """Return what requests took, in milliseconds."""
    spent = []
    used = processor_seconds(pid)
    for n in range(requests):
        before = time.perf_counter()
        get(address, of(n))
        spent.append((time.perf_counter() - before) * 1000)
    used = processor_seconds(pid) - used
    ordered = sorted(spent)
    return {
        "first": round(spent[0]), "p50": round(median(ordered)),
        "p95": round(ordered[math.ceil(0.95 * len(ordered)) - 1]), "cpu": round(1000 * used / requests),
    }  # fmt: skip


def get(address: str, path: str) -> bytes:
    """Return a whole page."""
    with urllib.request.urlopen(address + path, timeout=120) as answer:
        body: bytes = answer.read()
        return body


def family(pid: int) -> list[int]:
    """Return a process and those that it started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in family(int(child)))]


def processor_seconds(pid: int) -> float:
    """Return what a process and those it started have used so far."""
    ticks = 0
    for each in family(pid):
        # What follows the name, which stands in parentheses: the 14th and 15th field are user and system time.
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> int:
    """Return what a process has in memory, in megabytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return round(int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1000)


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("episodes", nargs="*", type=int, default=SIZES)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        place = arguments.keep or Path(scratch)
        figures = {}
        for episodes in arguments.episodes:
            prepare(place / str(episodes), episodes)
            figures[episodes] = measure(place / str(episodes), arguments.requests)
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    for episodes, figure in figures.items():
        title = f"{episodes:,} episodes: first page after {figure['start_seconds']} s, "
        title += f"{figure['memory_megabytes']} MB resident"
        rows = [[name, *(str(value) for value in spent.values()), "ms"] for name, spent in figure["views"].items()]
        show_table(title, ["view", "first", "p50", "p95", "cpu", ""], rows)


if __name__ == "__main__":
    main()
