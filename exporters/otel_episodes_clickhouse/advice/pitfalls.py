"""Warnings and recoveries: which calls usually go wrong, and what put a failure right.

They claim something of the step, whatever became of the run, and are counted by runs: one that failed forty times is
one proof.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from otel_episodes_clickhouse.advice.items import FEWEST_RUNS, Item, item_id
from otel_episodes_clickhouse.learning.ranking import wilson

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from otel_episodes_clickhouse.store.store import Store

# "Usually": from so many of the runs on that made the call.
_USUALLY: Final = 0.5
# A recovery that one run found may have been luck.
_FEWEST_RECOVERED: Final = 2
_ORIGINS: Final = {
    "told": "from the task",
    "seen": "from an earlier observation",
    "again": "the very same call again",
    "*": "a fixed word that neither task nor observations hold",
}


def warnings(
    store: Store, domain: str, tenant: str, about_to_use: Mapping[str, str] | None, limit: int = 3
) -> list[Item]:
    """Return what is known to go wrong of these calls, tools with their templates ('' where none is known).

    Without calls, of all those of the domain. The most certain first.
    """
    asked = {"domain": domain, "tenant": tenant, "tools": list(about_to_use or ())}
    rows = [
        row for row in store.query_named("calls_that_fail", asked) if about_to_use is None or _fits(row, about_to_use)
    ]
    items = [_warning(row, domain, tenant) for row in _most_specific(filter(_usually_fails, rows))]
    return sorted(items, key=lambda item: (item.high, item.id))[:limit]


def recoveries(store: Store, domain: str, tenant: str, tool: str = "", error: str = "", limit: int = 3) -> list[Item]:
    """Return what put this failure right, or, without a tool, failures of the domain; the most frequent first."""
    asked = {"domain": domain, "tenant": tenant, "tool": tool, "error": error}
    rows = [row for row in store.query_named("recoveries", asked) if row["Runs"] >= _FEWEST_RECOVERED]
    best: dict[str, Item] = {}
    for row in rows:
        best.setdefault(row["Tool"], _recovery(row, domain, tenant, now=bool(tool)))
    return list(best.values())[:limit]


def all_warnings(store: Store, domain: str, tenant: str, limit: int) -> list[tuple[str, str, Item]]:
    """Return what is known to go wrong in a domain, each with its tool and template; the most certain first."""
    rows = store.query_named("calls_that_fail", {"domain": domain, "tenant": tenant, "tools": []})
    found = [
        (str(row["Tool"]), str(row["Template"]), _warning(row, domain, tenant))
        for row in _most_specific(filter(_usually_fails, rows))
    ]
    return sorted(found, key=lambda each: (each[2].high, each[2].id))[:limit]


def all_recoveries(store: Store, domain: str, tenant: str, limit: int) -> list[tuple[str, str, Item]]:
    """Return what puts failures of a domain right, each with its tool and the shape of its error, the best of each."""
    best: dict[tuple[str, str], Item] = {}
    for row in store.query_named("recoveries_of_domain", {"domain": domain, "tenant": tenant}):
        if row["Runs"] >= _FEWEST_RECOVERED:
            best.setdefault((row["Tool"], row["Error"]), _recovery(row, domain, tenant, now=True))
    return [(*key, item) for key, item in best.items()][:limit]


def _fits(row: Mapping[str, Any], calls: Mapping[str, str]) -> bool:
    return row["Template"] in ("", calls[row["Tool"]])


def _usually_fails(row: Mapping[str, Any]) -> bool:
    low, _ = wilson(row["Bad"], row["Runs"])
    return bool(row["Runs"] >= FEWEST_RUNS and row["Bad"] >= _USUALLY * row["Runs"] and low > row["Usual"])


def _most_specific(rows: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield of each tool either what holds however it is called, or else the ways of calling it that fail."""
    by_tool: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_tool.setdefault(row["Tool"], []).append(row)
    for found in by_tool.values():
        whole = [row for row in found if not row["Template"]]
        yield from whole or found


def _warning(row: Mapping[str, Any], domain: str, tenant: str) -> Item:
    runs, bad = row["Runs"], row["Bad"]
    low, high = wilson(runs - bad, runs)
    how = described(row["Template"])
    called = f"{row['Tool']} with {how}" if how else row["Tool"]
    text = f"{called} failed in {bad} of {runs} runs that called it ({1 - high:.0%} to {1 - low:.0%})."
    key = item_id("warning", domain, tenant, row["Tool"], row["Template"])
    return Item(key, "warning", text, runs, runs - bad, low, high, tuple(row["Evidence"]))


def _recovery(row: Mapping[str, Any], domain: str, tenant: str, *, now: bool) -> Item:
    runs, failed = row["Runs"], row["Failed"]
    low, high = wilson(runs, failed)
    then: Sequence[str] = row["Then"]
    again = f"calling {row['Tool']} again" + (f", {len(then)} times," if len(then) > 1 else "")
    what = again if set(then) == {row["Tool"]} else " and then ".join(then)
    when = f"After this failure of {row['Tool']}" if now else f"Where {row['Tool']} fails"
    text = f"{when}, {what} put it right in {runs} of {failed} runs ({low:.0%} to {high:.0%})."
    key = item_id("recovery", domain, tenant, row["Tool"], row["Error"], *then)
    return Item(key, "recovery", text, failed, runs, low, high, tuple(row["Evidence"]))


def described(template: str) -> str:
    """Return the template of a call in words; empty: there is none."""
    if not template:
        return ""
    parts = [
        _ORIGINS["again"] if not name else f"{name} {_ORIGINS.get(kind, 'from neither task nor observations')}"
        for name, kind in json.loads(template).items()
    ]
    return ", ".join(parts)
