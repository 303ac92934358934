"""The current episode and step, carried in OpenTelemetry's own context.

They travel wherever the current span does: over ``await``, into tasks, and into threads whose context is propagated
(`with_context`, or OpenTelemetry's threading instrumentation).
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from inspect import CO_ASYNC_GENERATOR, CO_GENERATOR
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context, create_key

from otel_episodes._sdk import SPAN_KEY, attach, get_current

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import FrameType

    from opentelemetry.trace import Span

# The run (`_run.Run`) and the step (`_recording.StepRecording`) that this code runs in.
RUN_KEY = create_key("otel-episodes-run")
STEP_KEY = create_key("otel-episodes-step")
_OWN_KEYS = (SPAN_KEY, RUN_KEY, STEP_KEY)
_BLOCKS = frozenset((
    "otel_episodes._block", "otel_episodes._episode", "otel_episodes._model_call", "otel_episodes._step",
))  # fmt: skip


# The blocks that are open in generators, by the frame they stand in: the innermost context of each. A generator that is
# run piece by piece in other contexts (a streaming response) still has its frame.
_in_generators: dict[FrameType, list[Context]] = {}
_GENERATOR = CO_GENERATOR | CO_ASYNC_GENERATOR


def enter_frame(context: Context) -> FrameType | None:
    """Remember the block that the caller's caller enters, if that is a generator; return its frame."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  # there is no other way to a caller
    while frame is not None and frame.f_globals.get("__name__") in _BLOCKS:
        frame = frame.f_back
    if frame is None or not frame.f_code.co_flags & _GENERATOR:
        return None
    _in_generators.setdefault(frame, []).append(context)
    return frame


def leave_frame(frame: FrameType, context: Context) -> None:
    """Forget a block."""
    contexts = _in_generators.get(frame, [])
    contexts[:] = [other for other in contexts if other is not context]
    if not contexts:
        _in_generators.pop(frame, None)


def context_by_frame() -> Context | None:
    """Return the context of the innermost block, in a generator that is running, whose context was not carried over."""
    frame: FrameType | None = sys._getframe(1) if _in_generators else None  # noqa: SLF001  # as above
    while frame is not None:
        contexts = _in_generators.get(frame)
        if contexts:
            return contexts[-1]
        frame = frame.f_back
    return None


def current_value(key: str) -> object:
    """Return what is current under one of our keys, also in a generator whose context was not carried over."""
    found = get_current().get(key)
    if found is None:
        context = context_by_frame()
        found = None if context is None else context.get(key)
    return found


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
