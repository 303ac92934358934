"""The jobs as refreshable views: a server keeps what is learned fresh with no process of ours running."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from otel_episodes_clickhouse import sql
from otel_episodes_clickhouse.errors import QueryError, StoreError
from otel_episodes_clickhouse.learning import formulas

if TYPE_CHECKING:
    from otel_episodes_clickhouse.store.store import Store
_SETTING: Final = "schema_refreshed"


def install(store: Store) -> list[str]:
    """Create the refreshable views, for the formula in use, in place of any there are, and return their names.

    On the node that is asked, also in a cluster: each appends what is new, and one is enough.

    Run the jobs once before on a large history: the first refresh works in one piece. Raises `StoreError` where the
    engine has no refreshable views (before ClickHouse 24.10) or does not let us.
    """
    chosen = formulas.chosen_formula(store, None)
    views = _views()
    uninstall(store)
    try:
        for view in views:
            store.execute(view, {"formula_view": chosen.view, "formula": chosen.name})
    except QueryError as error:
        uninstall(store)
        raise StoreError(f"the refreshable views could not be created, so none was left: {error}") from error
    store.execute(sql.named("set_schema"), {"names": [_SETTING], "values": [_version()]})
    return [view.name for view in views]


def outdated(store: Store) -> bool:
    """Tell whether the store has refreshable views of another version."""
    if not store.query_named("refreshed_views"):
        return False
    settings = {row["Name"]: row["Value"] for row in store.query_named("schema_settings")}
    return settings.get(_SETTING) != _version()


def uninstall(store: Store) -> list[str]:
    """Drop the refreshable views, the last of the chain first, and return their names."""
    names = [row["Name"] for row in store.query_named("refreshed_views")]
    for name in names:
        store.execute(sql.named("drop_view"), {"view": name})
    return names


def _views() -> list[sql.Statement]:
    return [
        statement
        for statement in sql.folder("jobs")
        if statement.name.startswith("internal_refresh_") and statement.creates
    ]


def _version() -> str:
    return hashlib.sha256("\0".join(view.text for view in _views()).encode()).hexdigest()[:16]
