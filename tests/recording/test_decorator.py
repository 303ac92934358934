"""The decorator on every kind of callable."""

import asyncio
import copy
import functools
import inspect
import itertools
import pickle
import sys
from dataclasses import dataclass

import pytest

from otel_episodes import UsageError, current_step, episode, step
from otel_episodes.testing import capture_episodes


def the_step(recorded):
    (only,) = recorded.steps
    return only


@step(tool="grep", action="search {pattern} in {path}")
def grep(pattern: str, path: str = "src") -> list[str]:
    """Find lines."""
    return [f"{path}/a.py:1"]


class Shell:
    @step
    def run(self, command):
        return f"ran {command}"

    @step
    @classmethod
    def above_classmethod(cls, command):
        return cls.__name__ + command

    @classmethod
    @step
    def below_classmethod(cls, command):
        return cls.__name__ + command

    @step
    @staticmethod
    def above_staticmethod(command):
        return command

    @staticmethod
    @step
    def below_staticmethod(command):
        return command


@step
class Index:
    """A tool that is built."""

    def __init__(self, root):
        self.root = root


class SubIndex(Index):
    pass


@step
@dataclass
class Query:
    text: str


def test_a_function_becomes_a_span_with_every_field():
    with capture_episodes() as recorded, episode("look around", agent="coder", conversation_id="c-1") as ep:
        assert grep("TODO") == ["src/a.py:1"]
    span = the_step(recorded)
    assert span.name == "execute_tool grep"
    assert span.status == "UNSET"
    assert span.trace_id == ep.trace_id
    assert span.attributes == {
        "episode.span": "step",
        "episode.step.kind": "tool_use",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "grep",
        "episode.id": ep.id,
        "gen_ai.agent.name": "coder",
        "gen_ai.conversation.id": "c-1",
        "episode.step.index": 1,
        "episode.step.action": "search TODO in src",
        "episode.step.success": True,
        "gen_ai.tool.call.arguments": '{"pattern": "TODO", "path": "src"}',
        "gen_ai.tool.call.result": '["src/a.py:1"]',
    }


async def test_a_coroutine_function_is_covered_while_it_runs_not_while_it_waits_to():
    @step(tool="fetch", action="get {url}")
    async def fetch(url):
        await asyncio.sleep(0.02)
        return 200

    assert inspect.iscoroutinefunction(fetch)
    with capture_episodes() as recorded, episode("t"):
        pending = fetch("/a")
        assert pending.__qualname__.endswith("fetch")
        await asyncio.sleep(0.05)
        assert await pending == 200
    span = the_step(recorded)
    assert 20e6 < span.end_time - span.start_time < 50e6
    assert span.attributes["episode.step.observation"] == "200"


@pytest.mark.parametrize(
    ("call", "tool", "action"),
    [
        (lambda: Shell().run("ls"), "run", '{"command": "ls"}'),
        (lambda: Shell.run(Shell(), "ls"), "run", '{"command": "ls"}'),
        (lambda: Shell.above_classmethod("ls"), "above_classmethod", '{"command": "ls"}'),
        (lambda: Shell().above_classmethod("ls"), "above_classmethod", '{"command": "ls"}'),
        (lambda: Shell.below_classmethod("ls"), "below_classmethod", '{"command": "ls"}'),
        (lambda: Shell().above_staticmethod("ls"), "above_staticmethod", '{"command": "ls"}'),
        (lambda: Shell.above_staticmethod("ls"), "above_staticmethod", '{"command": "ls"}'),
        (lambda: Shell.below_staticmethod("ls"), "below_staticmethod", '{"command": "ls"}'),
    ],
)
def test_methods_of_all_kinds_are_recorded_without_self_or_cls(call, tool, action):
    with capture_episodes() as recorded, episode("t"):
        assert str(call()).endswith("ls")
    assert the_step(recorded).attributes["gen_ai.tool.name"] == tool
    assert the_step(recorded).attributes["episode.step.action"] == action


def test_a_class_stays_the_class_and_its_construction_is_a_step():
    assert isinstance(Index, type)
    assert issubclass(SubIndex, Index)
    with capture_episodes() as recorded, episode("t"):
        index = Index("src")
        query = Query("x")
        SubIndex("lib")
    assert isinstance(index, Index)
    assert index.root == "src"
    assert pickle.loads(pickle.dumps(query)) == Query("x")
    assert [(s.attributes["gen_ai.tool.name"], s.attributes["episode.step.action"]) for s in recorded.steps] == [
        ("Index", '{"root": "src"}'),
        ("Query", '{"text": "x"}'),
    ]


def test_callable_objects_partials_lambdas_and_builtins_are_recorded_by_name():
    class Tool:
        def __call__(self, n):
            return n + 1

    class AsyncTool:
        async def __call__(self, n):
            await asyncio.sleep(0)
            return n + 1

    with capture_episodes() as recorded, episode("t"):
        assert step(Tool())(1) == 2
        assert step(functools.partial(grep.__wrapped__, "TODO"))() == ["src/a.py:1"]
        assert step(len)("abc") == 3
        assert step(int)("7") == 7
        assert step(tool="lambda", action="add")(lambda n: n)(5) == 5
        assert asyncio.run(step(AsyncTool())(1)) == 2
    assert [s.attributes["gen_ai.tool.name"] for s in recorded.steps] == [
        "Tool", "grep", "len", "int", "lambda", "AsyncTool",
    ]  # fmt: skip


async def test_a_plain_function_that_returns_a_coroutine_is_a_step_until_that_has_run():
    @step
    def later():
        async def work():
            await asyncio.sleep(0.01)
            return current_step().recording

        return work()

    with capture_episodes() as recorded, episode("t"):
        pending = later()
        assert not current_step().recording
        assert await pending
    assert the_step(recorded).end_time - the_step(recorded).start_time > 10e6


def test_name_signature_doc_and_wrapped_are_kept():
    assert grep.__name__ == "grep"
    assert grep.__qualname__ == "grep"
    assert grep.__doc__ == "Find lines."
    assert grep.__module__ == __name__
    assert str(inspect.signature(grep)) == "(pattern: str, path: str = 'src') -> list[str]"
    assert grep.__wrapped__("a") == ["src/a.py:1"]
    assert inspect.isfunction(grep)


def test_decorated_functions_and_methods_pickle_and_copy_as_functions_do():
    assert pickle.loads(pickle.dumps(grep)) is grep
    assert copy.copy(grep) is grep
    assert copy.deepcopy({"tool": grep})["tool"] is grep
    assert pickle.loads(pickle.dumps(Shell.above_classmethod))("ls") == "Shellls"


def test_recursion_costs_two_frames_a_call():
    depths = []

    @step
    def descend(n):
        depths.append(len(inspect.stack(0)))
        return 0 if n == 0 else descend(n - 1)

    with capture_episodes() as recorded, episode("t"):
        descend(50)
    assert {after - before for before, after in itertools.pairwise(depths)} <= {1, 2}
    assert len(recorded.steps) == 51
    assert sorted(s.attributes["episode.step.index"] for s in recorded.steps) == list(range(1, 52))


def test_an_exception_passes_through_as_the_same_object_and_fails_the_step():
    error = ValueError("no such file:\n  /tmp/x")

    @step
    def read(path):
        raise error

    with capture_episodes() as recorded, episode("t") as ep:
        with pytest.raises(ValueError, match="no such file") as caught:
            read("/tmp/x")
        ep.succeed()
    assert caught.value is error
    span = the_step(recorded)
    assert span.status == "ERROR"
    assert span.message == "ValueError: no such file: /tmp/x"
    assert span.attributes["error.type"] == "ValueError"
    assert span.attributes["episode.step.success"] is False
    assert span.attributes["episode.step.observation"] == "ValueError: no such file: /tmp/x"


class BadString(Exception):
    def __str__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "error_type", "success"),
    [
        (KeyboardInterrupt(), "KeyboardInterrupt", False),
        (SystemExit(3), "SystemExit", False),
        (SystemExit(0), None, True),
        (SystemExit(), None, True),
        (asyncio.CancelledError(), "asyncio.exceptions.CancelledError", False),
        (BadString(), f"{__name__}.BadString", False),
    ],
)
def test_base_exceptions_end_the_span_with_the_right_status(error, error_type, success):
    @step
    def work():
        raise error

    with capture_episodes() as recorded, episode("t") as ep:
        with pytest.raises(BaseException) as caught:  # noqa: PT011
            work()
        ep.succeed()
    assert caught.value is error
    span = the_step(recorded)
    assert span.attributes["episode.step.success"] is success
    assert span.attributes.get("error.type") == error_type
    assert span.status == ("UNSET" if success else "ERROR")


async def test_a_cancelled_task_is_no_success():
    @step
    async def wait():
        await asyncio.sleep(60)

    with capture_episodes() as recorded, episode("t") as ep:
        task = asyncio.create_task(wait())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        ep.succeed()
    span = the_step(recorded)
    assert span.status == "ERROR"
    assert span.attributes["error.type"] == "asyncio.exceptions.CancelledError"


@dataclass
class ToolResult:
    content: str
    isError: bool  # noqa: N815  # as the Model Context Protocol spells it


@pytest.mark.parametrize("result", [ToolResult("boom", isError=True), {"isError": True}, {"is_error": True}])
def test_a_result_that_says_it_is_an_error_is_no_success(result):
    with capture_episodes() as recorded, episode("t"):
        assert step(lambda: result)() is result
    assert the_step(recorded).status == "ERROR"
    assert the_step(recorded).attributes["error.type"] == "tool_error"


def test_a_predicate_judges_the_result_and_its_own_error_does_not_reach_the_caller(caplog):
    with capture_episodes(strict=False) as recorded, episode("t"):
        assert step(success=lambda code: code == 0)(lambda: 1)() == 1
        assert step(success=lambda code: code == 0)(lambda: 0)() == 0
        assert step(success=lambda code: 1 / code)(lambda: 0)() == 0
    assert [s.attributes.get("episode.step.success") for s in recorded.steps] == [False, True, "unknown"]
    assert "while judging a step" in caplog.text


def test_a_failure_set_by_hand_is_kept():
    @step
    def test_suite():
        current_step().fail("2 of 40 failed", error_type="assertion")
        return "done"

    with capture_episodes() as recorded, episode("t"):
        test_suite()
    span = the_step(recorded)
    assert (span.status, span.message, span.attributes["error.type"]) == ("ERROR", "2 of 40 failed", "assertion")
    assert span.attributes["episode.step.observation"] == "done"


def test_arguments_are_recorded_as_they_were_at_the_call():
    @step
    def consume(items):
        items.clear()

    with capture_episodes() as recorded, episode("t"):
        consume([1, 2])
    assert the_step(recorded).attributes["episode.step.action"] == '{"items": [1, 2]}'


def test_a_decorated_function_is_not_mistaken_for_the_bare_one():
    @functools.lru_cache
    def made_of(function):
        return object()

    def bare():
        pass

    decorated = step(bare)
    assert decorated == decorated  # noqa: PLR0124  # the point
    assert decorated != bare
    assert made_of(bare) is not made_of(decorated)
    shell = Shell()
    assert shell.run == shell.run


def test_wrong_use_raises_at_once_and_says_the_fix():
    with pytest.raises(UsageError, match=r"names \{nmae\}, but the arguments are: name"):

        @step(action="greet {nmae}")
        def greet(name):
            return name

    with pytest.raises(UsageError, match="use one of tool_use, decision_point, error_handling, milestone"):
        step("x", kind="thought")
    with pytest.raises(UsageError, match="at most 128 characters"):
        step("x" * 200)
    with pytest.raises(UsageError, match="decorates a callable"):
        step("x")(3)  # type: ignore[type-var]
    with pytest.raises(UsageError, match="write a literal brace as"):
        step(action="{")(len)


def test_without_a_provider_the_function_just_runs():
    assert grep("x") == ["src/a.py:1"]
    assert list(step(lambda: iter([1]))()) == [1]
    with step("cargo") as s:
        s.observe("nothing")
        s.tokens(input=1)
        assert not s.recording


def test_the_same_step_is_not_entered_twice():
    with capture_episodes(), episode("t"):
        s = step("cargo")
        with s:
            pass
        with pytest.raises(UsageError, match="entered once"), s:
            pass


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups")
async def test_a_task_group_keeps_its_steps_in_the_episode():
    @step
    async def work(n):
        await asyncio.sleep(0)
        return n

    with capture_episodes() as recorded, episode("t") as ep:
        async with asyncio.TaskGroup() as group:
            for n in range(20):
                group.create_task(work(n))
    assert {s.attributes["episode.id"] for s in recorded.steps} == {ep.id}
    assert sorted(s.attributes["episode.step.index"] for s in recorded.steps) == list(range(1, 21))
