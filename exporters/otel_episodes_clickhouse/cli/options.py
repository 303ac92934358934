"""What several commands have in common: options, and how their help is laid out."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

Dsn = Annotated[
    str | None,
    typer.Option(
        metavar="DSN",
        show_default=False,
        help="Where episodes are kept: chdb:///path (embedded), clickhouse://user:password@host:8123/db, https://… "
        "Other users of this machine can see a command's arguments: put a DSN with a password in OTEL_EPISODES_DSN.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout and nothing else there.")]
Formula = Annotated[
    str | None, typer.Option(metavar="NAME|FILE.sql", help="v2 (default), parity-1, or a formula of your own.")
]
Reward = Annotated[
    str | None,
    typer.Option(metavar="computed|external", help="Which reward patterns and views use from now on; kept."),
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
