"""`otel-episodes hooks` and `otel-episodes skill`: recording of coding agents, set up and taken out again."""

from __future__ import annotations

import json as jsons
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from otel_episodes_clickhouse.cli import options, output
from otel_episodes_clickhouse.cli.choices import HookedAgent, SessionPart

if TYPE_CHECKING:
    from typing import Any

_Agent = Annotated[HookedAgent, typer.Argument(metavar="AGENT", help="claude-code, codex or gemini.")]
_Home = Annotated[
    Path | None,
    typer.Option("--in", metavar="DIR", help="A project instead of your home directory.", show_default=False),
]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")]

_Per = Annotated[
    SessionPart | None,
    typer.Option("--per", help="An episode for each prompt, instead of one for the session.", show_default=False),
]

_Advice = Annotated[
    bool, typer.Option("--advice", help="Also tell the agent what earlier runs show, at the prompt and at its tools.")
]

hooks_app = typer.Typer(help="Record the sessions of a coding agent while they go on.", no_args_is_help=True)
skill_app = typer.Typer(help="Teach a coding agent to log its steps where no hook does.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    options.add(hooks_app, install)
    options.add(hooks_app, print_, "print")
    options.add(hooks_app, uninstall)
    options.add(skill_app, install_skill, "install")
    app.add_typer(hooks_app, name="hooks")
    app.add_typer(skill_app, name="skill")


def install(
    agent: _Agent, directory: _Home = None, per: _Per = None, advice: _Advice = False, dry_run: _DryRun = False
) -> None:
    """Add hooks to an agent's settings: a session becomes an episode while it goes on.

    Everything else in the settings stays; what changes is shown, and the file is kept as it was
    beside it. Each tool call brings the session in; it is one episode, or with `--per prompt` one
    for each prompt, the same that `import` makes of it. Episodes go where OTEL_EPISODES_DSN says
    now: agents keep such variables from their hooks, so the settings of today are written down.

    Example:
      otel-episodes hooks install claude-code
    """
    from otel_episodes_clickhouse.hooks import settings  # noqa: PLC0415  # with the package it is for

    known = settings.AGENTS[agent]

    def change(before: dict[str, Any]) -> dict[str, Any]:
        return settings.installed(before, known, per or "", advice=advice)

    _change(_file(agent, directory), change, dry_run=dry_run)
    if not dry_run:
        settings.keep_environment()
        output.note("Sessions that begin from now on are recorded; otel-episodes episodes shows them.")
    if known.note:
        output.note(known.note)


def uninstall(agent: _Agent, directory: _Home = None, dry_run: _DryRun = False) -> None:
    """Take our hooks out of an agent's settings; those of others stay."""
    from otel_episodes_clickhouse.hooks import settings  # noqa: PLC0415  # likewise

    _change(_file(agent, directory), settings.removed, dry_run=dry_run)


def print_(agent: _Agent, per: _Per = None, advice: _Advice = False) -> None:
    """Print the hooks, to be put into settings by hand."""
    from otel_episodes_clickhouse.hooks import settings  # noqa: PLC0415  # likewise

    output.line(jsons.dumps({"hooks": settings.entries(settings.AGENTS[agent], per or "", advice=advice)}, indent=2))


def install_skill(agent: _Agent, directory: _Home = None) -> None:
    """Write a SKILL.md that teaches an agent when and how to log steps.

    Example:
      otel-episodes skill install codex
    """
    from importlib.resources import files  # noqa: PLC0415  # of this command alone

    place = {"claude-code": ".claude", "codex": ".codex", "gemini": ".gemini"}[agent]
    path = (directory or Path.home()) / place / "skills" / "otel-episodes" / "SKILL.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(files("otel_episodes_clickhouse.hooks").joinpath("SKILL.md").read_bytes())
    output.line(f"wrote {path}")


def _file(agent: str, directory: Path | None) -> Path:
    from otel_episodes_clickhouse.hooks import settings  # noqa: PLC0415  # likewise

    return (directory or Path.home()) / settings.AGENTS[agent].file


def _change(path: Path, change: Any, *, dry_run: bool) -> None:
    from otel_episodes_clickhouse.hooks import settings  # noqa: PLC0415  # likewise

    before = settings.read(path)
    after = change(before)
    if after == before:
        output.line(f"{path}: nothing to change")
        return
    output.line(settings.difference(path, before, after))
    if dry_run:
        return
    kept = settings.write(path, after)
    output.line(f"wrote {path}" + (f"; as it was: {kept}" if kept is not None else ""))
