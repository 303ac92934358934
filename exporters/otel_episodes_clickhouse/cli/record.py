"""Recording from a shell: ``start``, ``step``, ``complete``, as typer has them; see `quick` for how most are run."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from otel_episodes import Episode, episode, semconv
from otel_episodes._for_store import Handle, masked_line
from otel_episodes_clickhouse.cli import output
from otel_episodes_clickhouse.cli.opening import recording
from otel_episodes_clickhouse.cli.options import Dsn, add
from otel_episodes_clickhouse.cli.record_options import OPTIONS, Option, check, tokens_of
from otel_episodes_clickhouse.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_NOT_RECORDED = "nothing was recorded: OTEL_SDK_DISABLED is set, or the episode is not sampled"


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    for name, function in (("start", start), ("step", step), ("complete", complete)):
        add(app, _command(name, function), name)


def start(given: Mapping[str, Any]) -> None:
    """Start an episode and print its handle.

    Nothing else is on stdout. Pass the handle to `step` and `complete`, from this or any other process.

    Examples:
      HANDLE=$(otel-episodes start "Fix the flaky test" --agent coder --language rust)
      otel-episodes step "$HANDLE" --tool cargo --action test --latency-ms 3200
      otel-episodes complete "$HANDLE" --outcome success --verdict "all tests pass"
      HANDLE=$(otel-episodes start --resume "$HANDLE")     # a week later
    """
    begun = _next_segment(given["resume"], given["task"]) if given["resume"] else _first_segment(given)
    with recording(given["dsn"]):
        begun.start()
        handle = begun.leave_open()
        if not begun.recording:
            raise StoreError(_NOT_RECORDED)
    output.line(handle)


def step(given: Mapping[str, Any]) -> None:
    """Add a step that has just happened.

    Examples:
      otel-episodes step "$HANDLE" --tool cargo --action test --latency-ms 3200
      otel-episodes step "$HANDLE" --tool cargo --action test --failed --observation "2 tests failed"
      otel-episodes step "$HANDLE" --tool llm --action "write the parser" --tokens 1200/300
      otel-episodes step "$HANDLE" --kind milestone --action "tests green"
    """
    joined = episode.resume(given["handle"])
    # Not told is not none.
    tokens: dict[str, Any] = {}
    if given["tokens"]:
        tokens["input_tokens"], tokens["output_tokens"] = tokens_of(given["tokens"])
    with recording(given["dsn"]):
        joined.start()
        if not joined.recording:
            raise StoreError(_NOT_RECORDED)
        joined.log_step(
            tool=given["tool"] or masked_line(given["action"], 64),
            action=given["action"],
            latency_ms=given["latency_ms"],
            success=not given["failed"],
            observation=given["observation"],
            kind=given["kind"],
            error_type=given["error_type"] or semconv.TOOL_ERROR,
            **tokens,
        )
        joined.leave_open()


def complete(given: Mapping[str, Any]) -> None:
    """End an episode with an outcome.

    Examples:
      otel-episodes complete "$HANDLE" --outcome success --artifact src/a_test.rs
      otel-episodes complete "$HANDLE" --outcome partial --done 3 --not-done 1
      otel-episodes complete "$HANDLE" --outcome failure --verdict "the build broke"
      otel-episodes complete "$HANDLE" --outcome abstained --verdict "needs a human" --reward 0.3
    """
    joined = episode.resume(given["handle"])
    if given["reward"] is not None:
        joined.reward(given["reward"])
    with recording(given["dsn"]):
        joined.start()
        if not joined.recording:
            raise StoreError(_NOT_RECORDED)
        _tell_outcome(joined, given)
        joined.end()


def _first_segment(given: Mapping[str, Any]) -> Episode:
    known = {name: given[name] for name in ("agent", "task_type", "domain", "language", "framework")}
    return episode(given["task"], complexity=given["complexity"] or "", tags=given["tag"] or [], **known)


def _next_segment(handle: str, task: str) -> Episode:
    # That it has ended is known to whoever ended it, not to a handle that was printed before.
    resumed = episode.resume(str(replace(Handle.parse(handle), ended=True)))
    resumed.task = task
    return resumed


def _tell_outcome(joined: Episode, given: Mapping[str, Any]) -> None:
    outcome, verdict = given["outcome"], given["verdict"]
    if outcome == "success":
        joined.succeed(verdict, artifacts=given["artifact"] or [])
    elif outcome == "partial":
        joined.partial(given["done"] or 0, given["not_done"] or 0, verdict)
    elif outcome == "abstained":
        joined.abstain(verdict)
    else:
        joined.fail(verdict)


def _command(name: str, function: Callable[[Mapping[str, Any]], None]) -> Callable[..., None]:
    """Return a function with the options of a command as its parameters, which is how typer reads them."""

    def command(**given: Any) -> None:
        check(name, given)
        function(given)

    parameters = [_parameter(option) for option in OPTIONS[name]]
    command.__doc__ = function.__doc__
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what `inspect` looks for
    return command


def _parameter(option: Option) -> inspect.Parameter:
    kind: Any = Literal[option.choices] if option.choices else option.kind
    kind = list[kind] if option.many else kind
    kind = kind | None if option.default is None and not option.required else kind
    default = inspect.Parameter.empty if option.required else option.default
    shown: dict[str, Any] = {"help": option.help, "metavar": option.metavar}
    if option.positional or option.default is None:
        shown["show_default"] = False
    if option.name == "dsn":
        annotation: Any = Dsn
    elif option.positional:
        annotation = Annotated[kind, typer.Argument(**shown)]
    else:
        annotation = Annotated[kind, typer.Option(option.flag, **shown)]
    return inspect.Parameter(option.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
