"""What stops at the boundary, and what passes: errors of our own stop, those of anybody else do not."""

import ctypes
import functools
import gc
import signal
import sys
import threading
import time

import pytest

from otel_episodes import UsageError, current_step, episode, step
from otel_episodes._boundary import Boundary, is_ours
from otel_episodes.testing import capture_episodes
from otel_episodes_clickhouse.spool.writer import SpoolWriter

# These make much garbage, and what earlier tests of the worker left is collected with it; nor is it told to anybody
# what strikes in a finaliser.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class TimeIsUp(Exception):
    pass


@pytest.fixture
def quiet():
    """As in production: errors of our own are logged, not raised.

    Nor is anything told of collected garbage: Hypothesis has itself be told, and what strikes in there is lost.
    """
    told, gc.callbacks[:] = gc.callbacks[:], []
    try:
        with capture_episodes(strict=False) as recorded:
            yield recorded
    finally:
        gc.callbacks[:] = told


def test_an_error_of_ours_is_logged_once_and_dropped_by_block_and_decorator_alike(quiet, caplog):
    boundary = Boundary("counting beans")

    @boundary
    def count():
        raise ValueError("no beans")

    assert count() is None
    with boundary:
        raise ValueError("none again")
    assert [r.getMessage() for r in caplog.records] == [
        "otel-episodes failed while counting beans; the call itself went on, said once"
    ]


def test_under_test_it_is_raised_and_wrong_use_always_is(quiet):
    with capture_episodes(), pytest.raises(ValueError, match="no beans"), Boundary("counting beans"):
        raise ValueError("no beans")
    with pytest.raises(UsageError), Boundary("counting beans"):
        raise UsageError("beans are counted by hand")


def caught(run):
    try:
        run()
    except Exception as error:  # the point
        return error
    raise AssertionError("nothing was raised")


def test_the_exception_of_a_signal_handler_is_not_ours():
    def on_alarm(number, frame):
        raise TimeIsUp

    before = signal.signal(signal.SIGALRM, on_alarm)
    try:
        for handler in (on_alarm, functools.partial(lambda _, *told: on_alarm(*told), "bound")):
            signal.signal(signal.SIGALRM, handler)
            error = caught(lambda: signal.raise_signal(signal.SIGALRM))
            assert not is_ours(error)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_the_exception_of_a_trace_function_is_not_ours():
    def give_up(frame, event, argument):
        raise TimeIsUp

    def traced():
        def anything():
            pass

        sys.settrace(give_up)
        anything()

    before = sys.gettrace()
    try:
        assert not is_ours(caught(traced))
    finally:
        sys.settrace(before)


def test_an_error_of_code_that_ours_called_is_ours():
    assert is_ours(caught(lambda: int("x")))
    assert is_ours(caught(lambda: {}["x"]))


# By a thread: its own way is the alarm that is used here.
@pytest.mark.timeout(method="thread")
def test_a_storm_of_time_limits_reaches_the_program_each_time_and_leaves_no_step_current(quiet):
    struck = 0

    def on_alarm(number, frame):
        nonlocal struck
        struck += 1
        raise TimeIsUp

    @step
    def tool(n):
        return n

    def work_until_interrupted():
        while True:
            tool(1)

    before = signal.signal(signal.SIGALRM, on_alarm)
    try:
        for delay in range(1, 80):
            with episode("t"):
                with pytest.raises(TimeIsUp):
                    # Once more after a while: one that strikes in a finaliser is lost to any program.
                    signal.setitimer(signal.ITIMER_REAL, 0.001 + delay * 0.00001, 0.5)
                    work_until_interrupted()
                signal.setitimer(signal.ITIMER_REAL, 0)
                assert not current_step().recording
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert all(span.end_time for span in quiet.steps)
    assert struck <= 79 + 3


def test_a_step_that_was_kept_from_ending_ends_with_what_is_around_it(quiet):
    @step
    def tool():
        step("inner").__enter__()  # as if its block had been left without a word

    with episode("t"):
        tool()
        assert not current_step().recording
        step("last").__enter__()
    assert not current_step().recording
    assert [s.attributes["gen_ai.tool.name"] for s in quiet.steps] == ["tool", "inner", "last"]
    assert len({s.trace_id for s in quiet.spans}) == 1


def test_an_exception_that_another_thread_throws_reaches_the_program(quiet):
    @step
    def tool(n):
        return n

    stopped, done = [], threading.Event()

    def work():
        while not done.is_set():
            try:
                while not done.is_set():
                    tool(1)
            except TimeIsUp:
                stopped.append(current_step().recording)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thrown = 0
    until = time.monotonic() + 30
    while len(stopped) < 20 and time.monotonic() < until:
        before = len(stopped)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(TimeIsUp))
        thrown += 1
        # One that strikes in a finaliser is lost, whatever the code around it does: then there is another.
        wait = time.monotonic() + 1
        while len(stopped) == before and time.monotonic() < wait:
            time.sleep(0.001)
    done.set()
    thread.join(10)
    assert stopped == [False] * len(stopped)
    assert len(stopped) >= 20
    assert thrown <= len(stopped) + 2


def test_a_time_limit_that_is_an_error_of_the_systems_kind_is_not_taken_for_a_full_disk(tmp_path):
    def encoder():
        def encode(item):
            raise TimeoutError("time is up")  # as a signal handler does, wherever the program is

        return encode

    writer = SpoolWriter(tmp_path, encoder)
    with pytest.raises(TimeoutError, match="time is up"):
        writer.append("a span")
    assert (writer.written, writer.lost) == (0, 1)
