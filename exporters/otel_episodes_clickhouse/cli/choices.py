"""The words that options take, as types, so that ``--help`` lists them; a test compares them with their sources."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

AnyOutcome = Literal["success", "partial", "failure", "abstained", "unknown", "running", "abandoned"]
PatternType = Literal["tool_sequence", "decision_point", "error_recovery", "context", "heuristic"]
Verdict = Literal["good", "pitfall", "open"]
RewardSource = Literal["computed", "external"]
Split = Literal["episode", "task", "time"]
FileFormat = Literal["auto", "chat", "atif", "otlp-json"]


class Job(StrEnum):
    """A job: typer takes a list of these, and none of literals."""

    facts = "facts"
    rewards = "rewards"
    reflections = "reflections"
    patterns = "patterns"
    values = "values"
