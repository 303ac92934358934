"""The faults of `fault_campaign`, a few of each; ``python benchmarks/faults.py`` causes hundreds."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.request import urlopen

import fault_campaign as campaign
import pytest
from storage_fixtures import run_python

from otel_episodes_clickhouse.spool.decode import LineDecoder

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.campaign
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="a small disk can be mounted only as root")
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
SEED = 20

# Each program says how many steps had returned, in the middle of more.
RECORDS = """
import atexit, os, signal, sys, threading, time
from otel_episodes import configure, episode, step
configure(dsn=sys.argv[1])
returned = 0
def record(count, name="main"):
    global returned
    with episode(name, agent="a"):
        for number in range(count):
            with step("work", action=f"{name}/{number}"):
                pass
            if name == "main":
                returned += 1
                os.pwrite(1, b"%08d" % returned, 0)
"""
TERM = "threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()\nrecord(10**7)"
LAST = """
def last(*_):
    with episode("last"), step("work", action="last"):
        pass
    os._exit(6)
signal.signal(signal.SIGTERM, last)
"""
THREADS = """
for n in range(4):
    threading.Thread(target=record, args=({}, f"thread{{n}}"), daemon={}).start()
record(50)
"""
ENDS = {
    "end of the program": ("record(50)", 0),
    "an exception": ("record(50)\n1 / 0", 1),
    "sys.exit in an episode": ("with episode('e'):\n    record(50)\n    sys.exit(3)", 3),
    "os._exit": ("record(50)\nos._exit(4)", 4),
    "os._exit in a step": ("with episode('e'), step('s'):\n    record(50)\n    os._exit(4)", 4),
    "abort": ("record(50)\nos.abort()", -signal.SIGABRT),
    "SIGTERM": (TERM, -signal.SIGTERM),
    "SIGTERM with a handler that exits": ("signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n" + TERM, 5),
    "SIGTERM with a handler that records and ends at once": (LAST + TERM, 6),
    "daemon threads still recording": (THREADS.format(10**7, True), 0),
    "threads that outlive the main one": (THREADS.format(200, False), 0),
    "an atexit function that records": ("atexit.register(record, 50)", 0),
    "an atexit function of before configure": ("record(50)", 0),
}


def actions(spool: Path) -> list[str]:
    """Return the actions of all steps in a spool, one decoder a segment."""
    found = []
    for segment in sorted(spool.glob("*.jsonl")):
        decoder = LineDecoder()
        for line in segment.read_bytes().split(b"\n")[:-1]:
            row = decoder(line) if line else None
            if row is not None and "gen_ai.tool.call.arguments" in row.span_attributes:
                found.append(json.loads(row.span_attributes["gen_ai.tool.call.arguments"])["action"])
    return found


@pytest.mark.parametrize("way", ENDS)
def test_however_a_program_ends_the_steps_that_returned_are_in_the_spool(tmp_path: Path, way: str) -> None:
    program, code = ENDS[way]
    before = "import atexit\natexit.register(lambda: record(3, 'very last'))\n" if "before configure" in way else ""
    with (tmp_path / "returned").open("w+") as output:
        done = subprocess.run(
            [sys.executable, "-c", before + RECORDS + program, f"chdb://{tmp_path}/db"],
            stdout=output, stderr=subprocess.PIPE, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        output.seek(0)
        returned = int(output.read())
    found = actions(tmp_path / "db" / "spool")
    assert returned > 0
    assert {f"main/{number}" for number in range(returned)} <= set(found)
    assert len(set(found)) == len(found)
    if "threads that" in way:
        assert sum(action.startswith("thread") for action in found) == 800
    if "before configure" in way:
        assert found.count("very last/2") == 1
    if "records and ends" in way:
        assert found.count("last") == 1


CHILDREN = """
import multiprocessing, os, sys, threading
from otel_episodes import configure, episode, step
def record(name):
    with episode(name, agent="a"):
        for number in range(100):
            with step("work", action=f"{name}/{number}"):
                pass
def child(name, dsn):
    if multiprocessing.get_start_method() != "fork":
        configure(dsn=dsn)
    record(name)
if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[2])
    configure(dsn=sys.argv[1])
    record("before")
    busy = threading.Thread(target=record, args=("meanwhile",))
    busy.start()
    children = [multiprocessing.Process(target=child, args=(f"child{n}", sys.argv[1])) for n in range(3)]
    for process in children:
        process.start()
    for process in children:
        process.join()
    busy.join()
    record("after")
    print([process.exitcode for process in children])
"""
PREFORK = """
import os, sys
from otel_episodes import configure, episode, step
configure(dsn=sys.argv[1])
def record(name):
    with episode(name, agent="a"):
        for number in range(100):
            with step("work", action=f"{name}/{number}"):
                pass
record("master")
workers = []
for n in range(4):
    worker = os.fork()
    if worker == 0:
        record(f"worker{n}")
        # A worker of a worker, as a tool that calls another would have.
        if os.fork() == 0:
            record(f"grandchild{n}")
            os._exit(0)
        os.wait()
        os._exit(0)
    workers.append(worker)
print([os.waitpid(worker, 0)[1] for worker in workers])
record("master again")
"""


def all_of(*names: str) -> list[str]:
    return sorted(f"{name}/{number}" for name in names for number in range(100))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing_record_beside_their_parent(tmp_path: Path, method: str) -> None:
    (tmp_path / "program.py").write_text(CHILDREN)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", tmp_path / "program.py", f"chdb://{tmp_path}/db", method],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "[0, 0, 0]", done.stderr
    assert sorted(actions(tmp_path / "db" / "spool")) == all_of(
        "before", "meanwhile", "after", "child0", "child1", "child2"
    )


def test_workers_forked_after_configure_record_and_so_do_theirs(tmp_path: Path) -> None:
    done = run_python(PREFORK, f"chdb://{tmp_path}/db")
    assert done.stdout.strip() == "[0, 0, 0, 0]", done.stderr
    names = [f"{kind}{n}" for kind in ("worker", "grandchild") for n in range(4)]
    assert sorted(actions(tmp_path / "db" / "spool")) == all_of("master", "master again", *names)


# A worker answers one request at a time, and no request is answered before every worker has one.
APPLICATION = """
import os, time
from pathlib import Path
from otel_episodes import configure, episode, step
configure(dsn=os.environ["DSN"])
busy = Path(os.environ["BUSY"])
def application(environ, start_response):
    with episode("request", agent="a"), step("work", action=environ["PATH_INFO"]):
        (busy / str(os.getpid())).touch()
    while len(list(busy.iterdir())) < 3:
        time.sleep(0.01)
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]
"""


def test_workers_of_gunicorn_record_when_the_application_is_preloaded(tmp_path: Path) -> None:
    pytest.importorskip("gunicorn", reason="gunicorn, of the dev group, is not installed")
    (tmp_path / "application.py").write_text(APPLICATION)
    (tmp_path / "busy").mkdir()
    command = ["gunicorn", "--preload", "-w", "3", "-t", "120", "-b", "127.0.0.1:0", "--chdir", tmp_path, "application"]
    environ = {**os.environ, "DSN": f"chdb://{tmp_path}/db", "BUSY": str(tmp_path / "busy")}
    with subprocess.Popen(
        [sys.executable, "-m", *command], env=environ, stderr=subprocess.PIPE, text=True
    ) as master:  # fmt: skip
        assert master.stderr is not None
        url = next(line for line in master.stderr if "Listening at" in line).split("Listening at: ")[1].split(" ")[0]
        with ThreadPoolExecutor(3) as pool:
            workers = set(pool.map(lambda n: urlopen(f"{url}/{n}").read(), range(60)))
        master.terminate()
        master.stderr.read()
    assert len(workers) == 3
    assert sorted(actions(tmp_path / "db" / "spool")) == sorted(f"/{number}" for number in range(60))


# --- counted ---------------------------------------------------------------------------------------------------------


def nothing_lost(count: campaign.Count) -> bool:
    return count.returned > 0 and (count.lost, count.duplicates, count.steps_lost) == (0, 0, 0)


def test_agents_killed(tmp_path: Path) -> None:
    assert nothing_lost(campaign.agents_killed(tmp_path, 8, SEED))


def test_agents_and_shippers_killed(tmp_path: Path) -> None:
    assert nothing_lost(campaign.shippers_killed(tmp_path, 6, SEED, agents=True))


def test_the_ship_command_killed(tmp_path: Path) -> None:
    assert nothing_lost(campaign.ship_command_killed(tmp_path, 6, SEED))


@needs_strace
def test_the_ship_command_killed_wherever_it_gives_a_file_its_name(tmp_path: Path) -> None:
    # Its state before and after an insert among them.
    assert nothing_lost(campaign.every_call_to_a_server(tmp_path, "renameat", most=3))


def test_a_reader_killed(tmp_path: Path) -> None:
    assert nothing_lost(campaign.reader_killed(tmp_path, 2, SEED))


@needs_strace
def test_a_reader_killed_where_the_engine_has_noted_the_token_but_not_kept_the_rows(tmp_path: Path) -> None:
    # With `rename` the engine gives the parts of otel_traces their names, first of all.
    assert nothing_lost(campaign.every_call(tmp_path, "rename", most=2))


def test_answers_lost_and_the_shipper_killed(tmp_path: Path) -> None:
    assert nothing_lost(campaign.server_misbehaves(tmp_path, 2, SEED, "lose"))


def test_power_cuts(tmp_path: Path) -> None:
    assert nothing_lost(campaign.power_cuts(tmp_path, 20, SEED))


@needs_root
def test_a_disk_that_fills_up_and_has_room_again(tmp_path: Path) -> None:
    count = campaign.disk_fills(tmp_path, 12, SEED)
    assert nothing_lost(count)
    assert count.counted_as_dropped > 0


def test_a_spool_at_its_limit(tmp_path: Path) -> None:
    count = campaign.spool_limit_reached(tmp_path, 3, SEED)
    assert nothing_lost(count)
    assert count.counted_as_dropped > 0
