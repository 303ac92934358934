"""Processes: an episode belongs to the one that opened it; decorated functions are recorded where they are sent."""

import copy
import functools
import inspect
import os
import pickle
import subprocess
import sys

import cloudpickle
import pytest

from otel_episodes import episode, step
from otel_episodes.testing import capture_episodes


def in_a_forked_child(recorded, run):
    """Run in a forked child; return the spans it recorded: name, span id, index."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            recorded.exporter.clear()
            run()
            known = [(s.name, s.span_id, s.attributes.get("episode.step.index")) for s in recorded.spans]
            os.write(write, pickle.dumps(known))
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as told:
        known = pickle.loads(told.read())
    os.waitpid(child, 0)
    return known


def test_a_child_forked_inside_an_episode_adds_steps_and_leaves_its_end_to_the_parent():
    with capture_episodes() as recorded:
        with episode("deploy") as ep:
            ep.succeed("deployed")

            def child():
                with step("in the child"):
                    pass
                ep.fail("not mine to say")
                ep.end()

            known = in_a_forked_child(recorded, child)
        assert [(name, index) for name, _, index in known] == [("execute_tool in the child", None)]
    (root,) = recorded.episodes
    assert (root.attributes["episode.outcome"], root.attributes["episode.verdict"]) == ("success", "deployed")


def test_what_was_running_at_the_fork_ends_in_the_parent_alone():
    @step
    def numbers():
        yield 1
        yield 2

    with capture_episodes() as recorded:
        with episode("t"), step("outer") as outer:
            generator = numbers()
            next(generator)

            def child():
                generator.close()
                outer._close(OSError("the child's own"))
                with step("after"):
                    pass

            known = in_a_forked_child(recorded, child)
            list(generator)
    assert [name for name, _, _ in known] == ["execute_tool after"]
    assert [(s.name, s.status) for s in recorded.steps] == [
        ("execute_tool numbers", "UNSET"),
        ("execute_tool outer", "UNSET"),
    ]
    assert known[0][1] not in {s.span_id for s in recorded.spans}


def test_the_exit_of_a_forked_child_fails_nothing():
    code = """
import os, sys
from otel_episodes import episode
from otel_episodes.testing import capture_episodes
with capture_episodes() as recorded:
    with episode("t"):
        child = os.fork()
        if child == 0:
            sys.exit(1)
        os.waitpid(child, 0)
print([e.attributes["episode.outcome"] for e in recorded.episodes])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['success']\n"


def make():
    @step(tool="add", action="add {x}", success=lambda total: total < 10)
    def add(x, y=1):
        return x + y

    return add


class Adder:
    def __call__(self, x):
        return x + 1

    @step
    def method(self, x):
        return x + 2


@step
def by_name(x):
    return x


def recorded_call(function, *arguments):
    with capture_episodes() as recorded, episode("t"):
        assert isinstance(function(*arguments), int)
    (span,) = recorded.steps
    return span.attributes


def test_a_function_sent_by_value_is_recorded_where_it_arrives():
    sent = pickle.loads(cloudpickle.dumps(make()))
    there, here = (dict(recorded_call(function, 4)) for function in (sent, make()))
    assert there.pop("episode.id") != here.pop("episode.id")
    assert there == here
    assert recorded_call(sent, 40)["episode.step.success"] is False
    assert inspect.isfunction(sent)


def test_a_script_sends_its_own_functions_to_a_worker():
    script = """
import sys, cloudpickle
from otel_episodes import episode, step
@step
def add(x): return x + 1
@episode("Add {x}")
def run(x): return add(x)
class Worker:
    @step
    def work(self, x): return run(x)
sys.stdout.buffer.write(cloudpickle.dumps(Worker().work))
"""
    worker = """
import sys, pickle
from otel_episodes.testing import capture_episodes
work = pickle.loads(sys.stdin.buffer.read())
with capture_episodes() as recorded:
    assert work(3) == 4
print(sorted(s.name for s in recorded.steps), [e.attributes["episode.task"] for e in recorded.episodes])
"""
    sent = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout
    done = subprocess.run([sys.executable, "-c", worker], input=sent, capture_output=True, check=True)
    assert done.stdout.decode() == "['execute_tool add', 'execute_tool work'] ['Add 3', '{\"x\": 3}']\n"


@pytest.mark.parametrize("pickler", [pickle, cloudpickle])
@pytest.mark.parametrize("function", [by_name, step(functools.partial(pow, 2)), step(Adder()), Adder().method])
def test_whatever_can_be_pickled_can_be_pickled_decorated(function, pickler):
    sent = pickle.loads(pickler.dumps(function))
    assert recorded_call(sent, 3)["episode.step.success"] is True


def test_a_function_pickled_by_name_is_the_same_object():
    assert pickle.loads(pickle.dumps(by_name)) is by_name
    assert pickle.loads(cloudpickle.dumps(by_name)) is by_name
    assert copy.copy(by_name) is by_name
    assert isinstance(by_name, type(lambda: 0))
