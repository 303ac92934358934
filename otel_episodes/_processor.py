"""Spans of other libraries inside an episode: told which episode they are in, and asked for their tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from otel_episodes import _run, _state, semconv
from otel_episodes._boundary import report
from otel_episodes._context import RUN_KEY, STEP_KEY, context_by_frame
from otel_episodes._sdk import get_current, scope_of
from otel_episodes._usage import usage_of_span

if TYPE_CHECKING:
    from opentelemetry.context import Context

    from otel_episodes._run import BegunSpan, CountsTokens, Run


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
            parent = span.parent
            run.foreign_spans[span.get_span_context().span_id] = _run.BegunSpan(step, parent.span_id if parent else 0)
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
            call = run.foreign_spans.pop(span.get_span_context().span_id, None)
            if call is not None:  # else it did not start in the episode, or another one of us has counted it
                _count(run, call, attributes)
        except Exception as error:  # noqa: BLE001  # the boundary, in the hot path
            report(error, "reading the tokens of a model call")

    def _on_ending(self, span: Any) -> None:
        """Do nothing: the SDK's interface."""

    def shutdown(self) -> None:
        """Do nothing: the SDK's interface."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002
        """Return true: nothing is held back."""
        return True


_stamped: WeakSet[Any] = WeakSet()


def stamp_episodes(provider: Any, by: EpisodeContextProcessor | None = None) -> None:  # the SDK is not imported
    """Add a processor that stamps to a tracer provider: ``by``, or a plain one where there is none yet."""
    if by is not None or provider not in _stamped:
        provider.add_span_processor(by or EpisodeContextProcessor())
        _stamped.add(provider)


def _count(run: Run, call: BegunSpan, attributes: Any) -> None:
    """Count a model call once, however many spans tell of it: the innermost, and each response's id once."""
    usage = usage_of_span(attributes)
    if usage is not None and not call.counted and run.is_new(attributes.get(semconv.GEN_AI_RESPONSE_ID)):
        run.add_usage(usage)
        if call.step is not None:
            call.step.add_model_usage(usage)
    # Not past a tool or an agent: what is called in there is not the call around it.
    if (usage is not None or call.counted) and (
        attributes.get(semconv.GEN_AI_OPERATION_NAME) not in semconv.AGGREGATE_OPERATIONS
    ):
        around = run.foreign_spans.get(call.parent_id)
        if around is not None:
            around.counted = True
