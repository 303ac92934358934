"""Looking after the store: ``doctor``."""

from __future__ import annotations

from dataclasses import asdict

import typer

from otel_episodes_clickhouse import findings
from otel_episodes_clickhouse.cli import output
from otel_episodes_clickhouse.cli.options import Dsn, Json, add
from otel_episodes_clickhouse.config import Target

_STYLES = {"ok": "green", "warn": "yellow", "fail": "red"}


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    add(app, doctor)


def doctor(
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Check that everything works.

    Looks at the installation, the spool and the store, and says what to do. Exit 1 if something does not work.

    Examples:
      otel-episodes doctor
      otel-episodes doctor --json
    """
    target = Target.resolve(dsn)
    found = [
        findings.versions(),
        findings.place(target, dsn),
        *findings.spool(target),
        findings.can_write_spool(target),
        *findings.store(target),
    ]
    found += [findings.walls()] if target.embedded else []
    if json:
        from otel_episodes_clickhouse.spool.ledger import Ledger  # noqa: PLC0415  # not for the other commands

        listed = [asdict(finding) for finding in found]
        account = asdict(Ledger(target.spool).read())
        output.json({"ok": _worst(found) != "fail", "findings": listed, "shipping": account})
    else:
        _print(found)
    if _worst(found) == "fail":
        raise typer.Exit(1)


def _worst(found: list[findings.Finding]) -> str:
    return max((finding.state for finding in found), key=list(_STYLES).index)


def _print(found: list[findings.Finding]) -> None:
    from rich.table import Table  # noqa: PLC0415  # only for people
    from rich.text import Text  # noqa: PLC0415  # likewise

    table = Table.grid(padding=(0, 2))
    for finding in found:
        text = Text(output.one_line(finding.text))
        if finding.fix:
            text.append(f"\n{output.one_line(finding.fix)}", style="bold")
        table.add_row(Text(finding.state, style=_STYLES[finding.state]), Text(finding.name), text)
    output.console().print(table)
