"""Recording from a shell: ``start``, ``step``, ``complete``."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import typer

from otel_episodes import Episode, UsageError, episode, semconv
from otel_episodes._for_store import Handle, masked_line, one_of
from otel_episodes_clickhouse.cli import output
from otel_episodes_clickhouse.cli.opening import recording
from otel_episodes_clickhouse.cli.options import Dsn, add
from otel_episodes_clickhouse.errors import StoreError

HandleArgument = Annotated[str, typer.Argument(metavar="HANDLE", help="What `otel-episodes start` printed.")]
_NOT_RECORDED = "nothing was recorded: OTEL_SDK_DISABLED is set, or the episode is not sampled"


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    add(app, start)
    add(app, step)
    add(app, complete)


def start(
    task: Annotated[str, typer.Argument(metavar="TASK", show_default=False, help="What is to be done.")] = "",
    agent: Annotated[str, typer.Option(help="Who does it.")] = "",
    task_type: Annotated[str, typer.Option(help="Such as debugging, refactoring.")] = "",
    domain: Annotated[str, typer.Option(help="Such as web-api; patterns are learned per domain.")] = "",
    language: Annotated[str, typer.Option(help="Programming language.")] = "",
    framework: Annotated[str, typer.Option(help="Framework.")] = "",
    complexity: Annotated[str, typer.Option(help=f"One of {', '.join(semconv.COMPLEXITIES)}.")] = "",
    tag: Annotated[list[str] | None, typer.Option(help="A tag; may be repeated.", show_default=False)] = None,
    resume: Annotated[
        str, typer.Option(metavar="HANDLE", help="Go on with an episode that has ended, in a new segment.")
    ] = "",
    dsn: Dsn = None,
) -> None:
    """Start an episode and print its handle.

    Nothing else is on stdout. Pass the handle to `step` and `complete`, from this or any other process.

    Examples:
      HANDLE=$(otel-episodes start "Fix the flaky test" --agent coder --language rust)
      otel-episodes step "$HANDLE" --tool cargo --action test --latency-ms 3200
      otel-episodes complete "$HANDLE" --outcome success --verdict "all tests pass"
      HANDLE=$(otel-episodes start --resume "$HANDLE")     # a week later
    """
    if not task and not resume:
        raise UsageError('name the task: otel-episodes start "Fix the flaky test"')
    known: dict[str, Any] = {
        "agent": agent,
        "task_type": task_type,
        "domain": domain,
        "language": language,
        "framework": framework,
        "complexity": complexity,
        "tags": tag or [],
    }
    begun = _next_segment(resume, task, known) if resume else episode(task, **known)
    with recording(dsn):
        begun.start()
        handle = begun.leave_open()
        if not begun.recording:
            raise StoreError(_NOT_RECORDED)
    output.line(handle)


def _next_segment(handle: str, task: str, known: dict[str, Any]) -> Episode:
    given = [f"--{name.replace('_', '-')}" for name, value in known.items() if value]
    if given:
        raise UsageError(f"{', '.join(given)} cannot change in a resumed episode: leave it out")
    # That it has ended is known to whoever ended it, not to a handle that was printed before.
    resumed = episode.resume(str(replace(Handle.parse(handle), ended=True)))
    resumed.task = task
    return resumed


def step(
    handle: HandleArgument,
    tool: Annotated[
        str, typer.Option(help="The tool used; needed unless the kind is decision_point or milestone.")
    ] = "",
    action: Annotated[str, typer.Option(help="What was done with it.")] = "",
    latency_ms: Annotated[float, typer.Option(help="How long it took; it ended just now.", metavar="MS")] = 0.0,
    failed: Annotated[bool, typer.Option("--failed", help="It did not work; the observation says why.")] = False,
    observation: Annotated[str, typer.Option(help="What came of it.")] = "",
    tokens: Annotated[
        str, typer.Option(metavar="OUT|IN/OUT", help="Tokens: 2800 are output tokens; 1200/300 input and output.")
    ] = "",
    kind: Annotated[str, typer.Option(help=f"One of {', '.join(semconv.KINDS)}.")] = "tool_use",
    error_type: Annotated[str, typer.Option(help="Class of the error, with --failed.")] = "",
    dsn: Dsn = None,
) -> None:
    """Add a step that has just happened.

    Examples:
      otel-episodes step "$HANDLE" --tool cargo --action test --latency-ms 3200
      otel-episodes step "$HANDLE" --tool cargo --action test --failed --observation "2 tests failed"
      otel-episodes step "$HANDLE" --tool llm --action "write the parser" --tokens 1200/300
      otel-episodes step "$HANDLE" --kind milestone --action "tests green"
    """
    joined = episode.resume(handle)
    one_of("--kind", kind, semconv.KINDS)
    if not tool and kind in ("tool_use", "error_handling"):
        raise UsageError("name the tool: --tool cargo (only decision_point and milestone go without)")
    if error_type and not failed:
        raise UsageError("--error-type goes with --failed: add it, or leave the type out")
    if not 0 <= latency_ms < float("inf"):
        raise UsageError(f"--latency-ms {latency_ms:g} must be a number of milliseconds, 0 or more")
    input_tokens, output_tokens = _tokens(tokens)
    with recording(dsn):
        joined.start()
        if not joined.recording:
            raise StoreError(_NOT_RECORDED)
        joined.log_step(
            tool=tool or masked_line(action, 64),
            action=action,
            latency_ms=latency_ms,
            success=not failed,
            observation=observation,
            kind=kind,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            error_type=error_type or semconv.TOOL_ERROR,
        )
        joined.leave_open()


def _tokens(text: str) -> tuple[int, int]:
    first, slash, second = text.partition("/")
    parts = (first, second) if slash else ("0", first or "0")
    if not all(part.isascii() and part.isdigit() and len(part) <= 18 for part in parts):  # noqa: PLR2004  # 64 bits
        raise UsageError(f"--tokens {text} is no count: use 2800 (output tokens) or 1200/300 (input/output)")
    return int(parts[0]), int(parts[1])


def complete(
    handle: HandleArgument,
    outcome: Annotated[str, typer.Option(help=f"One of {', '.join(semconv.OUTCOMES)}.")],
    verdict: Annotated[str, typer.Option(help="Why: what was reached, or what went wrong.")] = "",
    artifact: Annotated[
        list[str] | None, typer.Option(help="What was made, with success; may be repeated.", show_default=False)
    ] = None,
    done: Annotated[int | None, typer.Option(help="With partial: parts done.", show_default=False)] = None,
    not_done: Annotated[int | None, typer.Option(help="With partial: parts not done.", show_default=False)] = None,
    reward: Annotated[float | None, typer.Option(help="A score from outside.", show_default=False)] = None,
    dsn: Dsn = None,
) -> None:
    """End an episode with an outcome.

    Examples:
      otel-episodes complete "$HANDLE" --outcome success --artifact src/a_test.rs
      otel-episodes complete "$HANDLE" --outcome partial --done 3 --not-done 1
      otel-episodes complete "$HANDLE" --outcome failure --verdict "the build broke"
      otel-episodes complete "$HANDLE" --outcome abstained --verdict "needs a human" --reward 0.3
    """
    joined = episode.resume(handle)
    one_of("--outcome", outcome, semconv.OUTCOMES)
    if outcome != "partial" and (done is not None or not_done is not None):
        raise UsageError("--done and --not-done go with --outcome partial")
    if outcome != "success" and artifact:
        raise UsageError("--artifact goes with --outcome success")
    for option, number in (("--done", done), ("--not-done", not_done)):
        if number is not None and number < 0:
            raise UsageError(f"{option} {number} must be a whole number, 0 or more")
    if reward is not None:
        joined.reward(reward)
    with recording(dsn):
        joined.start()
        if not joined.recording:
            raise StoreError(_NOT_RECORDED)
        _say(joined, outcome, verdict, artifact or [], (done or 0, not_done or 0))
        joined.end()


def _say(joined: Episode, outcome: str, verdict: str, artifacts: list[str], parts: tuple[int, int]) -> None:
    if outcome == "success":
        joined.succeed(verdict, artifacts=artifacts)
    elif outcome == "partial":
        joined.partial(*parts, verdict)
    elif outcome == "abstained":
        joined.abstain(verdict)
    else:
        joined.fail(verdict)
