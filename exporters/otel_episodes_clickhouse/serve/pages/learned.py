"""What was learned: what holds, what to avoid, how it went by week; what advice did, where the store knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_episodes_clickhouse.learning import claims

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_episodes_clickhouse.store.store import Store

Row = dict[str, Any]

# Of each verdict, the surest; of what is still open only the most promising.
_SHOWN: Final = {"good": 30, "pitfall": 30, "open": 10}
# So many patterns are read for one that is shown: most are other wordings of one that is.
_WORDINGS: Final = 4
_MOST: Final = 100
_EVIDENCE: Final = 20


def load(store: Store, domain: str = "", kind: str = "") -> Row:
    """Return patterns by verdict under ``Patterns``, the ``Weeks`` of each domain, ``Effects`` and ``Skills``."""
    asked = {"type": kind, "domain": domain, "limit": max(_SHOWN.values()) * _WORDINGS}
    rows = [_worded(row) for row in claims.distinct(store.query_named("page_patterns", asked))]
    patterns = {
        verdict: [row for row in rows if row["Verdict"] == verdict][:limit] for verdict, limit in _SHOWN.items()
    }
    return {
        "Patterns": patterns,
        "Weeks": _by_domain(store.query_named("page_weeks", {"domain": domain})),
        "Effects": store.query_named("page_effects", {"domain": domain, "limit": _MOST}),
        "Skills": [row for row in store.query_named("skill_versions", {"name": ""}) if domain in ("", row["Domain"])],
    }


def one(store: Store, identifier: str) -> Row | None:
    """Return a pattern with the ``Episodes`` behind it; None where no pattern, or more than one, begins with that."""
    found = store.query_named("pattern_one", {"id": identifier.lower()})
    if len(found) != 1:
        return None
    asked = {"id": found[0]["PatternId"], "limit": _EVIDENCE}
    return {**_worded(found[0]), "Episodes": store.query_named("pattern_episodes", asked)}


def what(kind: str, key: Sequence[str]) -> str:
    """Say what a pattern is; its parts are those of docs/explanation/patterns.md."""
    if kind == "heuristic":
        return f"after {key[0]} ({key[1]}): {key[2]}"
    if kind == "decision_point":
        return f"{key[0]}: {key[1]}"
    if kind == "error_recovery":
        return f"{key[0]} failed ({key[1]}): {' → '.join(key[2:]) or 'nothing helped'}"
    if kind == "context":
        return f"{key[0]}: with {', '.join(key[1:])}"
    return " → ".join(key)


def _worded(row: Row) -> Row:
    return {**row, "What": what(row["Type"], row["Key"])}


def _by_domain(weeks: list[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for week in weeks:
        found.setdefault(week["Domain"], []).insert(0, week)
    return found
