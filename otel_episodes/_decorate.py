"""One decorator for every kind of callable.

The four branches (function, coroutine function, generator function, async generator function) stand side by side.
They drive a `Recording`, which a step and an episode both are; what is recorded is none of their business.
"""

from __future__ import annotations

import functools
import inspect
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import wrapt

from otel_episodes import _state

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Generator

F = TypeVar("F", bound="Callable[..., Any]")
G = TypeVar("G")


class Recording(Protocol):
    """The span of one call."""

    def begin(self) -> bool:
        """Begin it, and make it the current one; return True if it records."""

    def close(self, error: BaseException | None = ..., result: object = ..., items: int | None = ...) -> None:
        """End it, once; later calls do nothing, unless the first was interrupted."""

    def suspend(self) -> None:
        """Stop being the current span while the caller runs."""

    def resume(self) -> None:
        """Be the current span again."""


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
            if type(result) is CoroutineType:
                # A plain function that returns a coroutine (a lambda, a callable object): the work is yet to be done.
                recording.suspend()
                return _finish(recording, result)
            recording.close(None, result)
        except BaseException as error:
            recording.close(error)
            raise
    except BaseException:
        recording.close()  # where the one before was interrupted
        raise
    return result


async def _finish(recording: Recording, coroutine: Coroutine[Any, Any, Any]) -> Any:
    try:
        recording.resume()
        result = await coroutine
        recording.close(None, result)
    except BaseException as error:
        _close_with(recording, error)
        raise
    return result


def _close_with(recording: Recording, error: BaseException, items: int | None = None) -> None:
    """Close a recording with an error, also where a signal handler interrupts that."""
    try:
        recording.close(error, items=items)
    except BaseException:
        recording.close()
        raise


def _coroutine(
    recorder: Recorder,
    wrapped: Callable[..., Any],
    instance: object,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Coroutine[Any, Any, Any]:
    call = functools.partial(wrapped, *args, **kwargs)
    return _named(_await(recorder.prepare(instance, args, kwargs), call), wrapped)


def _named(result: G, function: Any) -> G:
    """Give a coroutine or generator the name of the function it stands for, as warnings and debuggers show it."""
    for attribute in ("__name__", "__qualname__"):
        name = getattr(function, attribute, None)
        if isinstance(name, str):  # a callable object has none
            setattr(result, attribute, name)
    return result


async def _await(recording: Recording, call: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    try:
        if not recording.begin():
            return await call()
        result = await call()
        recording.close(None, result)
    except BaseException as error:
        _close_with(recording, error)
        raise
    return result


def _generator(
    recorder: Recorder,
    wrapped: Callable[..., Any],
    instance: object,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Generator[Any, Any, Any]:
    recording = recorder.prepare(instance, args, kwargs)
    return _named(_iterate(recording, wrapped(*args, **kwargs)), wrapped)


def _iterate(recording: Recording, generator: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    if not recording.begin():
        return (yield from generator)
    sent: Any = None
    thrown: BaseException | None = None
    items = 0
    while True:
        try:
            item = generator.send(sent) if thrown is None else generator.throw(thrown)
        except StopIteration as stop:
            recording.close(None, items=items)
            return stop.value
        except BaseException as error:
            recording.close(error, items=items)
            raise
        items += 1
        recording.suspend()
        sent = thrown = None
        try:
            sent = yield item
        except GeneratorExit:
            _close(recording, generator, items)
            raise
        except BaseException as error:  # noqa: BLE001  # thrown in by the caller, for the generator to see
            thrown = error
        recording.resume()


def _close(recording: Recording, generator: Generator[Any, Any, Any], items: int) -> None:
    """Close a generator that its caller has had enough of, or has dropped: an end, not a failure."""
    recording.resume()
    try:
        generator.close()
    except BaseException as error:
        recording.close(error, items=items)
        raise
    recording.close(None, items=items)


def _async_generator(
    recorder: Recorder,
    wrapped: Callable[..., Any],
    instance: object,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> AsyncGenerator[Any, Any]:
    recording = recorder.prepare(instance, args, kwargs)
    return _named(_async_iterate(recording, wrapped(*args, **kwargs)), wrapped)


async def _async_iterate(recording: Recording, generator: AsyncGenerator[Any, Any]) -> AsyncGenerator[Any, Any]:
    # Async generators have no ``yield from`` to hand over with: one that records nothing is driven all the same.
    recording.begin()
    guard = _EndWhenDropped(recording)
    sent: Any = None
    thrown: BaseException | None = None
    while True:
        try:
            item = await (generator.asend(sent) if thrown is None else generator.athrow(thrown))
        except StopAsyncIteration:
            recording.close(None, items=guard.items)
            guard.disarm()
            return
        except BaseException as error:
            recording.close(error, items=guard.items)
            guard.disarm()
            raise
        guard.items += 1
        recording.suspend()
        sent = thrown = None
        try:
            sent = yield item
        except GeneratorExit:
            await _async_close(recording, generator, guard.items)
            guard.disarm()
            raise
        except BaseException as error:  # noqa: BLE001  # thrown in by the caller, for the generator to see
            thrown = error
        recording.resume()


async def _async_close(recording: Recording, generator: AsyncGenerator[Any, Any], items: int) -> None:
    recording.resume()
    try:
        await generator.aclose()
    except BaseException as error:
        recording.close(error, items=items)
        raise
    recording.close(None, items=items)


class _EndWhenDropped:
    """End a recording when the frame that holds this goes away.

    An async generator that is dropped with no event loop to finalise it never runs again; its locals are freed.
    """

    __slots__ = ("items", "recording")

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.items = 0

    def __del__(self) -> None:
        self.recording.close(None, items=self.items)

    def disarm(self) -> None:
        """Do nothing when the frame goes away: the recording has ended.

        Without the method rather than with a flag: an exception that a signal handler raises in ``__del__`` is lost.
        """
        self.__class__ = _Ended  # type: ignore[assignment]


class _Ended:
    """What is left of an `_EndWhenDropped` whose recording has ended."""

    __slots__ = ("items", "recording")
