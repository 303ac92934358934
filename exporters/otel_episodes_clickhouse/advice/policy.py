"""The policy of a store: the text by which it is drawn who is shown advice, and how often it is held back."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from otel_episodes import UsageError
from otel_episodes_clickhouse import sql
from otel_episodes_clickhouse.advice.arms import HELD_ASKED, HELD_PUSHED, Policy
from otel_episodes_clickhouse.errors import QueryError

if TYPE_CHECKING:
    from otel_episodes_clickhouse.store.store import Store

# Sub-agents of sub-agents; nobody has that many, and a circle ends there.
_MOST_PARENTS: Final = 20
_MOST_HELD: Final = 0.9


def of_store(store: Store) -> Policy:
    """Return the policy of a store, drawing its text before anything is shown.

    Where this account may not write one down, nothing is held back and no effect is measured.
    """
    found = _read(store)
    if found is not None:
        return found
    try:
        _write(store, secrets.token_hex(16), HELD_PUSHED, HELD_ASKED)
    except QueryError:
        return Policy()
    # Of two processes that draw at once, both take the text that was first.
    return _read(store) or Policy()


def hold(store: Store, *, pushed: float | None = None, asked: float | None = None) -> Policy:
    """Change how often advice is held back, from 0 to 0.9; runs before keep the share they were drawn with.

    Raises:
        UsageError: a share that is none.
    """
    now = of_store(store)
    pushed = now.held_pushed if pushed is None else pushed
    asked = now.held_asked if asked is None else asked
    for share in (pushed, asked):
        if not 0 <= share <= _MOST_HELD:
            raise UsageError(f"{share} cannot be held back: use a share from 0 to {_MOST_HELD}")
    _write(store, now.text, pushed, asked)
    return _read(store) or now


def unit_of(store: Store, episode: str) -> tuple[str, str]:
    """Return what an episode's advice is drawn for, and the episode's trace (empty where it is not recorded)."""
    trace_id, unit = "", episode
    for depth in range(_MOST_PARENTS):
        rows = store.query_named("advice_unit", {"episode": unit})
        if not rows:
            break
        trace_id = trace_id if depth else rows[0]["TraceId"]
        if not rows[0]["ParentId"]:
            unit = rows[0]["ConversationId"] or unit
            break
        unit = rows[0]["ParentId"]
    return unit, trace_id


def _read(store: Store) -> Policy | None:
    rows = store.query_named("advice_policy")
    return Policy(rows[0]["Policy"], rows[0]["HeldPushed"], rows[0]["HeldAsked"]) if rows else None


def _write(store: Store, text: str, pushed: float, asked: float) -> None:
    store.execute(sql.named("advice_policy_write"), {"policy": text, "pushed": pushed, "asked": asked})
