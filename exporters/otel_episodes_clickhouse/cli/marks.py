"""`tag`, `relate`, `checkpoint` and `handoff`: what is said of an episode afterwards, and who goes on with it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from otel_episodes_clickhouse.cli import options, output
from otel_episodes_clickhouse.cli.choices import Relation
from otel_episodes_clickhouse.cli.opening import reading
from otel_episodes_clickhouse.cli.show import find

_Tags = Annotated[list[str] | None, typer.Argument(metavar="TAG…", help="Tags to add.", show_default=False)]
_Remove = Annotated[
    list[str] | None, typer.Option(metavar="TAG", help="A tag to take away; may be repeated.", show_default=False)
]
_Other = Annotated[str, typer.Argument(metavar="OTHER", help="The earlier episode, or the whole.", show_default=False)]
_Why = Annotated[str, typer.Option(help="Why, in a sentence.")]
_Stands = Annotated[str, typer.Argument(metavar="NOTE", help="What is done, what is next.", show_default=False)]
_Name = Annotated[str, typer.Option(help="A name for it.")]
_Budget = Annotated[int, typer.Option(min=100, max=4000, help="Tokens, about, at most.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    for command in (tag, relate, checkpoint, handoff):
        options.add(app, command)


def tag(
    episode: options.Episode,
    tags: _Tags = None,
    remove: _Remove = None,
    dsn: options.Dsn = None,
    json: options.Json = False,
) -> None:
    """Add tags to an episode, or take some away.

    Examples:
      otel-episodes tag 4f1c release-7 reviewed
      otel-episodes tag 4f1c --remove reviewed
    """
    from otel_episodes_clickhouse.learning import marks  # noqa: PLC0415  # with the SDK

    with reading(dsn) as store:
        found = find(store, episode)["EpisodeId"]
        now = marks.tag(store, found, *(tags or ()), remove=remove or ())
    if json:
        output.json({"EpisodeId": found, "Tags": now})
    else:
        output.line(f"{found}: {', '.join(map(output.one_line, now)) or 'no tags'}")


def relate(
    episode: options.Episode,
    relation: Annotated[Relation, typer.Argument(help="What it is to the other.", show_default=False)],
    other: _Other,
    note: _Why = "",
    dsn: options.Dsn = None,
    json: options.Json = False,
) -> None:
    """Say that an episode follows another, retries it, or is part of it.

    Examples:
      otel-episodes relate 4f1c follows 09ab
      otel-episodes relate 4f1c retries 09ab --note "after the fix"
    """
    from otel_episodes_clickhouse.learning import marks  # noqa: PLC0415  # likewise

    with reading(dsn) as store:
        first, second = (find(store, each)["EpisodeId"] for each in (episode, other))
        marks.relate(store, first, relation, second, note=note)
    if json:
        output.json({"EpisodeId": first, "Kind": relation, "OtherId": second})
    else:
        output.line(f"{first} {relation} {second}")


def checkpoint(
    episode: options.Episode,
    note: _Stands,
    name: _Name = "",
    dsn: options.Dsn = None,
    json: options.Json = False,
) -> None:
    """Write down where an episode stands, for the one who goes on with it.

    Example:
      otel-episodes checkpoint 4f1c "schema done; next: the migration" --name schema
    """
    from otel_episodes_clickhouse.learning import marks  # noqa: PLC0415  # likewise

    with reading(dsn) as store:
        found = find(store, episode)["EpisodeId"]
        marks.checkpoint(store, found, note, name=name)
    if json:
        output.json({"EpisodeId": found, "Name": name, "Note": note})
    else:
        output.line(f"{found}: noted")


def handoff(
    episode: options.Episode,
    budget: _Budget = 1000,
    dsn: options.Dsn = None,
    json: options.Json = False,
) -> None:
    """Print what somebody who goes on with an episode has to know.

    Goal, outcome so far, what is open, the last checkpoint and decision, what failed and was
    mended, what is done, and what the past says of the rest.

    Examples:
      otel-episodes handoff 4f1c
      otel-episodes handoff 4f1c --budget 400 --json
    """
    from otel_episodes_clickhouse.advice import handoff as handing  # noqa: PLC0415  # likewise

    with reading(dsn) as store:
        found = handing.handoff(store, find(store, episode)["EpisodeId"], budget=budget // 2)
    if json:
        output.json({name.title().replace("_", ""): value for name, value in asdict(found).items()})
    else:
        output.line(found.text(budget))
