"""Carrying the current episode over to where no context follows: threads, executors, callbacks."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from otel_episodes._context import attached
from otel_episodes._drive import drive_async_generator, drive_coroutine, drive_generator, named
from otel_episodes._sdk import attach, get_current

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context

P = ParamSpec("P")
R = TypeVar("R")


def with_context(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function bound to the context of here and now: its steps stay in the current episode.

    For threads and executors, which start with an empty context::

        with ThreadPoolExecutor() as pool:
            pool.map(with_context(fetch), urls)

    A coroutine function is bound while it runs, a generator function in each of its pieces. The result may run any
    number of times, in several threads at once.
    """
    context = get_current()
    asked: Any = function
    while isinstance(asked, functools.partial):
        asked = asked.func
    if not inspect.isroutine(asked):
        asked = getattr(type(asked), "__call__", asked)  # noqa: B004  # an object that is called
    return cast("Callable[P, R]", _bound(function, asked, context))


def _bound(function: Callable[..., Any], asked: Any, context: Context) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(asked):

        @functools.wraps(function)
        async def run_coroutine(*args: Any, **kwargs: Any) -> Any:
            return await drive_coroutine(_Place(context), functools.partial(function, *args, **kwargs))

        return run_coroutine
    if inspect.isasyncgenfunction(asked) or inspect.isgeneratorfunction(asked):
        import wrapt  # noqa: PLC0415  # what it makes is still a generator function to who asks; costly to import

        drive: Any = drive_async_generator if inspect.isasyncgenfunction(asked) else drive_generator

        def run_generator(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:  # noqa: ARG001  # wrapt's
            return named(drive(_Place(context), wrapped(*args, **kwargs)), wrapped)

        return wrapt.FunctionWrapper(function, run_generator)

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        with attached(context):
            return function(*args, **kwargs)

    return run


class _Place:
    """A context that is current in the pieces of one call; to what drives the call, a recording of nothing."""

    __slots__ = ("_around", "_inside")

    def __init__(self, context: Context) -> None:
        self._inside = context
        self._around: Context | None = None

    def begin(self) -> bool:
        self.resume()
        return True

    def see(self, item: object) -> None:
        pass

    def suspend(self) -> None:
        self._inside = get_current()
        self._restore()

    def resume(self) -> None:
        self._around = get_current()
        attach(self._inside)

    def close(
        self,
        error: BaseException | None = None,  # noqa: ARG002  # nothing is recorded
        result: object = None,  # noqa: ARG002
        items: int | None = None,  # noqa: ARG002
    ) -> None:
        self._restore()

    def _restore(self) -> None:
        around, self._around = self._around, None
        if around is not None:
            attach(around)
