"""What a call is recorded to have been asked: the right names, and nothing that binding and frameworks put in."""

import functools
import json
import types
import typing
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_episodes import Redactor, UsageError, episode, step
from otel_episodes._arguments import Arguments
from otel_episodes._rendering import fair_json, text
from otel_episodes.testing import capture_episodes

# ruff: noqa: N804, N805  # what a method is called on has other names than self and cls here


def asked(function, *args, instance=None, include=None, exclude=(), **kwargs):
    """Return what is recorded of a call, as the wrapper makes it."""
    return Arguments(function, None, include=include, exclude=exclude).named(instance, args, kwargs)


class Repository:
    @step
    def clone(this, url, password):
        return None

    @step
    @classmethod
    def open(klass, path, token=""):
        return None

    @classmethod
    @step
    def find(klass, path):
        return None

    @staticmethod
    @step
    def merge(first, second):
        return None

    @step(action="checkout {branch}")
    def checkout(_self, branch):
        return None


@step
def classify(cls, text):
    return None


def actions(recorded):
    return [span.attributes["episode.step.action"] for span in recorded.steps]


def test_what_a_method_is_called_on_is_told_by_binding():
    repository = Repository()
    with capture_episodes() as recorded, episode("t"):
        repository.clone("git@host", "hunter22")
        Repository.clone(repository, "git@host", "hunter22")
        Repository.open("/x")
        repository.find("/x")
        Repository.merge("a", "b")
        repository.checkout("main")
        classify("A", "B")
    assert actions(recorded) == [
        '{"url": "git@host", "password": "[REDACTED]"}',
        '{"url": "git@host", "password": "[REDACTED]"}',
        '{"path": "/x", "token": ""}',
        '{"path": "/x"}',
        '{"first": "a", "second": "b"}',
        "checkout main",
        '{"cls": "A", "text": "B"}',
    ]


def test_a_receiver_that_another_decorator_hands_on_is_left_out():
    clone, merge = Repository.__dict__["clone"].__wrapped__, Repository.__dict__["merge"].__func__.__wrapped__
    assert asked(clone, Repository(), "u", "p") == {"url": "u", "password": "p"}
    assert asked(Repository.__dict__["find"].__func__.__wrapped__, Repository, "/x") == {"path": "/x"}
    assert asked(merge, Repository(), 2).keys() == {"first", "second"}


def test_defaults_that_apply_are_told_in_the_order_of_the_signature():
    def search(query, /, limit=5, *, exact=False, hook=types):
        return query, limit, exact, hook

    assert asked(search, "x") == {"query": "x", "limit": 5, "exact": False}
    assert list(asked(search, "x", exact=True).items()) == [("query", "x"), ("limit", 5), ("exact", True)]
    assert asked(search, "x", 7, exact=True, hook=1) == {"query": "x", "limit": 7, "exact": True, "hook": 1}


def test_names_that_cannot_be_known_are_not_guessed():
    def with_connection(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            return function("CONNECTION", *args, **kwargs)

        return wrapper

    @with_connection
    def login(connection, user, password="", *, realm=""):
        return connection, user, password, realm

    @with_connection
    def read(connection, path):
        return connection, path

    with capture_episodes() as recorded, episode("t"):
        step(login)("bob", "hunter22")
        step(login)(user="bob", realm="x")
        step(read)("/x")
    assert actions(recorded) == [
        '{"*": ["[REDACTED]", "[REDACTED]"]}',
        '{"user": "bob", "password": "", "realm": "x"}',
        '{"*": ["/x"]}',
    ]


def test_decorators_that_pass_on_what_they_get_keep_the_names():
    @functools.cache
    def cached(path, depth=1):
        return path, depth

    assert asked(cached, "/x") == {"path": "/x", "depth": 1}
    assert asked(step(cached), "/x") == {"path": "/x", "depth": 1}


def test_arguments_beyond_the_names_are_masked_if_their_name_is_a_secret():
    with capture_episodes() as recorded, episode("t"):
        step(lambda user, *password: None)("bob", "hunter22", "hunter23")
        step(lambda user, *paths: None)("bob", "/x")
    assert actions(recorded) == ['{"user": "bob", "*": ["[REDACTED]", "[REDACTED]"]}', '{"user": "bob", "*": ["/x"]}']


def framework_class(package, name, **fields):
    """Make an object as a framework has it, without the framework."""
    kind = types.new_class(name, (), {}, lambda namespace: namespace.update(__module__=f"{package}.inner"))
    made = types.new_class("Special", (kind,))()
    vars(made).update(fields)
    return made


@pytest.mark.parametrize(
    "context",
    [
        framework_class("pydantic_ai", "RunContext"),
        framework_class("agents", "RunContextWrapper"),
        framework_class("langgraph", "Runtime"),
        framework_class("fastmcp", "Context"),
        framework_class("starlette", "HTTPConnection"),
        framework_class("django", "HttpRequest"),
        framework_class("celery", "Task"),
        framework_class("langchain_core", "BaseRunManager"),
    ],
)
def test_what_a_framework_injects_is_known_by_its_class(context):
    assert asked(lambda anything, city: city, context, "Bern") == {"city": "Bern"}
    assert asked(lambda city, anything=None: city, "Bern", context) == {"city": "Bern"}


def test_what_a_framework_injects_is_known_by_how_the_function_asks_for_it():
    class Depends:
        pass

    class InjectedState:
        pass

    def tool(
        city: str,
        config: "RunnableConfig",  # noqa: F821
        state: typing.Annotated[dict, InjectedState()],
        session: object = Depends(),
    ):
        return city, config, state, session

    assert asked(tool, "Bern", {}, {"messages": []}, object()) == {"city": "Bern"}
    assert asked(lambda config: config, {"callbacks": None, "tags": []}) == {}
    assert asked(lambda config: config, {"path": "x"}) == {"config": {"path": "x"}}


def test_a_context_by_name_is_an_object_of_somebodys_class():
    @dataclass
    class Dependencies:
        cache: dict

    assert asked(lambda ctx, city: city, Dependencies({}), "Bern") == {"city": "Bern"}
    assert asked(lambda context, city: city, "as text", "Bern") == {"context": "as text", "city": "Bern"}


def test_a_context_leaves_the_room_to_what_was_asked():
    @step
    def look_up(ctx, article):
        return article

    with capture_episodes() as recorded, episode("t"):
        look_up(framework_class("pydantic_ai", "RunContext", deps={str(i): i for i in range(500)}), "shoes")
    assert actions(recorded) == ['{"article": "shoes"}']


def test_arguments_are_chosen_by_name():
    def login(user, password, verbose=False):
        return user, password, verbose

    assert asked(login, "bob", "x", exclude=("password",)) == {"user": "bob", "verbose": False}
    assert asked(login, "bob", "x", include=["user"]) == {"user": "bob"}
    with pytest.raises(UsageError, match="exclude names pasword, but the arguments are: password, user, verbose"):
        Arguments(login, None, exclude=("pasword",))
    with pytest.raises(UsageError, match="must be a list of the names of arguments"):
        Arguments(login, None, include="user")


class Service:
    @property
    def name(self):
        raise LookupError


def test_a_template_asks_for_what_it_names_and_for_no_more():
    with capture_episodes() as recorded, episode("t"):
        step(action="ask {service.name} as {user[name]} with {user[password]}")(lambda service, user: None)(
            Service(), {"name": "ann", "password": "hunter22"}
        )
    assert actions(recorded) == ["ask … as ann with [REDACTED]"]


PLAIN = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=40)
    | st.sampled_from(["password=abc1234567", "a b", "{x} %s"])
)


@given(st.lists(PLAIN, min_size=3, max_size=3), st.integers(256, 400))
def test_the_short_way_to_tell_a_call_gives_what_the_long_one_does(values, limit):
    def tool(first, second, third):
        return first, second, third

    redactor = Redactor()
    told, action, key, _ = Arguments(tool, "{third} {first}").call(None, tuple(values), {}, redactor, limit)
    by_name = dict(zip(("first", "second", "third"), values, strict=True))
    assert told == key == fair_json(by_name, limit, redactor)[0]
    assert json.loads(told)
    assert action == text(f"{text(values[2], 256, None)} {text(values[0], 256, None)}", 256, redactor)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("x" * 3000 + "a", "x" * 3000 + "b", False),
        ("x" * 3000, "x" * 3000, True),
        (list(range(5000)), list(range(5001)), False),
        ([*range(300), {"a": 1}], [*range(300), {"a": 2}], False),
        ({"a": "x" * 999, "b": {1, 2}}, {"a": "x" * 999, "b": {2, 1}}, True),
        ({str(i): i for i in range(99)}, {str(i): i for i in range(99)}, True),
    ],
)
def test_calls_are_told_apart_by_the_whole_of_their_arguments(one, other, is_same):
    calls = [Arguments(lambda value: value, None).call(None, (value,), {}, None, 256) for value in (one, other)]
    assert (calls[0][2] == calls[1][2]) is is_same
    assert len(calls[0][0]) <= 256


def test_a_context_tells_the_id_of_the_call():
    context = framework_class("pydantic_ai", "RunContext", tool_call_id="call_7")
    told = Arguments(lambda ctx, city: city, "weather in {city}").call(None, (context, "Bern"), {}, None, 256)
    assert told == ('{"city": "Bern"}', "weather in Bern", '{"city": "Bern"}', "call_7")
