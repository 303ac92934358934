"""Running coroutines and generators in somebody's place, with a recording around them.

A generator is left and entered again at each of its pauses. What is current inside when it pauses is current inside
when it goes on; its caller gets back what was current there. That holds for the span, the episode and the step; what
else a program attaches goes in and out as it would without us.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Generator

G = TypeVar("G")


class Recording(Protocol):
    """The span of one call."""

    def begin(self) -> bool:
        """Begin it, and make it the current one; return True if it records."""

    def close(self, error: BaseException | None = ..., result: object = ..., items: int | None = ...) -> None:
        """End it, once; later calls do nothing, unless the first was interrupted."""

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


def close_with(recording: Recording, error: BaseException, items: int | None = None) -> None:
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
        recording.close(None, result)
    except BaseException as error:
        close_with(recording, error)
        raise
    return result


async def drive_rest(recording: Recording, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Await what a call returned, in its recording that was suspended until now."""
    try:
        recording.resume()
        result = await coroutine
        recording.close(None, result)
    except BaseException as error:
        close_with(recording, error)
        raise
    return result


def drive_generator(recording: Recording, generator: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Run a generator with the recording around each of its pieces."""
    items = 0
    try:
        if not recording.begin():
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


async def drive_async_generator(recording: Recording, generator: AsyncGenerator[Any, Any]) -> AsyncGenerator[Any, Any]:
    """Run an async generator with the recording around each of its pieces."""
    guard = _EndWhenDropped(recording)
    try:
        # There is no ``yield from`` to hand over with: one that records nothing is driven all the same.
        recording.begin()
        sent: Any = None
        thrown: BaseException | None = None
        while True:
            try:
                item = await (generator.asend(sent) if thrown is None else generator.athrow(thrown))
            except StopAsyncIteration:
                recording.close(None, items=guard.items)
                return
            guard.items += 1
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
        close_with(recording, error, guard.items)
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
