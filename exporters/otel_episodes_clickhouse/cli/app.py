"""The commands put together, and the one place where their errors become a line and an exit code.

Modules of commands are imported here, so they import nothing heavy themselves: no engine, no SDK, no rich. Recording a
step from a shell must take little longer than starting Python.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
import typer.core

from otel_episodes import EpisodesError, UsageError, __version__
from otel_episodes_clickhouse.cli import (
    advise,
    backfill,
    demo,
    doctor,
    episodes,
    evaluate,
    forget,
    hooks,
    import_files,
    jobs,
    marks,
    mcp,
    migrate,
    models,
    next_steps,
    outlook,
    output,
    patterns,
    record,
    reflect,
    report,
    rewards,
    score,
    serve,
    ship,
    show,
    similar,
    skills,
    sql,
    tools,
)

# The commands by what one wants; the help lists them so.
GROUPS = {
    "Record": ("start", "step", "complete", "score", "tag", "relate", "checkpoint", "import", "hooks", "skill"),
    "Look": ("serve", "episodes", "show", "report", "models", "tools", "sql", "demo"),
    "Learn": ("jobs", "rewards", "patterns", "reflect", "evaluate"),
    "Advise": ("advise", "feedback", "advice", "similar", "outlook", "next", "handoff", "skills", "mcp"),
    "Operate": ("ship", "doctor", "migrate", "backfill", "forget"),
}


class Grouped(typer.core.TyperGroup):
    """Lists its commands in groups; one that is in no group comes last."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002  # the interface
        """Write the commands of each group with the beginning of their help."""
        visible = {name: command for name, command in self.commands.items() if not command.hidden}
        placed = {name for names in GROUPS.values() for name in names}
        groups = {**GROUPS, "Other": tuple(name for name in visible if name not in placed)}
        room = formatter.width - 6 - max(map(len, visible), default=0)
        for title, names in groups.items():
            rows = [(name, visible[name].get_short_help_str(room)) for name in names if name in visible]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


EPILOG = (
    "Data goes to --dsn, else OTEL_EPISODES_DSN, else an embedded store in your data directory. "
    "Start with: otel-episodes demo"
)

app = typer.Typer(
    name="otel-episodes",
    help="Record what agents do as episodes and steps, and look at them. Every episode is an OpenTelemetry trace.",
    epilog=EPILOG,
    cls=Grouped,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
)
for module in (
    demo,
    record,
    score,
    marks,
    import_files,
    hooks,
    episodes,
    show,
    report,
    models,
    tools,
    sql,
    serve,
    jobs,
    patterns,
    rewards,
    reflect,
    advise,
    similar,
    outlook,
    next_steps,
    mcp,
    skills,
    evaluate,
    ship,
    backfill,
    doctor,
    migrate,
    forget,
):
    module.register(app)

# What typer calls a wrong option; its base is the class of every error that carries its own exit code.
_CommandError: type[Any] = typer.BadParameter.__mro__[2]


@app.callback(invoke_without_command=True)
def _main(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    dsn: Annotated[  # noqa: ARG001  # read by the commands, see options
        str | None, typer.Option(metavar="DSN", help="As after the command.", show_default=False)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="As after the command.")] = False,
) -> None:
    if version:
        output.line(__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        output.line(context.get_help())
    elif json and not _takes_json(typer.main.get_command(app), context.invoked_subcommand):
        raise UsageError(f"{context.invoked_subcommand} does not print JSON: leave --json out")


def _takes_json(group: Any, name: str) -> bool:
    command = group.commands.get(name)
    below = getattr(command, "commands", {})
    return any(param.name == "json" for each in (command, *below.values()) if each for param in each.params)


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
        # What checks a value puts that in front of what it says.
        message = error.format_message().replace("Value error, ", "").rstrip(".")
        output.problem(f"{message}{hint}")
        return int(error.exit_code)
    output.problem(str(error))
    return 2 if isinstance(error, UsageError) else 1
