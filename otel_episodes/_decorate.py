"""One decorator for every kind of callable.

The four branches (function, coroutine function, generator function, async generator function) stand side by side.
They drive a `Recording`, which a step and an episode both are; what is recorded is none of their business.
"""

from __future__ import annotations

import functools
import inspect
import sys
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import wrapt

from otel_episodes import _state
from otel_episodes._drive import drive_async_generator, drive_coroutine, drive_generator, finish, named
from otel_episodes._managers import MANAGERS
from otel_episodes._usage import PLAIN

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
    from types import FrameType

    from otel_episodes._drive import Recording

F = TypeVar("F", bound="Callable[..., Any]")


class Recorder(Protocol):
    """What a decorator holds: how to record one call."""

    def remake(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Return what decorates a function like this again, and what it is told besides the function."""

    def prepare(self, instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Recording:
        """Return the recording of a call, with what depends on the arguments as they are at the time of the call."""


class RecordedMethod(wrapt.BoundFunctionWrapper):  # type: ignore[type-arg]  # any function
    """A recorded function bound to an instance or class."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        wrapped: Any = self.__wrapped__
        return getattr, (wrapped.__self__, wrapped.__name__)


class RecordedFunction(wrapt.FunctionWrapper):  # type: ignore[type-arg]
    """A function whose calls are recorded; pickled and copied as what it wraps is, a function by its name.

    What pickles functions by value (cloudpickle, in joblib, Ray, Dask and Spark; dill) takes it for a plain function,
    since that is what it says it is, and would ship the inside alone. To these, and only to these, it says what it is.
    """

    __bound_function_wrapper__ = RecordedMethod

    def __eq__(self, other: object) -> bool:
        # Not equal to the bare function, as a proxy is: what caches by function would hand out what it made of that.
        return self is other

    def __ne__(self, other: object) -> bool:
        return self is not other

    def __hash__(self) -> int:
        return object.__hash__(self)

    @property  # type: ignore[misc]  # it is asked, and not set
    def __class__(self) -> Any:
        if _pickles_by_value(sys._getframe(1)):  # noqa: SLF001  # there is no other way to who asks
            return RecordedFunction
        return self.__wrapped__.__class__

    def __reduce_ex__(self, protocol: Any) -> Any:
        wrapped: Any = self.__wrapped__
        if not inspect.isfunction(wrapped):
            return self._self_by_value()
        asks = sys._getframe(1)  # noqa: SLF001  # as above
        if not _pickles_by_value(asks) or _is_found_by_name(self, asks.f_globals.get("_is_registered_pickle_by_value")):
            return self.__qualname__
        return self._self_by_value()

    def _self_by_value(self) -> Any:
        wrapper = self._self_wrapper
        if isinstance(wrapper, functools.partial):
            decorate_again, told = wrapper.args[0].remake()
            return decorate_again, (self.__wrapped__, *told)
        return _as_it_is, (self.__wrapped__,)  # the inside of a class: what made it has the class

    def __copy__(self) -> RecordedFunction:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> RecordedFunction:
        return self


def _pickles_by_value(asks: FrameType) -> bool:
    """Return True if one that pickles functions by value asks."""
    module = str(asks.f_globals.get("__name__", ""))
    return "cloudpickle" in module or module.partition(".")[0] == "dill"


def _is_found_by_name(function: Any, is_registered: Callable[[Any], bool] | None) -> bool:
    """Return True if another process finds the function by its name; not if its module is to be sent by value."""
    found: Any = sys.modules.get(function.__module__)
    if function.__module__ == "__main__" or found is None or (is_registered is not None and is_registered(found)):
        return False
    for name in function.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is function


def _as_it_is(function: Any) -> Any:
    return function


def decorate(function: F, recorder: Recorder) -> F:
    """Return the callable with its calls recorded; a class is returned itself, its construction recorded."""
    if isinstance(function, type):
        try:
            return cast("F", _decorate_class(function, recorder))
        except (TypeError, AttributeError):
            pass  # a class that cannot be changed, a builtin: it is recorded as any callable is
    branch = _branch(function)
    return cast("F", RecordedFunction(function, functools.partial(branch, recorder), enabled=_state.enabled))


def _branch(function: Any) -> Callable[..., Any]:
    if isinstance(function, (classmethod, staticmethod)):
        function = function.__func__
    if inspect.isfunction(function) and function.__code__ in MANAGERS:
        return MANAGERS[function.__code__]
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
    """Record the construction of a class in its ``__init__``, or in its ``__new__`` where that does the work.

    The class stays the class: for ``isinstance``, subclasses, pickling and type checkers.
    """
    if cls.__init__ is object.__init__ and cls.__new__ is not object.__new__:
        return _decorate_new(cls, recorder)
    initialise = cls.__init__

    def record(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if type(instance) is not cls:
            return wrapped(*args, **kwargs)  # a subclass: not the construction of this class
        return _function(recorder, wrapped, instance, args, kwargs)

    cls.__init__ = RecordedFunction(initialise, record, enabled=_state.enabled)
    return cls


def _decorate_new(cls: Any, recorder: Recorder) -> Any:
    """Record the construction of a class that has only ``__new__``: a named tuple, a subclass of str or Decimal.

    With an ``__init__`` of ours, ``object.__init__`` would refuse the arguments.
    """

    def record(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ARG001
        if not args or args[0] is not cls:
            return wrapped(*args, **kwargs)  # a subclass: not the construction of this class
        return _function(recorder, functools.partial(wrapped, cls), None, args[1:], kwargs)

    cls.__new__ = staticmethod(RecordedFunction(cls.__new__, record, enabled=_state.enabled))
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
            if id(type(result)) not in PLAIN:
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
