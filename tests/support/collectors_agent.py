"""An agent with every kind of step, recorded by our own exporter and sent to collectors: the same spans every way.

``python collectors_agent.py DSN OTLP...`` records a fixed set of episodes and ends when all of it has been taken.
"""

from __future__ import annotations

import json
import math
import sys
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Link, SpanKind

from otel_episodes import Episode, configure, episode, log_step, step
from otel_episodes_clickhouse.advice.advise import Advice, Given
from otel_episodes_clickhouse.advice.items import Item
from otel_episodes_clickhouse.advice.record import InRun

ROUNDS = 4
MODEL = trace.get_tracer("some.model.client", "2.1.0")


@step(action="look for {pattern}")
def grep(pattern: str, *, found: bool = True) -> list[str]:
    if not found:
        raise FileNotFoundError(f"no file has {pattern!r} — nichts gefunden\nsecond line")
    return [f"src/{pattern}.rs:141"]


@step(tool="cargo", action="test", success=lambda result: result["failed"] == 0)
def cargo(failed: int) -> dict[str, int]:
    return {"passed": 48, "failed": failed}


def ask_model(prompt: str) -> None:
    """Make the span of another instrumentation, with whatever attribute values an SDK takes."""
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "model-1",
        "gen_ai.request.temperature": 0.7,
        "gen_ai.request.top_p": 1.0,
        "gen_ai.usage.input_tokens": 1200,
        "gen_ai.usage.output_tokens": 2**53 + 1,
        "gen_ai.input.messages": [{"role": "user", "parts": [{"type": "text", "content": prompt}, {"b": b"\x00\xff"}]}],
        "nested": {"b": [1, 2.5, True, None], "a": {"é": "<&>", "empty": {}}},
        "list.mixed": ["x", 1, 2.0, False],
        "numbers": [1e21, 1e-7, -0.0],
        "not.a.number": math.nan,
        "bytes": b"\x01\x02",
        "unicode": "Grüße, 世界 🦀 \u2028",
        "empty": "",
        "quotes": 'say "hi" \\ \t \n',
    }
    with MODEL.start_as_current_span("chat model-1", kind=SpanKind.CLIENT, attributes=attributes) as span:
        span.add_event("gen_ai.choice", {"index": 0, "finish": ["stop"], "score": 0.5})
        span.add_event("empty event")


def succeeds(number: int) -> str:
    with episode(
        f"Fix the parser, round {number} 🦀", agent="coder", task_type="debugging", domain="parser", language="rust",
        complexity="moderate", tags=["ci", "größer"],
    ) as ep:  # fmt: skip
        grep("parse_list")
        cargo(failed=2)
        with step("clippy", kind="error_handling", action="fix the import") as s:
            ask_model("What is wrong?")
            s.observe("0 warnings")
        cargo(failed=0)
        ep.decide("retry or rewrite?", options=["retry", "rewrite"], choice="retry", confidence=0.75)
        with ep.batch("edit", action="fix 3 tests") as burst:
            for name in ("a", "b", "c"):
                burst.add(f"fix {name}", latency_ms=4, success=name != "b")
        log_step(tool="cargo", action="build", latency_ms=3200, success=False, observation="error[E0502]")
        ep.milestone("tests green")
        judged = {"gen_ai.evaluation.name": "judge", "gen_ai.evaluation.score.value": 0.8}
        trace.get_current_span().add_event("gen_ai.evaluation.result", judged)
        ep.reward(0.5)
        ep.succeed("all 48 tests pass", artifacts=["src/parser.rs", "tests/parser_test.rs"])
        return ep.handle


def fails(number: int) -> None:
    try:
        with episode(f"Find it, round {number}", agent="coder", task_type="search", domain="parser"):
            grep("parse_list")
            grep("nowhere", found=False)
    except FileNotFoundError:
        pass


def partly(number: int) -> None:
    with episode(f"Release, round {number}", agent="ci", task_type="build", domain="release") as ep:
        cargo(failed=0)
        with step("deploy", action="to staging") as outer:
            with episode("Smoke test", agent="tester", domain="release") as nested:
                grep("health")
                nested.succeed("healthy")
            outer.observe("staging is up")
        ep.partial(done=["build", "staging"], failed=["production"])


def gives_up(number: int) -> None:
    with episode(f"Rotate the key, round {number}", agent="ops", domain="release") as ep:
        grep("key")
        other = trace.get_current_span().get_span_context()
        with trace.get_tracer("linked").start_as_current_span("lookup", links=[Link(other, {"why": ["a", 1]})]):
            pass
        told(ep)
        ep.abstain("no access", ["403 from the vault"])


def told(ep: Episode) -> None:
    """Record what the run was told, and what it said of that."""
    items = [
        Item(key, "warning", f"{key} failed in 4 of 5 runs", 5, 1, 0.04, 0.62) for key in ("größer", 'say "hi"', "last")
    ]
    given = Given(share=0.8, policy="p", unit=ep.id, domain="release", task="Rotate the key", recorder=InRun(ep))
    left_out = frozenset(("last",))
    Advice(0.5, 0.5, 0.5, 0, 0, (), id=f"a-{ep.id}", _found=(*items,), _left_out=left_out, _given=given).record()
    ep.feedback(f"a-{ep.id}", "harmed", item="last", note="line\nbreak")


def main(dsn: str, collectors: list[str]) -> None:
    configure(dsn=dsn, service_name="collectors", capture="full")
    for collector in collectors:
        configure(otlp=collector)
    handle = ""
    for number in range(ROUNDS):
        handle = succeeds(number)
        fails(number)
        partly(number)
        gives_up(number)
    with episode.resume(handle) as later:
        cargo(failed=0)
        later.succeed("still green")
    provider: Any = trace.get_tracer_provider()
    print(json.dumps({"flushed": provider.force_flush(60_000)}))
    provider.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
