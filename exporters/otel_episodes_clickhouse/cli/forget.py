"""`otel-episodes forget`: an episode as if it had never been."""

from __future__ import annotations

from typing import Annotated

import typer

from otel_episodes_clickhouse.cli import options, output
from otel_episodes_clickhouse.cli.opening import reading

_Reason = Annotated[str, typer.Option(help="Why, kept with the tombstone: a sentence without what is to be forgotten.")]
_Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    options.add(app, forget)


def forget(
    episode: options.Episode,
    reason: _Reason = "",
    yes: _Yes = False,
    dsn: options.Dsn = None,
    json: options.Json = False,
) -> None:
    """Remove an episode, and those its steps started, from everything, for ever.

    Spans, steps, rewards, reflections, and its part in patterns and values, which are made again
    without it. What of it arrives later, or is imported again, stays out.

    Examples:
      otel-episodes forget 4f1c
      otel-episodes forget 4f1c --yes --reason "asked by the customer"
    """
    from otel_episodes_clickhouse import config  # noqa: PLC0415  # likewise
    from otel_episodes_clickhouse.cli.show import find  # noqa: PLC0415  # with what it is for
    from otel_episodes_clickhouse.hooks import cached  # noqa: PLC0415  # likewise
    from otel_episodes_clickhouse.learning import forget as forgetting  # noqa: PLC0415  # likewise

    with reading(dsn) as store:
        found = find(store, episode)
        if not yes:
            typer.confirm(
                f"forget {found['EpisodeId']} ({output.one_line(found['Task'])[:60]}), which cannot be undone?",
                abort=True, err=True,
            )  # fmt: skip
        done = forgetting.forget(store, found["EpisodeId"], reason=reason)
    cached.drop(config.home() / "hooks")
    if json:
        output.json({"Episodes": done.episodes, "Traces": done.traces} | {"Reason": reason})
        return
    started = len(done.episodes) - 1
    beside = f" and {output.plural(started, 'episode')} that it started" if started else ""
    output.line(f"forgot {done.episodes[0]}{beside}, {output.plural(done.traces, 'trace')}")
