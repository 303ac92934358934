"""The current episode and step, carried in OpenTelemetry's own context.

They travel wherever the current span does: over ``await``, into tasks, and into threads whose context is propagated
(`with_context`, or OpenTelemetry's threading instrumentation).
"""

from __future__ import annotations

import functools
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from opentelemetry.context import Context, create_key

from otel_episodes._sdk import SPAN_KEY, attach, get_current

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from opentelemetry.trace import Span

P = ParamSpec("P")
R = TypeVar("R")

# The run (`_run.Run`) and the step (`_recording.StepRecording`) that this code runs in.
RUN_KEY = create_key("otel-episodes-run")
STEP_KEY = create_key("otel-episodes-step")
_OWN_KEYS = (SPAN_KEY, RUN_KEY, STEP_KEY)


def derive(context: Mapping[str, Any], span: Span, key: str, value: object) -> Context:
    """Return a copy of the context with this span as the current one and one more value."""
    derived = Context(context)
    # A Context is a dict that refuses changes; it is not shared yet, and a second copy would cost as much again.
    dict.__setitem__(derived, SPAN_KEY, span)
    dict.__setitem__(derived, key, value)
    return derived


@contextmanager
def attached(context: Context) -> Iterator[None]:
    """Have a context be the current one inside the block."""
    before = get_current()
    attach(context)
    try:
        yield
    finally:
        attach(before)


def restored(current: Context, around: Context) -> Context:
    """Return the current context with the span, run and step of the one around; what else was attached stays."""
    if _others(current) == _others(around):
        return around
    derived = Context(current)
    for key in _OWN_KEYS:
        if key in around:
            dict.__setitem__(derived, key, around[key])
        else:
            dict.pop(derived, key, None)
    return derived


def _others(context: Context) -> dict[str, int]:
    # By identity: values are the program's, and comparing them would be its code.
    return {key: id(value) for key, value in context.items() if key not in _OWN_KEYS}


def with_context(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function bound to the context of here and now: its steps stay in the current episode.

    For threads and executors, which start with an empty context::

        with ThreadPoolExecutor() as pool:
            pool.map(with_context(fetch), urls)

    The result may run any number of times, in several threads at once.
    """
    context = get_current()

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with attached(context):
            return function(*args, **kwargs)

    return run
