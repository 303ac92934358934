# ruff: noqa: E501  # statements and episodes read best on one line
"""Jobs: whatever happens between them, the end state is that of one that read everything."""

from __future__ import annotations

import os
import random
import re
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest
from foreign_spans import agent
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from learned_state import LEARNED, SOURCES, STATE, state, truncate
from learning_data import SECOND, T0, Episode, rows_of

from otel_episodes.exceptions import UsageError
from otel_episodes_clickhouse.learning import formulas, jobs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_episodes_clickhouse import Store, sql
    from otel_episodes_clickhouse.spool.row import Row

DAY = 86_400 * SECOND


class Killed(Exception):
    """The job was killed here."""


def episodes(draw: random.Random) -> list[Episode]:
    """Return episodes of three domains, some weeks apart, with loops, errors and several segments."""
    now = time.time_ns()
    made = []
    for number in range(draw.randrange(8, 30)):
        tools = [draw.choice("abcd") for _ in range(draw.choice((0, 1, 3, 8)))]
        episode = Episode(
            f"e{number}",
            outcome=draw.choice(("success", "failure", "partial", "abstained", None)),
            steps=[(tool, draw.random() > 0.3) for tool in tools],
            task=draw.choice(("", "one", "two")),
            domain=draw.choice(("", "x", 'y\'s "quoted"\n')),
            language=draw.choice(("", "rust")),
            seconds=draw.choice((0, 5, 500)),
            reward=draw.choice((None, None, 0.0, 0.5, 1.0)),
            start=draw.choice((T0, T0 + 9 * DAY, now - DAY // 2)),
        )
        made.append(episode)
        if draw.random() < 0.3:
            made.append(
                replace(episode, segment=1, start=episode.start + 5 * SECOND, outcome=draw.choice(("success", None)))
            )
    return made


class Interrupted:
    """A store on which something happens before the n-th statement, be it between two parts of one job."""

    def __init__(self, store: Store, at: int, event: Callable[[], object]) -> None:
        self._store = store
        self._left = at
        self._event = event

    def execute(self, statement: sql.Statement, parameters: Mapping[str, Any] | None = None) -> None:
        self._count()
        self._store.execute(statement, parameters)

    def query_named(self, name: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        self._count()
        return self._store.query_named(name, parameters)

    def _count(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._event()


def killed(store: Store, at: int) -> None:
    """Let a run be killed before its n-th statement; it cannot even say that it failed."""

    def die() -> None:
        dead._left = 1
        raise Killed

    dead = Interrupted(store, at, die)
    with suppress(Killed):
        jobs.run(cast("Store", dead), overlap_seconds=0)


def overtaken(store: Store, at: int) -> None:
    """Let a whole second run happen in the middle of a first."""
    slow = Interrupted(store, at, lambda: jobs.run(store, overlap_seconds=0))
    jobs.run(cast("Store", slow), overlap_seconds=0)


# A run on a few episodes is some 60 statements.
STATEMENTS = 60


@pytest.mark.campaign
@given(seed=st.integers(0, 2**32))
@settings(
    max_examples=20 if os.environ.get("OTEL_EPISODES_CAMPAIGN") else 1, deadline=None, derandomize=True, phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
def test_any_interleaving_ends_like_a_full_run(storage_store: Store, seed: int) -> None:
    draw = random.Random(seed)
    truncate(storage_store, *SOURCES, *LEARNED)
    rows = [row for episode in episodes(draw) for row in rows_of(episode)]
    # Late and out of order, and some of them twice.
    rows += draw.sample(rows, len(rows) // 5)
    draw.shuffle(rows)
    size = len(rows) // 6 + 1
    jobs.run(storage_store, overlap_seconds=0)
    for start in range(0, len(rows), size):
        storage_store.insert_rows(rows[start : start + size])
        formulas.use_reward(storage_store, draw.choice((None, None, "computed", "external")))
        disturbed = draw.choice((killed, killed, overtaken))
        disturbed(storage_store, draw.randrange(5, STATEMENTS))
    jobs.run(storage_store, overlap_seconds=0)
    incremental = state(storage_store)
    truncate(storage_store, *LEARNED)
    jobs.run(storage_store, full=True)
    full = state(storage_store)
    formulas.use_reward(storage_store, "computed")
    for name in STATE:
        assert incremental[name] == full[name], name
    assert full["totals"]


def test_a_full_run_in_several_batches_is_the_same_as_in_one(storage_store: Store) -> None:
    truncate(storage_store, *SOURCES, *LEARNED)
    rows = [row for episode in episodes(random.Random(11)) for row in rows_of(episode)]
    storage_store.insert_rows(rows)
    jobs.run(storage_store, full=True, batch_episodes=12)
    in_batches = state(storage_store)
    truncate(storage_store, *LEARNED)
    jobs.run(storage_store)
    at_once = state(storage_store)
    for name in STATE:
        assert in_batches[name] == at_once[name], name
    history = storage_store.query("SELECT Job, Seen FROM internal_job_runs FINAL WHERE Job = 'facts'")
    assert history[0]["Seen"] == len(at_once["facts"]) > 12


def test_facts_are_gathered_in_smaller_pieces_where_other_instrumentations_recorded_too(storage_store: Store) -> None:
    def batches() -> int:
        totals: dict[str, int] = {}

        def seen(job: str, _done: int, total: int, /) -> None:
            totals[job] = total

        jobs.run(storage_store, "facts", full=True, batch_episodes=1, progress=seen)
        return totals["facts"]

    truncate(storage_store, *SOURCES, *LEARNED)
    storage_store.insert_rows([row for number in range(10) for row in rows_of(Episode(f"own-{number}"))])
    assert batches() == 2
    before = storage_store.query(STATE["facts"])
    storage_store.insert_rows([agent("other", ms=90)])
    assert batches() == 6
    after = storage_store.query(STATE["facts"])
    assert len(after) == 11
    assert [row for row in after if row["EpisodeId"].startswith("own-")] == before


def test_a_run_reads_only_what_changed_and_writes_only_what_differs(storage_store: Store) -> None:
    truncate(storage_store, *SOURCES, *LEARNED)
    history = [Episode(f"h{n}", steps=[("a", True), ("b", True)]) for n in range(20)]
    storage_store.insert_rows([row for episode in history for row in rows_of(episode)])
    jobs.run(storage_store, overlap_seconds=0)
    storage_store.insert_rows(rows_of(Episode("new", steps=[("a", True)])))
    reports = {report.job: report for report in jobs.run(storage_store, overlap_seconds=0)}
    assert (reports["facts"].seen, reports["facts"].written) == (1, 1)
    assert (reports["rewards"].seen, reports["rewards"].written) == (1, 1)
    storage_store.insert_rows(rows_of(history[3]))
    reports = {report.job: report for report in jobs.run(storage_store, overlap_seconds=0)}
    assert [(reports[job].seen, reports[job].written) for job in ("facts", "rewards")] == [(1, 0), (0, 0)]
    assert (reports["observations"].seen, reports["patterns"].seen) == (0, 0)


def test_a_pattern_that_its_latest_week_does_not_show_any_more_has_evidence_of_the_one_before(
    storage_store: Store,
) -> None:
    truncate(storage_store, *SOURCES, *LEARNED)
    old = [Episode(f"old{n}", steps=[("a", True), ("b", True)]) for n in range(3)]
    new = Episode("new", steps=[("a", True), ("b", True)], start=T0 + 9 * DAY)
    storage_store.insert_rows([row for episode in [*old, new] for row in rows_of(episode)])
    jobs.run(storage_store, "patterns", overlap_seconds=0)
    evidence = "SELECT Support, Evidence FROM patterns WHERE Type = 'tool_sequence'"
    assert storage_store.query(evidence) == [{"Support": 4, "Evidence": ["new-0"]}]
    storage_store.insert_rows(rows_of(replace(new, segment=1, outcome=None, start=time.time_ns())))
    jobs.run(storage_store, "patterns", overlap_seconds=0)
    assert storage_store.query(evidence) == [{"Support": 3, "Evidence": ["old0-0", "old1-0", "old2-0"]}]


def test_sums_that_are_added_to_are_those_of_a_full_run(storage_store: Store) -> None:
    truncate(storage_store, *SOURCES, *LEARNED)
    now = time.time_ns()
    first, second = (
        Episode(f"e{n}", steps=[("a", True), ("b", n > 0)], start=start, reward=0.5 + n, tokens=7 + n)
        for n, start in enumerate((T0, T0 + 9 * DAY))
    )
    other = replace(first, outcome="failure", seconds=9)
    arrivals = (
        # The first of all; more of the same week; a week later; both; an earlier week; one that grows in the latest week;
        # the only one of the latest week goes on; and comes back.
        [first],
        [replace(other, id="e2")],
        [second],
        [replace(other, id="e3"), replace(second, id="e4")],
        [replace(first, id="e5", start=T0 - 20 * DAY)],
        [replace(second, id="e4", steps=[*second.steps, ("c", True)])],
        [replace(second, id="e6", start=now - DAY)],
        [replace(second, id="e6", start=now - 60 * SECOND, segment=1, outcome=None)],
        [replace(second, id="e6", start=now - 60 * SECOND, segment=1, outcome="failure")],
    )
    for number, arrival in enumerate(arrivals):
        storage_store.insert_rows([row for episode in arrival for row in rows_of(episode)])
        jobs.run(storage_store, "patterns", overlap_seconds=0)
        added = storage_store.query(STATE["totals"])
        # What was added wrongly stays so until all is read.
        if number % 3 == 2:
            jobs.run(storage_store, "patterns", full=True, overlap_seconds=0)
            assert added == storage_store.query(STATE["totals"]) != []


def test_an_episode_resumed_after_it_was_scored_has_no_reward_until_it_ends_again(storage_store: Store) -> None:
    now = time.time_ns() - 60 * SECOND
    first = Episode("again", steps=[("a", True)], start=now, seconds=5)
    scored = "SELECT count() AS C FROM internal_rewards FINAL WHERE EpisodeId = 'again'"
    storage_store.insert_rows(rows_of(first))
    jobs.run(storage_store, "rewards", overlap_seconds=0)
    assert storage_store.query(scored) == [{"C": 1}]
    second = replace(first, segment=1, outcome=None, start=now + 9 * SECOND)
    storage_store.insert_rows(rows_of(second))
    jobs.run(storage_store, "rewards", overlap_seconds=0)
    assert storage_store.query(scored) == [{"C": 0}]
    storage_store.insert_rows(rows_of(replace(second, outcome="failure")))
    jobs.run(storage_store, "rewards", overlap_seconds=0)
    assert storage_store.query(scored) == [{"C": 1}]


def test_every_run_is_recorded_also_one_that_failed(storage_store: Store) -> None:
    truncate(storage_store, *LEARNED)

    def killed_at_once(job: str, done: int, total: int, /) -> None:
        raise Killed(job, done, total)

    with pytest.raises(Killed):
        jobs.run(storage_store, progress=killed_at_once)
    history = storage_store.query_named("job_history", {"limit": 10})
    assert [(row["Job"], row["State"]) for row in history] == [("facts", "failed")]
    assert history[0]["Message"]
    jobs.run(storage_store, "rewards")
    states = {row["Job"]: row["LastState"] for row in storage_store.query_named("job_states")}
    assert states == {"facts": "done", "rewards": "done"}


def test_an_unknown_job_is_refused(storage_store: Store) -> None:
    with pytest.raises(UsageError, match="no job 'reward'"):
        jobs.run(storage_store, "reward")


@pytest.mark.parametrize(
    ("since", "says"),
    [
        ("2130-01-01", "since '2130-01-01' is in the future: it is 20"),
        ("yesterday", "since 'yesterday' is no time: use 2026-01-31"),
        ("2026-01-31T12:00:00+01:00", "in UTC"),
    ],
)
def test_a_time_to_look_back_to_is_one_in_the_past(storage_store: Store, since: str, says: str) -> None:
    truncate(storage_store, *LEARNED)
    with pytest.raises(UsageError, match=re.escape(says)):
        jobs.run(storage_store, since=since)
    assert storage_store.query_named("job_history", {"limit": 10}) == []


def test_looking_back_less_far_than_to_the_last_run_loses_nothing(storage_store: Store) -> None:
    truncate(storage_store, *SOURCES, *LEARNED)
    jobs.run(storage_store, overlap_seconds=0)
    storage_store.insert_rows(rows_of(Episode("between", steps=[("a", True)])))
    time.sleep(0.01)
    after = str(storage_store.query_named("job_snapshot")[0]["Snapshot"])
    reports = {report.job: report.seen for report in jobs.run(storage_store, since=after, overlap_seconds=0)}
    assert reports == dict.fromkeys(reports, 1)
    incremental = state(storage_store)
    truncate(storage_store, *LEARNED)
    jobs.run(storage_store, full=True)
    assert incremental == state(storage_store)


def test_looking_back_further_reads_what_the_last_run_has_read(storage_store: Store) -> None:
    truncate(storage_store, *SOURCES, *LEARNED)
    storage_store.insert_rows(rows_of(Episode("known", steps=[("a", True)])))
    jobs.run(storage_store, "facts", overlap_seconds=0)
    assert [report.seen for report in jobs.run(storage_store, "facts", overlap_seconds=0)] == [0]
    reports = jobs.run(storage_store, "facts", since="2026-01-31", overlap_seconds=0)
    assert [(report.seen, report.full) for report in reports] == [(1, False)]


def test_facts_agree_with_the_episodes_view(storage_store: Store) -> None:
    truncate(storage_store, *SOURCES, *LEARNED)
    made = episodes(random.Random(7))
    storage_store.insert_rows([row for episode in made for row in rows_of(episode)])
    jobs.run(storage_store, "rewards")
    columns = "EpisodeId, Outcome, Task, Domain, Language, Steps, FailedSteps, InputTokens, StartTime"
    facts = storage_store.query(f"SELECT {columns} FROM internal_facts FINAL ORDER BY EpisodeId")
    view = storage_store.query(f"SELECT {columns} FROM episodes ORDER BY EpisodeId")
    assert facts == view


def test_an_episode_of_a_hundred_thousand_steps_and_a_step_from_before_its_start(storage_store: Store) -> None:
    truncate(storage_store, *SOURCES, *LEARNED)
    long = Episode("long", steps=[("a" if n % 3 else "b", n % 7 > 0) for n in range(100_000)], seconds=900)
    skewed = rows_of(Episode("skewed", steps=[("a", True), ("b", True)], seconds=10))
    skewed[1] = skewed[1]._replace(timestamp=T0 - 3600 * SECOND)
    odd = rows_of(Episode("odd", steps=[("a", True)], kinds={0: "never heard of"}))
    storage_store.insert_rows([*rows_of(long), *skewed, *odd])
    jobs.run(storage_store, "patterns")
    facts = storage_store.query(
        "SELECT EpisodeId, Steps, DurationNs, StartTime FROM internal_facts FINAL ORDER BY EpisodeId"
    )
    assert facts == [
        {"EpisodeId": "long", "Steps": 100_000, "DurationNs": 900 * SECOND, "StartTime": T0},
        {"EpisodeId": "odd", "Steps": 1, "DurationNs": 60 * SECOND, "StartTime": T0},
        {"EpisodeId": "skewed", "Steps": 2, "DurationNs": 10 * SECOND, "StartTime": T0},
    ]
    tools = storage_store.query(
        "SELECT length(Tools) AS N FROM internal_pattern_observations FINAL WHERE EpisodeId = 'long'"
    )
    assert tools == [{"N": 10_000}]


def backwards(episode: Episode, *, counted: bool) -> list[Row]:
    """Return the rows of an episode whose clock ran backwards, maybe with a step that was not counted."""
    start, *steps, root = rows_of(episode)
    turned = [row._replace(timestamp=other.timestamp) for row, other in zip(steps, reversed(steps), strict=True)]
    if not counted:
        attributes = {name: text for name, text in turned[0].span_attributes.items() if name != "episode.step.index"}
        turned[0] = turned[0]._replace(span_attributes=attributes)
    return [start, *turned, root]


def test_steps_are_in_the_order_counted_else_in_that_of_the_clock(storage_store: Store) -> None:
    truncate(storage_store, *SOURCES, *LEARNED)
    tools = [("a", False), ("b", True), ("c", True)]
    rows = [row for name in (True, False) for row in backwards(Episode(f"{name}", steps=tools), counted=name)]
    storage_store.insert_rows(rows)
    jobs.run(storage_store, "reflections")
    found = storage_store.query(
        "SELECT EpisodeId, StepTools, StepOk, Recovered FROM internal_sequences FINAL ORDER BY EpisodeId"
    )
    assert found == [
        {"EpisodeId": "False", "StepTools": ["c", "b", "a"], "StepOk": [True, True, False], "Recovered": False},
        {"EpisodeId": "True", "StepTools": ["a", "b", "c"], "StepOk": [False, True, True], "Recovered": True},
    ]


def test_facts_count_what_the_sequences_show(storage_store: Store) -> None:
    truncate(storage_store, *SOURCES, *LEARNED)
    draw = random.Random(5)
    made = episodes(draw)
    rows = [row for episode in made for row in rows_of(episode)]
    rows += backwards(Episode("uncounted", steps=[("a", False), ("b", True), ("a", True), ("", False)]), counted=False)
    storage_store.insert_rows(rows)
    jobs.run(storage_store, "reflections")
    counts = "EpisodeId, Steps, FailedSteps, DistinctTools, Recovered"
    shown = (
        "EpisodeId, length(StepTools) AS Steps, arrayCount(ok -> NOT ok, StepOk) AS FailedSteps, "
        "length(arrayDistinct(arrayFilter(t -> t != '', StepTools))) AS DistinctTools, "
        "arrayExists((ok, next) -> NOT ok AND next, arrayPopBack(StepOk), arrayPopFront(StepOk)) AS Recovered"
    )
    facts = storage_store.query(f"SELECT {counts} FROM internal_facts FINAL ORDER BY EpisodeId")
    assert facts == storage_store.query(f"SELECT {shown} FROM internal_sequences FINAL ORDER BY EpisodeId")
    assert {fact["Recovered"] for fact in facts} == {True, False}


def test_facts_that_are_named_are_gathered_anew_and_rewards_alone_need_no_sequences(storage_store: Store) -> None:
    truncate(storage_store, *SOURCES, *LEARNED)
    storage_store.insert_rows(rows_of(Episode("noted", steps=[("a", True)])))
    jobs.run(storage_store, "rewards", formula="v2", overlap_seconds=0)
    storage_store.insert_rows(rows_of(Episode("unnoted", steps=[("a", True)])))
    truncate(storage_store, "internal_changes")
    reports = jobs.run(storage_store, "rewards", full=True, overlap_seconds=0)
    assert [(report.job, report.full, report.seen) for report in reports] == [("facts", False, 0), ("rewards", True, 1)]
    reports = jobs.run(storage_store, "facts", "rewards", full=True, overlap_seconds=0)
    assert [(report.job, report.full, report.seen) for report in reports] == [("facts", True, 2), ("rewards", True, 2)]
    assert [report.job for report in jobs.run(storage_store, "facts")] == ["facts"]
    assert storage_store.query("SELECT count() AS C FROM internal_sequences") == [{"C": 0}]
