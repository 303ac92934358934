"""Values are told by their type and by what lies in them: nothing that is looked at is run."""

import collections
import contextlib
import decimal
import enum
import fractions
import json
import pathlib
import threading
import types
import typing
import uuid
from dataclasses import dataclass, field
from unittest.mock import MagicMock

import numpy as np
import pydantic
import pytest

from otel_episodes import Redactor, current_step, episode, step
from otel_episodes._json_writer import exception_message
from otel_episodes._rendering import fair_json, one_line, text
from otel_episodes._rendering import json as render
from otel_episodes.testing import capture_episodes


def rendered(value, limit=1024):
    return json.loads(render(value, limit, Redactor()))


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (np.float64(0.93), 0.93),
        (np.float32(0.5), 0.5),
        (np.longdouble(1.5), 1.5),
        (np.int8(-7), -7),
        (np.uint64(7), 7),
        (np.bool_(True), True),
        (np.complex64(2j), "2j"),
        (np.str_("a"), "a"),
        (np.datetime64("2026-01-02"), "2026-01-02"),
        (np.float64("nan"), "nan"),
    ],
)
def test_numbers_of_numpy_are_told_as_the_numbers_they_are(number, shown):
    assert rendered([number, {"x": number}]) == [shown, {"x": shown}]


def test_arrays_are_told_by_shape_and_type():
    assert rendered({"a": np.zeros((3, 4)), "b": np.zeros(2, dtype="int8")}) == {
        "a": "<ndarray (3, 4) float64>",
        "b": "<ndarray (2,) int8>",
    }


class Asked(AssertionError):
    """Somebody's code was run."""


def refuse(*_arguments, **_keywords):
    raise Asked


class Stub:
    """A remote object: every attribute is a round trip."""

    __getattr__ = refuse
    __class__ = property(refuse)
    __repr__ = __str__ = __len__ = __iter__ = __bool__ = __eq__ = __hash__ = __dir__ = refuse


class Proxy:
    """It hides its own dict, as the local proxies of web frameworks do."""

    __slots__ = ("target",)
    __dict__ = property(refuse)
    __getattr__ = refuse


class Registry(type):
    __getattribute__ = refuse
    __eq__ = __hash__ = refuse


class Registered(metaclass=Registry):
    pass


class Word(str):  # noqa: SLOT000  # as people write them
    __str__ = __repr__ = __len__ = __getitem__ = __iter__ = encode = refuse


class Count(int):
    __str__ = __repr__ = __int__ = __index__ = __lt__ = __gt__ = refuse


class Share(float):
    __str__ = __repr__ = __float__ = __sub__ = refuse


class Items(list):
    __iter__ = __len__ = __getitem__ = refuse


class Table(dict):
    items = keys = __iter__ = __len__ = __getitem__ = refuse


class Pair(tuple):  # noqa: SLOT001  # likewise
    __iter__ = __len__ = refuse


class Folder(type(pathlib.Path())):
    __str__ = __fspath__ = refuse


@dataclass
class Lazy:
    name: str
    orders: list = field(default_factory=list)

    def __getattribute__(self, name):
        raise Asked(name)


@dataclass(slots=True)
class Slotted:
    x: int = 1


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    x: int
    key: str = pydantic.Field("k", repr=False)


class Unloaded(pydantic.BaseModel):
    x: int = 1


def unloaded():
    value = Unloaded()
    value.__dict__.clear()
    return value


class Row(typing.NamedTuple):
    user: str
    password: str


class Level(enum.Enum):
    HIGH = 3


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Stub(), "<Stub>"),
        (Proxy(), "<Proxy>"),
        (Registered, "<class Registered>"),
        (MagicMock(spec=str), "<MagicMock>"),
        (MagicMock(), "<MagicMock>"),
        (Word("ab"), "ab"),
        (Count(5), 5),
        (Share(0.5), 0.5),
        (Items([1, 2]), [1, 2]),
        (Table(a=1), {"a": 1}),
        (Pair((1, 2)), [1, 2]),
        (Folder("/x"), "/x"),
        (Lazy("Ann"), {"name": "Ann", "orders": []}),
        (Slotted(2), {"x": 2}),
        (Model(x=1, y=2), {"x": 1, "y": 2}),
        (unloaded(), "<Unloaded>"),
        (Row("ann", "hunter22"), {"user": "ann", "password": "[REDACTED]"}),
        (Level.HIGH, "HIGH"),
        (decimal.Decimal("1.50"), "1.50"),
        (fractions.Fraction(1, 3), "1/3"),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (range(10**12), "range(0, 1000000000000)"),
        (types.SimpleNamespace(a=1), {"a": 1}),
        (types.MappingProxyType({"a": 1}), {"a": 1}),
        (types.MappingProxyType(collections.UserDict(a=1)), "<mappingproxy>"),
        (collections.UserDict(a=1), {"a": 1}),
        (collections.ChainMap({"a": 1}, {"a": 2, "b": 3}), {"a": 1, "b": 3}),
        (collections.deque([1, 2]), [1, 2]),
        ({"a": 1}.keys(), ["a"]),
        ({None: 1, True: 2, Level.HIGH: 3, (1, 2): 4, 2.5: 5}, {"null": 1, "true": 2, "HIGH": 3, "tuple": 4, "2.5": 5}),
        (len, "<builtin_function_or_method len>"),
        (json, "<module json>"),
        (iter([1]), "<list_iterator>"),
        (threading.Lock(), "<lock>"),
        (4111111111111111, "[REDACTED]"),
        (1234567890123456, 1234567890123456),
    ],
    ids=lambda value: type(value).__name__,
)
def test_nothing_that_is_looked_at_is_run(value, shown):
    assert rendered(value) == shown
    assert rendered({"in": [value]}) == {"in": [shown]}


def test_a_leaf_that_cannot_be_read_is_named_and_the_rest_is_kept():
    released = memoryview(b"abc")
    released.release()
    assert rendered({"a": 1, "b": released, "c": [2, released]}) == {
        "a": 1,
        "b": "<memoryview>",
        "c": [2, "<memoryview>"],
    }


def test_a_set_that_changes_while_it_is_read_ends_where_it_changed():
    shared = {"a", "b"}

    class Adds(AssertionError):
        """Its message is asked for, and that adds to the set."""

        def __str__(self):
            shared.add("c")
            return "added"

    shared.add(Adds())
    value = rendered({"shared": shared, "after": 1})
    assert value["shared"][-1] in ("…", "b", "a", "Adds: added")
    assert value["after"] == 1


class Silent(Exception):
    __str__ = refuse


def test_messages_of_exceptions_do_not_run_what_is_in_them():
    assert exception_message(ValueError(Stub())) == "<Stub>"
    assert exception_message(KeyError("x")) == "'x'"
    assert exception_message(ValueError("a", Stub())) == '["a", "<Stub>"]'
    assert exception_message(OSError(2, "no such file", "/x")) == "[Errno 2] no such file: '/x'"
    assert exception_message(Silent()) == "<Silent whose str() raises>"
    assert type(exception_message(ValueError(Word("ab")))) is str


def test_only_plain_strings_come_out():
    for value in (Word("ab"), np.str_("ab"), Level.HIGH, Folder("/x"), Stub()):
        assert type(text(value, 64, Redactor())) is str
        assert type(one_line(value, 64, Redactor())) is str


def test_every_argument_has_its_share_of_the_room():
    short = json.loads(
        fair_json({"page": "x" * 5000, "flag": True, "rows": list(range(500)), "path": "/src/a.py"}, 256, None)[0]
    )
    assert short["flag"] is True
    assert short["path"] == "/src/a.py"
    assert 60 < len(short["page"]) < 130
    assert short["rows"][:20] == list(range(20))
    assert len(fair_json({f"name{i}": "x" * 90 for i in range(40)}, 256, None)[0]) <= 256


SECRET = "ghp_" + "a1B2" * 9


@pytest.mark.parametrize("before", [0, 1, 3, 7, 20])
def test_no_secret_comes_into_view_because_those_before_it_were_masked(before):
    for offset in range(230, 280, 7):
        long = " ".join([SECRET] * before) + " " + "x" * offset + " " + SECRET * 3 + " tail" * 400
        for shown in (
            text(long, 256, Redactor()),
            render({"a": long}, 256, Redactor()),
            one_line(long, 256, Redactor()),
        ):
            assert "ghp_" not in shown
            assert len(shown) <= 256


@step
def echo(value):
    return value


def test_a_step_is_judged_though_its_result_cannot_be_told():
    with capture_episodes() as recorded, episode("t"):
        step(success=lambda result: result is None)(lambda: Stub())()  # noqa: PLW0108  # a class would be decorated
        assert type(echo(Stub())) is Stub
        with step("evaluate") as s:
            s.observe(np.float64(0.93))
            s.fail("too low")
    judged, echoed, told = recorded.steps
    assert (judged.status, judged.attributes["episode.step.success"]) == ("ERROR", False)
    assert echoed.status == "UNSET"
    assert told.attributes["episode.step.observation"] == "0.93"
    assert told.message == "too low"


def test_deep_in_the_stack_a_step_is_still_recorded():
    depth = 0

    def descend():
        nonlocal depth
        depth += 1
        try:
            descend()
        except RecursionError:
            if depth > 0:
                depth = 0
                echo([[[[1]]]])

    with capture_episodes(strict=False) as recorded, episode("t"):
        descend()
        echo(1)
    assert recorded.steps[-1].attributes["episode.step.action"] == '{"value": 1}'
    assert current_step().recording is False


class Asking(type):
    """A metaclass whose classes cannot be put into a set or compared."""

    def __hash__(cls) -> int:
        raise RuntimeError("hash")

    def __eq__(cls, other: object) -> bool:
        raise RuntimeError("eq")


class Unhashed(metaclass=Asking):
    """Nothing but its class."""


@pytest.mark.parametrize("make", [Unhashed, lambda: Unhashed, lambda: [Unhashed()], lambda: {"a": Unhashed()}])
def test_a_class_that_can_be_neither_hashed_nor_compared_is_named(make: typing.Callable[[], object]) -> None:
    value = make()

    @step
    def f(x: object) -> object:
        return x

    with capture_episodes() as recorded, episode("t"):
        assert f(value) is value
        with step("g") as one:
            one.observe(value)
    assert all("Unhashed" in str(span.attributes["gen_ai.tool.call.result"]) for span in recorded.steps)


class Hidden(Exception):
    """An exception with notes that are code."""

    @property
    def __notes__(self) -> list[str]:
        raise RuntimeError("notes")


class Closed(Exception):
    """An exception that cannot be asked for anything."""

    def __getattribute__(self, name: str) -> object:
        raise RuntimeError(name)


@pytest.mark.parametrize("kind", [Hidden, Closed])
def test_an_exception_that_cannot_be_looked_at_is_still_a_failure(kind: type[Exception]) -> None:
    @step
    def f() -> None:
        raise kind("why")

    with capture_episodes() as recorded, episode("t"), contextlib.suppress(kind):
        f()
    assert [span.attributes["episode.step.success"] for span in recorded.steps] == [False]
