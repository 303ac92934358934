"""What is decorated stays what it is; what cannot be recorded where the decorator stands is refused."""

import contextlib
import copy
import datetime as dt
import decimal
import enum
import functools
import inspect
import pickle
import types
import typing

import pytest

from otel_episodes import UsageError, episode, step
from otel_episodes.testing import capture_episodes


@step
class Query(typing.NamedTuple):
    text: str
    limit: int = 5


@step
class Slug(str):  # noqa: SLOT000  # as people write them
    pass


@step
class Price(decimal.Decimal):
    pass


@step
class Day(dt.date):
    pass


@step
class Single:
    _one = None

    def __new__(cls, name):
        cls._one = cls._one or super().__new__(cls)
        cls._one.name = name
        return cls._one


class Special(Single):
    pass


@step
class Empty:
    pass


@step
class Colour(enum.Enum):
    RED = 1


@step
class Failed(Exception):
    pass


MADE = [
    (lambda: Query("x"), ("x", 5)),
    (lambda: Query(text="x", limit=1), ("x", 1)),
    (lambda: Slug("abc"), "abc"),
    (lambda: Price("1.5"), decimal.Decimal("1.5")),
    (lambda: Day(2026, 1, 2), dt.date(2026, 1, 2)),
]


@pytest.mark.parametrize(("make", "equal"), MADE)
def test_a_class_without_an_init_of_its_own_is_made_as_before(make, equal):
    assert make() == equal
    with capture_episodes() as recorded, episode("t"):
        assert make() == equal
    assert len(recorded.steps) == 1


def test_such_a_class_stays_the_class():
    assert Query._fields == ("text", "limit")
    assert list(inspect.signature(Query).parameters) == ["text", "limit"]
    assert typing.get_type_hints(Query) == {"text": str, "limit": int}
    with capture_episodes() as recorded, episode("t"):
        one = Query("x")
        assert isinstance(one, Query)
        assert one._replace(limit=1) == ("x", 1)
        assert pickle.loads(pickle.dumps(one)) == copy.copy(one) == one
        assert Single("a") is Single("b")
        assert Special("c").name == "c"
        assert isinstance(Empty(), Empty)
        assert Colour(1) is Colour.RED
        assert str(Failed("gone")) == "gone"
        with pytest.raises(decimal.InvalidOperation):
            Price("x")
        with pytest.raises(TypeError):
            Empty(1)
    failed = [span.attributes["gen_ai.tool.name"] for span in recorded.steps if span.status == "ERROR"]
    assert "Price" in failed
    assert "Special" not in {span.attributes["gen_ai.tool.name"] for span in recorded.steps}


@step
def leaf(name):
    return name


def test_above_a_context_manager_the_step_is_the_block():
    closed = []

    @step
    @contextlib.contextmanager
    def browser(url):
        """Open it."""
        try:
            yield url
        finally:
            closed.append(url)

    @step
    @contextlib.contextmanager
    def forgiving():
        with contextlib.suppress(KeyError):
            yield

    with capture_episodes() as recorded, episode("t"):
        with browser("/a") as opened:
            assert opened == "/a"
            leaf("in it")
        with pytest.raises(KeyError), browser("/b"):
            raise KeyError("gone")
        with forgiving():
            raise KeyError("forgiven")

        @browser("/c")
        def twice():
            leaf("decorated")

        twice()
        twice()
        with pytest.raises(TypeError):
            browser()
        leaf("after")
    by = {}
    for span in recorded.steps:
        by.setdefault(span.attributes.get("gen_ai.tool.call.arguments", span.name), []).append(span)
    (inside,), (block,) = by['{"name": "in it"}'], by['{"url": "/a"}']
    assert inside.parent_id == block.span_id
    assert block.end_time > inside.end_time
    assert by['{"url": "/b"}'][0].status == "ERROR"
    assert by["execute_tool forgiving"][0].status == "UNSET"
    assert [span.parent_id for span in by['{"name": "decorated"}']] == [span.span_id for span in by['{"url": "/c"}']]
    assert by['{"name": "after"}'][0].parent_id == recorded.episodes[0].span_id
    assert closed == ["/a", "/b", "/c", "/c"]
    assert browser.__doc__ == "Open it."


async def test_above_an_async_context_manager_too():
    @step
    @contextlib.asynccontextmanager
    async def session():
        yield 1

    with capture_episodes() as recorded, episode("t"), pytest.raises(KeyError):
        async with session():
            leaf("in it")
            raise KeyError("gone")
    inside, block = recorded.steps
    assert inside.parent_id == block.span_id
    assert block.status == "ERROR"


def made_by(package, name, **methods):
    """Make an object as a framework's decorator leaves in a function's place."""
    return types.new_class(name, (), {}, lambda space: space.update(__module__=f"{package}.tools", **methods))()


@pytest.mark.parametrize(
    "placed",
    [
        property(lambda self: 1),
        functools.cached_property(lambda self: 1),
        functools.partialmethod(lambda self: 1),
        made_by("langchain_core", "StructuredTool"),
        made_by("agents", "FunctionTool"),
        made_by("click", "Command", __call__=lambda self: 1),
        made_by("somebodys", "Job", __call__=lambda self: 1, apply_async=lambda self: 1),
    ],
    ids=lambda placed: type(placed).__name__,
)
@pytest.mark.parametrize("decorator", [step, episode, step(tool="x")])
def test_above_what_another_decorator_made_it_is_refused_with_the_fix(placed, decorator):
    with pytest.raises(UsageError, match="put @(step|episode) below that decorator"):
        decorator(placed)


def test_a_function_that_was_registered_elsewhere_is_refused():
    def job():
        pass

    job.delay = job
    with pytest.raises(UsageError, match="put @step below"):
        step(job)


def test_callable_objects_are_recorded_by_their_name():
    class Weather:
        name = "weather"

        def __call__(self, city):
            return city

    with capture_episodes() as recorded, episode("t"):
        step(Weather())("Bern")
    assert recorded.steps[0].attributes["gen_ai.tool.name"] == "weather"


def test_a_task_of_celery_is_recorded_in_what_it_runs():
    space = {"__module__": "celery.app.task", "run": staticmethod(leaf.__wrapped__)}
    space["__call__"] = lambda self, *args: self.run(*args)
    task = types.new_class("Task", (), {}, lambda namespace: namespace.update(space))()
    assert step(task) is task
    with capture_episodes() as recorded, episode("t"):
        assert [task.run("sent"), task("called")] == ["sent", "called"]
    assert len(recorded.steps) == 2
