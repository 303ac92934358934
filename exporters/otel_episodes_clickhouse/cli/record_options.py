"""What ``start``, ``step`` and ``complete`` take: one table for typer, which prints the help, and for `quick`.

Imports nothing that costs: a hook on every tool call of an agent starts a process for each.
"""

from __future__ import annotations

from otel_episodes import semconv
from otel_episodes.exceptions import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

_MOST_DIGITS = 18  # of a count in 64 bits
_HANDLE_HELP = "What `otel-episodes start` printed."


class Option:
    """One option, or with ``positional`` an argument: its name, its type and its help."""

    __slots__ = ("choices", "default", "help", "kind", "many", "metavar", "name", "positional", "required")

    def __init__(
        self,
        name: str,
        help: str,  # noqa: A002  # what it is called everywhere
        *,
        kind: type = str,
        default: Any = "",
        metavar: str | None = None,
        choices: Sequence[str] = (),
        many: bool = False,
        positional: bool = False,
        required: bool = False,
    ) -> None:
        self.name = name
        self.help = help
        self.kind = kind
        self.default = default
        self.metavar = metavar
        self.choices = tuple(choices)
        self.many = many
        self.positional = positional
        self.required = required

    @property
    def flag(self) -> str:
        """Return how it is written."""
        return f"--{self.name.replace('_', '-')}"


OPTIONS: dict[str, tuple[Option, ...]] = {
    "start": (
        Option("task", "What is to be done.", metavar="TASK", positional=True),
        Option("agent", "Who does it."),
        Option("task_type", "Such as debugging, refactoring."),
        Option("domain", "Such as web-api; patterns are learned per domain."),
        Option("language", "Programming language."),
        Option("framework", "Framework."),
        Option("complexity", "How hard it is.", choices=semconv.COMPLEXITIES, default=None),
        Option("tag", "A tag; may be repeated.", many=True, default=None),
        Option("resume", "Go on with an episode that has ended, in a new segment.", metavar="HANDLE"),
        Option("dsn", "", default=None),
    ),
    "step": (
        Option("handle", _HANDLE_HELP, metavar="HANDLE", positional=True, required=True),
        Option("tool", "The tool used; needed unless the kind is decision_point or milestone."),
        Option("action", "What was done with it."),
        Option("latency_ms", "How long it took; it ended just now.", kind=float, default=0.0, metavar="MS"),
        Option("failed", "It did not work; the observation says why.", kind=bool, default=False),
        Option("observation", "What came of it."),
        Option("tokens", "Tokens: 2800 are output tokens; 1200/300 input and output.", metavar="OUT|IN/OUT"),
        Option("kind", "What kind of step it is.", choices=semconv.KINDS, default="tool_use"),
        Option("error_type", "Class of the error, with --failed."),
        Option("dsn", "", default=None),
    ),
    "complete": (
        Option("handle", _HANDLE_HELP, metavar="HANDLE", positional=True, required=True),
        Option("outcome", "How it ended.", choices=semconv.OUTCOMES, required=True),
        Option("verdict", "Why: what was reached, or what went wrong."),
        Option("artifact", "What was made, with success; may be repeated.", many=True, default=None),
        Option("done", "With partial: parts done.", kind=int, default=None),
        Option("not_done", "With partial: parts not done.", kind=int, default=None),
        Option("reward", "A score from outside.", kind=float, default=None),
        Option("dsn", "", default=None),
    ),
}


def check(command: str, given: Mapping[str, Any]) -> None:
    """Raise `UsageError` for options that do not go together, or have a value they cannot have."""
    if command == "start":
        _check_start(given)
    elif command == "step":
        _check_step(given)
    else:
        _check_complete(given)


def tokens_of(text: str) -> tuple[int, int]:
    """Return input and output tokens; raise `UsageError` for what is not a count."""
    first, slash, second = text.partition("/")
    parts = (first, second) if slash else ("0", first or "0")
    if not all(part.isascii() and part.isdigit() and len(part) <= _MOST_DIGITS for part in parts):
        raise UsageError(f"--tokens {text} is not a count: use 2800 (output tokens) or 1200/300 (input/output)")
    return int(parts[0]), int(parts[1])


def _check_start(given: Mapping[str, Any]) -> None:
    if not given["task"] and not given["resume"]:
        raise UsageError('name the task: otel-episodes start "Fix the flaky test"')
    fixed = ("agent", "task_type", "domain", "language", "framework", "complexity", "tag")
    changed = [f"--{name.replace('_', '-')}" for name in fixed if given[name]]
    if given["resume"] and changed:
        raise UsageError(f"{', '.join(changed)} cannot change in a resumed episode: leave it out")


def _check_step(given: Mapping[str, Any]) -> None:
    if not given["tool"] and given["kind"] in ("tool_use", "error_handling"):
        raise UsageError("name the tool: --tool cargo (only decision_point and milestone go without)")
    if given["error_type"] and not given["failed"]:
        raise UsageError("--error-type goes with --failed: add it, or leave the type out")
    if not 0 <= given["latency_ms"] < float("inf"):
        raise UsageError(f"--latency-ms {given['latency_ms']:g} must be a number of milliseconds, 0 or more")
    tokens_of(given["tokens"])


def _check_complete(given: Mapping[str, Any]) -> None:
    outcome, reward = given["outcome"], given["reward"]
    if outcome != "partial" and (given["done"] is not None or given["not_done"] is not None):
        raise UsageError("--done and --not-done go with --outcome partial")
    if outcome != "success" and given["artifact"]:
        raise UsageError("--artifact goes with --outcome success")
    for option, number in (("--done", given["done"]), ("--not-done", given["not_done"])):
        if number is not None and number < 0:
            raise UsageError(f"{option} {number} must be a whole number, 0 or more")
    if reward is not None and reward - reward != 0:
        raise UsageError(f"--reward {reward} must be a finite number")
