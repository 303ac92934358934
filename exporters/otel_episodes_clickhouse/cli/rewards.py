"""`otel-episodes rewards`: how rewards are distributed."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from otel_episodes_clickhouse.cli import options, output
from otel_episodes_clickhouse.cli.opening import reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    import typer


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    options.add(app, rewards)


def rewards(
    formula: options.Formula = None, domain: options.Domain = "", dsn: options.Dsn = None, json: options.Json = False
) -> None:
    """Show how rewards are distributed, by domain and over time."""
    from otel_episodes_clickhouse.learning import formulas  # noqa: PLC0415  # with the engine

    with reading(dsn) as store:
        name = formulas.formula_named(formula).name if formula else formulas.active_formula(store)
        use = formulas.reward_use(store)
        parameters = {"formula": name, "domain": domain, "limit": 30}
        domains = store.query_named("rewards_by_domain", parameters)
        days = store.query_named("rewards_by_day", parameters)[::-1]
        bins = store.query_named("rewards_histogram", parameters)
    if json:
        output.json({"formula": name, "reward": asdict(use), "domains": domains, "days": days, "histogram": bins})
        return
    if not domains:
        asked = f" --formula {formula}" if formula else ""
        where = f" of the domain {domain}" if domain else ""
        output.line(f"No rewards{where} under {name} yet: otel-episodes jobs run rewards{asked}")
        return
    title = f"Rewards from outside, else Base of {name}; {use}" if use.external else f"Rewards under {name}"
    _draw_rewards(title, domains, days, bins)


def _draw_rewards(
    title: str, domains: Sequence[dict[str, Any]], days: Sequence[dict[str, Any]], bins: Sequence[dict[str, Any]]
) -> None:
    console = output.console()
    console.print(title)
    table = output.table("DOMAIN", "EPISODES", "SUCCESS", "MEAN", "MEDIAN", "P90", "DEVIATION")
    for row in domains:
        numbers = ["-" if row[name] is None else f"{row[name]:.2f}" for name in ("Mean", "Median", "P90", "Deviation")]
        table.add_row(
            output.one_line(row["Domain"]) or "-", output.count(row["Episodes"]), f"{row['SuccessRate']:.0%}", *numbers
        )
    console.print(table)
    most = max(row["Episodes"] for row in bins)
    plot = output.table("REWARD", "", "EPISODES")
    for row in bins:
        plot.add_row(f"{row['Bin']:.1f}", output.bar(row["Episodes"] / most), output.count(row["Episodes"]))
    console.print(plot)
    top = max(0.01, *(row["Mean"] for row in days))
    plot = output.table("DAY", "", "MEAN", "EPISODES")
    for row in days:
        plot.add_row(row["Day"], output.bar(row["Mean"] / top), f"{row['Mean']:.2f}", output.count(row["Episodes"]))
    console.print(plot)
