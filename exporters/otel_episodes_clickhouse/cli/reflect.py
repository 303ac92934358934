"""`otel-episodes reflect`: what one episode teaches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_episodes_clickhouse.cli import options, output
from otel_episodes_clickhouse.cli.opening import reading
from otel_episodes_clickhouse.errors import StoreError

if TYPE_CHECKING:
    import typer

    from otel_episodes_clickhouse.store.store import Store


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    options.add(app, reflect)


def reflect(episode: options.Episode, dsn: options.Dsn = None, json: options.Json = False) -> None:
    """Say what one episode teaches: what to keep, what to change, what to know."""
    with reading(dsn) as store:
        identifier = _episode_id(store, episode)
        rows = store.query_named("reflection_of", {"episode": identifier})
        peers = store.query_named("reflection_peers", {"episode": identifier})
        alike = store.query_named("reflection_alike", {"episode": identifier})
    if not rows:
        raise StoreError(f"no reflection on {identifier} yet: it runs, or `otel-episodes jobs run` has not seen it")
    lessons: dict[str, list[str]] = rows[0]
    missing = [
        f"{row['Share']:.0%} of the successful episodes of its kind used {row['Tool']}, "
        f"{row['OthersShare']:.0%} of the others did; this one did not."
        for row in peers
    ]
    lessons["Improvements"] = [*map(_parting, alike), *missing, *lessons["Improvements"]][:5]
    if json:
        output.json(lessons)
        return
    for title, sentences in lessons.items():
        output.line(f"{title}:")
        for sentence in sentences or ["(none)"]:
            output.line(f"  - {output.one_line(sentence)}")


def _parting(run: dict[str, Any]) -> str:
    """Say where this run and one that succeeded part."""
    what = "the same task" if run["SameTask"] else "most alike"
    theirs, own = run["TheirTool"] or "ended", run["OwnTool"] or "ended"
    return f"{run['EpisodeId'][:8]} succeeded ({what}); they part at step {run['PartsAt']}: {theirs} there, {own} here."


def _episode_id(store: Store, text: str) -> str:
    found = [row["EpisodeId"] for row in store.query_named("episode_like", {"id": text})]
    if text in found:
        return text
    if len(found) != 1:
        what = "more than one episode begins with" if found else "the jobs have not seen an episode that begins with"
        raise StoreError(f"{what} {text!r}: try `otel-episodes jobs run`, or see `otel-episodes episodes`")
    return str(found[0])
