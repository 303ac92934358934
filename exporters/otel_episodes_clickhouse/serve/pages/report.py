"""A report: what the pages show, as one file that loads nothing."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from otel_episodes_clickhouse.serve.pages import drawing, learned, listing, run, tools

if TYPE_CHECKING:
    from otel_episodes_clickhouse.store.store import Store

Row = dict[str, Any]


def of_episode(store: Store, identifier: str) -> str | None:
    """Return the report of one episode and of the sub-agents it started; None where there is no such episode."""
    found = run.load(store, identifier)
    if found is None:
        return None
    below = [run.load(store, row["EpisodeId"]) for row in found["SubAgents"]]
    runs = [found, *(each for each in below if each is not None)]
    title = found["Episode"]["Task"] or "Episode"
    return _file(title, {"Episodes": [], "More": False, "Learned": None, "Tools": None, "Runs": runs})


def of_time(store: Store, since: str, moment: int, limit: int) -> str | None:
    """Return the report of what began since then, at most so many episodes; None where there are none.

    ``since`` is the time as it was typed, ``moment`` in nanoseconds since 1970.
    """
    found = listing.load(store, listing.Filters(since=since, limit=limit))
    if not found["Episodes"]:
        return None
    runs = [run.load(store, row["EpisodeId"]) for row in found["Episodes"]]
    about = {
        "Episodes": found["Episodes"], "More": found["Next"] is not None, "Learned": learned.load(store),
        "Tools": tools.load(store, moment), "Runs": [each for each in runs if each is not None],
    }  # fmt: skip
    return _file(f"Episodes since {since}", about)


def _file(title: str, about: Row) -> str:
    here = {each["Episode"]["EpisodeId"]: f"run-{place}" for place, each in enumerate(about["Runs"], 1)}
    written = f"{datetime.now().astimezone():%Y-%m-%d %H:%M %Z}"
    return drawing.file(
        "report.html", here=here, title=title, about=about, written=written, width=run.WIDTH, page=run.PAGE
    )
