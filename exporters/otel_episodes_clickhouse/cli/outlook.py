"""`otel-episodes outlook`: how likely an episode is to succeed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from otel_episodes_clickhouse.cli import options, output, show
from otel_episodes_clickhouse.cli.opening import reading
from otel_episodes_clickhouse.learning.advice import of_episode

if TYPE_CHECKING:
    from otel_episodes_clickhouse.store.store import Store


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    options.add(app, outlook)


def outlook(  # options
    episode: Annotated[str, typer.Argument(help="An episode that runs; or give --domain, --task and --tool.")] = "",
    domain: options.Domain = "",
    task: Annotated[str, typer.Option(help="The task, word for word.")] = "",
    tool: options.Tools = None,
    dsn: options.Dsn = None,
    json: options.Json = False,
) -> None:
    """Tell how likely an episode is to succeed, given its steps so far."""
    with reading(dsn) as store:
        so_far = so_far_of(store, episode, domain, task, tool)
        row = store.query_named("outlook", so_far)[0]
    if json:
        output.json(row)
        return
    if not row["Episodes"]:
        output.line("Nothing known of this domain yet, so 50% as good as any: otel-episodes jobs run")
        return
    past = [f"in the domain {row['DomainRate']:.0%} of {output.plural(row['Episodes'], 'episode')} did"]
    if row["TaskEpisodes"]:
        past.append(f"with this task {row['TaskRate']:.0%} of {row['TaskEpisodes']}")
    elif so_far["task"]:
        past.append("this task is new")
    output.line(f"{row['Probability']:.0%} likely to succeed ({', '.join(past)})")


def so_far_of(
    store: Store, episode: str, domain: str, task: str, tools: list[str] | None, *, failed: bool = False
) -> dict[str, Any]:
    """Return what is asked about a run: a recorded one, or one that is described, whose last tool may have failed."""
    about_to_use = tools or []
    if not episode:
        last = [*(False for _ in about_to_use[1:]), failed] if about_to_use else []
        return {"episode": "", "domain": domain, "task": task, "tools": about_to_use, "failed": last, "ended": False}
    # By its whole id it is read by key; the beginning of one has to be looked for in all.
    so_far = of_episode(store, episode, about_to_use)
    return so_far or of_episode(store, show.find(store, episode)["EpisodeId"], about_to_use) or {}
