"""What is known of OpenTelemetry that it does not promise: as it is today, and where it is not there."""

import subprocess
import sys
import types

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NonRecordingSpan, SpanContext, set_span_in_context

from otel_episodes import _sdk, episode, step
from otel_episodes.testing import capture_episodes


def test_the_key_of_the_current_span_is_the_one_the_api_reads():
    span = NonRecordingSpan(SpanContext(1, 2, is_remote=False))
    assert trace.get_current_span(Context({_sdk.SPAN_KEY: span})) is span
    assert set_span_in_context(span, Context()) == {_sdk.SPAN_KEY: span}


def test_attach_and_get_current_are_what_the_api_does():
    before = otel_context.get_current()
    mine = Context({"mine": 1})
    _sdk.attach(mine)
    try:
        assert otel_context.get_current() is mine is _sdk.get_current()
    finally:
        _sdk.attach(before)


def test_another_runtime_context_is_asked_by_the_public_functions():
    code = """
import sys
from opentelemetry import context
class Own:
    current = context.Context()
    def attach(self, new): before, self.current = self.current, new; return before
    def get_current(self): return self.current
    def detach(self, token): self.current = token
context._RUNTIME_CONTEXT = Own()
from otel_episodes import episode, step, _sdk
from otel_episodes.testing import capture_episodes
assert _sdk._variable is None
with capture_episodes() as recorded:
    with episode("t"), step("outer"), step("inner"): pass
    assert context.get_current() == {}
inner, outer = recorded.steps
print(inner.parent_id == outer.span_id)
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "True\n"


def test_the_provider_in_force_is_read_without_setting_one(monkeypatch):
    assert _sdk.provider_set() is None  # no test sets a global one
    monkeypatch.delattr(trace, "_TRACER_PROVIDER")
    assert _sdk.provider_set() is not None  # not known: recording goes the ordinary way


def test_instrumentations_see_nothing_in_a_suppressed_block(monkeypatch):
    key = otel_context._SUPPRESS_INSTRUMENTATION_KEY
    with _sdk.suppressed():
        assert otel_context.get_value(key) is True
    assert otel_context.get_value(key) is None
    monkeypatch.delattr(otel_context, "_SUPPRESS_INSTRUMENTATION_KEY")
    with _sdk.suppressed():
        assert otel_context.get_value(key) is None


class OtherTracer(trace.NoOpTracer):
    """A tracer that is not the SDK's."""


@pytest.mark.parametrize("tracer", [TracerProvider(shutdown_on_exit=False).get_tracer("t"), OtherTracer()])
def test_a_root_has_the_ids_it_is_given_where_the_tracer_takes_them(tracer):
    trace_id = _sdk.new_trace_id(tracer)
    span = _sdk.start_root(tracer, "root", trace_id, {}, [], 1, 7)
    if isinstance(tracer, OtherTracer):
        assert not span.is_recording()
        assert _sdk.following(tracer, span.get_span_context().trace_state) is tracer
    else:
        assert span.get_span_context()[:2] == (trace_id, 7)
        follower = _sdk.following(tracer, span.get_span_context().trace_state)
        assert follower.start_span("step").is_recording()
        assert "sampler" in vars(tracer), "the sampler of the SDK's tracer has another name"


def test_a_scope_is_found_where_the_sdk_keeps_it_and_where_it_does_not():
    with capture_episodes() as recorded, episode("t"), step("a"):
        pass
    span = recorded.exporter.get_finished_spans()[0]
    assert vars(span)["_instrumentation_scope"] is _sdk.scope_of(span) is span.instrumentation_scope
    assert _sdk.scope_of(types.SimpleNamespace(instrumentation_scope="by name")) == "by name"
