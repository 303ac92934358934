"""Who is shown advice, and what is recorded of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from learning_data import SECOND, T0, Episode, rows_of

from otel_episodes import UsageError, episode
from otel_episodes.testing import capture_episodes
from otel_episodes_clickhouse import Store, advise
from otel_episodes_clickhouse.advice import arms, policy
from otel_episodes_clickhouse.advice.advise import ask
from otel_episodes_clickhouse.advice.items import item_id
from otel_episodes_clickhouse.learning import jobs

if TYPE_CHECKING:
    from otel_episodes_clickhouse.advice.arms import Policy

DRAWN = """
SELECT
    reinterpretAsUInt64(reverse(substring(SHA256(concat({policy:String}, char(0), {unit:String})), 1, 8))) / pow(2, 64)
    AS Draw
"""


@pytest.fixture(scope="module")
def learned(storage_store: Store) -> Store:
    """Return a store with twenty runs: those that look first go well."""
    runs = [
        Episode(
            f"r{number}", "failure" if number % 2 else "success", domain="hills", task="climb",
            steps=[("act" if number % 2 else "look", True), ("act", True)], start=T0 + number * SECOND,
        )
        for number in range(20)
    ]  # fmt: skip
    storage_store.insert_rows([row for run in runs for row in rows_of(run)])
    jobs.run(storage_store, "values")
    return storage_store


def about(name: str = "", **more: Any) -> dict[str, Any]:
    """Return a run that is about to climb."""
    return {"episode": name, "domain": "hills", "task": "climb", "tools": [], "ended": False, **more}


# What there is to say of a run that is about to climb.
ITEMS = (
    item_id("similar", "hills", "", "climb"), item_id("step", "hills", "", "", "look"),
    item_id("avoid", "hills", "", "", "act"),
)  # fmt: skip


def unit_in(policy: Policy, *, shown: bool) -> str:
    """Return a unit in this arm, from which no item is left out."""
    names = map("run-{}".format, range(1000))
    whole = (name for name in names if not any(policy.leaves_out(name, item) for item in ITEMS))
    return next(name for name in whole if policy.shows(name, asked=False) is shown)


def test_a_draw_is_the_same_in_sql(storage_store: Store) -> None:
    for unit in ("", "conversation 7", "zażółć"):
        (row,) = storage_store.query(DRAWN, {"policy": "text", "unit": unit})
        assert row["Draw"] == pytest.approx(arms.draw("text", unit), abs=1e-12)
    assert arms.draw("text", "a") != arms.draw("other", "a")


def test_a_fifth_is_held_back_of_what_nobody_asked_for_and_nothing_of_what_was_asked_for() -> None:
    drawn = arms.Policy("text")
    units = [f"u{number}" for number in range(5000)]
    assert sum(drawn.shows(unit, asked=False) for unit in units) / 5000 == pytest.approx(0.8, abs=0.02)
    assert all(drawn.shows(unit, asked=True) for unit in units)
    assert sum(drawn.leaves_out(unit, "item") for unit in units) / 5000 == pytest.approx(0.1, abs=0.015)
    nothing = arms.Policy()
    assert all(nothing.shows(unit, asked=False) and not nothing.leaves_out(unit, "item") for unit in units)


def test_a_store_draws_its_policy_once_and_keeps_it_when_shares_change(storage_store: Store) -> None:
    first = policy.of_store(storage_store)
    assert len(first.text) == 32
    changed = policy.hold(storage_store, pushed=0.3, asked=0.1)
    assert (changed.text, changed.held_pushed, changed.held_asked) == (first.text, 0.3, 0.1)
    assert policy.hold(storage_store, pushed=0.2, asked=0) == policy.of_store(storage_store) == first
    with pytest.raises(UsageError, match="use a share from 0 to 0.9"):
        policy.hold(storage_store, pushed=1.0)


def test_what_a_run_is_shown_is_a_span_of_it(learned: Store) -> None:
    drawn = policy.of_store(learned)
    unit = unit_in(drawn, shown=True)
    with capture_episodes() as recorded, episode("climb", domain="hills", conversation_id=unit) as ep:
        advice = ask(learned, about(ep.id), run=ep)
        told = advice.brief()
        advice.brief()
    (span,) = [span for span in recorded.spans if span.name == "advice brief"]
    assert told.startswith("A task 100% like this one went well in 10 of 20 runs; the best is episode r")
    assert tuple(item.id for item in advice.items) == ITEMS
    assert dict(span.attributes) == {
        "episode.id": ep.id,
        "episode.span": "advice",
        "episode.domain": "hills",
        "episode.task": "climb",
        "episode.advice.id": advice.id,
        "episode.advice.place": "brief",
        "episode.advice.arm": "shown",
        "episode.advice.share": 0.8,
        "episode.advice.unit": unit,
        "episode.advice.policy": drawn.name,
        "episode.advice.items": ITEMS,
        "episode.advice.shown": ITEMS,
        "episode.advice.text": told,
    }
    assert (span.trace_id, span.parent_id) == (ep.trace_id, recorded.episodes[0].span_id)


def test_a_run_it_is_held_back_from_sees_nothing_and_records_what_it_would_have_got(learned: Store) -> None:
    drawn = policy.of_store(learned)
    unit = unit_in(drawn, shown=False)
    with (
        capture_episodes() as recorded,
        episode("climb", conversation_id=unit),
        episode("climb", domain="hills") as inner,
    ):
        advice = ask(learned, about(inner.id), run=inner)
        assert (advice.arm, advice.brief(), advice.similar, advice.items) == ("held", "", (), ())
        assert advice.next_steps[0].tool == "look"
    (span,) = [span for span in recorded.spans if span.name == "advice brief"]
    assert span.attributes["episode.advice.arm"] == "held"
    assert span.attributes["episode.advice.unit"] == unit  # a sub-agent is in the arm of what started it
    assert span.attributes["episode.advice.text"].startswith("A task 100% like this one")
    assert span.attributes["episode.advice.items"] == ITEMS


def test_an_item_that_is_left_out_is_recorded_as_such(learned: Store) -> None:
    drawn, (similar, *others) = policy.of_store(learned), ITEMS
    names = filter(lambda name: drawn.shows(name, asked=False), map("run-{}".format, range(10_000)))
    unit = next(name for name in names if [drawn.leaves_out(name, item) for item in ITEMS] == [True, False, False])
    with capture_episodes() as recorded, episode("climb", domain="hills", conversation_id=unit) as ep:
        told = ask(learned, about(ep.id), run=ep).brief()
    (span,) = [span for span in recorded.spans if span.name == "advice brief"]
    assert span.attributes["episode.advice.items"] == (similar, *others)
    assert span.attributes["episode.advice.shown"] == (*others,)
    assert span.attributes["episode.advice.text"] == told
    assert "A task" not in told


def test_where_there_is_nothing_to_say_nothing_is_recorded(learned: Store) -> None:
    with capture_episodes() as recorded, episode("swim") as ep:
        advice = ask(learned, {**about(ep.id), "domain": "never", "task": "swim"}, run=ep)
        assert (advice.arm in ("shown", "held"), advice.brief()) == (True, "")
    assert [span.name for span in recorded.spans if span.name.startswith("advice")] == []


def test_advice_to_a_run_of_another_process_is_in_the_store(learned: Store) -> None:
    drawn = policy.of_store(learned)
    learned.insert_rows(rows_of(Episode(unit_in(drawn, shown=True), None, domain="hills", task="climb")))
    shown, held = (unit_in(drawn, shown=which) for which in (True, False))
    for name in (shown, held):
        ask(learned, about(name)).brief()
    learned.drain()
    rows = learned.query("SELECT EpisodeId, Unit, Arm, Share, Place, Domain, Task FROM advice ORDER BY Arm")
    common = {"Share": 0.8, "Place": "brief", "Domain": "hills", "Task": "climb"}
    assert rows == [
        {"EpisodeId": held, "Unit": held, "Arm": "held", **common},
        {"EpisodeId": shown, "Unit": shown, "Arm": "shown", **common},
    ]
    assert learned.query("SELECT count() AS n FROM episodes WHERE Task = 'climb'")[0]["n"] == 21


def test_a_run_that_is_gone_on_with_by_its_handle_is_in_the_arm_of_its_conversation(learned: Store) -> None:
    begun = Episode("begun", None, domain="hills", task="climb")
    begun.extra["gen_ai.conversation.id"] = "talk"
    rows = [
        row._replace(span_attributes={**row.span_attributes, "episode.conversation": "talk"}) for row in rows_of(begun)
    ]
    learned.insert_rows(rows)
    handle = f"00-{'ab' * 16}-{'cd' * 8}-01.{T0:x}.0.begun."
    with capture_episodes() as recorded, episode.resume(handle) as ep:
        ask(learned, about("begun"), run=ep).record()
    (span,) = [span for span in recorded.spans if span.name == "advice brief"]
    assert (span.attributes["episode.id"], span.attributes["episode.advice.unit"]) == ("begun", "talk")


def test_off_says_nothing_and_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EPISODES_ADVICE", "off")
    advice = advise(domain="hills", dsn="clickhouse://localhost:1/none")
    assert (advice.arm, advice.brief(), advice.probability) == ("off", "", 0.5)


def test_an_unknown_place_is_wrong_use() -> None:
    with pytest.raises(UsageError, match="place='anywhere' is not known"):
        advise(domain="hills", place="anywhere")
