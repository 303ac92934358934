"""What an exception that escapes says: a failure with all that led to it, or no failure at all."""

import contextlib

import pytest

from otel_episodes import UsageError, episode, step
from otel_episodes.testing import capture_episodes


def ended_by(error, **options):
    """Return the span of a step that ends with this exception, and its episode's."""

    @step(**options)
    def tool():
        raise error

    with capture_episodes(**({"stacks": True} if options.pop("stacks", None) else {})) as recorded:
        with pytest.raises(type(error)), episode("t"):
            tool()
    return recorded.steps[0], recorded.episodes[0]


def foreign(module, name, *bases):
    """Make an exception class as a framework has it."""
    return type(name, bases or (Exception,), {"__module__": module})


@pytest.mark.parametrize(
    ("module", "name", "success"),
    [
        ("langgraph.errors", "GraphBubbleUp", "unknown"),
        ("celery.exceptions", "TaskPredicate", "unknown"),
        ("pydantic_ai.exceptions", "ModelRetry", "unknown"),
        ("pydantic_ai.exceptions", "CallDeferred", "unknown"),
        ("airflow.exceptions", "AirflowSkipException", "unknown"),
        ("smolagents.agents", "FinalAnswerException", True),
    ],
)
def test_an_exception_by_which_a_framework_steers_fails_nothing(module, name, success):
    base = foreign(module, name)
    raised = foreign("project.tools", "Own", base)
    recorded, root = ended_by(raised("may I delete it?"))
    assert (recorded.status, root.status) == ("UNSET", "UNSET")
    assert "error.type" not in recorded.attributes
    assert recorded.attributes["episode.step.success"] == success
    assert recorded.attributes["episode.step.ended_by"] == "project.tools.Own"
    assert root.attributes["episode.outcome"] == ("unknown" if success == "unknown" else "success")


def test_a_class_of_the_same_name_elsewhere_is_a_failure():
    recorded, root = ended_by(foreign("project.errors", "ModelRetry")("again"))
    assert recorded.attributes["error.type"] == "project.errors.ModelRetry"
    assert root.attributes["episode.outcome"] == "failure"


def test_a_step_that_asks_to_be_called_again_is_answered_by_the_next_call():
    again = foreign("pydantic_ai.exceptions", "ModelRetry")
    asked = []

    @step
    def lookup(article):
        asked.append(article)
        if len(asked) < 3:
            raise again("try the other shop")

    with capture_episodes() as recorded, episode("t"):
        for _ in range(3):
            with contextlib.suppress(again):
                lookup("shoes")
    assert [len(s.links) for s in recorded.steps] == [0, 1, 1]
    assert [s.status for s in recorded.steps] == ["UNSET"] * 3


@pytest.mark.parametrize("expected", [LookupError, (OSError, LookupError)])
def test_expected_exceptions_are_no_failures(expected):
    recorded, root = ended_by(KeyError("shoes"), expected=expected)
    assert (recorded.status, recorded.attributes["episode.step.success"]) == ("UNSET", True)
    assert recorded.attributes["episode.step.ended_by"] == "KeyError"
    assert root.attributes["episode.outcome"] == "failure"  # of the episode nobody said so


def test_what_is_expected_is_checked_when_it_is_said():
    with pytest.raises(UsageError, match=r"must be exception classes: expected=\(KeyError"):
        step(expected="KeyError")


def test_the_end_of_an_iterator_is_no_failure():
    class Pages:
        @step
        def __next__(self):
            raise StopIteration

        def __iter__(self):
            return self

    with capture_episodes() as recorded, episode("t"):
        assert list(Pages()) == []
    assert (recorded.steps[0].status, recorded.steps[0].attributes["episode.step.success"]) == ("UNSET", True)


def test_a_group_tells_its_parts_and_has_the_type_of_what_really_failed():
    group = ExceptionGroup("two tools", [OSError("disk full"), ExceptionGroup("inner", [OSError("no route")])])
    recorded, root = ended_by(group)
    for span in (recorded, root):
        assert span.attributes["error.type"] == "OSError"
        assert span.attributes["episode.error.parts"] == ("OSError: disk full", "OSError: no route")
        assert span.message.endswith("OSError: disk full; OSError: no route")
    mixed, _ = ended_by(ExceptionGroup("two tools", [OSError("disk full"), KeyError("x")]))
    assert mixed.attributes["error.type"] == "ExceptionGroup"


def test_a_group_in_which_everything_steers_fails_nothing():
    asks = foreign("langgraph.errors", "GraphBubbleUp")
    recorded, _ = ended_by(ExceptionGroup("both ask", [asks("a"), asks("b")]))
    assert recorded.status == "UNSET"
    recorded, _ = ended_by(ExceptionGroup("one fails", [asks("a"), OSError("b")]))
    assert recorded.status == "ERROR"


def caused():
    try:
        try:
            raise KeyError("port")
        except KeyError as error:
            raise ValueError("no port in postgres://me:hunter2hunter2@db/x") from error
    except ValueError as error:
        wrapped = OSError("cannot connect")
        wrapped.add_note("while starting up")
        wrapped.__cause__ = error
        return wrapped


def test_causes_and_notes_are_kept_and_masked():
    recorded, _ = ended_by(caused())
    assert recorded.message == "OSError: cannot connect"
    assert recorded.attributes["episode.error.causes"] == (
        "ValueError: no port in postgres://me:[REDACTED]@db/x",
        "KeyError: 'port'",
    )
    assert recorded.attributes["episode.error.notes"] == ("while starting up",)
    assert recorded.events == ()
    with capture_episodes(capture="none") as silent, pytest.raises(OSError, match="connect"), episode("t"):
        raise caused()
    assert not {key for key in silent.episodes[0].attributes if "error." in key} - {"error.type"}


def test_where_it_was_is_kept_where_that_is_asked_for():
    @step
    def connect():
        password = "hunter2hunter2"  # noqa: F841  # the line is shown
        raise OSError("no route")

    with capture_episodes(stacks=True) as recorded, pytest.raises(OSError, match="no route"), episode("t"):
        connect()
    ((name, event),) = recorded.steps[0].events
    assert (name, event["exception.type"], event["exception.message"]) == ("exception", "OSError", "OSError: no route")
    assert 'in connect\n    raise OSError("no route")' in event["exception.stacktrace"]
    assert "otel_episodes/_" not in event["exception.stacktrace"]
