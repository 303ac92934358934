"""Running coroutines and generators in somebody's place, with a recording around them.

What a function returns may not be all of it yet: a generator, a task, a client's stream. The recording ends with that.
A generator is replaced by one that runs it, a stream is left what it is with its inner generator replaced, a future is
asked to tell.

A generator is left and entered again at each of its pauses. What is current inside when it pauses is current inside
when it goes on; its caller gets back what was current there. That holds for the span, the episode and the step; what
else a program attaches goes in and out as it would without us.
"""

from __future__ import annotations

from itertools import islice
from sys import getrefcount
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from otel_episodes import _looking
from otel_episodes._boundary import Boundary
from otel_episodes._usage import PLAIN

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Generator

G = TypeVar("G")

_FUTURES: Final = frozenset((("_asyncio", "Future"), ("asyncio", "Future"), ("concurrent", "Future")))
_RUNS_ON: Final = _looking.ids_of(CoroutineType, GeneratorType, AsyncGeneratorType)
_GENERATORS: Final = _looking.ids_of(GeneratorType, AsyncGeneratorType)
_ITERATES: Final = ("__next__", "__anext__", "__iter__", "__aiter__")
# References to a result, in the call that counts them.
_HELD_HERE: Final = 3
# An object that iterates over a generator of its own keeps it among its first attributes.
_LOOKED_AT: Final = 32


class Recording(Protocol):
    """The span of one call."""

    def begin(self) -> bool:
        """Begin it, and make it the current one; return True if it records."""

    def close(self, error: BaseException | None = ..., result: object = ..., items: int | None = ...) -> None:
        """End it, once; later calls do nothing, unless the first was interrupted."""

    def see(self, item: object) -> None:
        """Look at an item that is yielded: a model's stream tells its usage there."""

    def suspend(self) -> None:
        """Keep what is current inside, and make current what the caller had."""

    def resume(self) -> None:
        """Make current what was current inside."""


def named(result: G, function: Any) -> G:
    """Give a coroutine or generator the name of the function it stands for, as warnings and debuggers show it."""
    for attribute in ("__name__", "__qualname__"):
        name = getattr(function, attribute, None)
        if isinstance(name, str):  # a callable object has none
            setattr(result, attribute, name)
    return result


def close_with(recording: Recording, error: BaseException | None, items: int | None = None) -> None:
    """Close a recording with an error, also where a signal handler interrupts that."""
    try:
        recording.close(error, items=items)
    except BaseException:
        recording.close()
        raise


async def drive_coroutine(recording: Recording, call: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Await a call with the recording around it."""
    try:
        if not recording.begin():
            return await call()
        result = await call()
        return finish(recording, result)
    except BaseException as error:
        close_with(recording, error)
        raise


async def drive_rest(recording: Recording, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Await what a call returned, in its recording that was suspended until now."""
    try:
        recording.resume()
        result = await coroutine
        return finish(recording, result)
    except BaseException as error:
        close_with(recording, error)
        raise


def drive_generator(
    recording: Recording, generator: Generator[Any, Any, Any], begun: _EndWhenDropped | None = None
) -> Generator[Any, Any, Any]:
    """Run a generator with the recording around each of its pieces.

    ``begun`` is given where the recording has begun before: it ends it, should the generator be dropped unused.
    """
    items = 0
    try:
        if begun is not None:
            recording.resume()
        elif not recording.begin():
            return (yield from generator)
        sent: Any = None
        thrown: BaseException | None = None
        while True:
            try:
                item = generator.send(sent) if thrown is None else generator.throw(thrown)
            except StopIteration as stop:
                recording.close(None, items=items)
                return stop.value
            items += 1
            recording.see(item)
            recording.suspend()
            sent = thrown = None
            try:
                sent = yield item
            except GeneratorExit:
                # Its caller has had enough of it, or has dropped it: an end, not a failure.
                recording.resume()
                generator.close()
                recording.close(None, items=items)
                raise
            except BaseException as error:  # noqa: BLE001  # thrown in by the caller, for the generator to see
                thrown = error
            recording.resume()
    except BaseException as error:
        close_with(recording, error, items)
        raise
    finally:
        if begun is not None:
            begun.disarm()


def finish(recording: Recording, result: Any) -> Any:
    """Close a recording with what was returned, or have it end with that; return what the caller gets."""
    kind = type(result)
    # Held by nobody but this frame and its caller's, it cannot be told from another one.
    others = getrefcount(result) - _HELD_HERE
    if id(kind) in PLAIN or not _goes_on(recording, result, kind, others):
        recording.close(None, result)
        return result
    recording.suspend()
    if kind is CoroutineType:
        return drive_rest(recording, result)
    if kind is GeneratorType:
        return named(drive_generator(recording, result, _EndWhenDropped(recording)), result)
    if kind is AsyncGeneratorType:
        return named(drive_async_generator(recording, result, _EndWhenDropped(recording)), result)
    return result


def _goes_on(recording: Recording, result: Any, kind: type, others: int) -> bool:
    """Return True if what was returned has yet to run; see to it that the recording ends with it."""
    if id(kind) in _RUNS_ON:
        return others <= 0
    with Boundary("looking for a stream"):
        return _is_pending(recording, result, kind) or _is_stream(recording, result, kind, others)
    return False


def _is_pending(recording: Recording, result: Any, kind: type) -> bool:
    if not any((_looking.package_of(base), _looking.name_of(base)) in _FUTURES for base in _looking.mro(kind)):
        return False

    @Boundary("ending a step with its task")
    def tell(future: Any) -> None:
        if future.cancelled():
            import asyncio  # noqa: PLC0415  # whose future this is

            recording.close(asyncio.CancelledError())
            return
        # Not by the method: the loop reports an exception that nobody has asked for.
        error = getattr(future, "_exception", None)
        if error is None:
            recording.close(None, getattr(future, "_result", None))
        else:
            recording.close(error)

    if result.done():
        tell(result)
    else:
        result.add_done_callback(tell)
    return True


def _is_stream(recording: Recording, result: Any, kind: type, others: int) -> bool:
    """Return True for an object that iterates over a generator it holds, as clients of models return."""
    if all(_looking.class_value(kind, name) is _looking.MISSING for name in _ITERATES):
        return False
    held = _looking.own_dict(result)
    for name, value in islice(held.items(), _LOOKED_AT):
        if id(type(value)) in _GENERATORS and others <= _holds(value, result):
            drive: Any = drive_generator if type(value) is GeneratorType else drive_async_generator
            held[name] = named(drive(recording, value, _EndWhenDropped(recording)), value)
            return True
    return False


def _holds(generator: Any, value: object) -> int:
    """Return how often a generator, a method of the value as a rule, holds it."""
    frame = generator.gi_frame if type(generator) is GeneratorType else generator.ag_frame
    return 0 if frame is None else sum(local is value for local in frame.f_locals.values())


async def drive_async_generator(
    recording: Recording, generator: AsyncGenerator[Any, Any], begun: _EndWhenDropped | None = None
) -> AsyncGenerator[Any, Any]:
    """Run an async generator with the recording around each of its pieces; see `drive_generator`."""
    guard = begun or _EndWhenDropped(recording)
    thrown: BaseException | None = None
    try:
        # There is no ``yield from`` to hand over with: one that records nothing is driven all the same.
        if begun is not None:
            recording.resume()
        else:
            recording.begin()
        sent: Any = None
        while True:
            try:
                item = await (generator.asend(sent) if thrown is None else generator.athrow(thrown))
            except StopAsyncIteration:
                recording.close(None, items=guard.items)
                return
            guard.items += 1
            recording.see(item)
            recording.suspend()
            sent = thrown = None
            try:
                sent = yield item
            except GeneratorExit:
                recording.resume()
                await generator.aclose()
                recording.close(None, items=guard.items)
                raise
            except BaseException as error:  # noqa: BLE001  # thrown in by the caller, for the generator to see
                thrown = error
            recording.resume()
    except BaseException as error:
        # An event loop that ends cancels what was left early where it waits for its caller: that is no failure.
        is_left = error is thrown and _looking.name_of(type(error)) == "CancelledError"
        close_with(recording, None if is_left else error, guard.items)
        raise
    finally:
        guard.disarm()


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
