"""`otel-episodes score`: what a person thinks of an episode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from otel_episodes_clickhouse.cli import options, output
from otel_episodes_clickhouse.cli.opening import reading

if TYPE_CHECKING:
    from otel_episodes_clickhouse.store.store import Store

_Value = Annotated[
    str, typer.Argument(metavar="good|bad|NUMBER", help="From 0.5 on it is a success.", show_default=False)
]
_Note = Annotated[str, typer.Option(help="Why, in a sentence.")]
_By = Annotated[str, typer.Option(help="Who judges; of each the latest score counts.")]


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    options.add(app, score)


def score(
    episode: options.Episode,
    value: _Value,
    note: _Note = "",
    by: _By = "human",
    dsn: options.Dsn = None,
    json: options.Json = False,
) -> None:
    """Say how well an episode went.

    The score is kept beside the computed reward. Where nobody told how the episode ended, it
    decides: from 0.5 on a success, less is a failure.

    Examples:
      otel-episodes score 4f1c good
      otel-episodes score 4f1c 0.3 --note "works, but the tests are gone"
    """
    from otel_episodes_clickhouse.learning import scores  # noqa: PLC0415  # with the SDK

    scores.number_of(value)
    with reading(dsn) as store:
        found = _found(store, episode)
        number = scores.score(store, found["EpisodeId"], value, note=note, by=by)
        after = _found(store, found["EpisodeId"])
    if json:
        output.json({"EpisodeId": after["EpisodeId"], "Score": number, "Outcome": after["Outcome"]})
    else:
        output.line(f"{after['EpisodeId']}: {number:g}, {after['Outcome']} ({after['OutcomeSource'] or 'nobody told'})")


def _found(store: Store, identifier: str) -> dict[str, Any]:
    from otel_episodes_clickhouse.cli.show import find  # noqa: PLC0415  # with the commands it is for

    return find(store, identifier)
