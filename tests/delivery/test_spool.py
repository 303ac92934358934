"""The spool: what `append` has returned from survives, and every line is whole."""

from __future__ import annotations

import json
import os
import signal
import stat
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from storage_fixtures import lines_of, run_python

from otel_episodes_clickhouse import findings, open_processor
from otel_episodes_clickhouse.config import SpoolSettings, Target
from otel_episodes_clickhouse.errors import ConfigurationError
from otel_episodes_clickhouse.spool.limit import is_over_limit
from otel_episodes_clickhouse.spool.losses import read_dropped
from otel_episodes_clickhouse.spool.reader import SpoolReader
from otel_episodes_clickhouse.spool.writer import SpoolWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def as_lines() -> Callable[[bytes], bytes]:
    return lambda item: item + b"\n"


def whole_lines(spool: Path) -> list[bytes]:
    reader = SpoolReader(spool)
    lines = [line for name in reader.segments() for line in reader.read(name, 0).lines if b'"format"' not in line]
    assert all(line.endswith(b"\n") for line in lines)
    return [line[:-1] for line in lines]


def test_an_item_is_readable_when_append_returns(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path / "spool", as_lines)
    assert writer.append(b"[1]")
    assert writer.append(b"[2]")
    segment = next((tmp_path / "spool").glob("*.jsonl"))
    header = b'{"format":2,"pid":%d,"name":"%b"}\n' % (os.getpid(), segment.name.encode())
    assert segment.read_bytes() == header + b"[1]\n[2]\n"
    writer.close()


def test_only_the_owner_can_read_the_spool(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path / "home" / "spool", as_lines)
    writer.append(b"[1]")
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "home", *(tmp_path / "home").rglob("*"))]
    assert modes == [0o700, 0o700, 0o600]
    writer.close()


def test_a_segment_is_finished_when_its_writer_closes_it(tmp_path: Path) -> None:
    writer, reader = SpoolWriter(tmp_path, as_lines), SpoolReader(tmp_path)
    writer.append(b"[1]")
    (name,) = reader.segments()
    assert not reader.finished(name)
    writer.close()
    assert reader.finished(name)


def test_kill_9_loses_nothing(tmp_path: Path) -> None:
    done = run_python(
        """
import os, signal, sys
from pathlib import Path
from otel_episodes_clickhouse.spool.writer import SpoolWriter
writer = SpoolWriter(Path(sys.argv[1]), lambda: lambda item: b"[%d]\\n" % item)
for number in range(1000):
    writer.append(number)
os.kill(os.getpid(), signal.SIGKILL)
""",
        tmp_path,
    )
    assert done.returncode == -signal.SIGKILL
    assert whole_lines(tmp_path) == [b"[%d]" % number for number in range(1000)]
    reader = SpoolReader(tmp_path)
    assert [reader.finished(name) for name in reader.segments()] == [True]


def test_lines_of_many_threads_stay_whole(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path, as_lines)
    threads = [
        threading.Thread(target=lambda mark=mark: [writer.append(b"[%d]" % mark * 50) for _ in range(300)])
        for mark in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    assert sorted(whole_lines(tmp_path)) == sorted(b"[%d]" % mark * 50 for mark in range(8) for _ in range(300))


def test_a_forked_child_writes_a_segment_of_its_own(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path, as_lines)
    writer.append(b"[0]")
    child = os.fork()
    if child == 0:
        writer.append(b"[1]")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    writer.append(b"[2]")

    reader = SpoolReader(tmp_path)
    mine, childs = reader.segments()
    assert [reader.read(name, 0).lines[1:] for name in (mine, childs)] == [[b"[0]\n", b"[2]\n"], [b"[1]\n"]]
    # The child's end released its own lock, not its parent's.
    assert [reader.finished(name) for name in (mine, childs)] == [False, True]
    writer.close()


def test_a_fork_while_another_thread_writes_leaves_the_child_able_to_write(tmp_path: Path) -> None:
    entered, go = threading.Event(), threading.Event()

    def slow(item: bytes) -> bytes:
        if item == b"slow":
            entered.set()
            go.wait(10)
        return item + b"\n"

    writer = SpoolWriter(tmp_path, lambda: slow)
    thread = threading.Thread(target=writer.append, args=(b"slow",))
    thread.start()
    entered.wait(10)
    child = os.fork()
    if child == 0:
        signal.alarm(5)
        writer.append(b"child")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    go.set()
    thread.join()
    writer.close()
    assert sorted(whole_lines(tmp_path)) == [b"child", b"slow"]


def test_a_span_that_ends_while_another_is_written_waits_for_it(tmp_path: Path) -> None:
    def encoder(item: bytes) -> bytes:
        if item == b"[outer]":
            # As a finaliser or a signal handler would.
            assert writer.append(b"[inner]")
        return item + b"\n"

    writer = SpoolWriter(tmp_path, lambda: encoder)
    writer.append(b"[outer]")
    writer.close()
    assert whole_lines(tmp_path) == [b"[outer]", b"[inner]"]


def test_a_full_disk_costs_lines_not_the_program_and_leaves_later_lines_whole(tmp_path: Path) -> None:
    # A file size limit makes the kernel do what a full disk does: take a part of a line, then refuse.
    done = run_python(
        """
import logging, resource, sys
from pathlib import Path
from otel_episodes_clickhouse.spool.writer import SpoolWriter
logging.basicConfig(format="%(levelname)s %(message)s")
made = []
def new_encoder():
    made.append(1)
    first = []
    def encode(item):
        prefix = b"" if first else b'["defined"]\\n'
        first.append(1)
        return prefix + item + b"\\n"
    return encode
writer = SpoolWriter(Path(sys.argv[1]), new_encoder)
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
print(writer.append(b"[1]"))
resource.setrlimit(resource.RLIMIT_FSIZE, (160, hard))
print(writer.append(b'["' + b"x" * 100 + b'"]'))
print(writer.append(b"[" + b"2" * 100 + b"]"))
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
print(writer.append(b"[3]"), writer.written, dict(writer.dropped))
""",
        tmp_path,
    )
    assert done.stdout.split("\n") == ["True", "False", "False", "True 2 {'disk_full': 2}", ""]
    # The part of a line is taken back, the line tried in a file of its own and given up there. The encoder starts over
    # each time: its definition had room, its line had not.
    assert lines_of(tmp_path) == [b'["defined"]', b"[1]", *[b'["defined"]'] * 3, b"[3]"]
    assert [line.split(" ")[0] for line in done.stderr.splitlines()] == ["ERROR", "WARNING"]
    assert "2 were lost" in done.stderr


def test_a_limit_for_each_file_loses_nothing(tmp_path: Path) -> None:
    done = run_python(
        """
import resource, sys
from pathlib import Path
from otel_episodes_clickhouse.spool.writer import SpoolWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
writer = SpoolWriter(Path(sys.argv[1]), lambda: lambda item: item + b"\\n")
print(sum(writer.append(b"[%0100d]" % number) for number in range(500)), dict(writer.dropped))
""",
        tmp_path,
    )
    assert done.stdout == "500 {}\n"
    assert lines_of(tmp_path) == [b"[%0100d]" % number for number in range(500)]


def test_without_file_descriptors_the_open_segment_takes_everything(tmp_path: Path) -> None:
    done = run_python(
        """
import os, resource, sys
from pathlib import Path
from otel_episodes_clickhouse.spool.writer import SpoolWriter
writer = SpoolWriter(Path(sys.argv[1]), lambda: lambda item: item + b"\\n", segment_bytes=50_000)
writer.append(b"[0]")
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
held = []
try:
    while True:
        held.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
written = sum(writer.append(b"[%01000d]" % number) for number in range(1, 3000))
for descriptor in held:
    os.close(descriptor)
written += sum(writer.append(b"[%01000d]" % number) for number in range(3000, 5000))
print(written, dict(writer.dropped))
""",
        tmp_path,
    )
    assert done.stdout == "4999 {}\n"
    assert lines_of(tmp_path) == [b"[0]", *(b"[%01000d]" % number for number in range(1, 5000))]


def test_without_file_descriptors_what_is_recorded_is_looked_through_as_ever(tmp_path: Path) -> None:
    done = run_python(
        """
import os, resource
from otel_episodes import configure, episode, step
configure(ship=False)
with episode("t"):
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    held = []
    try:
        while True:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    with step("x", action="read") as s:
        s.observe("o" * 300 + " Bearer abcdef0123456789abcdef curl -u bob:hunter2Xyz9 x password=hunter2hunter2")
""",
        OTEL_EPISODES_HOME=str(tmp_path),
    )
    assert (done.returncode, done.stderr) == (0, "")
    (spool,) = tmp_path.rglob("spool")
    told = b"".join(lines_of(spool))
    assert told.count(b"[REDACTED]") == 3
    assert b"hunter2" not in told


def test_a_directory_nobody_can_write_to_costs_lines_not_the_program(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    writer = SpoolWriter(tmp_path / "file" / "spool", as_lines)
    assert not writer.append(b"[1]")
    assert (writer.written, writer.lost, writer.dropped) == (0, 1, {"unwritable": 1})


def test_segments_are_closed_at_their_size_and_sort_by_time(tmp_path: Path) -> None:
    writer, reader = SpoolWriter(tmp_path, as_lines, segment_bytes=165), SpoolReader(tmp_path)
    for number in range(30):
        writer.append(b"[%04d]" % number)
    names = reader.segments()
    assert len(names) == 3
    assert [reader.finished(name) for name in names] == [True, True, False]
    assert whole_lines(tmp_path) == [b"[%04d]" % number for number in range(30)]
    writer.close()


def test_append_after_close_opens_a_new_segment(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path, as_lines)
    writer.append(b"[1]")
    writer.close()
    writer.close()
    writer.append(b"[2]")
    writer.close()
    assert len(SpoolReader(tmp_path).segments()) == 2
    assert whole_lines(tmp_path) == [b"[1]", b"[2]"]


def test_a_spool_removed_while_in_use_is_made_again_within_a_second(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    writer = SpoolWriter(spool, as_lines)
    writer.append(b"[1]")
    next(spool.glob("*.jsonl")).unlink()
    spool.rmdir()
    writer.append(b"[gone]")
    time.sleep(1.1)
    writer.append(b"[2]")
    writer.close()
    assert whole_lines(spool) == [b"[2]"]
    # What was written since the last look, which may have been before the removal: no fewer than were lost.
    assert writer.dropped == read_dropped(spool) == {"removed": 2}


def test_a_spool_moved_away_keeps_what_it_has_and_a_new_one_is_made(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path / "spool", as_lines)
    writer.append(b"[1]")
    (tmp_path / "spool").rename(tmp_path / "moved")
    time.sleep(1.1)
    writer.append(b"[2]")
    writer.close()
    assert (whole_lines(tmp_path / "moved"), whole_lines(tmp_path / "spool"), writer.lost) == ([b"[1]"], [b"[2]"], 0)


def test_a_program_that_closes_all_files_goes_on_in_a_new_segment(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path, as_lines)
    writer.append(b"[1]")
    assert writer._descriptor is not None
    os.close(writer._descriptor)
    assert writer.append(b"[2]")
    writer.close()
    assert (whole_lines(tmp_path), writer.lost) == ([b"[1]", b"[2]"], 0)


def test_a_number_of_ours_that_is_another_file_by_now_is_left_alone(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    writer = SpoolWriter(spool, as_lines)
    writer.append(b"[1]")
    with (tmp_path / "others").open("w+b") as others:
        assert writer._descriptor is not None
        os.dup2(others.fileno(), writer._descriptor)
        writer._look_at = 0.0  # a second later
        writer.append(b"[2]")
        writer.close()
        assert others.read() == b""
    assert whole_lines(spool) == [b"[1]", b"[2]"]


# --- losses are counted --------------------------------------------------------------------------------------------


def test_losses_are_there_for_other_processes_and_add_up(tmp_path: Path) -> None:
    for number in (1, 2):
        writer = SpoolWriter(tmp_path, as_lines, limit_bytes=1)
        (tmp_path / "0.jsonl").write_bytes(b"waiting")
        for _ in range(number):
            assert not writer.append(b"[1]")
    assert read_dropped(tmp_path) == {"spool_limit": 3}
    assert read_dropped(tmp_path / "none") == {}


def test_a_child_counts_its_own_losses(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path, as_lines, limit_bytes=1)
    (tmp_path / "0.jsonl").write_bytes(b"waiting")
    writer.append(b"[1]")
    child = os.fork()
    if child == 0:
        writer.append(b"[2]")
        os._exit(writer.dropped["spool_limit"])
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert read_dropped(tmp_path) == {"spool_limit": 2}


def test_what_cannot_be_encoded_is_counted(tmp_path: Path) -> None:
    def encode(item: bytes) -> bytes:
        if item == b"[bad]":
            raise ValueError("no")
        return item + b"\n"

    writer = SpoolWriter(tmp_path, lambda: encode)
    with pytest.raises(ValueError, match="no"):
        writer.append(b"[bad]")
    writer.append(b"[1]")
    writer.close()
    assert (writer.dropped, [line for line in whole_lines(tmp_path) if line]) == ({"encode_error": 1}, [b"[1]"])


def test_a_full_disk_that_comes_and_goes_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    waiting = tmp_path / "0.jsonl"
    writer = SpoolWriter(tmp_path, as_lines, limit_bytes=5)
    for _ in range(3):
        waiting.write_bytes(b"waiting")
        assert not writer.append(b"[1]")
        waiting.unlink()
        writer._full_until = 0.0  # a second later
        assert writer.append(b"[2]")
        writer.close()
        for segment in tmp_path.glob("*.jsonl"):
            segment.unlink()
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


def test_at_the_limit_new_items_are_dropped_and_recording_goes_on_when_there_is_room(tmp_path: Path) -> None:
    writer, reader = SpoolWriter(tmp_path, as_lines, limit_bytes=2000), SpoolReader(tmp_path)
    results = [writer.append(b"[%030d]" % number) for number in range(100)]
    kept = results.index(False)
    assert 2000 / 33 - 5 < kept < 2000 / 33 + 5
    assert not any(results[kept:])
    assert whole_lines(tmp_path) == [b"[%030d]" % number for number in range(kept)]
    # The segment is finished, or nobody could make room.
    assert [reader.finished(name) for name in reader.segments()] == [True]
    for name in reader.segments():
        reader.delete(name)
    writer._full_until = 0.0  # a second later
    assert writer.append(b"[again]")
    writer.close()


def test_what_is_in_the_store_already_does_not_count_for_the_limit(tmp_path: Path) -> None:
    writer, reader = SpoolWriter(tmp_path, as_lines, limit_bytes=2000), SpoolReader(tmp_path)
    writer.append(b"[%01000d]" % 0)
    (name,) = reader.segments()
    (tmp_path / "state.json").write_text(f'{{"segments": {{"{name}": [{reader.size(name)}, []]}}}}')
    assert writer.append(b"[%01500d]" % 0)
    assert not is_over_limit(tmp_path, 2000)
    assert is_over_limit(tmp_path, 1000)
    assert not is_over_limit(tmp_path, None)
    writer.close()


# --- nobody else's files -------------------------------------------------------------------------------------------


def test_a_symbolic_link_in_place_of_the_spool_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "spool").symlink_to(tmp_path / "elsewhere")
    writer = SpoolWriter(tmp_path / "spool", as_lines)
    assert not writer.append(b"[1]")
    assert writer.dropped == {"unwritable": 1}
    assert list((tmp_path / "elsewhere").iterdir()) == []
    with pytest.raises(OSError, match="symbolic link"):
        SpoolReader(tmp_path / "spool").segments()


@pytest.mark.parametrize("kind", ["symlink", "pipe", "directory"])
def test_what_is_no_file_is_not_read_as_a_segment(tmp_path: Path, kind: str) -> None:
    (tmp_path / "secret").write_bytes(b"[secret]\n")
    place = tmp_path / "spool" / "1.jsonl"
    place.parent.mkdir()
    if kind == "symlink":
        place.symlink_to(tmp_path / "secret")
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        place.mkdir()
    with pytest.raises(OSError, match=r"symbolic links|not a regular file"):
        SpoolReader(tmp_path / "spool").read("1.jsonl", 0)


NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="another user is only to be had as root")


def as_nobody(work: Callable[[], object]) -> str:
    """Run something as another user and return what it returned, as text."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        try:
            answer = repr(work())
        except BaseException as error:
            answer = repr(error)
        os.write(writing, answer.encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as file:
        return file.read()


@pytest.fixture
def open_place() -> Iterator[Path]:
    """Return a directory every user can reach."""
    with TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o755)
        yield place


@needs_root
def test_a_spool_one_may_not_write_to_costs_lines_not_the_program(open_place: Path) -> None:
    spool = open_place / "spool"
    spool.mkdir(mode=0o755)
    writer = SpoolWriter(spool, as_lines)
    assert as_nobody(lambda: (writer.append(b"[1]"), dict(writer.dropped))) == "(False, {'unwritable': 1})"
    assert list(spool.iterdir()) == []


@needs_root
def test_a_spool_of_another_user_is_not_used_though_one_could(open_place: Path) -> None:
    spool = open_place / "spool"
    spool.mkdir()
    spool.chmod(0o777)
    os.chown(spool, 12345, 12345)
    writer = SpoolWriter(spool, as_lines)
    assert as_nobody(lambda: (writer.append(b"[1]"), dict(writer.dropped))) == "(False, {'unwritable': 1})"
    assert "belongs to another user (12345)" in as_nobody(SpoolReader(spool).segments)


# --- ends ----------------------------------------------------------------------------------------------------------


def test_a_shutdown_in_a_signal_handler_in_the_middle_of_an_append_costs_nothing(tmp_path: Path) -> None:
    def encoder(item: bytes) -> bytes:
        if item == b"[outer]":
            writer.close()
        return item + b"\n"

    writer = SpoolWriter(tmp_path, lambda: encoder)
    assert writer.append(b"[outer]")
    assert writer.append(b"[next]")
    writer.close()
    assert (whole_lines(tmp_path), writer.lost) == ([b"[outer]", b"[next]"], 0)


def test_a_span_ended_in_the_middle_of_another_is_safe_when_append_returns(tmp_path: Path) -> None:
    def encoder(item: bytes) -> bytes:
        if item == b"[outer]":
            assert writer.append(b"[inner]")
            raise SystemExit
        return item + b"\n"

    writer = SpoolWriter(tmp_path, lambda: encoder)
    with pytest.raises(SystemExit):
        writer.append(b"[outer]")
    assert whole_lines(tmp_path) == [b"[inner]"]
    writer.close()


def test_an_exception_of_a_signal_handler_never_leaves_two_lines_in_one(tmp_path: Path) -> None:
    done = run_python(
        """
import signal, sys
from pathlib import Path
from otel_episodes_clickhouse.spool.writer import SpoolWriter
writer = SpoolWriter(Path(sys.argv[1]), lambda: lambda item: b"[%d,%s]\\n" % (item, b"1" * 9_000))
class Alarm(Exception):
    pass
armed = []
def ring(*_):
    if armed:
        armed.clear()
        raise Alarm
signal.signal(signal.SIGALRM, ring)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0007)
returned, rung = [], 0
for number in range(1500):
    try:
        armed.append(1)
        written = writer.append(number)
        armed.clear()
        if written:
            returned.append(number)
    except Alarm:
        rung += 1
signal.setitimer(signal.ITIMER_REAL, 0)
writer.close()
print(returned)
print(rung)
""",
        tmp_path,
    )
    returned, rung = done.stdout.splitlines()
    assert int(rung) > 0
    lines = [line for line in whole_lines(tmp_path) if line]
    numbers = [int(line[1:].split(b",")[0]) for line in lines]
    assert all(line.endswith(b"1]") and len(line) > 9_000 for line in lines)
    assert len(set(numbers)) == len(numbers)
    assert set(json.loads(returned)) <= set(numbers)


def test_a_daemon_thread_stopped_in_the_middle_of_an_append_does_not_hold_up_the_end(tmp_path: Path) -> None:
    done = run_python(
        """
import builtins, sys, threading, time
from pathlib import Path
from otel_episodes_clickhouse.spool.writer import SpoolWriter
writer = SpoolWriter(Path(sys.argv[1]), lambda: lambda item: item + b"\\n")
def late():
    try:
        yield
    finally:
        writer.append(b"[late]")
def record(writer=writer):
    while True:
        writer.append(b"[%s]" % (b"1" * 200_000))
builtins.kept = late()
next(builtins.kept)
for _ in range(4):
    threading.Thread(target=record, daemon=True).start()
time.sleep(0.1)
""",
        tmp_path,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    assert whole_lines(tmp_path).count(b"[late]") == 1


def test_fsync_can_be_asked_for(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path, as_lines, fsync=True)
    assert writer.append(b"[1]")
    writer.close()
    assert whole_lines(tmp_path) == [b"[1]"]


@pytest.mark.parametrize("limit", [1, 40, 1000])
def test_reading_goes_up_to_the_last_whole_line(tmp_path: Path, limit: int) -> None:
    (tmp_path / "1.jsonl").write_bytes(b'["a long line, longer than the smallest limit"]\n[2]\n[3')
    reader, offset, lines = SpoolReader(tmp_path), 0, []
    while (chunk := reader.read("1.jsonl", offset, limit=limit)).lines:
        assert chunk.start == offset
        offset = chunk.end
        lines.extend(chunk.lines)
    assert lines == [b'["a long line, longer than the smallest limit"]\n', b"[2]\n"]
    assert reader.tail("1.jsonl", offset) == b"[3"


def test_a_spool_that_does_not_exist_is_empty(tmp_path: Path) -> None:
    assert SpoolReader(tmp_path / "none").segments() == []


# --- settings and doctor ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "limit"),
    [("", None), ("0", 0), ("1000", 1000), ("500M", 500 * 1024**2), ("2 GiB", 2 * 1024**3), ("64kb", 64 * 1024)],
)
def test_the_limit_is_a_number_of_bytes_or_of_larger_units(text: str, limit: int | None) -> None:
    assert SpoolSettings.resolve(environ={"OTEL_EPISODES_SPOOL_LIMIT": text}) == SpoolSettings(limit_bytes=limit)


def test_a_limit_that_is_no_size_is_refused_at_once() -> None:
    with pytest.raises(ConfigurationError, match="OTEL_EPISODES_SPOOL_LIMIT is no size"):
        SpoolSettings.resolve(environ={"OTEL_EPISODES_SPOOL_LIMIT": "much"})


def test_the_environment_reaches_the_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EPISODES_SPOOL_LIMIT", "1")
    monkeypatch.setenv("OTEL_EPISODES_SPOOL_FSYNC", "true")
    writer = open_processor(f"chdb://{tmp_path}").writer
    assert (writer._limit_bytes, writer._fsync) == (1, True)


def findings_of(home: Path) -> dict[str, tuple[str, str]]:
    target = Target.resolve(f"chdb://{home}")
    return {finding.name: (finding.state, finding.text) for finding in findings.spool(target)}


def test_doctor_says_what_was_lost_and_what_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = tmp_path / "spool"
    writer = SpoolWriter(spool, as_lines, limit_bytes=60)
    assert writer.append(b"[%060d]" % 1)
    assert not writer.append(b"[2]")
    (spool / "0.jsonl").write_bytes(b'{"format":3}\n')
    (spool / "1.jsonl").mkdir()
    monkeypatch.setenv("OTEL_EPISODES_SPOOL_LIMIT", "60")
    found = findings_of(tmp_path)
    assert found["lost steps"] == ("warn", "1 spool_limit")
    assert found["later files"][1] == "1 file of a later version, left alone: 0.jsonl"
    assert found["spool files"][1] == "1 file that cannot be read: 1.jsonl (not a regular file)"
    assert found["spool"][0] == "warn"
    assert found["spool"][1].endswith("at its limit, so new steps are lost")


def test_doctor_says_that_the_spool_is_no_place_to_write_to(tmp_path: Path) -> None:
    (tmp_path / "spool").symlink_to("/tmp")
    state, text = findings_of(tmp_path)["spool"]
    assert (state, text) == ("fail", f"{tmp_path}/spool: a symbolic link, which is not followed")
