"""The commands put together, and the one place where their errors become a line and an exit code.

The module of a command is loaded when that command is asked for. None imports anything heavy at its top, no engine, no
SDK, no rich: the help loads them all.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
import typer.core

from otel_episodes.exceptions import EpisodesError, UsageError
from otel_episodes_clickhouse.cli import output

if TYPE_CHECKING:
    from collections.abc import Iterator

# The commands by what one wants, as the help lists them, each with the module that registers it.
GROUPS: Final[dict[str, dict[str, str]]] = {
    "Record": {
        "start": "record", "step": "record", "complete": "record", "score": "score", "tag": "marks", "relate": "marks",
        "checkpoint": "marks", "import": "import_files", "hooks": "hooks", "skill": "hooks",
    },
    "Look": {
        "serve": "serve", "episodes": "episodes", "show": "show", "report": "report", "models": "models",
        "tools": "tools", "sql": "sql", "demo": "demo",
    },
    "Learn": {
        "jobs": "jobs", "rewards": "rewards", "patterns": "patterns", "reflect": "reflect", "evaluate": "evaluate",
    },
    "Advise": {
        "advise": "advise", "feedback": "advise", "advice": "advise", "similar": "similar", "outlook": "outlook",
        "next": "next_steps", "handoff": "marks", "skills": "skills", "mcp": "mcp",
    },
    "Operate": {
        "ship": "ship", "doctor": "doctor", "migrate": "migrate", "backfill": "backfill", "forget": "forget",
    },
}  # fmt: skip
_MODULES: Final = {name: module for names in GROUPS.values() for name, module in names.items()}


class _Commands(Mapping[str, Any]):
    """The commands by name, each loaded when it is asked for: one alone is loaded in a third of the time of all."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            part = typer.Typer(rich_markup_mode=None)
            import_module(f"otel_episodes_clickhouse.cli.{_MODULES[name]}").register(part)
            self._loaded.update(typer.main.get_group(part).commands)
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_MODULES)

    def __len__(self) -> int:
        return len(_MODULES)


class Grouped(typer.core.TyperGroup):
    """Has the commands of `GROUPS`, and lists them in groups."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**{**attributes, "commands": _Commands()})

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002  # the interface
        """Write the commands of each group with the beginning of their help."""
        room = formatter.width - 6 - max(map(len, self.commands))
        for title, names in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(room)) for name in names])


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
        from otel_episodes import __version__  # noqa: PLC0415  # with OpenTelemetry's API

        output.line(__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        output.line(context.get_help())
    elif json and not _takes_json(context.command, context.invoked_subcommand):
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
