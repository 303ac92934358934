"""`otel-episodes report`: what the pages show, as one file to send to somebody."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from otel_episodes import UsageError
from otel_episodes_clickhouse import times
from otel_episodes_clickhouse.cli import output
from otel_episodes_clickhouse.cli.opening import reading
from otel_episodes_clickhouse.cli.options import Dsn, Json, Since, add
from otel_episodes_clickhouse.errors import StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from otel_episodes_clickhouse.store.store import Store

_USUAL = "7d"


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    add(app, report)


def report(
    episode: Annotated[str, typer.Argument(help="An episode: its id, or the beginning of it.")] = "",
    since: Since = "",
    limit: Annotated[int, typer.Option(help="How many episodes at most, the latest.", min=1, max=500)] = 50,
    to: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="What to write.")] = Path("report.html"),
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Write one episode, or all since a time, to a file for a browser.

    It has the views that `otel-episodes serve` shows, runs no script and loads nothing from outside. What was recorded
    is in it: look through it before you send it to somebody.

    Examples:
      otel-episodes report 4f1c -o flaky-test.html
      otel-episodes report --since 7d -o week.html
    """
    if episode and since:
        raise UsageError("name an episode, or give --since: not both")
    text = _written(episode.strip(), since or _USUAL, limit, dsn)
    _put(to, text)
    size = len(text.encode())
    if json:
        output.json({"File": str(to), "Bytes": size})
    else:
        output.line(f"{to} ({output.size(size)})")


def _written(episode: str, since: str, limit: int, dsn: str | None) -> str:
    moment = times.since(since)
    try:
        from otel_episodes_clickhouse.serve.pages import report as pages  # noqa: PLC0415  # with the extra
    except ModuleNotFoundError as error:
        raise StoreUnavailableError(
            f"report needs more packages ({error.name} is missing): pip install 'otel-episodes[embedded,serve]'"
        ) from error
    with reading(dsn) as store:
        if episode:
            return pages.of_episode(store, _whole(store, episode)) or ""
        text = pages.of_time(store, since, moment, limit)
    if text is None:
        raise StoreError(f"no episode began since {since}: try a longer time, --since 30d")
    return text


def _whole(store: Store, episode: str) -> str:
    from otel_episodes_clickhouse.cli.show import find  # noqa: PLC0415  # says which ones begin with that

    return str(find(store, episode)["EpisodeId"])


def _put(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    new = Path(name)
    with ExitStack() as ending:
        ending.callback(new.unlink, missing_ok=True)  # where it was not put in place
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        # As open() would have made it, not for its owner alone.
        mask = os.umask(0)
        os.umask(mask)
        new.chmod(0o666 & ~mask)
        new.replace(path)
