"""Reading what was there first: ``backfill``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from otel_episodes_clickhouse.cli import opening, output
from otel_episodes_clickhouse.cli.options import Dsn, Json, add

if TYPE_CHECKING:
    import typer

    from otel_episodes_clickhouse.store.backfill import Backfilled
    from otel_episodes_clickhouse.store.store import Store


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    add(app, backfill)


def backfill(
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Make episodes of spans that were stored before the tables of episodes were made.

    A collector may have filled otel_traces for weeks: this reads it day by day, and adds what is missing. Safe to
    repeat, and to stop and start again. Afterwards: otel-episodes jobs run.

    Examples:
      otel-episodes backfill
      otel-episodes backfill --dsn http://localhost:8123/otel
    """
    with opening.writing(dsn) as store:
        done = _run(store, quiet=json)
    if json:
        output.json([asdict(one) for one in done])
        return
    for one in done:
        output.line(f"{one.table}: {output.plural(one.added, 'row')} added, {output.plural(one.days, 'day')} looked at")
    if any(one.added for one in done):
        output.line("learn from them: otel-episodes jobs run")


def _run(store: Store, *, quiet: bool) -> list[Backfilled]:
    from rich.progress import Progress  # noqa: PLC0415  # 50 ms

    from otel_episodes_clickhouse.store import backfill as backfilling  # noqa: PLC0415  # with the engine

    with Progress(console=output.console(stderr=True), transient=True, disable=quiet) as bars:
        tasks: dict[str, Any] = {}

        def step(view: str, done: int, total: int) -> None:
            if view not in tasks:
                tasks[view] = bars.add_task(view, total=max(1, total))
            bars.update(tasks[view], completed=done if total else 1)

        return backfilling.backfill(store, progress=step)
