"""The one place where an error of our own stops.

Recording must never break the code being recorded: what goes wrong in here is logged, once per place, and dropped.
Under test (`testing.capture_episodes`, or ``OTEL_EPISODES_STRICT=true``) it is raised instead.

What did not arise in our own code is raised always: a time limit is an exception that a signal handler, a trace
function or another thread raises wherever the program happens to be, and while a step begins or ends that is here.
"""

from __future__ import annotations

import functools
import logging
import sys
from opcode import opmap
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from otel_episodes import _state
from otel_episodes.exceptions import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType
    from typing import Self

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger("otel_episodes")

_reported: set[tuple[str, type[BaseException]]] = set()
# Where our own code, and what it is made of, comes from. An error of a type from elsewhere that is raised right there
# was put there by another thread.
_OURS = sys.stdlib_module_names | {"otel_episodes", "otel_episodes_clickhouse", "opentelemetry", "wrapt", "orjson"}
_RAISE = frozenset((opmap["RAISE_VARARGS"], opmap["RERAISE"]))


class Boundary:
    """Where errors of our own stop: a ``with`` block and a decorator. ``doing`` says what failed, in the log.

    Wrong use is not an error of ours: a `UsageError` passes.
    """

    __slots__ = ("_doing",)

    def __init__(self, doing: str) -> None:
        self._doing = doing

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception) or passes(error):
            return False
        _log(error, self._doing)
        return True

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Return the function with its errors stopped; it returns None then."""

        @functools.wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            with self:
                return function(*args, **kwargs)
            return None  # type: ignore[return-value]  # those that return something are not decorated

        return guarded


def report(error: Exception, doing: str) -> None:
    """Stop an error that was just caught, or raise it: what `Boundary` does, where a block would cost too much."""
    if passes(error):
        raise error
    _log(error, doing)


def passes(error: BaseException) -> bool:
    """Return True if an error must not be stopped here: wrong use, any error under test, and what is not ours."""
    return _state.settings.strict or isinstance(error, UsageError) or not is_ours(error)


def is_ours(error: BaseException) -> bool:
    """Return True if an error arose in our own code, or in code that our own code called.

    False if it came from outside while our code ran. A signal handler and a trace function are told apart by what
    the interpreter calls them with, the frame they interrupt; another thread's exception (CPython's
    ``PyThreadState_SetAsyncExc``) by being raised where nothing raises it.
    """
    traceback = error.__traceback__
    if not isinstance(error, Exception) or traceback is None:
        return False
    interrupted = traceback.tb_frame
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
        if _is_told_of(traceback.tb_frame, interrupted):
            return False
        interrupted = traceback.tb_frame
    return not _was_put(error, traceback)


def _is_told_of(frame: FrameType, interrupted: FrameType) -> bool:
    code = frame.f_code
    count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 4) + bool(code.co_flags & 8)
    # Of an import its frames are cut out of the traceback: then the caller is what was interrupted.
    caller = frame.f_back
    for name in code.co_varnames[:count]:
        value: Any = frame.f_locals.get(name)
        if (
            value is interrupted
            or (value is caller and caller is not None)
            or (type(value) is tuple and any(item is interrupted for item in value))
        ):
            return True
    return False


def _was_put(error: Exception, traceback: TracebackType) -> bool:
    frame = traceback.tb_frame
    if not _is_of_ours(frame.f_globals.get("__name__")) or frame.f_code.co_code[traceback.tb_lasti] in _RAISE:
        return False
    return not error.args or not _is_of_ours(type(error).__module__)


def _is_of_ours(module: object) -> bool:
    root = module.split(".", 1)[0] if isinstance(module, str) else ""
    return root in _OURS or root.startswith("namedtuple_")  # what a named tuple's own code calls itself


def _log(error: Exception, doing: str) -> None:
    key = (doing, type(error))
    if key in _reported:
        return
    _reported.add(key)
    logger.warning("otel-episodes failed while %s; the call itself went on, said once", doing, exc_info=error)
