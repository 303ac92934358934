"""The commands put together, and the one place where their errors become a line and an exit code.

Modules of commands are imported here, so they import nothing heavy themselves: no engine, no SDK, no rich. Recording a
step from a shell must take little longer than starting Python.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

from otel_episodes import EpisodesError, UsageError, __version__
from otel_episodes_clickhouse.cli import (
    backfill,
    demo,
    doctor,
    episodes,
    evaluate,
    import_files,
    jobs,
    migrate,
    next_steps,
    outlook,
    output,
    patterns,
    record,
    reflect,
    rewards,
    ship,
)

EPILOG = (
    "Data goes to --dsn, else OTEL_EPISODES_DSN, else an embedded store in your data directory. "
    "Start with: otel-episodes demo"
)

app = typer.Typer(
    name="otel-episodes",
    help="Record what agents do as episodes and steps, and look at them. Every episode is an OpenTelemetry trace.",
    epilog=EPILOG,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
)
for module in (
    demo,
    record,
    import_files,
    episodes,
    jobs,
    patterns,
    rewards,
    reflect,
    outlook,
    next_steps,
    evaluate,
    ship,
    backfill,
    doctor,
    migrate,
):
    module.register(app)

# What typer calls a wrong option; its base is the class of every error that carries its own exit code.
_CommandError: type[Any] = typer.BadParameter.__mro__[2]


@app.callback(invoke_without_command=True)
def _main(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        output.line(__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        output.line(context.get_help())


def run(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    command = typer.main.get_command(app)
    try:
        code = command.main(args=arguments, prog_name="otel-episodes", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # `| head` has seen enough; Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (EpisodesError, OSError, _CommandError, typer.Exit, typer.Abort, KeyboardInterrupt) as error:
        return _explained(error)
    return code if isinstance(code, int) else 0


def _explained(error: BaseException) -> int:
    """Say what went wrong, in one line, and return the exit code."""
    if isinstance(error, KeyboardInterrupt):
        return 130
    if isinstance(error, typer.Exit):
        return error.exit_code
    if isinstance(error, _CommandError):
        context = getattr(error, "ctx", None)
        hint = f" (see: {context.command_path} --help)" if context is not None else ""
        output.problem(f"{error.format_message().rstrip('.')}{hint}")
        return int(error.exit_code)
    output.problem(str(error))
    return 2 if isinstance(error, UsageError) else 1
