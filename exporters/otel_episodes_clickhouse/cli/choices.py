"""The words that options take, as types, so that ``--help`` lists them; a test compares them with their sources."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

AnyOutcome = Literal["success", "partial", "failure", "abstained", "unknown", "running", "abandoned"]
PatternType = Literal["tool_sequence", "decision_point", "error_recovery", "context", "heuristic"]
Verdict = Literal["good", "pitfall", "open"]
FeedbackVerdict = Literal["helped", "no_effect", "harmed"]
RewardSource = Literal["computed", "external"]
Part = Literal["day", "agent", "domain"]
Split = Literal["episode", "task", "time"]
FileFormat = Literal[
    "auto", "claude-code", "codex", "gemini-cli", "qwen-code", "otlp-json", "atif", "inspect-ai", "tau2-bench",
    "swe-agent", "openhands", "mini-swe-agent", "openai-responses", "anthropic", "vercel", "gemini", "langchain",
    "sharegpt", "nebius", "chat",
]  # fmt: skip
Relation = Literal["follows", "retries", "part_of"]
SessionPart = Literal["prompt"]
HookedAgent = Literal["claude-code", "codex", "gemini"]
# As the readers are called, and as `hooks` calls them.
Agent = Literal["claude-code", "codex", "gemini-cli", "qwen-code", "openhands", "gemini"]


class Rule(StrEnum):
    """A rule that may say how an imported run ended; typer takes a list of these."""

    prompts = "prompts"
    commits = "commits"
    checks = "checks"


class Job(StrEnum):
    """A job: typer takes a list of these, and none of literals."""

    prices = "prices"
    facts = "facts"
    rewards = "rewards"
    reflections = "reflections"
    patterns = "patterns"
    values = "values"
