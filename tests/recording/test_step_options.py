"""What is said of one step: which arguments are kept, what of the result, under which name, by which numbers."""

import decimal
import enum
import fractions
import json
import pathlib
import uuid

import numpy as np
import pytest

from otel_episodes import UsageError, current_step, episode, step
from otel_episodes.testing import capture_episodes


class Tool(enum.StrEnum):
    GREP = "grep"


def told(span):
    attributes = dict(span.attributes)
    return attributes.get("gen_ai.tool.call.arguments"), attributes.get("gen_ai.tool.call.result")


def test_arguments_and_results_are_chosen():
    @step(exclude=("password",))
    def login(user, password):
        return {"user": user, "session": "s"}

    @step(include=("url",), result=lambda response: response["status"])
    def fetch(url, headers):
        return {"status": 200, "body": "…"}

    with capture_episodes() as recorded, episode("t"):
        login("bob", "x")
        fetch("/a", {"a": "b"})
    assert [told(span) for span in recorded.steps] == [
        ('{"user": "bob"}', '{"user": "bob", "session": "s"}'),
        ('{"url": "/a"}', "200"),
    ]


def test_one_step_captures_more_or_less_than_the_others():
    @step(capture="none")
    def secret(plan):
        raise ValueError(plan)

    @step(capture="full")
    def page(text):
        return text

    with capture_episodes() as recorded, episode("t"):
        with pytest.raises(ValueError, match="plan"):
            secret("the plan")
        page("x" * 5000)
    hidden, whole = recorded.steps
    assert told(hidden) == (None, None)
    assert (hidden.status, hidden.message) == ("ERROR", "")
    assert len(whole.attributes["gen_ai.tool.call.result"]) == 5000
    with pytest.raises(UsageError, match="capture='some' is not known"):
        step("x", capture="some")


def test_a_step_is_named_by_keyword_and_renamed_while_it_runs():
    @step(name=Tool.GREP)
    def search():
        current_step().set_action("look for it")

    with capture_episodes() as recorded, episode(task="by keyword") as ep:
        search()
        with step("shell") as s:
            s.rename("cargo")
            s.set_action("build")
        with ep.step(name="by name", action="a") as s:
            s.set_action("b")
    assert [span.name for span in recorded.steps] == ["execute_tool grep", "execute_tool cargo", "execute_tool by name"]
    assert [span.attributes["gen_ai.tool.name"] for span in recorded.steps] == ["grep", "cargo", "by name"]
    assert [told(span)[0] for span in recorded.steps] == [
        '{"action": "look for it"}',
        '{"action": "build"}',
        '{"action": "b"}',
    ]
    assert recorded.episodes[0].attributes["episode.task"] == "by keyword"
    for span in recorded.spans:
        for value in span.attributes.values():
            assert type(value) in (str, int, float, bool, tuple)


@pytest.mark.parametrize(
    ("number", "score"),
    [(np.float32(0.5), 0.5), (np.int64(1), 1.0), (decimal.Decimal("0.25"), 0.25), (fractions.Fraction(1, 4), 0.25)],
)
def test_numbers_of_any_type_are_numbers(number, score):
    with capture_episodes() as recorded, episode("t") as ep:
        ep.reward(number)
        ep.log_step(tool="x", latency_ms=number, input_tokens=np.int32(3), output_tokens=np.uint8(1))
        with step("y", attributes={"n": number}) as s:
            s.tokens(input=np.int64(7))
            s.set_attribute("score", number)
    assert recorded.episodes[0].attributes["episode.reward"] == score
    logged, counted = recorded.steps
    assert logged.end_time - logged.start_time == score * 1_000_000
    assert logged.attributes["episode.step.tokens.input"] == 3
    assert counted.attributes["episode.step.tokens.input"] == 7
    assert counted.attributes["score"] == counted.attributes["n"] == score


def test_paths_ids_and_enums_are_texts():
    conversation = uuid.UUID(int=7)
    with capture_episodes() as recorded, episode("t", conversation_id=conversation, id=5, domain=Tool.GREP) as ep:
        ep.succeed(artifacts=[pathlib.PurePosixPath("a/b.py"), "c.py"])
    attributes = recorded.episodes[0].attributes
    assert attributes["gen_ai.conversation.id"] == str(conversation)
    assert attributes["episode.id"] == "5"
    assert attributes["episode.artifacts"] == ("a/b.py", "c.py")
    assert type(attributes["episode.domain"]) is str


def test_a_failure_is_told_by_an_exception_or_its_class():
    with capture_episodes() as recorded, episode("t") as ep:
        with step("a") as s:
            s.fail(KeyError("x"))
        with step("b") as s:
            s.fail("too slow", error_type=TimeoutError)
        with step("c") as s:
            s.fail(np.float64(0.1), error_type="low")
        ep.log_step(tool="d", success=False, observation="gone", error_type=LookupError)
    assert [(span.message, span.attributes["error.type"]) for span in recorded.steps] == [
        ("KeyError: 'x'", "KeyError"),
        ("too slow", "TimeoutError"),
        ("0.1", "low"),
        ("gone", "LookupError"),
    ]


def test_an_action_that_is_an_object_is_the_arguments_of_the_call():
    call = {"order": "W-1", "password": "hunter2-and-more", "note": "x" * 400, "qty": 2}
    with capture_episodes() as recorded, episode("t") as ep:
        ep.log_step(tool="buy", action=json.dumps(call))
        ep.log_step(tool="buy", action=call)
        ep.log_step(tool="buy", action="{order} not JSON}")
    first, second, text = (json.loads(span.attributes["gen_ai.tool.call.arguments"]) for span in recorded.steps)
    assert first == second
    assert (first["order"], first["password"], first["qty"]) == ("W-1", "[REDACTED]", 2)
    assert first["note"].endswith("…")
    assert text == {"action": "{order} not JSON}"}


async def judge(result):
    return result


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: step("x", success=True), "success=True must be a function of the result"),
        (lambda: step("x", success=judge), "success= is called when the step ends and cannot be waited for"),
        (lambda: step("x", result="status"), "must be a function of the result"),
        (lambda: step(5), "decorates a callable, not int"),
        (lambda: step(name=["x"]), "a name is a string, not list"),
        (lambda: step("x", attributes=[1]), "must be a mapping of names to values"),
        (lambda: step("x", action=["ls"]), "must be a text, not list"),
        (lambda: step(include="user")(judge), "must be a list of the names of arguments"),
        (lambda: episode({"task": 1}), "decorates a callable, not dict"),
        (lambda: episode("t", tags=5), "tags=5 must be a list of strings"),
        (lambda: episode("t", conversation_id=[1]), "must be a text, not list"),
        (lambda: episode("t", attributes="x"), "must be a mapping"),
        (lambda: episode("t").partial(None, 1), "must be a list of strings"),
        (lambda: episode("t").decide("?", confidence="high"), "must be a probability"),
        (lambda: episode("t").abstain(at_step="3"), "must be a whole number"),
        (lambda: episode("t").step("x", tol=1), "step has no tol: use name, tool, kind"),
    ],
)
def test_wrong_use_is_refused_at_once_with_the_fix(wrong, message):
    with pytest.raises(UsageError, match=message.replace("(", r"\(").replace("?", r"\?")):
        wrong()


async def test_what_a_generator_yields_is_reduced_to_one_result_and_judged_by_it():
    @step(reduce="".join, success=lambda text: "error" not in text)
    def write(*words):
        yield from words

    @step(reduce=len)
    async def count():
        for n in range(3):
            yield n

    with capture_episodes() as recorded, episode("t"):
        assert list(write("two ", "words")) == ["two ", "words"]
        assert list(write("err", "or")) == ["err", "or"]
        assert [n async for n in count()] == [0, 1, 2]
        for _ in write("left", "early"):
            break
    assert [(told(span)[1], span.attributes["episode.step.success"]) for span in recorded.steps] == [
        ("two words", True), ("error", False), ("3", True), ("left", True),
    ]  # fmt: skip


def test_a_reduction_that_fails_leaves_the_count_and_the_run_alone(caplog):
    @step(reduce=lambda items: items.absent)
    def numbers():
        yield 1

    with capture_episodes(strict=False) as recorded, episode("t"):
        assert list(numbers()) == [1]
    assert told(recorded.steps[0])[1] == "1 items"
    assert "reducing what a step yielded" in caplog.text
