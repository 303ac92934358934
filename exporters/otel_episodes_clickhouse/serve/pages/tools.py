"""Tools and models: how often, how fast, how well, and what repaired what failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from otel_episodes_clickhouse.store.store import Store

Row = dict[str, Any]

_MOST: Final = 100
_ERRORS: Final = 20


def load(store: Store, since: int) -> Row:
    """Return ``Tools``, ``Models``, ``Days`` of what began since then (nanoseconds since 1970), and ``Errors``."""
    others = store.query_named("foreign_spans")[0]["Spans"] > 0
    asked = {"relation": "steps" if others else "internal_steps", "since": since}
    return {
        "Tools": store.query_named("page_tools", {**asked, "limit": _MOST}),
        "Days": store.query_named("page_tool_days", asked),
        "Models": store.query_named("page_models", {"since": since, "limit": _MOST}) if others else [],
        "Errors": store.query_named("page_mended", {"limit": _ERRORS}),
    }
