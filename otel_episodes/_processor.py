"""Spans of other libraries inside an episode: told which episode they are in, and asked for their tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from otel_episodes import _run, _state, semconv
from otel_episodes._boundary import report
from otel_episodes._context import RUN_KEY, STEP_KEY, context_by_frame
from otel_episodes._sdk import get_current, scope_of
from otel_episodes._usage import Usage

if TYPE_CHECKING:
    from opentelemetry.context import Context

    from otel_episodes._run import CountsTokens


class EpisodeContextProcessor:
    """A span processor that stamps ``episode.id`` on every span inside an episode and sums model calls' tokens.

    It has the SDK's interface without importing the SDK. `configure` installs it, alone or as a part of the store's
    processor; where you build your own provider, add it before the processors that export. Two on one provider do
    what one does.
    """

    _own_scope: Any = None

    def on_start(self, span: Any, parent_context: Context | None = None) -> None:  # the SDK's Span
        """Stamp a span that is not ours with the episode it starts in."""
        # Our own spans have what they need. Their tracer keeps one scope object: three calls fewer than its name.
        scope = scope_of(span)
        if scope is self._own_scope:
            return
        if scope is not None and scope.name == _state.SCOPE:
            self._own_scope = scope
            return
        context = get_current() if parent_context is None else parent_context
        run: Any = context.get(RUN_KEY)
        if run is None:
            found = context_by_frame()
            if found is None:
                return
            context, run = found, found.get(RUN_KEY)
        try:
            # What the other library has said itself stands: an agent of its own has a name of its own.
            said = span.attributes or {}
            span.set_attributes({key: value for key, value in run.identity.items() if key not in said})
            step: CountsTokens | None = context.get(STEP_KEY)  # type: ignore[assignment]
            run.foreign_spans[span.get_span_context().span_id] = step
        except Exception as error:  # noqa: BLE001  # the boundary, in the hot path
            report(error, "stamping a span with its episode")

    def on_end(self, span: Any) -> None:  # the SDK's ReadableSpan
        """Add a model call's tokens to the step and the episode it was made in."""
        if span.instrumentation_scope.name == _state.SCOPE:
            return
        try:
            attributes = span.attributes
            run = _run.active(attributes.get(semconv.EPISODE_ID, ""))
            if run is None:
                return
            step = run.foreign_spans.pop(span.get_span_context().span_id, _UNKNOWN)
            if step is _UNKNOWN:
                return  # did not start in the episode, or another one of us has counted it
            usage = _model_usage(attributes)
            if usage is None:
                return
            run.add_usage(usage)
            if step is not None:
                step.add_model_usage(usage)
        except Exception as error:  # noqa: BLE001  # the boundary, in the hot path
            report(error, "reading the tokens of a model call")

    def _on_ending(self, span: Any) -> None:
        """Do nothing: the SDK's interface."""

    def shutdown(self) -> None:
        """Do nothing: the SDK's interface."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002
        """Return true: nothing is held back."""
        return True


_UNKNOWN: Any = object()
_stamped: WeakSet[Any] = WeakSet()


def stamp_episodes(provider: Any, by: EpisodeContextProcessor | None = None) -> None:  # the SDK is not imported
    """Add a processor that stamps to a tracer provider: ``by``, or a plain one where there is none yet."""
    if by is not None or provider not in _stamped:
        provider.add_span_processor(by or EpisodeContextProcessor())
        _stamped.add(provider)


def _model_usage(attributes: Any) -> Usage | None:  # a mapping
    if attributes.get(semconv.GEN_AI_OPERATION_NAME) in semconv.AGGREGATE_OPERATIONS:
        return None  # the sum of calls that are counted themselves
    counts = [attributes.get(key) for key in (semconv.GEN_AI_USAGE_INPUT_TOKENS, semconv.GEN_AI_USAGE_OUTPUT_TOKENS)]
    if not any(isinstance(count, int) for count in counts):
        return None
    return Usage(*(count if isinstance(count, int) else 0 for count in counts))
