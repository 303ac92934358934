"""`otel-episodes models`: which models were called, how they did, and what it cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_episodes_clickhouse import times
from otel_episodes_clickhouse.cli import options, output
from otel_episodes_clickhouse.cli.opening import reading
from otel_episodes_clickhouse.wording import count, dollars, duration, one_line, plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    import typer

    from otel_episodes_clickhouse.cli.choices import Part

_UNPRICED = "{} no price: pip install 'otel-episodes[prices]' and run the jobs, or give yours, jobs run --prices FILE"


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    options.add(app, models)


def models(
    by: options.By = None,
    since: options.Since = "",
    dsn: options.Dsn = None,
    json: options.Json = False,
    csv: options.Csv = False,
) -> None:
    """Show which models were called: calls, failures, times, tokens and cost.

    Examples:
      otel-episodes models
      otel-episodes models --by day --since 7d
    """
    with reading(dsn) as store:
        rows = store.query_named("models_used", {"by": by or "", "since": times.since(since)})
    if output.rows(rows, as_json=json, as_csv=csv):
        return
    if not rows:
        output.note("no calls of models are recorded here: see docs/how-to/frameworks.md")
        return
    _print(rows, by)


def _print(rows: Sequence[dict[str, Any]], by: Part | None) -> None:
    first = (by.upper(),) if by else ()
    table = output.table(*first, "MODEL", "CALLS", "FAILED", "P50", "P95", "IN", "OUT", "COST")
    for row in rows:
        cost = dollars(row["Cost"]) + ("+" if row["Unpriced"] and row["Cost"] is not None else "")
        table.add_row(
            *((one_line(row["Part"]) or "-",) if by else ()), _name(row), count(row["Calls"]), count(row["Failures"]),
            duration(row["P50Ns"]), duration(row["P95Ns"]), count(row["InputTokens"]), count(row["OutputTokens"]),
            cost or "-",
        )  # fmt: skip
    output.console().print(table)
    unpriced = sum(row["Unpriced"] for row in rows)
    if unpriced:
        output.note(_UNPRICED.format(f"{plural(unpriced, 'call')} {'has' if unpriced == 1 else 'have'}"))


def _name(row: dict[str, Any]) -> str:
    provider = f"({one_line(row['Provider'])})" if row["Provider"] else ""
    return f"{one_line(row['Model'])} {provider}".strip() or "-"
