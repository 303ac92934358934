"""Rules that guess how a run ended where nobody told: off unless named, and told apart by their source, ``rule``.

They are asked in the order of `RULES`; the first that has something to say decides.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from otel_episodes_clickhouse.importers.run import Run, Step

_CHECKS: Final = re.compile(
    r"(?:^|[;&|(])\s*(?:\w+=\S*\s+|(?:sudo|time|npx|uv run|poetry run|bundle exec|python3? -m)\s+)*"
    r"(?:(?:\S*/)?(?:pytest|py\.test|tox|nox|unittest|jest|vitest|mocha|phpunit|rspec|ctest|mypy|tsc)\b|ruff check"
    r"|(?:cargo|go|npm|pnpm|yarn|bun|dotnet|swift|mix|deno|bazel|(?:\./)?gradlew?|mvn|sbt|make|just|rake|uv run)"
    r"\s+(?:\S+\s+)?(?:test|tests|check|build|verify|compile|lint)\b|make\s*(?:$|[;&|])|(?:ninja|cmake --build)\b)",
    re.MULTILINE,
)
_COMMIT: Final = re.compile(r"\bgit\s+(?:-\S+\s+\S+\s+)*commit\b")
_REVERT: Final = re.compile(
    r"\bgit\s+(?:-\S+\s+\S+\s+)*(?:revert|reset\s+--hard|checkout\s+(?:--\s+)?\.|restore\s+\.)(?=\s|$)"
)
_REJECTS: Final = re.compile(
    r"\s*(?:no\b[,.! ]|nope|wrong\b|undo\b|revert\b|stop\b|that(?:'s| is) (?:not|wrong)|this is (?:not|wrong)"
    r"|(?:it|that|this) (?:still )?(?:does(?:n't| not)|did(?:n't| not)) (?:work|help|compile|pass)"
    r"|(?:it |that |this )?still (?:fail|broken|not|wrong)"
    r"|you (?:broke|removed|deleted)|not what i)",
    re.IGNORECASE,
)  # fmt: skip
_PRAISES: Final = re.compile(
    r"\s*(?:thanks|thank you|perfect|great\b|works\b|looks good|lgtm|nice\b|well done)", re.IGNORECASE
)


def with_outcome(run: Run, names: Iterable[str]) -> Run:
    """Return a run with the outcome that a rule gives it; unchanged where somebody told one, or no rule has a say."""
    if run.outcome:
        return run
    for name, rule in RULES.items():
        said = rule(run) if name in names else None
        if said is not None:
            outcome, verdict = said
            return replace(run, outcome=outcome, outcome_source="rule", verdict=verdict)
    return run


def _rejected(run: Run) -> tuple[str, str] | None:
    """The last prompt rejects what was done, or praises it."""
    if not run.prompts:
        return None
    last = run.prompts[-1][1]
    if _REJECTS.match(last):
        return "failure", "the last prompt rejects what was done"
    return ("success", "the last prompt praises what was done") if _PRAISES.match(last) else None


def _committed(run: Run) -> tuple[str, str] | None:
    """What was done was committed and stayed, or was taken back."""
    last = None
    for step in run.steps:
        command = _command(step)
        if step.success is not False and _REVERT.search(command):
            last = "failure", "what was done was taken back"
        elif step.success and _COMMIT.search(command):
            last = "success", "what was done was committed"
    return last


def _checked(run: Run) -> tuple[str, str] | None:
    """The last test or build succeeded, or failed."""
    checks = [step for step in run.steps if step.success is not None and _CHECKS.search(_command(step))]
    if not checks:
        return None
    last = "succeeded" if checks[-1].success else "failed"
    return "success" if checks[-1].success else "failure", f"the last test or build {last}"


def _command(step: Step) -> str:
    given: Any = step.arguments
    if isinstance(given, dict):
        given = next(
            (given[name] for name in ("command", "cmd", "script", "code") if isinstance(given.get(name), str)), ""
        )
    return given if isinstance(given, str) else ""


RULES: Final[dict[str, Callable[[Run], tuple[str, str] | None]]] = {
    "prompts": _rejected,
    "commits": _committed,
    "checks": _checked,
}
