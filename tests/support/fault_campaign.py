"""Faults caused for real, and counted: steps whose recording returned, rows stored, duplicates.

The short runs of `test_faults.py` and the long one of `benchmarks/faults.py` are the same code with other numbers.
Processes that record are forked from one that has imported everything, so that hundreds can be killed.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import clickhouse_connect as __  # noqa: F401  # imported before the forks, not in each child
from storage_fixtures import finished_spans

from otel_episodes import configure, episode, step
from otel_episodes._for_store import read_span
from otel_episodes_clickhouse import Store, Target
from otel_episodes_clickhouse.cli.app import run
from otel_episodes_clickhouse.delivery import processor as _  # noqa: F401  # imported before the forks, not in each child
from otel_episodes_clickhouse.errors import StoreError
from otel_episodes_clickhouse.spool import ledger as shipping_ledger
from otel_episodes_clickhouse.spool.encode import new_encoder
from otel_episodes_clickhouse.spool.losses import read_dropped
from otel_episodes_clickhouse.spool.writer import SpoolWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent
STORED = """
SELECT
    if(mapContains(SpanAttributes, 'episode.step.action'),
       SpanAttributes['episode.step.action'],
       JSONExtractString(SpanAttributes['gen_ai.tool.call.arguments'], 'action')) AS Action,
    count() AS Times
FROM otel_traces WHERE SpanAttributes['episode.span'] = 'step' GROUP BY Action
"""
STEPS = "SELECT Action, count() AS Times FROM internal_steps FINAL GROUP BY Action"
# Programs that open the embedded engine: never in a process that forks.
COUNT = f"""
import json, sys
from otel_episodes_clickhouse import Store, Target
with Store.open(Target.resolve(sys.argv[1]), wait_seconds=120) as store:
    store.migrate()
    while store.drain().rows:
        pass
    answers = [store.query(text) for text in ({STORED!r}, {STEPS!r})]
print(json.dumps([[[row["Action"], row["Times"]] for row in rows] for rows in answers]))
"""
DRAIN = """
import sys, time
from otel_episodes_clickhouse import Store, Target
store = Store.open(Target.resolve(sys.argv[1]), wait_seconds=120)
store.migrate()
print("ready", flush=True)
while True:
    if "once" in sys.argv:
        sys.stdin.readline()
    begin = time.monotonic()
    report = store.drain()
    if report.rows or "once" in sys.argv:
        print(time.monotonic() - begin, flush=True)
    if "once" in sys.argv:
        break
    time.sleep(0.005)
"""


@dataclass(frozen=True)
class Count:
    """What came of a fault: a line of the table."""

    fault: str
    times: int
    returned: int
    stored: int
    lost: int
    duplicates: int
    steps_lost: int = 0
    # Steps that were stored though the process died before it heard so; right, and counted apart.
    unheard: int = 0
    counted_as_dropped: int = 0
    note: str = ""

    def line(self) -> str:
        """Return the count as a row of a Markdown table."""
        note = self.note or (f"{self.unheard:,} more were whole when the process died" if self.unheard else "")
        cells = (self.fault, self.times, self.returned, self.stored, self.lost, self.duplicates, note)
        return f"| {' | '.join(f'{cell:,}' if isinstance(cell, int) else cell for cell in cells)} |"


@dataclass
class Ledger:
    """Which steps a program was told are recorded: so many of each thread, numbered from 0."""

    returned: Counter[str] = field(default_factory=Counter)
    names: list[str] = field(default_factory=list)

    def expected(self) -> list[str]:
        """Return what all those steps are called."""
        return [f"{name}/{number}" for name, count in self.returned.items() for number in range(count)] + self.names

    def count(
        self, fault: str, times: int, rows: dict[str, int], steps: dict[str, int] | None = None, **more: Any
    ) -> Count:
        """Compare with what is in the store."""
        expected = self.expected()
        known = set(expected)
        return Count(
            fault,
            times,
            returned=len(expected),
            stored=sum(1 for action in expected if action in rows),
            lost=sum(1 for action in expected if action not in rows),
            duplicates=sum(times - 1 for times in rows.values()),
            steps_lost=0 if steps is None else sum(1 for action in rows if steps.get(action) != 1),
            unheard=sum(1 for action in rows if action not in known),
            **more,
        )


# --- processes ------------------------------------------------------------------------------------------------------


def fork(work: Callable[[], None]) -> int:
    """Run something in a child process of which nothing returns."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    finally:
        sys.stderr.flush()
        os._exit(code)


def end(child: int, number: int = signal.SIGKILL) -> int:
    """Send a signal, wait, and return what became of the child: an exit code, or minus a signal."""
    os.kill(child, number)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class Slots:
    """Numbers in memory shared with children, which outlive them."""

    def __init__(self, count: int) -> None:
        self._memory = mmap.mmap(-1, 8 * count)

    def __getitem__(self, index: int) -> int:
        return int(struct.unpack_from("<Q", self._memory, 8 * index)[0])

    def __setitem__(self, index: int, value: int) -> None:
        struct.pack_into("<Q", self._memory, 8 * index, value)

    def wait(self, index: int, seconds: float = 60) -> None:
        """Wait until a number is not 0."""
        deadline = time.monotonic() + seconds
        while not self[index]:
            if time.monotonic() > deadline:
                raise TimeoutError("the child did not come up")
            time.sleep(0.001)


def agent(dsn: str, name: str, threads: int, done: Slots, *, most: int = 400, ship: bool | None = None) -> None:
    """Record steps in threads, noting each when it has returned; then stay."""
    configure(dsn=dsn, ship=ship) if ship is not None else configure(dsn=dsn)

    def work(thread: int) -> None:
        chance = random.Random(f"{name}/{thread}")
        with episode(f"{name}/{thread}", agent="fault"):
            for number in range(most):
                with step("work", action=f"{name}/{thread}/{number}"):
                    pass
                done[1 + thread] = number + 1
                if chance.random() < 0.1:
                    time.sleep(0.0005)
            time.sleep(3600)

    started = [threading.Thread(target=work, args=(thread,), daemon=True) for thread in range(threads)]
    done[0] = 1
    for thread in started:
        thread.start()
    time.sleep(3600)


def kill_agents(dsn: str, rounds: int, chance: random.Random, ledger: Ledger, mark: str = "agent", **more: Any) -> None:
    """Kill processes that record, each at a random moment."""
    for number in range(rounds):
        threads, done = chance.randint(1, 6), Slots(8)
        name = f"{mark}{number}"
        child = fork(lambda name=name, threads=threads, done=done: agent(dsn, name, threads, done, **more))
        done.wait(0)
        time.sleep(chance.uniform(0, 0.04))
        assert end(child) == -signal.SIGKILL
        for thread in range(threads):
            ledger.returned[f"{name}/{thread}"] = done[1 + thread]


def record_old(spool: Path, name: str, count: int, days: int = 3) -> list[str]:
    """Record steps of several days, which go into several parts of a table; return what they are called."""
    names = [f"{name}/{number}" for number in range(count)]

    def work() -> None:
        writer = SpoolWriter(spool, new_encoder, limit_bytes=0)
        for action, span in zip(names, finished_spans(count, days=days), strict=True):
            assert writer.append(read_span(_named(span, action)))

    assert os.waitstatus_to_exitcode(os.waitpid(fork(work), 0)[1]) == 0
    return names


def in_embedded(dsn: str) -> tuple[dict[str, int], dict[str, int]]:
    """Drain the rest and return how often each step is in ``otel_traces`` and in ``internal_steps``."""
    done = subprocess.run([sys.executable, "-c", COUNT, dsn], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows, steps = json.loads(done.stdout.splitlines()[-1])
    return dict(rows), dict(steps)


def in_server(dsn: str, seconds: float = 60) -> tuple[dict[str, int], dict[str, int]]:
    """Do the same with a server, as soon as it answers."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with Store.open(Target.resolve(dsn)) as store:
                store.migrate()
                while (report := store.drain(wait_seconds=30)).rows or report.busy:
                    pass
                answers = [store.query(text) for text in (STORED, STEPS)]
        except StoreError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
            continue
        return tuple({row["Action"]: row["Times"] for row in rows} for rows in answers)  # type: ignore[return-value]


@contextmanager
def server(directory: Path) -> Iterator[str]:
    """Run the front end over the embedded engine; return its DSN."""
    directory.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, HERE / "clickhouse_over_http.py", directory]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        try:
            yield f"http://127.0.0.1:{running.stdout.readline().strip()}/default"
        finally:
            running.kill()


class Proxy:
    """`faulty_proxy.py` in a process of its own, since this one forks."""

    def __init__(self, dsn: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, HERE / "faulty_proxy.py", dsn], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        self.dsn = json.loads(line) if line.startswith('"') else line

    def do(self, fault: str, **more: Any) -> None:
        """Ask for a fault, or for good behaviour."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": fault, **more}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert "error" not in answer.lower().replace("error_500", ""), answer

    def close(self) -> None:
        """End it."""
        self._process.communicate()


def shipper(dsn: str, ready: Slots) -> None:
    """Drain into a server again and again, whatever it answers."""
    target = Target.resolve(dsn)
    while True:
        with suppress(StoreError):
            with Store.open(target) as store:
                ready[0] = 1
                while True:
                    store.drain(wait_seconds=0)
                    time.sleep(0.005)
        ready[0] = 1
        time.sleep(0.02)


def ship_command(dsn: str) -> None:
    """Run `otel-episodes ship` in this process."""
    sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115  # until the process is killed
    run(["ship", "--every", "0.1", "--dsn", dsn])


# --- faults ---------------------------------------------------------------------------------------------------------


def agents_killed(directory: Path, rounds: int, seed: int) -> Count:
    """Kill -9 of recording processes with 1 to 6 threads; the embedded store reads afterwards."""
    dsn, ledger = f"chdb://{directory}/db", Ledger()
    kill_agents(dsn, rounds, random.Random(seed), ledger)
    return ledger.count("kill -9 of an agent, 1 to 6 threads recording", rounds, *in_embedded(dsn))


def reader_killed(directory: Path, rounds: int, seed: int) -> Count:
    """Kill -9 of the process that takes the spool into the embedded engine."""
    dsn, ledger, chance = f"chdb://{directory}/db", Ledger(), random.Random(seed)
    spool = Target.resolve(dsn).spool
    took = 0.2
    for number in range(rounds):
        with subprocess.Popen(
            [sys.executable, "-c", DRAIN, dsn, "once"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as reader:
            assert reader.stdin is not None
            assert reader.stdout is not None
            assert reader.stdout.readline() == "ready\n"
            ledger.names += record_old(spool, f"reader{number}", 300)
            reader.stdin.write("go\n")
            reader.stdin.flush()
            if number % 8:
                time.sleep(chance.uniform(0, 1.5 * took))
                reader.kill()
            else:
                # Left to end, to learn how long it takes.
                took = float(reader.stdout.readline())
    return ledger.count("kill -9 of the process draining into the embedded engine", rounds, *in_embedded(dsn))


def shippers_killed(directory: Path, rounds: int, seed: int, *, agents: bool = False) -> Count:
    """Kill -9 of the process that ships to a server while others record; of those too with ``agents``."""
    chance, ledger = random.Random(seed), Ledger()
    mark = "both" if agents else "ship"
    with server(directory / "server") as dsn, home(directory):
        prepare(dsn)
        for number in range(rounds):
            ready, done, threads = Slots(1), Slots(8), chance.randint(1, 4)
            name = f"{mark}{number}"
            recorder = fork(lambda name=name, threads=threads, done=done: agent(dsn, name, threads, done, most=60))
            child = fork(lambda ready=ready: shipper(dsn, ready))
            ready.wait(0)
            done.wait(0)
            time.sleep(chance.uniform(0, 0.3))
            if agents:
                end(recorder)
            end(child)
            if not agents:
                end(recorder)
            for thread in range(threads):
                ledger.returned[f"{name}/{thread}"] = done[1 + thread]
        rows, steps = in_server(dsn)
    what = "kill -9 of agent (shipping itself) and shipper" if agents else "kill -9 of the shipper, over HTTP"
    return ledger.count(what, rounds, rows, steps)


def ship_command_killed(directory: Path, rounds: int, seed: int) -> Count:
    """Kill -9 of `otel-episodes ship` at random moments, while agents record, and of one in three of those too.

    Up to three of them run at once, and the next round's begin where they ended. Half of the agents only write files,
    the others leave sending to it while it lives.
    """
    chance, ledger = random.Random(seed), Ledger()
    kills, took = 0, 0.4
    with server(directory / "server") as dsn, home(directory):
        prepare(dsn)
        for number in range(rounds):
            done, threads = Slots(8), chance.randint(1, 4)
            name, ship = f"command{number}", chance.choice((False, None))
            recorder = fork(
                lambda name=name, threads=threads, done=done, ship=ship: agent(
                    dsn, name, threads, done, most=60, ship=ship
                )
            )
            done.wait(0)
            shippers = [fork(lambda: ship_command(dsn)) for _ in range(chance.choice((1, 1, 3)))]
            if not number % 8:
                # Left alone for once, to learn how long it takes.
                took = _until_it_has_sent(Target.resolve(dsn).spool)
            for child in shippers:
                # From before it has connected to after it has gathered a second time.
                time.sleep(chance.uniform(0, 1.5 * took) if number % 8 else 0)
                if not chance.randrange(3) and recorder:
                    end(recorder)
                    recorder = 0
                assert end(child) == -signal.SIGKILL
                kills += 1
            if recorder:
                end(recorder)
            for thread in range(threads):
                ledger.returned[f"{name}/{thread}"] = done[1 + thread]
        sent = shipping_ledger.Ledger(Target.resolve(dsn).spool).read().exported
        rows, steps = in_server(dsn)
    assert sent, "none of them lived long enough to send anything"
    expected = set(ledger.expected())
    more = sum(1 for action in rows if action not in expected)
    note = f"{sent:,} rows were acknowledged before a kill; {more:,} more were whole when the process died"
    return ledger.count("kill -9 of `otel-episodes ship`, up to three at once", kills, rows, steps, note=note)


def _until_it_has_sent(spool: Path) -> float:
    """Wait until a shipper has written down that a row was acknowledged; return how long that took."""
    begin, account = time.monotonic(), shipping_ledger.Ledger(spool)
    before = account.read().exported
    while account.read().exported == before:
        assert time.monotonic() < begin + 60, "it sends nothing"
        time.sleep(0.01)
    return time.monotonic() - begin


def every_call_to_a_server(directory: Path, call: str, *, most: int = 400) -> Count:
    """Kill `otel-episodes ship --once` at each of its system calls of a kind, with strace, until it comes to its end.

    Those before it has opened the spool, of Python's own start, are passed over.
    """
    ledger = Ledger()
    times = 0
    with server(directory / "server") as dsn, home(directory):
        prepare(dsn)
        spool = Target.resolve(dsn).spool
        for number in range(1, most + 1):
            ledger.names += record_old(spool, f"{call}{number}", 20)
            if not _kill_at(
                [sys.executable, "-m", "otel_episodes_clickhouse.cli", "ship", "--once", "--dsn", dsn], call, number
            ):
                break
            times += 1
        rows, steps = in_server(dsn)
    return ledger.count(f"kill -9 at each `{call}` of `otel-episodes ship --once`", times, rows, steps)


def server_misbehaves(directory: Path, rounds: int, seed: int, fault: str) -> Count:
    """Kill -9 of the shipper while the server misbehaves; in the end it behaves."""
    chance, ledger = random.Random(seed), Ledger()
    with server(directory / "server") as dsn, home(directory):
        prepare(dsn)
        proxy = Proxy(dsn)
        try:
            for number in range(rounds):
                # What goes to one server is one spool, whichever way it goes there: recorded for the proxy.
                ledger.names += record_old(Target.resolve(proxy.dsn).spool, f"{fault}{number}", 40)
                proxy.do(fault, times=None if fault == "refuse" else chance.randint(1, 3))
                ready = Slots(1)
                child = fork(lambda ready=ready: shipper(proxy.dsn, ready))
                with suppress(TimeoutError):
                    # Not while it hangs.
                    ready.wait(0, 2)
                time.sleep(chance.uniform(0, 0.3))
                end(child)
                proxy.do("behave")
            rows, steps = in_server(proxy.dsn)
        finally:
            proxy.close()
    return ledger.count(f"kill -9 of the shipper, server: {fault}", rounds, rows, steps)


def server_away(directory: Path, rounds: int, seed: int) -> Count:
    """Let the server be away for longer than a retry waits at first, then back; agents ship by themselves."""
    chance, ledger = random.Random(seed), Ledger()
    with server(directory / "server") as dsn, home(directory):
        prepare(dsn)
        for number in range(rounds):
            proxy, done, name = Proxy(dsn), Slots(8), f"away{number}"
            try:
                proxy.do("refuse", times=None)
                child = fork(lambda name=name, done=done, proxy=proxy: agent(proxy.dsn, name, 2, done))
                done.wait(0)
                time.sleep(chance.uniform(3, 12))
                proxy.do("behave")
                deadline = time.monotonic() + 90
                # What an open segment holds stays in it: so the store is asked, not the spool.
                while _stored(dsn, name) < 800 and time.monotonic() < deadline:
                    time.sleep(0.5)
                end(child)
            finally:
                proxy.close()
            for thread in range(2):
                ledger.returned[f"{name}/{thread}"] = done[1 + thread]
        # Nothing else drains: what arrived, the agents have sent.
        with Store.open(Target.resolve(dsn)) as store:
            rows, steps = ({row["Action"]: row["Times"] for row in store.query(text)} for text in (STORED, STEPS))
    return ledger.count("server away for 3 to 12 s, then back, agents shipping themselves", rounds, rows, steps)


def _stored(dsn: str, name: str) -> int:
    with Store.open(Target.resolve(dsn)) as store:
        return sum(row["Action"].startswith(f"{name}/") for row in store.query(STORED))


CALLS = ("rename", "renameat", "unlink", "unlinkat", "fsync", "mkdir", "write")
# Of them, those that our part makes; the others are the engine's.
OWN_CALLS = ("renameat", "unlink", "unlinkat", "fsync", "write")


def every_call(directory: Path, call: str, *, most: int = 400) -> Count:
    """Kill the process that drains into the embedded engine at each of its system calls of a kind, with strace."""
    dsn, base = f"chdb://{directory}/db", directory / "base"
    ledger, found, found_steps = Ledger(), dict[str, int](), dict[str, int]()
    subprocess.run([sys.executable, "-c", COUNT, dsn], check=True, capture_output=True)
    names = record_old(Target.resolve(dsn).spool, "call", 60)
    (directory / "db").rename(base)
    times = 0
    for number in range(1, most + 1):
        shutil.rmtree(directory / "db", ignore_errors=True)
        shutil.copytree(base, directory / "db", symlinks=True)
        if not _kill_at([sys.executable, "-c", DRAIN, dsn, "once"], call, number):
            break
        times += 1
        rows, steps = in_embedded(dsn)
        # Each time the same steps: told apart by the time.
        ledger.names += [f"{number}/{name}" for name in names]
        found.update({f"{number}/{name}": count for name, count in rows.items()})
        found_steps.update({f"{number}/{name}": count for name, count in steps.items()})
    return ledger.count(f"kill -9 at each `{call}` of a drain into the embedded engine", times, found, found_steps)


def _kill_at(program: list[str], call: str, number: int) -> bool:
    """Run under strace, killed at the so-manieth call of a kind in any thread; False when it came to its end."""
    injection = f"inject={call}:signal=KILL:when={number}"
    command = ["strace", "-f", "-q", "-o", "/dev/null", "-e", f"trace={call}", "-e", injection]
    done = subprocess.run([*command, *program], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0


def disk_fills(directory: Path, rounds: int, seed: int) -> Count:
    """Record while a small disk fills up and has room again; the losses must be those that were counted."""
    chance, ledger = random.Random(seed), Ledger()
    disk = directory / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", disk], check=True)
    refused = 0
    rows: dict[str, int] = {}
    try:
        writer = SpoolWriter(disk / "spool", new_encoder, limit_bytes=0)
        sink = Kept(rows)
        ballast = disk / "ballast"
        assert writer.append(read_span(_named(finished_spans()[0], "disk/0")))
        ledger.names.append("disk/0")
        sink.drain(disk / "spool")
        for number in range(rounds):
            if number % 2:
                ballast.unlink(missing_ok=True)
                sink.drain(disk / "spool")
            else:
                with suppress(OSError), ballast.open("wb", buffering=0) as file:
                    while True:
                        file.write(bytes(chance.choice((100, 4096, 65536))))
            for place, span in enumerate(finished_spans(30)):
                action = f"disk{number}/{place}"
                _named(span, action)._attributes._dict["padding"] = "x" * chance.choice((10, 100, 3000))
                if writer.append(read_span(span)):
                    ledger.names.append(action)
                else:
                    refused += 1
        ballast.unlink(missing_ok=True)
        writer.close()
        sink.drain(disk / "spool")
        counted = read_dropped(disk / "spool")["disk_full"]
        assert counted == writer.dropped["disk_full"] == refused
        assert not (disk / "spool" / "quarantine").exists()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
    note = f"{refused:,} more were refused and counted as `disk_full`"
    return ledger.count("disk full while recording (tmpfs)", rounds, rows, counted_as_dropped=counted, note=note)


def _named(span: Any, action: str) -> Any:
    span._attributes._dict["episode.step.action"] = action
    return span


def spool_limit_reached(directory: Path, rounds: int, seed: int) -> Count:
    """Record more than the limit allows, drain, and record again."""
    ledger, refused, rows = Ledger(), 0, dict[str, int]()
    spool, sink = directory / "spool", Kept({})
    rows = sink.rows
    writer = SpoolWriter(spool, new_encoder, limit_bytes=100_000)
    for number in range(rounds):
        for place, span in enumerate(finished_spans(400)):
            action = f"limit{number}/{place}"
            if writer.append(read_span(_named(span, action))):
                ledger.names.append(action)
            else:
                refused += 1
        sink.drain(spool)
        writer._full_until = 0.0  # a second later
    writer.close()
    sink.drain(spool)
    counted = read_dropped(spool)["spool_limit"]
    assert counted == refused > 0
    note = f"{refused:,} more were refused and counted as `spool_limit`"
    return ledger.count("limit of the spool reached", rounds, rows, counted_as_dropped=counted, note=note)


class Kept:
    """A store that is a dictionary, for faults that are the spool's alone; it knows tokens as the engine does."""

    def __init__(self, rows: dict[str, int]) -> None:
        self.rows = rows
        self.tokens: set[str] = set()

    def insert_rows(self, rows: Any, *, token: str | None = None) -> int:
        if token not in self.tokens:
            for row in rows:
                action = row.span_attributes["episode.step.action"]
                self.rows[action] = self.rows.get(action, 0) + 1
        if token:
            self.tokens.add(token)
        return 0

    def drain(self, spool: Path) -> Any:
        from otel_episodes_clickhouse.spool.drain import drain

        return drain(self, spool)


def power_cuts(directory: Path, rounds: int, seed: int) -> Count:
    """Cut segments as a power cut may: shorter, with zeros for an end, or empty, and the process is gone.

    What was not on the disk is given up; what was must arrive once, and nothing may block. The state is always on the
    disk, as it is flushed; each round drains before the cut, so that it says more than is left.
    """
    chance, sink, times = random.Random(seed), Kept({}), 0
    kept = Ledger()
    for number in range(rounds):
        spool = directory / f"spool{number}"
        names = record_old(spool, f"cut{number}", 20)
        (segment,) = spool.glob("*.jsonl")
        whole = segment.read_bytes()
        drained = chance.random() < 0.5
        if drained:
            # In the middle of the life of the process that records.
            part = whole[: chance.randrange(len(whole))]
            segment.write_bytes(part)
            with segment.open("rb") as held:
                import fcntl

                fcntl.flock(held, fcntl.LOCK_EX)
                sink.drain(spool)
        left = whole[: chance.randrange(len(whole))]
        segment.write_bytes(left + bytes(chance.choice((0, 0, 1, 4096))))
        # The lines that are whole, less header and two definitions.
        kept.names += names[: max(0, left.count(b"\n") - 3)]
        sink.drain(spool)
        assert not list(spool.glob("*.jsonl"))
        times += 1
    return kept.count("power cut: segment cut short, zeros at its end, state ahead of it", times, sink.rows)


@contextmanager
def home(directory: Path) -> Iterator[None]:
    """Keep the spools of servers in a directory."""
    before = os.environ.get("OTEL_EPISODES_HOME")
    os.environ["OTEL_EPISODES_HOME"] = str(directory / "home")
    try:
        yield
    finally:
        if before is None:
            del os.environ["OTEL_EPISODES_HOME"]
        else:
            os.environ["OTEL_EPISODES_HOME"] = before


def prepare(dsn: str) -> None:
    """Make the tables."""
    with Store.open(Target.resolve(dsn)) as store:
        store.migrate()


def scratch() -> tempfile.TemporaryDirectory[str]:
    """Return a directory for one fault."""
    return tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True)
