"""What an exception that escapes says of a step: that it failed, that it steers, or that something has come to its end.

Frameworks raise exceptions that are no failures: to ask a human, to be called again later, to hand over. They are known
by the names of their classes' bases, so that no framework is imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_episodes import _looking, _rendering, semconv
from otel_episodes._checks import error_type_of
from otel_episodes._settings import ACTION_LIMIT, OBSERVATION_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry.trace import Span

    from otel_episodes._settings import Settings

_MOST = 8
_STACK_LIMIT = 4096
_OURS = ("otel_episodes", "wrapt", "contextlib")

# How an exception ends what it escapes from.
FAILED: Final = "failed"
# It steers: whether that worked is not known.
STEERED: Final = "steered"
# It steers, and asks for the same once more.
AGAIN: Final = "again"
# Nothing is wrong: an iterator is exhausted, a program exits, or the program said that it expects this.
ENDED: Final = "ended"

# By the package and the name of a class; its subclasses are the same.
_KNOWN: Final[Mapping[tuple[str, str], str]] = {
    ("builtins", "StopIteration"): ENDED,
    ("builtins", "StopAsyncIteration"): ENDED,
    ("builtins", "GeneratorExit"): ENDED,
    ("anyio", "EndOfStream"): ENDED,
    ("trio", "EndOfChannel"): ENDED,
    ("langgraph", "GraphBubbleUp"): STEERED,
    ("celery", "TaskPredicate"): STEERED,
    ("celery", "Retry"): AGAIN,
    ("pydantic_ai", "ModelRetry"): AGAIN,
    ("pydantic_ai", "CallDeferred"): STEERED,
    ("pydantic_ai", "ApprovalRequired"): STEERED,
    ("pydantic_ai", "SkipModelRequest"): STEERED,
    ("pydantic_ai", "SkipToolExecution"): STEERED,
    ("pydantic_ai", "SkipToolValidation"): STEERED,
    ("pydantic_ai", "ToolRetryError"): AGAIN,
    ("smolagents", "FinalAnswerException"): ENDED,
    ("strands", "InterruptException"): STEERED,
    ("llama_index", "WaitingForEvent"): STEERED,
    ("workflows", "WaitingForEvent"): STEERED,
    ("haystack", "BreakpointException"): STEERED,
    ("tenacity", "TryAgain"): AGAIN,
    ("dramatiq", "Retry"): AGAIN,
    ("huey", "RetryTask"): AGAIN,
    ("huey", "CancelExecution"): STEERED,
    ("procrastinate", "JobRetry"): AGAIN,
    ("arq", "Retry"): AGAIN,
    ("arq", "RetryJob"): AGAIN,
    ("prefect", "PrefectSignal"): STEERED,
    ("airflow", "AirflowSkipException"): STEERED,
    ("airflow", "AirflowRescheduleException"): AGAIN,
    ("airflow", "TaskDeferred"): STEERED,
    ("temporalio", "ContinueAsNewError"): STEERED,
    ("temporalio", "_CompleteAsyncError"): STEERED,
    ("unittest", "SkipTest"): STEERED,
    ("_pytest", "Skipped"): STEERED,
    ("click", "Exit"): ENDED,
}


class Failure(NamedTuple):
    """Why a step failed; ``details`` are attributes: causes, notes, the parts of a group."""

    error_type: str
    message: str
    details: Mapping[str, Any] = {}  # read only
    error: BaseException | None = None


def ending_of(error: BaseException, expected: tuple[type[BaseException], ...] = ()) -> str:
    """Return how an exception ends what it escapes from: `FAILED`, `STEERED`, `AGAIN` or `ENDED`."""
    if expected and issubclass(type(error), expected):
        return ENDED
    if issubclass(type(error), SystemExit):
        return FAILED if vars(SystemExit)["code"].__get__(error) else ENDED
    if issubclass(type(error), BaseExceptionGroup):
        endings = {ending_of(part, expected) for part in _leaves(error)}
        return FAILED if FAILED in endings or not endings else min(endings)
    for base in _looking.mro(type(error)):
        known = _KNOWN.get((_looking.package_of(base), _looking.name_of(base)))
        if known is not None:
            # The command line's way to exit has a code, as the program's has.
            is_error = known == ENDED and _looking.stored(error, "exit_code") not in (0, _looking.MISSING)
            return FAILED if is_error else known
    return FAILED


def failure_of(error: BaseException, settings: Settings) -> Failure:
    """Return an exception as a failure, with what led to it."""
    message = said_by(error)
    parts = list(_leaves(error)) if issubclass(type(error), BaseExceptionGroup) else []
    if parts:
        message = f"{message}: {'; '.join(said_by(part) for part in parts[:_MOST])}"
    types = {error_type_of(part) for part in parts}
    error_type = types.pop() if len(types) == 1 else error_type_of(error)
    if settings.capture == "none":
        return Failure(error_type, message)
    told: dict[str, list[str]] = {
        semconv.ERROR_PARTS: [said_by(part) for part in parts[:_MOST]],
        semconv.ERROR_CAUSES: [said_by(cause) for cause in _causes(error)],
        semconv.ERROR_NOTES: _notes(error),
    }
    details = {
        key: [_rendering.one_line(text, ACTION_LIMIT, settings.redactor) for text in texts]
        for key, texts in told.items()
        if texts
    }
    return Failure(error_type, message, details, error if settings.stacks else None)


def _notes(error: BaseException) -> list[str]:
    # From where `add_note` puts them: a property of that name is code of the program's.
    notes = _looking.stored(error, "__notes__")
    return [note for note in notes[:_MOST] if type(note) is str] if type(notes) is list else []


def said_by(error: BaseException) -> str:
    """Return an exception's type and message, as the last line of a traceback has them."""
    message = _rendering.exception_message(error)
    name = type(error).__name__
    return f"{name}: {message}" if message else name


def describe(span: Span, failure: Failure, settings: Settings) -> None:
    """Set what led to a failure on its span; with ``stacks``, add where it was as an event."""
    if failure.details:
        span.set_attributes(failure.details)
    if failure.error is not None:
        attributes = {
            "exception.type": error_type_of(failure.error),
            "exception.message": _rendering.one_line(failure.message, OBSERVATION_LIMIT, settings.redactor),
            "exception.stacktrace": _stack(failure.error, settings),
        }
        span.add_event("exception", attributes)


def _leaves(group: BaseException) -> Iterator[BaseException]:
    for part in vars(BaseExceptionGroup)["exceptions"].__get__(group):
        if issubclass(type(part), BaseExceptionGroup):
            yield from _leaves(part)
        else:
            yield part


def _told(error: BaseException, name: str) -> Any:
    return vars(BaseException)[name].__get__(error)


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen = {id(error)}
    for _ in range(_MOST):
        # By what every exception has, not by what its class makes of it.
        cause = _told(error, "__cause__")
        if cause is None and not _told(error, "__suppress_context__"):
            cause = _told(error, "__context__")
        if cause is None or id(cause) in seen:
            return
        seen.add(id(cause))
        yield cause
        error = cause


def _stack(error: BaseException, settings: Settings) -> str:
    """Return the innermost frames of where an exception was, without our own, with secrets masked."""
    import traceback  # noqa: PLC0415  # costly to import, rarely needed

    frames = [
        (frame, line)
        for frame, line in traceback.walk_tb(_told(error, "__traceback__"))
        if str(frame.f_globals.get("__name__")).partition(".")[0] not in _OURS
    ]
    lines = traceback.format_list(traceback.StackSummary.extract(iter(frames[-_MOST:])))
    text = "".join(lines)
    if settings.redactor is not None:
        text = settings.redactor.text(text)
    return text[-_STACK_LIMIT:]
