"""Tools and models: how often, how fast, how well, and what repaired what failed."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_episodes_clickhouse.store.store import Store

Row = dict[str, Any]

_MOST: Final = 100
_ERRORS: Final = 20
# Of what is drawn by day, the latest.
_MOST_DAYS: Final = 120


def load(store: Store, since: int) -> Row:
    """Return ``Tools`` and ``Models`` of what began since then (nanoseconds since 1970), and ``Errors``.

    ``Days`` are those from the first call of a tool to the last, with all calls; each tool and model has its own.
    """
    others = store.query_named("foreign_spans")[0]["Spans"] > 0
    asked = {"relation": "steps" if others else "internal_steps", "since": since}
    days = store.query_named("page_tool_days", asked)
    tools = store.query_named("page_tools", {**asked, "limit": _MOST})
    models = store.query_named("page_models", {"since": since, "limit": _MOST}) if others else []
    model_days = store.query_named("page_model_days", {"since": since}) if others else []
    calendar = _calendar([*days, *model_days])
    return {
        "Tools": [{**row, "Days": _by_day(days, calendar, row["Tool"])} for row in tools],
        "Days": _by_day(days, calendar),
        "Models": [
            {**row, "Days": _by_day(model_days, calendar, f"{row['Provider']} {row['Model']}")} for row in models
        ],
        "Errors": store.query_named("page_mended", {"limit": _ERRORS}),
    }


def _calendar(rows: Sequence[Row]) -> list[str]:
    """Return every day from the first of these rows to the last; rows are in the order of their days, more or less."""
    if not rows:
        return []
    last = date.fromisoformat(max(row["Day"] for row in rows))
    first = max(date.fromisoformat(min(row["Day"] for row in rows)), last - timedelta(days=_MOST_DAYS - 1))
    return [f"{first + timedelta(days=number)}" for number in range((last - first).days + 1)]


def _by_day(rows: Sequence[Row], calendar: Sequence[str], name: str | None = None) -> list[Row]:
    """Return what the rows of one name, or of all, add up to on each day of a calendar."""
    found: dict[str, Row] = {day: {"Day": day, "Calls": 0, "Failures": 0} for day in calendar}
    for row in rows:
        if row["Day"] in found and name in (None, row["Name"]):
            day = found[row["Day"]]
            for figure, value in row.items():
                if figure not in ("Day", "Name") and value is not None:
                    day[figure] = day.get(figure, 0) + value
    return list(found.values())
