"""Rules that guess how a session ended, where the user named them."""

from __future__ import annotations

import pytest

from otel_episodes_clickhouse.importers.rules import RULES, with_outcome
from otel_episodes_clickhouse.importers.run import Run, Step


def bash(command: str, *, success: bool | None = True) -> Step:
    return Step("Bash", 0, arguments={"command": command}, success=success)


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (Run("t", 0, steps=(bash("pytest -q", success=False), bash("pytest -q"))), "success"),
        (Run("t", 0, steps=(bash("cd x && cargo test"), bash("make", success=False))), "failure"),
        (Run("t", 0, steps=(bash("npm run build", success=None),)), ""),
        (Run("t", 0, steps=(bash("cat pytest.ini"), bash("ls tests"))), ""),
        (Run("t", 0, steps=(bash("pytest", success=False), bash("git commit -m x"))), "success"),
        (Run("t", 0, steps=(bash("git commit -m x"), bash("git reset --hard HEAD~1"))), "failure"),
        (Run("t", 0, steps=(bash("git commit -m x"),), prompts=((1, "No, that is not what I meant"),)), "failure"),
        (
            Run("t", 0, steps=(bash("pytest", success=False),), prompts=((1, "it still fails"), (2, "Perfect!"))),
            "success",
        ),
        (Run("t", 0, prompts=((1, "now the docs"),)), ""),
        (Run("t", 0), ""),
    ],
)
def test_the_first_rule_that_has_something_to_say_decides(run, expected):
    found = with_outcome(run, RULES)

    assert (found.outcome, found.outcome_source) == (expected, "rule" if expected else "")


def test_a_rule_that_is_not_named_says_nothing_and_what_was_told_stands():
    run = Run("t", 0, steps=(bash("pytest"),))

    assert with_outcome(run, ["commits"]).outcome == ""
    assert with_outcome(Run("t", 0, outcome="failure", steps=run.steps), RULES).outcome == "failure"
