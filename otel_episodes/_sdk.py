"""What we know of OpenTelemetry that it does not promise: every private name, each with what is done without it.

**Tracers with one thing changed.** The id of an episode is its trace's, on every span from its start, so it must be
known before the root span is. A root whose handle was given away is written by whatever process ends the episode,
under the ids it has had all along. And the steps of a sampled episode are sampled, all of them: an episode with holes
in it would teach the wrong thing. The API has no call for any of this; the SDK's tracer has a public ``id_generator``
and a public ``sampler``, and a twin of the tracer with another one of those shares everything else with the original.

**The provider in force**, the variable of the current context, and the fields of a span are read where they are
kept, since asking for them costs more than all else that a step does.
"""

from __future__ import annotations

import random
from contextlib import contextmanager
from contextvars import ContextVar, Token
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeAlias

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, SpanKind, set_span_in_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from opentelemetry.trace import Link, Span, Tracer
    from opentelemetry.trace.span import TraceState

_UNKNOWN = object()

# --- the context ---------------------------------------------------------------------------------------------------

# The key under which the API keeps the current span: the only one of a context that holds nothing else. Knowing it,
# one copy of the context sets the span and the step, where `set_span_in_context` and `set_value` would make two.
(SPAN_KEY,) = set_span_in_context(INVALID_SPAN, Context())


def _context_variable() -> ContextVar[Context] | None:
    """Return the variable OpenTelemetry keeps its context in; None if another runtime context is in use."""
    token: object = otel_context.attach(otel_context.get_current())
    otel_context.detach(token)  # type: ignore[arg-type]  # whatever attach returns
    return token.var if isinstance(token, Token) else None


_variable = _context_variable()
# The variable's own methods, in C, where there is one: a step uses each once.
get_current: Callable[[], Context] = _variable.get if _variable is not None else otel_context.get_current
attach: Callable[[Context], object] = _variable.set if _variable is not None else otel_context.attach


@contextmanager
def suppressed() -> Iterator[None]:
    """Record nothing of what instrumentations see inside the block; where the API has no such key, do nothing."""
    key = getattr(otel_context, "_SUPPRESS_INSTRUMENTATION_KEY", None)
    before = get_current()
    if key is not None:
        attach(otel_context.set_value(key, True))  # noqa: FBT003  # its signature
    try:
        yield
    finally:
        attach(before)


# --- the provider --------------------------------------------------------------------------------------------------


def provider_set() -> Any:
    """Return the global tracer provider, None where none is set.

    `opentelemetry.trace.get_tracer_provider` reads the environment on each call while no provider is set, and may set
    one. Should the variable be renamed, this returns an object of no use, and recording goes the ordinary way.
    """
    return getattr(trace, "_TRACER_PROVIDER", _UNKNOWN)


# --- the tracer ----------------------------------------------------------------------------------------------------


def _twin(tracer: Tracer, **changed: object) -> Tracer:
    # What copy.copy does, in a tenth of the time.
    twin = object.__new__(type(tracer))
    twin.__dict__.update(tracer.__dict__, **changed)
    return twin


class _FixedIds:
    """An id generator that returns the given ids; where one is not given, the original's."""

    def __init__(self, original: Any, trace_id: int, span_id: int) -> None:
        self._original = original
        self._trace_id = trace_id
        self._span_id = span_id

    def generate_trace_id(self) -> int:
        return self._trace_id

    def generate_span_id(self) -> int:
        return self._span_id or int(self._original.generate_span_id())

    def is_trace_id_random(self) -> bool:
        ask = getattr(self._original, "is_trace_id_random", None)
        return bool(ask()) if ask else False


class _Sampled:
    """A sampling result: the SDK's own class copies the attributes once more."""

    __slots__ = ("attributes", "decision", "trace_state")

    def __init__(self, decision: Any, attributes: Any, trace_state: TraceState) -> None:
        self.decision = decision
        self.attributes = attributes
        self.trace_state = trace_state


class _FollowEpisode:
    """A sampler that decides as was decided for the episode, which was: sampled."""

    def __init__(self, trace_state: TraceState) -> None:
        from opentelemetry.sdk.trace.sampling import Decision  # noqa: PLC0415  # the tracer is the SDK's, so it is there

        self._decision = Decision.RECORD_AND_SAMPLE
        self._trace_state = trace_state

    def should_sample(self, *about: Any) -> _Sampled:
        # The interface: parent_context, trace_id, name, kind, attributes, links and what later versions add.
        attributes = about[4]
        return _Sampled(self._decision, attributes, self._trace_state)

    def get_description(self) -> str:
        return "FollowEpisode"


def following(tracer: Tracer, trace_state: TraceState) -> Tracer:
    """Return the tracer for the steps of a sampled episode; one that is not the SDK's is returned as it is."""
    if not hasattr(tracer, "sampler"):
        return tracer
    return _twin(tracer, sampler=_FollowEpisode(trace_state))


def new_trace_id(tracer: Tracer) -> int:
    """Return a new trace id from the tracer's own generator."""
    generator = getattr(tracer, "id_generator", None)
    return int(generator.generate_trace_id()) if generator else random.getrandbits(128) or 1


def start_root(
    tracer: Tracer,
    name: str,
    trace_id: int,
    attributes: Mapping[str, Any],
    links: Sequence[Link],
    start_time: int,
    span_id: int = 0,
) -> Span:
    """Start a root span with this trace id, and this span id if not 0.

    A tracer that is not the SDK's chooses ids of its own: the trace is then not named as the episode is.
    """
    generator = getattr(tracer, "id_generator", None)
    if generator is not None:
        tracer = _twin(tracer, id_generator=_FixedIds(generator, trace_id, span_id))
    return tracer.start_span(name, Context(), attributes=attributes, links=links, start_time=start_time)


class _Prepared:
    """A processor for one span: gives it its attributes before anybody sees it, and makes way for the real one.

    The SDK checks, copies and sets attributes one by one, which costs more than all else in starting a span. Those of a
    step are a fresh dict of builtin types already. Where the SDK keeps them otherwise, or limits them, they are set.
    """

    __slots__ = ("_attributes", "_inner")

    def __init__(self, attributes: dict[str, Any], inner: Any) -> None:
        self._attributes = attributes
        self._inner = inner

    def on_start(self, span: Any, parent_context: Context | None = None) -> None:
        attributes = self._attributes
        bounded = _unlimited(span, len(attributes))
        if bounded is None or bounded._dict:  # noqa: SLF001  # see above
            span.set_attributes(attributes)
        else:
            bounded._dict = attributes  # noqa: SLF001
        span._span_processor = self._inner  # noqa: SLF001
        self._inner.on_start(span, parent_context=parent_context)


def _unlimited(span: Any, more: int) -> Any:
    """Return where the SDK keeps a span's attributes, if it takes so many more of any length; else None."""
    try:
        bounded = span._attributes  # noqa: SLF001
        takes_more = bounded.maxlen is None or len(bounded._dict) + more <= bounded.maxlen  # noqa: SLF001
        if takes_more and bounded.max_value_len is None and not bounded._immutable:  # noqa: SLF001
            return bounded
    except AttributeError:
        pass
    return None


def start_prepared(
    tracer: Any, name: str, context: Context, attributes: dict[str, Any], links: Any, start_time: int
) -> Span:
    """Start a span inside an episode with attributes that need no checking: builtin types, in a dict of their own.

    A third of the instructions of ``start_span`` for a step with eleven attributes; what starts is the same.
    """
    inner = getattr(tracer, "span_processor", None)
    if inner is None or type(tracer.sampler) is not _FollowEpisode:
        span: Span = tracer.start_span(name, context, _INTERNAL, attributes, links, start_time)
        return span
    twin = object.__new__(type(tracer))
    twin.__dict__.update(tracer.__dict__, span_processor=_Prepared(attributes, inner))
    started: Span = twin.start_span(name, context, _INTERNAL, None, links, start_time)
    return started


_INTERNAL = SpanKind.INTERNAL


# --- a span --------------------------------------------------------------------------------------------------------


SpanFields: TypeAlias = "tuple[Any, ...]"
"""What is stored of a span that has ended, as `read_span` reads it; the first of it is its instrumentation scope."""

# All of a span in one call in C: a dozen properties are a dozen calls in Python. Those of attributes, events and links
# copy, behind a lock, what is final once the span has ended.
_read_sdk_span = attrgetter(
    "_instrumentation_scope", "_context", "_attributes._dict", "_parent", "_status._status_code",
    "_status._description", "_kind", "_resource", "_start_time", "_end_time", "_name", "_events._dq", "_links._dq",
)  # fmt: skip


def read_span(span: Any) -> SpanFields:
    """Return what is stored of a span, without copies: its scope, its context, its attributes, and more."""
    try:
        return _read_sdk_span(span)
    except AttributeError:
        # Made by hand, or by a version of the SDK that keeps its fields elsewhere.
        status = span.status
        return (
            span.instrumentation_scope, span.context, dict(span.attributes or {}), span.parent, status.status_code,
            status.description, span.kind, span.resource, span.start_time, span.end_time, span.name, span.events,
            span.links,
        )  # fmt: skip


def plain_attributes(attributes: Any) -> Any:
    """Return the dict in which the SDK keeps the attributes of a link; what is not the SDK's as it is."""
    return getattr(attributes, "_dict", attributes)


def set_plain(span: Any, key: str, value: Any) -> None:
    """Set an attribute of an exact builtin type: at a third of the cost of ``set_attribute``, which checks it."""
    bounded = _unlimited(span, 1)
    if bounded is None:
        span.set_attribute(key, value)
        return
    with bounded._lock:  # noqa: SLF001  # see `_Prepared`
        bounded._dict[key] = value  # noqa: SLF001


def scope_of(span: Any) -> Any:
    """Return the instrumentation scope of a span: one object for all spans of a tracer."""
    scope = getattr(span, "_instrumentation_scope", _UNKNOWN)
    return span.instrumentation_scope if scope is _UNKNOWN else scope
