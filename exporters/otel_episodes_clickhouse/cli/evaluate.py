"""`otel-episodes evaluate`: how good the outlook and the next steps are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from otel_episodes_clickhouse.cli import options, output
from otel_episodes_clickhouse.cli.choices import Split
from otel_episodes_clickhouse.cli.opening import reading

if TYPE_CHECKING:
    from otel_episodes_clickhouse.learning import evaluate as evaluation
    from otel_episodes_clickhouse.learning.off_policy import Following


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    options.add(app, evaluate)


def evaluate(
    split: Annotated[
        Split, typer.Option(help="By task every tested task is new; by time the latest are tested.")
    ] = "episode",
    domain: options.Domain = "",
    folds: Annotated[int, typer.Option(min=2, max=200)] = 5,
    share: Annotated[float, typer.Option(help="With --split time: which share is tested.")] = 0.5,
    dsn: options.Dsn = None,
    json: options.Json = False,
) -> None:
    """Judge the outlook and the next steps on episodes they were not learned from, beside simple baselines.

    And tell what runs would earn that follow the ranking of next steps, from runs that did not.
    """
    from otel_episodes_clickhouse.learning import evaluate as evaluation  # noqa: PLC0415  # with the engine

    with reading(dsn) as store:
        result = evaluation.evaluate(store, split=split, domain=domain, folds=folds, share=share)
    if not json and not result.tested:
        where = f" in the domain {output.one_line(domain)}" if domain else ""
        output.line(f"Nothing to judge by{where} yet: otel-episodes jobs run")
        return
    output.json(result.as_dict()) if json else _print_evaluation(result)


def _print_evaluation(result: evaluation.Evaluation) -> None:
    output.line(
        f"split by {result.split}: {result.tested} of {result.episodes} episodes tested "
        f"({result.successes} succeeded), {output.plural(result.steps, 'step')}"
    )
    table = output.table("FIGURE", "MODEL", "VALUE", "95 %")
    for name, figures in (("AUC", result.auc), ("Brier", result.brier), ("top-1", result.top1), ("top-3", result.top3)):
        for model, figure in figures.items():
            value = "-" if figure.value is None else f"{figure.value:.3f}"
            between = "-" if figure.low is None or figure.high is None else f"{figure.low:.3f} to {figure.high:.3f}"
            table.add_row(name, model, value, between)
    output.console().print(table)
    output.line("top-1 and top-3 judge imitation: how well it is known what such runs do next")
    output.line(_followed(result.following))


def _followed(found: Following) -> str:
    """Return in a sentence what following the ranking would earn."""
    if found.earned is None:
        return "what following the ranking would earn is not known: no run said how it went"
    if found.followed is None:
        return (
            f"what following the ranking would earn is not known: these {output.plural(found.runs, 'run')} earned "
            f"{found.earned:.2f}, and those that went as the ranking says count for {found.effective:.0f}, not 30"
        )
    return (
        f"following the ranking would earn {found.followed:.2f} "
        f"({found.followed_low:.2f} to {found.followed_high:.2f}) where these {output.plural(found.runs, 'run')} "
        f"earned {found.earned:.2f}: {found.gain:+.2f} ({found.gain_low:+.2f} to {found.gain_high:+.2f}), told from "
        f"runs that count for {found.effective:.0f}"
    )
