"""How a run ended, where its record says so: scores, statements, errors, exit statuses.

A record that says nothing leaves the outcome empty. An end is no success: "completed", "Submitted" and "user_stop" say
that a run is over, not that it did what was asked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from otel_episodes import semconv
from otel_episodes_clickhouse.importers import values
from otel_episodes_clickhouse.importers.run import RecordError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otel_episodes_clickhouse.importers.options import ImportOptions

_SUCCESS: Final = frozenset(
    ("success", "succeeded", "successful", "pass", "passed", "resolved", "solved", "correct", "won")
)
_FAILURE: Final = frozenset((
    "failure", "fail", "failed", "error", "errored", "unresolved", "unsolved", "incorrect", "wrong", "lost", "timeout",
    "timed_out", "crashed", "rejected", "exception", "not_resolved",
))  # fmt: skip
_TRUE: Final = frozenset(("true", "yes", "1", "1.0"))
_FALSE: Final = frozenset(("false", "no", "0", "0.0"))
_FLAGS: Final = (
    "success", "resolved", "passed", "succeeded", "solved", "is_success", "is_resolved", "is_correct", "correct",
    "is_passed", "target", "unresolved", "failed",
)  # fmt: skip
_FLAGS_OF_FAILURE: Final = frozenset(("unresolved", "failed"))
_WORDS: Final = ("outcome", "result", "status", "verdict", "final_status")
_ERRORS: Final = ("error", "exception", "exception_info", "error_message")
_EXITS: Final = ("exit_status", "exit_reason", "termination_reason", "stop_reason", "ended_how")
REWARDS: Final = (
    "reward", "score", "reward_info.reward", "rewards.reward", "verifier_result.rewards.reward",
    "verifier_result.reward", "final_reward", "scores", "evaluation", "eval_result",
)  # fmt: skip
_PLACES: Final = ("info", "result", "report", "extra", "evaluation", "metadata", "eval", "test_result", "summary")
# Ends that say nothing of how it went.
_ORDERLY: Final = frozenset((
    "submitted", "user_stop", "agent_stop", "finished", "complete", "completed", "done", "stop", "end_turn", "success",
))  # fmt: skip
LETTERS: Final = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}


@dataclass(frozen=True, slots=True)
class Ending:
    """What a record says of its end; empty where it says nothing."""

    outcome: str = ""
    source: str = ""
    verdict: str = ""
    reward: float | None = None
    how: str = ""

    def fields(self) -> dict[str, Any]:
        """Return these under the names of `Run`."""
        return {
            "outcome": self.outcome,
            "outcome_source": self.source,
            "verdict": self.verdict,
            "reward": self.reward,
            "ended_how": self.how,
        }


def ending_of(record: dict[str, Any], options: ImportOptions) -> Ending:
    """Return what a record says: by its score, else by a statement, an error, or how it was stopped."""
    verdict = values.string(record.get("verdict"))
    how = _exit(record)
    reward = reward_of(record, options)
    if reward is not None:
        return scored(reward, options.success_at, verdict=verdict, how=how)
    told = next((said for place in _places(record) if (said := _statement(place))), "")
    if told:
        return Ending(told, "told", verdict, None, how)
    error = next((said for place in _places(record) if (said := _error(place))), "")
    if error:
        return Ending("failure", "exception", verdict or error, None, how)
    if how and not is_orderly(how):
        return Ending("failure", "told", verdict or how, None, how)
    return Ending("", "", verdict or how, None, how)


def scored(reward: float, success_at: float, *, verdict: str = "", how: str = "") -> Ending:
    """Return the outcome that a score stands for."""
    if reward >= success_at:
        return Ending("success", "score", verdict, reward, how)
    said = f"reward {reward:g} is below {success_at:g}"
    if how and not is_orderly(how):
        said = f"{how}: {said}"
    return Ending("failure", "score", verdict or said, reward, how)


def reward_of(record: dict[str, Any], options: ImportOptions) -> float | None:
    """Return the score of a record: in the field the user named, else in a usual place; None where there is none."""
    if options.reward:
        found = as_score(values.required(record, options.reward, "--reward"))
        if found is None:
            raise RecordError(f"the reward in {options.reward!r} is not a number")
        return found
    for place in _places(record):
        for path in REWARDS:
            found = as_score(values.lookup(place, path))
            if found is not None:
                return found
    return None


def as_score(value: object) -> float | None:
    """Return a score as a number: also true and false, numbers in text, and one that stands under a name.

    Of several under names, only the one named ``value``, ``reward``, ``score`` or the like is it.
    """
    if isinstance(value, (bool, int, float)):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, str):
        word = value.strip()
        if word.lower() in _TRUE | _FALSE:
            return float(word.lower() in _TRUE)
        try:
            number = float(word)
        except ValueError:
            return LETTERS.get(word)
        return number if math.isfinite(number) else None
    if isinstance(value, dict):
        named = next((value[name] for name in ("value", "reward", "score") if name in value), None)
        if named is None and len(value) == 1:
            named = next(iter(value.values()))
        return as_score(named)
    return None


def _places(record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield dict(record)
    for name in _PLACES:
        inner = record.get(name)
        if isinstance(inner, dict):
            yield inner


def _statement(record: dict[str, Any]) -> str:
    if record.get("outcome") in semconv.OUTCOMES and record["outcome"] != "unknown":
        return str(record["outcome"])
    for name in _FLAGS:
        said = _flag(record.get(name))
        if said is not None and (isinstance(record[name], (bool, str)) or "failed" not in record):  # else counts
            return "success" if said is not (name in _FLAGS_OF_FAILURE) else "failure"
    for name in _WORDS:
        word = values.string(record.get(name)).strip().lower()
        if word in _SUCCESS:
            return "success"
        if word in _FAILURE:
            return "failure"
    return ""


def _flag(value: object) -> bool | None:
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, float)) and value in (0, 1):
        return bool(value)
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _TRUE or word in _SUCCESS:
            return True
        if word in _FALSE or word in _FAILURE:
            return False
    return None


def _error(record: dict[str, Any]) -> str:
    for name in _ERRORS:
        error = record.get(name)
        if isinstance(error, str) and error.strip():
            return error
        if isinstance(error, dict) and error:
            kind = error.get("type") or error.get("exception_type") or error.get("code") or ""
            message = error.get("message") or error.get("exception_message") or ""
            return ": ".join(filter(None, (str(kind), str(message)))) or "error"
    return ""


def _exit(record: dict[str, Any]) -> str:
    for place in _places(record):
        for name in _EXITS:
            if isinstance(place.get(name), str) and place[name].strip():
                return str(place[name]).strip()
    return ""


def is_orderly(how: str) -> bool:
    """Return True if this is how a run ends that nothing stopped."""
    return how.lower() in _ORDERLY
