"""What the dashboards are asked about in the tests: a day of a coding agent, weeks of patterns, and odd cases."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from learning_data import SECOND, Episode, rows_of

from otel_episodes_clickhouse.cli.demo_day import a_day
from otel_episodes_clickhouse.importers.replay import Recorder
from otel_episodes_clickhouse.learning import jobs

if TYPE_CHECKING:
    from otel_episodes_clickhouse import Store

DAY = 86_400 * SECOND
NOW = time.time_ns()
# A domain as an agent could be made to report it.
HOSTILE = "x' OR 1=1 --"
HOSTILE_WITH_BACKSLASH = "x\\' OR 1=1 --"
RESUMED, RUNNING, ABANDONED = "resumed", "running", "abandoned"


def fill(store: Store) -> None:
    """Store the episodes, one step of them twice and one of them late, and run the jobs."""
    recorder = Recorder()
    for number, run in enumerate(a_day(until=NOW - 60 * SECOND)):
        store.insert_rows(recorder.rows(run, str(number).encode()))
    store.insert_rows([row for episode in _odd() + _weeks() for row in rows_of(episode)])
    send_again(store, "s000000")
    jobs.run(store)


def send_again(store: Store, *spans: str) -> None:
    """Store spans of the resumed episode once more, as a collector does that lost the answer and gathers anew.

    The very same block would be refused as a repetition.
    """
    store.insert_rows([row for row in rows_of(resumed()[0]) if row.span_id in spans])


def resumed() -> list[Episode]:
    """Return the two segments of an episode that went on a day after its end."""
    first = Episode(RESUMED, steps=[("read", True), ("edit", False)], task="resume me", start=NOW - 3 * DAY)
    return [first, replace(first, segment=1, steps=[("edit", True)], start=NOW - 2 * DAY)]


def _odd() -> list[Episode]:
    """Return episodes without an end, a resumed one, and domains that try to be SQL."""
    return [
        *resumed(),
        Episode(RUNNING, outcome=None, steps=[("read", True)], task="still at it", start=NOW - 100 * SECOND),
        Episode(ABANDONED, outcome=None, steps=[("read", True)], task="never came back", start=NOW - 3 * DAY),
        Episode("hostile-1", steps=[("read", True)], domain=HOSTILE, start=NOW - DAY),
        Episode("hostile-2", steps=[("read", True)], domain=HOSTILE_WITH_BACKSLASH, start=NOW - DAY),
    ]


def _weeks() -> list[Episode]:
    """Return two dozen episodes over two months in which one way of working succeeds and another fails."""
    made = []
    for number in range(24):
        good = number % 2 == 0
        steps = [("plan", True), ("test", True)] if good else [("guess", True), ("push", False)]
        episode = Episode(
            f"week-{number}", outcome="success" if good else "failure", steps=steps, task="ship it", domain="web",
            tokens=500 + number, errors={1: "permission denied"}, start=NOW - (60 - number * 2) * DAY,
        )  # fmt: skip
        made.append(episode)
    return made
