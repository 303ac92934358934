"""The day of a coding agent that `demo` records, and the weeks before it, of which there is something to learn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from otel_episodes_clickhouse.importers.run import BatchItem, Run, Step, Usage

_SECOND: Final = 1_000_000_000
# Between two steps the agent thinks.
_PAUSE: Final = 2 * _SECOND
_BREAK: Final = 25 * 60 * _SECOND
_HALF_DAY: Final = 12 * 60 * 60 * _SECOND
_EARLIER: Final = 30


def a_day(*, until: int) -> list[Run]:
    """Return the day's runs, the last of which has just ended."""
    start = until - sum(_length(run) + _BREAK for run in _DAY) + _BREAK
    runs = []
    for run in _DAY:
        timed = _timed(run, start)
        runs.append(timed)
        start = timed.end_time + _BREAK
    return runs


def weeks_before(*, until: int) -> list[Run]:
    """Return thirty earlier repairs, two a day: most that looked before they edited went well."""
    return [_timed(_earlier(number), until - (_EARLIER - number) * _HALF_DAY) for number in range(_EARLIER)]


def _earlier(number: int) -> Run:
    looked, exception = number % 2 == 0, number % 5 == 0
    well = looked != exception
    task = ("Fix the failing parser tests", "Fix the failing lexer tests", "Fix a panic on empty input")[number % 3]
    look = (_step("grep", "fn parse_list", 0.2, "1 place"), _step("read_file", "src/parser.rs", 0.1, "71 lines"))
    last = ("cargo", "test", 12.0)
    return _run(
        task,
        _failed("cargo", "test", 12.4, "2 tests failed"),
        *(look if looked else ()),
        _step("edit", "src/parser.rs", 0.6, "1 place"),
        _step(*last, "48 tests passed") if well else _failed(*last, "3 tests failed"),
        outcome="success" if well else "failure",
        verdict="all 48 tests pass" if well else "the tests still fail",
        options={"task_type": "debugging"},
    )


def _length(run: Run) -> int:
    return _timed(run, 0).end_time


def _timed(run: Run, start: int) -> Run:
    """Lay out the steps one behind the other."""
    now, steps = start, []
    for step in run.steps:
        now += _PAUSE
        below = tuple(_timed(sub_agent, now + _SECOND) for sub_agent in step.sub_agents)
        end = max([now + step.duration, *(sub_agent.end_time + _SECOND for sub_agent in below)])
        steps.append(replace(step, start_time=now, duration=end - now, sub_agents=below))
        now = end
    return replace(run, start_time=start, end_time=now + _PAUSE, steps=tuple(steps))


def _step(tool: str, action: str, seconds: float, observation: str = "", **more: Any) -> Step:
    return Step(
        tool=tool,
        start_time=0,
        duration=round(seconds * _SECOND),
        arguments=action,
        observation=observation or None,
        **more,
    )


def _failed(tool: str, action: str, seconds: float, observation: str) -> Step:
    return _step(tool, action, seconds, observation, success=False)


def _run(task: str, *steps: Step, outcome: str = "success", **more: Any) -> Run:
    said = {"task_type": "coding", "domain": "parser", "language": "rust", "complexity": "moderate"}
    said.update(more.pop("options", {}))
    return Run(task=task, start_time=0, agent="coder", outcome=outcome, steps=steps, options=said, **more)


def _fixes() -> tuple[BatchItem, ...]:
    places = ("src/lexer.rs:88", "src/lexer.rs:91", "src/ast.rs:17", "src/ast.rs:230", "src/main.rs:12")
    return tuple(
        BatchItem(f"remove unused import at {place}", latency_ms=140.0 + 35 * n) for n, place in enumerate(places)
    )


_DAY: Final = (
    _run(
        "Build the release",
        _step("git", "pull --rebase", 1.8, "Already up to date"),
        _step("cargo", "build --release", 74.2, "Finished release in 1m 14s, 0 warnings"),
        _step("ls", "target/release/parse", 0.03, "parse, 4.1 MB"),
        verdict="built, 0 warnings",
        artifacts=("target/release/parse",),
        options={"task_type": "build", "complexity": "simple"},
    ),
    _run(
        "Fix the failing parser tests",
        _failed("cargo", "test", 12.6, "2 tests failed: parses_empty_input, parses_nested_lists"),
        _step("grep", "fn parse_list", 0.2, "src/parser.rs:141"),
        _step("read_file", "src/parser.rs:120-190", 0.1, "71 lines"),
        _step(
            "root cause", "Where does the nesting get lost?", 0.4, "parser: the depth is reset too early",
            kind="decision_point",
            attributes={
                "episode.decision.options": ["lexer", "parser"],
                "episode.decision.choice": "parser",
                "episode.decision.confidence": 0.8,
            },
        ),
        _step("llm", "write the fix", 9.4, "14 lines changed", usage=Usage(6200, 840)),
        _failed("cargo", "test", 11.9, "1 test failed: parses_empty_input"),
        _step("edit", "return early on empty input", 0.6, "src/parser.rs:139", kind="error_handling"),
        _step("cargo", "test", 12.1, "48 tests passed"),
        _step("tests green", "tests green", 0.0, kind="milestone"),
        verdict="all 48 tests pass",
        artifacts=("src/parser.rs", "tests/parser_test.rs"),
        options={"task_type": "debugging", "tags": ["ci"]},
    ),
    _run(
        "Generate the AST visitor",
        _step("read_file", "src/ast.rs", 0.1, "310 lines"),
        _step("llm", "generate Visitor and walk functions", 21.7, "186 lines", usage=Usage(9400, 2800)),
        _step("write_file", "src/visitor.rs", 0.1, "186 lines"),
        _step("cargo", "check", 6.3, "Finished, 0 errors"),
        verdict="compiles",
        artifacts=("src/visitor.rs",),
        options={"task_type": "code_generation"},
    ),
    _run(
        "Get clippy clean",
        _failed("clippy", "--all-targets", 8.8, "error: this loop never actually loops (src/lexer.rs:88)"),
        _step("clippy", "replace the loop by if let", 0.9, "src/lexer.rs:88", kind="error_handling"),
        _step("cargo", "fix 5 warnings", 1.3, batch=_fixes()),
        _step("clippy", "--all-targets", 8.1, "0 warnings"),
        verdict="0 warnings",
        options={"task_type": "linting", "complexity": "simple"},
        attributes={"episode.clippy_warnings": "0"},
    ),
    _run(
        "Move the parser to async and update its docs",
        _step("llm", "plan the change", 7.2, "6 places", usage=Usage(5100, 610)),
        _step(
            "delegate", "update the docs", 1.0, "2 pages",
            sub_agents=(
                _run(
                    "Update the docs for async parsing",
                    _step("read_file", "docs/parsing.md", 0.1, "92 lines"),
                    _step("llm", "rewrite two examples", 13.5, "34 lines", usage=Usage(3900, 720)),
                    _step("write_file", "docs/parsing.md", 0.1, "96 lines"),
                    verdict="two examples rewritten",
                    options={"task_type": "documentation", "complexity": "simple"},
                ),
            ),
        ),
        _step("edit", "src/parser.rs: async fn parse", 2.4, "4 of 6 places"),
        _failed("cargo", "check", 6.0, "error[E0728]: await is only allowed inside async functions"),
        outcome="partial",
        verdict="docs and 4 of 6 places done; the lexer still blocks",
        done=5,
        not_done=2,
        options={"task_type": "refactoring", "complexity": "complex"},
    ),
    _run(
        "Rotate the signing key of the package feed",
        _step("read_file", "docs/release.md", 0.1, "keys are rotated by two people"),
        outcome="abstained",
        verdict="needs a second person's approval",
        options={"task_type": "operations", "domain": "release"},
    ),
    _run(
        "Upgrade to the next edition",
        _step("cargo", "fix --edition", 31.0, "12 files changed"),
        _failed("cargo", "test", 14.4, "19 tests failed"),
        _failed("cargo", "test --no-fail-fast", 16.2, "19 tests failed"),
        _step("git", "checkout .", 0.1, "12 paths restored"),
        outcome="failure",
        verdict="a dependency does not support it yet",
        options={"task_type": "upgrade", "complexity": "complex"},
    ),
)  # fmt: skip
