"""`otel-episodes skills`: what holds, as a SKILL.md with versions."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path  # noqa: TC003  # typer reads it when it runs
from typing import TYPE_CHECKING, Annotated, Any

import typer

from otel_episodes_clickhouse.cli import options, output
from otel_episodes_clickhouse.cli.opening import reading

if TYPE_CHECKING:
    from otel_episodes_clickhouse.advice.skills import Skill

_Name = Annotated[str, typer.Argument(metavar="NAME", help="A skill.", show_default=False)]
_Version = Annotated[int | None, typer.Argument(metavar="[VERSION]", min=1, show_default=False)]
_Reason = Annotated[str, typer.Option(help="Why, in a sentence.")]

skills_app = typer.Typer(help="What holds, written as skills that agents read.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    for function, name in ((propose, "propose"), (accept, "accept"), (list_, "list"), (show, "show"),
                           (export, "export"), (rollback, "rollback")):  # fmt: skip
        options.add(skills_app, function, name)
    app.add_typer(skills_app, name="skills")


def propose(
    domain: options.Domain = "",
    name: Annotated[str, typer.Option(help="What to call it, of one domain.")] = "",
    dsn: options.Dsn = None,
    json: options.Json = False,
) -> None:
    """Make a new version of the skill of each domain, where something else is sure than before.

    Example:
      otel-episodes skills propose --domain ledger
    """
    from otel_episodes_clickhouse.advice import skills  # noqa: PLC0415  # with the SDK

    with reading(dsn) as store:
        made = skills.propose(store, domain=domain, name=name)
    if json:
        output.json([_for_json(skill) for skill in made])
        return
    for skill in made:
        output.line(f"{skill.name} version {skill.version}: otel-episodes skills show {skill.name} {skill.version}")
    if not made:
        output.line("Nothing new is sure (otel-episodes jobs run learns what is new)")


def accept(
    name: _Name, version: _Version = None, reason: _Reason = "", dsn: options.Dsn = None, json: options.Json = False
) -> None:
    """Let a version count, the latest by default; `export` writes it.

    Example:
      otel-episodes skills accept ledger
    """
    from otel_episodes_clickhouse.advice import skills  # noqa: PLC0415  # likewise

    with reading(dsn) as store:
        skill = skills.accept(store, name, version, reason=reason)
    _said(skill, json=json)


def list_(dsn: options.Dsn = None, json: options.Json = False, csv: options.Csv = False) -> None:
    """List skills with their versions and which of them counts."""
    from otel_episodes_clickhouse.advice import skills  # noqa: PLC0415  # likewise

    with reading(dsn) as store:
        found = skills.versions(store)
    rows = [
        {"Name": each.name, "Version": each.version, "State": each.state, "Domain": each.domain, "Runs": each.runs}
        for each in found
    ]
    if output.rows(rows, as_json=json, as_csv=csv):
        return
    if not rows:
        output.line("No skills yet: otel-episodes skills propose")
        return
    table = output.table("NAME", "VERSION", "STATE", "RUNS", "DOMAIN")
    for row in rows:
        table.add_row(
            row["Name"], str(row["Version"]), row["State"], str(row["Runs"]), output.one_line(str(row["Domain"]))
        )
    output.console().print(table)


def show(name: _Name, version: _Version = None, dsn: options.Dsn = None, json: options.Json = False) -> None:
    """Print a version as the SKILL.md it would be: the one that counts, else the latest."""
    from otel_episodes_clickhouse.advice import skills  # noqa: PLC0415  # likewise

    with reading(dsn) as store:
        skill = skills.one(store, name, version)
    if json:
        output.json(_for_json(skill))
    else:
        output.line(skill.text().rstrip("\n"))


def export(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Such as ~/.claude/skills.", show_default=False)],
    dsn: options.Dsn = None,
    json: options.Json = False,
) -> None:
    """Write each skill that counts to DIR/NAME/SKILL.md, and remove those that count no more.

    Example:
      otel-episodes skills export ~/.claude/skills
    """
    from otel_episodes_clickhouse.advice import skills  # noqa: PLC0415  # likewise

    with reading(dsn) as store:
        written = skills.export(store, directory.expanduser())
    if json:
        output.json([str(path) for path in written])
        return
    for path in written:
        output.line(f"wrote {path}")
    if not written:
        output.line("No skill counts: otel-episodes skills accept NAME")


def rollback(
    name: _Name, version: _Version = None, reason: _Reason = "", dsn: options.Dsn = None, json: options.Json = False
) -> None:
    """Let an earlier version count again: the one accepted before, or none where there is none.

    Example:
      otel-episodes skills rollback ledger 1 --reason "the second one slowed us down"
    """
    from otel_episodes_clickhouse.advice import skills  # noqa: PLC0415  # likewise

    with reading(dsn) as store:
        skill = skills.rollback(store, name, version, reason=reason)
    if skill is not None:
        _said(skill, json=json)
    elif json:
        output.json({"Name": name, "Version": None, "State": "replaced"})
    else:
        output.line(f"{name}: no version counts any more")


def _said(skill: Skill, *, json: bool) -> None:
    if json:
        output.json(_for_json(skill))
    else:
        output.line(f"{skill.name} version {skill.version}: {skill.state}")


def _for_json(skill: Skill) -> dict[str, Any]:
    return {name.title(): value for name, value in asdict(skill).items()} | {"Text": skill.text()}
