"""Recording what `contextlib.contextmanager` makes: the step is the block, not the making of the manager."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from otel_episodes._drive import close_with

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator
    from types import CodeType

    from otel_episodes._decorate import Recorder


@contextlib.contextmanager
def _managed(
    recorder: Recorder,
    wrapped: Callable[..., contextlib.AbstractContextManager[Any]],
    instance: object,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    made: list[contextlib.AbstractContextManager[Any]],
) -> Generator[Any, None, None]:
    """Record a context manager's block: the step lasts as long, and what is done in the block is done in it."""
    manager = made.pop() if made else wrapped(*args, **kwargs)
    recording = recorder.prepare(instance, args, kwargs)
    try:
        recording.begin()
        with manager as value:
            yield value
        recording.close()
    except BaseException as error:
        close_with(recording, error)
        raise


@contextlib.asynccontextmanager
async def _async_managed(
    recorder: Recorder,
    wrapped: Callable[..., contextlib.AbstractAsyncContextManager[Any]],
    instance: object,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    made: list[contextlib.AbstractAsyncContextManager[Any]],
) -> AsyncGenerator[Any, None]:
    manager = made.pop() if made else wrapped(*args, **kwargs)
    recording = recorder.prepare(instance, args, kwargs)
    try:
        recording.begin()
        async with manager as value:
            yield value
        recording.close()
    except BaseException as error:
        close_with(recording, error)
        raise


def _context_manager(
    recorder: Recorder,
    wrapped: Callable[..., Any],
    instance: object,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    # Made at once, so that wrong arguments are refused where they always were; again, where it is used as a decorator.
    return _managed(recorder, wrapped, instance, args, kwargs, [wrapped(*args, **kwargs)])


def _async_context_manager(
    recorder: Recorder,
    wrapped: Callable[..., Any],
    instance: object,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    return _async_managed(recorder, wrapped, instance, args, kwargs, [wrapped(*args, **kwargs)])


def _nothing() -> Any:
    """Be what a manager is made of."""


# Whatever `contextlib` makes of a generator function is this code.
MANAGERS: dict[CodeType, Callable[..., Any]] = {
    contextlib.contextmanager(_nothing).__code__: _context_manager,
    contextlib.asynccontextmanager(_nothing).__code__: _async_context_manager,
}
