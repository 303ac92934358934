"""What following the ranking would earn, where the answer is known."""

from __future__ import annotations

import random

import pytest

from otel_episodes_clickhouse.learning import off_policy


def runs_of(count: int, *, good: float, bad: float) -> list[off_policy._Run]:
    """Return runs that take one of two tools by a coin, after one that says nothing."""
    draw = random.Random(count)
    found = []
    for number in range(count):
        tool = draw.choice(("good", "bad"))
        earned = float(draw.random() < (good if tool == "good" else bad))
        found.append(off_policy._Run("d", "", "", ["look", tool], [True, True], earned, judged=True, fold=number % 5))
    return found


def judged(runs: list[off_policy._Run]) -> off_policy.Following:
    return off_policy._estimate(list(off_policy._weigh(runs)))


def test_a_follower_earns_what_the_better_tool_does() -> None:
    found = judged(runs_of(300, good=0.8, bad=0.2))
    assert found.earned == pytest.approx(0.5, abs=0.06)
    assert found.followed == pytest.approx(0.8, abs=0.08)
    assert found.followed_low is not None
    assert found.followed_high is not None
    assert found.followed_low < found.followed < found.followed_high
    assert found.gain_low is not None
    assert found.gain_low > 0.15
    assert 100 < found.effective < 200  # half of them took the better one


def test_where_tools_do_not_matter_following_gains_nothing() -> None:
    found = judged(runs_of(300, good=0.5, bad=0.5))
    assert found.gain_low is not None
    assert found.gain_high is not None
    assert found.gain_low < 0 < found.gain_high
    assert found.gain == pytest.approx(0, abs=0.06)


def test_of_few_runs_nothing_is_known() -> None:
    found = judged(runs_of(25, good=0.8, bad=0.2))
    assert (found.runs, found.followed, found.gain) == (25, None, None)
    assert 0 < found.effective <= 25
    assert judged([]) == off_policy.Following(0, 0.0, None, None, None, None, None, None, None)


def test_runs_that_all_weigh_the_same_earn_what_they_earned_whatever_their_length() -> None:
    draw = random.Random(1)
    weighed = [off_policy._Weighed(draw.random(), [1.0] * draw.randrange(1, 9)) for _ in range(50)]
    assert off_policy._value(weighed) == pytest.approx(sum(run.earned for run in weighed) / 50)


def test_a_run_that_is_likelier_under_the_ranking_counts_more() -> None:
    likely, unlikely = off_policy._Weighed(1.0, [3.0]), off_policy._Weighed(0.0, [1.0])
    assert off_policy._value([likely, unlikely]) == pytest.approx(0.75)
