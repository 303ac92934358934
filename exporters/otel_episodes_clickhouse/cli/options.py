"""What several commands have in common: options, and how their help is laid out."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any

import typer

from otel_episodes.exceptions import UsageError
from otel_episodes_clickhouse.cli.choices import Part, RewardSource

if TYPE_CHECKING:
    from collections.abc import Callable


def _dsn(context: typer.Context, given: str | None) -> str | None:
    """Return what was given after the command, else before it."""
    return given if given is not None else context.find_root().params.get("dsn")


def _json(context: typer.Context, given: bool) -> bool:
    """Return whether it was given, after the command or before it."""
    return _either(context, "csv", given=bool(given or context.find_root().params.get("json")))


def _csv(context: typer.Context, given: bool) -> bool:
    return _either(context, "json", given=given)


def _either(context: typer.Context, other: str, *, given: bool) -> bool:
    if given and context.params.get(other):
        raise UsageError("--json and --csv: choose one")
    return given


Dsn = Annotated[
    str | None,
    typer.Option(
        callback=_dsn,
        metavar="DSN",
        show_default=False,
        help="Where episodes are kept: chdb:///path (embedded), clickhouse://user:password@host:8123/db, https://… "
        "Other users of this machine can see a command's arguments: put a DSN with a password in OTEL_EPISODES_DSN.",
    ),
]
Json = Annotated[bool, typer.Option("--json", callback=_json, help="Print JSON on stdout and nothing else there.")]
Csv = Annotated[
    bool, typer.Option("--csv", callback=_csv, help="Print CSV with a header on stdout and nothing else there.")
]
Since = Annotated[str, typer.Option(metavar="WHEN", help="30m, 2h, 7d, or a date: 2026-01-31, 2026-01-31T09:00.")]
By = Annotated[
    Part | None, typer.Option(help="A row for each day, agent or domain, beside what is listed.", show_default=False)
]
Formula = Annotated[
    str | None, typer.Option(metavar="NAME|FILE.sql", help="v2 (default), v2-cost, parity-1, or a formula of your own.")
]
Reward = Annotated[
    RewardSource | None,
    typer.Option(help="Which reward patterns and views use from now on; kept."),
]
SuccessAt = Annotated[
    float | None, typer.Option(help="With external rewards: a success from this score on (1.0); kept.")
]
Domain = Annotated[str, typer.Option(help="Only this domain.")]
Tools = Annotated[list[str] | None, typer.Option("--tool", help="A tool used so far, in order; repeat it.")]
Episode = Annotated[str, typer.Argument(help="An episode: its id, or the beginning of it.")]


def add(app: typer.Typer, function: Callable[..., Any], name: str | None = None) -> None:
    """Add a command whose help is the function's docstring; paragraphs with indented lines keep their lines."""
    paragraphs = (inspect.getdoc(function) or "").split("\n\n")
    # click's mark for a paragraph that is not to be filled.
    text = "\n\n".join(f"\b\n{paragraph}" if "\n  " in paragraph else paragraph for paragraph in paragraphs)
    app.command(name, help=text)(function)
