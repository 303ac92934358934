"""What advice did, from spans to figures."""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from learning_data import SECOND, Episode, _row, rows_of

from otel_episodes_clickhouse.cli.advise import effect_line
from otel_episodes_clickhouse.learning import jobs

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from effects_reference import Sequence, mantel_haenszel

if TYPE_CHECKING:
    from otel_episodes_clickhouse import Store
    from otel_episodes_clickhouse.spool.row import Row

DAY = 86_400 * SECOND
START = time.time_ns() - 2 * DAY
RUNS = 160


def advised(
    run: Episode, *, shown: bool, share: float = 0.8, items: str = '["i1","i2"]', told: str = "", **more: str
) -> Row:
    """Return the span of the advice that a run was given, or not given, when it began."""
    attributes = {
        "episode.id": run.id, "episode.span": "advice", "episode.advice.id": f"a-{run.id}",
        "episode.advice.place": "brief", "episode.advice.arm": "shown" if shown else "held",
        "episode.advice.share": str(share), "episode.advice.unit": run.id, "episode.advice.items": items,
        "episode.advice.shown": told or items, **more,
    }  # fmt: skip
    return _row(run, f"{run.id}-0", f"advice{more.get('episode.advice.place', '')}", run.start, 1, attributes)


def runs_of(domain: str, count: int, draw: random.Random, effect: float) -> list[tuple[Episode, bool]]:
    """Return runs of six tasks, eight of ten shown advice that changes the chance of success by so much."""
    found = []
    for number in range(count):
        shown = draw.random() < 0.8
        won = draw.random() < 0.4 + effect * shown
        run = Episode(f"{domain}-{number}", "success" if won else "failure", [("look", True)] * draw.randrange(1, 5),
                      domain=domain, task=f"task {number % 6}", start=START + number * SECOND)  # fmt: skip
        found.append((run, shown))
    return found


@pytest.fixture(scope="module")
def measured(storage_store: Store) -> dict[str, list[tuple[Episode, bool]]]:
    """Fill a store with what was advised in four domains, and learn from it."""
    draw = random.Random(11)
    made = {"shop": runs_of("shop", RUNS, draw, 0.3), "bank": runs_of("bank", 12, draw, 0.0)}
    rows = [row for runs in made.values() for run, shown in runs for row in (*rows_of(run), advised(run, shown=shown))]
    # Of these nobody says how they ended; the one after them goes on, so that no later one counts.
    silent = [Episode(f"bank-silent-{n}", "unknown", domain="bank", start=START + (50 + n) * SECOND) for n in range(3)]
    going = Episode("bank-going", None, domain="bank", start=time.time_ns() - 60 * SECOND)
    later = Episode("bank-later", "success", domain="bank", start=time.time_ns() - 30 * SECOND)
    rows += [row for run in (*silent, going, later) for row in (*rows_of(run), advised(run, shown=True))]
    # A warning is judged by failures that are made twice, whatever the outcome.
    place = {"episode.advice.place": "warning"}
    for number in range(60):
        shown = number % 4 > 0
        steps = [("pay", False), ("pay", False)] if not shown and number % 8 else [("pay", False), ("pay", True)]
        run = Episode(f"care-{number}", "failure", steps, domain="care", start=START + number * SECOND,
                      errors={0: f"no {number}", 1: f"no {number + 1}"})  # fmt: skip
        rows += [*rows_of(run), advised(run, shown=shown, share=0.75, **place)]
    asked = Episode("asked", "success", domain="asked", start=START)
    rows += [*rows_of(asked), advised(asked, shown=True, share=1.0, **{"episode.advice.place": "recovery"})]
    storage_store.insert_rows(rows)
    jobs.run(storage_store, "reflections")
    return made


def effect(store: Store, place: str = "brief", domain: str = "", item: str = "") -> dict[str, Any]:
    """Return the row of a series."""
    asked = {"place": place, "domain": domain, "item": item}
    where = "Place = {place:String} AND Domain = {domain:String} AND Item = {item:String}"
    (row,) = store.query(f"SELECT * FROM advice_effects WHERE {where}", asked)
    return row


def test_the_sequence_and_the_interval_are_those_of_the_reference(
    storage_store: Store, measured: dict[str, list[tuple[Episode, bool]]]
) -> None:
    reference = Sequence(0.8)
    for run, shown in measured["shop"]:
        reference.add(run.task, float(run.outcome == "success"), shown=shown)
    row = effect(storage_store, domain="shop")
    assert (row["SequenceLow"], row["SequenceHigh"]) == pytest.approx(reference.interval(), abs=1e-9)
    runs = [(run.task, run.outcome == "success", shown) for run, shown in measured["shop"]]
    assert (row["Difference"], row["Low"], row["High"]) == pytest.approx(mantel_haenszel(runs), abs=1e-9)
    assert row["Shown"] + row["Held"] == RUNS
    means = {arm: [len(run.steps) for run, shown in measured["shop"] if shown is arm] for arm in (True, False)}
    expected = sum(means[True]) / len(means[True]) - sum(means[False]) / len(means[False])
    assert row["Steps"] == pytest.approx(expected, abs=1e-9)


def test_under_twenty_runs_an_arm_nothing_is_known_and_it_is_said_how_many_more(
    storage_store: Store, measured: dict[str, list[tuple[Episode, bool]]]
) -> None:
    row = effect(storage_store, domain="bank")
    shown = sum(shown for _, shown in measured["bank"])
    assert (row["State"], row["Shown"], row["Held"]) == ("not known yet", shown, 12 - shown)
    assert row["MoreRuns"] == round((20 - row["Held"]) / 0.2)
    assert (row["UnknownShown"], row["UnknownHeld"]) == (3, 0)
    assert effect_line(row) == (
        f"brief in bank: not known yet, about {row['MoreRuns']} runs more ({shown} runs shown, {12 - shown} not; "
        "3 and 0 more ended, and nobody said how)"
    )


def test_a_warning_is_judged_by_failures_that_are_made_twice(
    storage_store: Store, measured: dict[str, list[tuple[Episode, bool]]]
) -> None:
    row = effect(storage_store, "warning", "care")
    # Of those it was held back from, every second fails the same way twice.
    assert (row["State"], row["Shown"], row["Held"]) == ("not known yet", 45, 15)
    assert (row["ShownRate"], row["HeldRate"]) == (1.0, pytest.approx(8 / 15))
    assert row["FailedSteps"] == pytest.approx(-7 / 15)


def test_where_nothing_is_held_back_no_effect_is_measured(
    storage_store: Store, measured: dict[str, list[tuple[Episode, bool]]]
) -> None:
    row = effect(storage_store, "recovery")
    assert effect_line(row) == "recovery: not measured, since nothing was held back (1 run shown)"


def test_an_effect_is_told_in_a_sentence() -> None:
    row = {
        "Place": "brief", "Domain": "", "Item": "", "State": "better", "Shown": 306, "Held": 94, "UnknownShown": 0,
        "UnknownHeld": 0, "ShownRate": 0.57, "HeldRate": 0.39, "Difference": 0.183, "Low": 0.07, "High": 0.297,
        "SequenceLow": 0.03, "SequenceHigh": 0.4, "MoreRuns": 0,
    }  # fmt: skip
    assert effect_line(row) == (
        "brief: better; 57% went well when shown, 39% when not: +18 points (+7 to +30), sure +3 to +40 "
        "(306 runs shown, 94 not)"
    )
