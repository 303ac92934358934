"""Filling the tables of episodes from spans that were there first.

A materialized view sees what is inserted after it was made. Where a collector wrote ``otel_traces`` before
``otel-episodes migrate``, or a new version brings a view, this runs each view's own SELECT over what is there, a day
at a time, and inserts the rows that are missing. Repeated, or begun again after it was stopped, it adds nothing twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from otel_episodes_clickhouse import sql

if TYPE_CHECKING:
    from otel_episodes_clickhouse.store.store import Store


@dataclass(frozen=True)
class Backfilled:
    """What one table got. ``days`` is how many days of spans were looked at."""

    table: str
    days: int
    added: int


class Progress(Protocol):
    """Called as it goes on: the view, how many of its days are done, and how many there are."""

    def __call__(self, view: str, done: int, total: int, /) -> None:
        """Show it."""
        ...


def backfill(store: Store, *, progress: Progress | None = None) -> list[Backfilled]:
    """Insert what the materialized views would have, had they been there first; make them if they are missing.

    Where tables are spread over a cluster, it reads and fills those of the server it is connected to.
    """
    store.migrate()
    filled: dict[str, Backfilled] = {}
    for view in store.query_named("backfill_views"):
        done = _fill(store, view, progress or _unseen)
        # Several views may fill one table.
        before = filled.get(done.table, Backfilled(done.table, 0, 0))
        filled[done.table] = Backfilled(done.table, max(before.days, done.days), before.added + done.added)
    return list(filled.values())


def _fill(store: Store, view: dict[str, str], progress: Progress) -> Backfilled:
    target = view["Target"].rpartition(".")[2]
    days = store.query_named(
        "backfill_days",
        {"source": view["Source"], "source_name": view["Source"].rpartition(".")[2], "time": view["Time"]},
    )
    before = _rows(store, target)
    statement = sql.Statement(f"backfill of {target}", view["Statement"])
    progress(view["Name"], 0, len(days))
    for done, day in enumerate(days, start=1):
        store.execute(statement, {"filter": day["Filter"]})
        progress(view["Name"], done, len(days))
    return Backfilled(target, len(days), _rows(store, target) - before)


def _rows(store: Store, table: str) -> int:
    return int(store.query_named("backfill_rows", {"table": table})[0]["Rows"])


def _unseen(_view: str, _done: int, _total: int) -> None:
    pass
