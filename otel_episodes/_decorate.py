"""One decorator for every kind of callable.

The four branches (function, coroutine function, generator function, async generator function) stand side by side.
They drive a `Recording`, which a step and an episode both are; what is recorded is none of their business.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import wrapt

from otel_episodes import _state
from otel_episodes._drive import drive_async_generator, drive_coroutine, drive_generator, finish, named
from otel_episodes._usage import PLAIN

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Generator

    from otel_episodes._drive import Recording

F = TypeVar("F", bound="Callable[..., Any]")


class Recorder(Protocol):
    """What a decorator holds: how to record one call."""

    def prepare(self, instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Recording:
        """Return the recording of a call, with what depends on the arguments as they are at the time of the call."""


class RecordedMethod(wrapt.BoundFunctionWrapper):  # type: ignore[type-arg]  # any function
    """A recorded function bound to an instance or class."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        wrapped: Any = self.__wrapped__
        return getattr, (wrapped.__self__, wrapped.__name__)


class RecordedFunction(wrapt.FunctionWrapper):  # type: ignore[type-arg]
    """A function whose calls are recorded; pickled and copied as a function is, by its name."""

    __bound_function_wrapper__ = RecordedMethod

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__qualname__

    def __copy__(self) -> RecordedFunction:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> RecordedFunction:
        return self


def decorate(function: F, recorder: Recorder) -> F:
    """Return the callable with its calls recorded; a class is returned itself, its construction recorded."""
    if isinstance(function, type):
        try:
            return cast("F", _decorate_class(function, recorder))
        except TypeError:
            pass  # a builtin class: its __init__ cannot be replaced, so it is recorded as any callable is
    branch = _branch(function)
    return cast("F", RecordedFunction(function, functools.partial(branch, recorder), enabled=_state.enabled))


def _branch(function: Any) -> Callable[..., Any]:
    if isinstance(function, (classmethod, staticmethod)):
        function = function.__func__
    called = function if inspect.isroutine(function) or isinstance(function, functools.partial) else _call_of(function)
    if inspect.isasyncgenfunction(called):
        return _async_generator
    if inspect.isgeneratorfunction(called):
        return _generator
    if inspect.iscoroutinefunction(called):
        return _coroutine
    return _function


def _call_of(instance: object) -> Any:
    # Through the type, as the interpreter does; a function wrapped by other decorators answers for itself.
    return instance if inspect.isfunction(instance) else getattr(type(instance), "__call__", instance)  # noqa: B004


def _decorate_class(cls: Any, recorder: Recorder) -> Any:
    """Record the construction of a class in its ``__init__``.

    The class stays the class: for ``isinstance``, subclasses, pickling and type checkers.
    """
    initialise = cls.__init__

    def record(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if type(instance) is not cls:
            return wrapped(*args, **kwargs)  # a subclass: not the construction of this class
        return _function(recorder, wrapped, instance, args, kwargs)

    cls.__init__ = RecordedFunction(initialise, record, enabled=_state.enabled)
    return cls


def _function(
    recorder: Recorder,
    wrapped: Callable[..., Any],
    instance: object,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    recording = recorder.prepare(instance, args, kwargs)
    try:
        try:
            if not recording.begin():
                return wrapped(*args, **kwargs)
            result = wrapped(*args, **kwargs)
            if type(result) not in PLAIN:
                # It may be yet to run: a coroutine that a lambda returns, a generator, a task, a stream.
                return finish(recording, result)
            recording.close(None, result)
        except BaseException as error:
            recording.close(error)
            raise
    except BaseException:
        recording.close()  # where the one before was interrupted
        raise
    return result


def _coroutine(
    recorder: Recorder,
    wrapped: Callable[..., Any],
    instance: object,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Coroutine[Any, Any, Any]:
    call = functools.partial(wrapped, *args, **kwargs)
    return named(drive_coroutine(recorder.prepare(instance, args, kwargs), call), wrapped)


def _generator(
    recorder: Recorder,
    wrapped: Callable[..., Any],
    instance: object,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Generator[Any, Any, Any]:
    recording = recorder.prepare(instance, args, kwargs)
    return named(drive_generator(recording, wrapped(*args, **kwargs)), wrapped)


def _async_generator(
    recorder: Recorder,
    wrapped: Callable[..., Any],
    instance: object,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> AsyncGenerator[Any, Any]:
    recording = recorder.prepare(instance, args, kwargs)
    return named(drive_async_generator(recording, wrapped(*args, **kwargs)), wrapped)
