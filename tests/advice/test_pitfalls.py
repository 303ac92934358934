"""Warnings before calls that usually fail, recoveries after failures, and feedback on both."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from learning_data import SECOND, Episode, rows_of

from otel_episodes import UsageError, episode
from otel_episodes.testing import capture_episodes
from otel_episodes_clickhouse import Call, Store
from otel_episodes_clickhouse.advice import feedback
from otel_episodes_clickhouse.advice.advise import ask
from otel_episodes_clickhouse.advice.pitfalls import described
from otel_episodes_clickhouse.advice.shapes import error_shape
from otel_episodes_clickhouse.errors import StoreError
from otel_episodes_clickhouse.learning import jobs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_episodes_clickhouse import Advice

DAY = 86_400 * SECOND
TEXTS = ('Seat 12 is "taken"', "no  such\tfile: /tmp/a_1.txt", "0xFF at 1,000.5", "Błąd 7", "id deadbeefcafe1 gone")


def run(number: int, domain: str, steps: Sequence[tuple[str, bool]], **more: Any) -> Episode:
    """Return a run of yesterday; `book` fails with another number each time."""
    errors = {place: f'seat {number} is "taken"' for place, (_, ok) in enumerate(steps) if not ok}
    start = time.time_ns() - DAY + number * SECOND
    return Episode(f"{domain}-{number}", "failure", list(steps), domain=domain, start=start, errors=errors, **more)


@pytest.fixture(scope="module")
def learned(storage_store: Store) -> Store:
    """Return a store in which `book` failed in 20 of 30 runs, and searching first put it right in 12 of them."""
    found, lost = ("find", True), ("book", False)
    paths = [[found, ("book", True)], [found, lost], [found, lost, ("search", True), ("book", True)]]
    runs = [run(number, "shop", paths[0 if number < 10 else 1 if number < 18 else 2]) for number in range(30)]
    # And a domain with one failure.
    others = [run(number, "quiet", paths[0 if number else 1]) for number in range(9)]
    fine = [("find", True), ("look", True), ("ask", True)]
    harm = [run(number, "harm", [*fine, ("pay", number > 9), ("send", number > 8)]) for number in range(12)]
    shapes = run(0, "shapes", [(f"t{place}", False) for place in range(5)])
    shapes.errors = dict(enumerate(TEXTS))
    storage_store.insert_rows([row for each in (*runs, *others, *harm, shapes) for row in rows_of(each)])
    # Another tenant's domain of the same name, in which it never fails.
    theirs = [run(number, "shop", [found, ("book", True)]) for number in range(100, 106)]
    for each in theirs:
        each.outcome = "success"
    acme = {"tenant.id": "acme"}
    storage_store.insert_rows(row._replace(resource_attributes=acme) for each in theirs for row in rows_of(each))
    jobs.run(storage_store, "values")
    return storage_store


def asked(store: Store, domain: str = "shop", tools: Sequence[str] = (), **more: Any) -> Advice:
    """Return advice to a run that asks."""
    failed = [place == len(tools) and "error" in more for place, _ in enumerate(tools, 1)]
    described = {"episode": "", "domain": domain, "task": "", "tools": list(tools), "failed": failed, "ended": False}
    return ask(store, described, asked=True, **more)


def test_a_call_that_usually_fails_is_warned_of_before_it_is_made(learned: Store) -> None:
    (warning,) = asked(learned, about_to_use="book", place="warning").warnings
    assert warning.text == "book failed in 20 of 30 runs that called it (49% to 81%)."
    assert (warning.kind, warning.support, warning.successes) == ("warning", 30, 10)
    assert warning.evidence == ("shop-29", "shop-28", "shop-27")
    assert asked(learned, about_to_use="find", place="warning").brief() == ""
    assert asked(learned, "quiet", about_to_use="book").warnings == ()


def test_after_a_failure_comes_what_put_it_right_whatever_its_numbers(learned: Store) -> None:
    told = asked(learned, tools=["find", "book"], error='seat 99 is "mine"', place="recovery").brief()
    assert told == "After this failure of book, search and then book put it right in 12 of 20 runs (39% to 78%)."
    assert asked(learned, tools=["find", "book"], error="no money", place="recovery").brief() == ""
    # That another tool worked after it is not known to have helped.
    assert asked(learned, "harm").recoveries == ()


def test_a_brief_tells_of_the_failures_of_the_domain(learned: Store) -> None:
    assert asked(learned).brief().splitlines()[-2:] == [
        "book failed in 20 of 30 runs that called it (49% to 81%).",
        "Where book fails, search and then book put it right in 12 of 20 runs (39% to 78%).",
    ]


def test_a_tenant_is_told_of_its_own_runs_alone(learned: Store) -> None:
    described = {"episode": "", "domain": "shop", "task": "", "tools": ["find"], "ended": False}
    mine, theirs = (ask(learned, {**described, "tenant": tenant}, asked=True) for tenant in ("", "acme"))
    assert (theirs.episodes, theirs.domain_rate, theirs.warnings, theirs.recoveries) == (6, 1.0, (), ())
    assert [step.seen for step in theirs.next_steps if step.tool == "book"] == [6]
    assert mine.warnings[0].support == 30


def test_a_run_that_is_recorded_is_read_for_its_last_failure_and_its_arguments(learned: Store) -> None:
    now = run(99, "shop", [("find", True), ("book", False)])
    now.outcome = None
    learned.insert_rows(rows_of(now))
    so_far = {"episode": now.id, "domain": "shop", "task": "", "tools": ["find", "book"], "failed": [False, True],
              "ended": False}  # fmt: skip
    advice = ask(learned, so_far, asked=True, candidates=[Call("find", {"q": "x"}), "search"], place="recovery")
    assert advice.brief().startswith("After this failure of book, search")
    # No run ever succeeded: what was done from here comes before what was not.
    assert [option.call.tool for option in advice.options] == ["search", "find"]


def test_a_template_is_said_in_words() -> None:
    assert described('{"":"again","order":"told","reason":"*","seat":"seen","size":"number"}') == (
        "the very same call again, order from the task, reason a fixed word that neither task nor observations hold, "
        "seat from an earlier observation, size from neither task nor observations"
    )


def test_an_error_has_the_same_shape_here_as_in_the_jobs(learned: Store) -> None:
    rows = learned.query(
        "SELECT toString(Tool) AS Tool, Error FROM internal_mishaps FINAL "
        "WHERE Domain = 'shapes' AND Kind = 'failure' AND Error != ''"
    )
    assert {row["Tool"]: row["Error"] for row in rows} == {
        f"t{place}": error_shape(text) for place, text in enumerate(TEXTS)
    }
    assert error_shape("") == "failed"


def test_harm_said_by_a_person_or_by_two_others_keeps_an_item_away(learned: Store) -> None:
    advice = asked(learned, "harm")
    pay, send = sorted(advice.warnings, key=lambda item: item.text)
    advice.brief()
    learned.drain()
    with pytest.raises(UsageError, match="is not an item of advice"):
        feedback.give(learned, advice.id, "harmed", item="zzz")

    feedback.give(learned, advice.id[:8], "harmed", item=pay.id[:8], by="an agent")
    assert [item.id for item in asked(learned, "harm").warnings] == [send.id, pay.id]  # doubted: it comes last
    feedback.give(learned, advice.id, "harmed", item=pay.id, by="another agent")
    feedback.give(learned, advice.id, "harmed", item=send.id, by="person: Ada", note="not so")
    assert asked(learned, "harm").warnings == ()
    assert feedback.decide(learned, send.id[:8], "active", reason="it is right") == send.id
    assert [item.id for item in asked(learned, "harm").warnings] == [send.id]
    feedback.decide(learned, send.id, "retired", reason="out of date")
    assert asked(learned, "harm").warnings == ()
    (row,) = learned.query(
        "SELECT Helped, NoEffect, Harmed, Shown FROM advice WHERE AdviceId = {id:String}", {"id": advice.id}
    )
    assert (row["Helped"], row["NoEffect"], row["Harmed"]) == (0, 0, 3)
    assert [said["By"] for said in feedback.said_of(learned, advice.id)][-1] == "person: Ada"
    with pytest.raises(StoreError, match="no item that was ever told has an id"):
        feedback.decide(learned, "nothing", "retired", reason="x")


def test_an_agent_says_what_came_of_its_advice_in_the_run() -> None:
    with capture_episodes() as recorded, episode("book a seat", agent="clerk") as ep:
        ep.feedback("9a3f", "harmed", item="51c0", note="it was sold")
        with pytest.raises(UsageError, match="verdict='bad' is not known"):
            ep.feedback("9a3f", "bad")
        with pytest.raises(UsageError, match="give what advise"):
            ep.feedback("", "helped")
    (span,) = [span for span in recorded.spans if span.name == "feedback"]
    assert json.loads(json.dumps(span.attributes)) == {
        "episode.id": ep.id,
        "episode.span": "feedback",
        "episode.advice.id": "9a3f",
        "episode.feedback.verdict": "harmed",
        "episode.feedback.item": "51c0",
        "episode.feedback.note": "it was sold",
        "episode.feedback.by": "clerk",
    }


def test_a_week_that_is_learned_again_holds_what_it_shows_and_no_more(learned: Store) -> None:
    before = asked(learned).warnings
    learned.insert_rows([row for n in range(30, 50) for row in rows_of(run(n, "shop", [("book", True)]))])
    jobs.run(learned, "values", overlap_seconds=0)
    after = asked(learned, about_to_use="book").warnings
    assert [(item.support, item.successes) for item in before] == [(30, 10)]
    assert after == ()  # it fails in 20 of 50 by now
