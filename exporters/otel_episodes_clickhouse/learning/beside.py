"""Spans that say something of an episode afterwards: they lie beside it, in its trace, and change nothing of it."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any

from otel_episodes import semconv
from otel_episodes._for_store import SCOPE
from otel_episodes_clickhouse.delivery.recording import resource_of_ours
from otel_episodes_clickhouse.errors import StoreError
from otel_episodes_clickhouse.spool.row import Row
from otel_episodes_clickhouse.spool.values import attributes_as_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_episodes_clickhouse.store.store import Store


def known_episode(store: Store, identifier: str) -> dict[str, Any]:
    """Return the episode with this id, or with a trace of this id; raise `StoreError` where there is none."""
    found = store.query_named("find_episodes", {"prefix": identifier})
    known = next((row for row in found if identifier in (row["EpisodeId"], row["TraceId"])), None)
    if known is None:
        raise StoreError(f"no episode has the id {identifier}: see `otel-episodes episodes`")
    return known


def span_beside(episode: Mapping[str, Any], name: str, attributes: Mapping[str, Any]) -> Row:
    """Return a span in the trace of an episode, of its tenant, at this moment; empty attributes are left out."""
    resource = attributes_as_text(resource_of_ours().attributes)
    if episode["Tenant"]:
        resource["tenant.id"] = episode["Tenant"]
    said = {semconv.EPISODE_ID: episode["EpisodeId"], **attributes}
    return Row(
        time.time_ns(),
        episode["TraceId"],
        secrets.token_hex(8),
        span_name=name,
        service_name=resource["service.name"],
        resource_attributes=resource,
        scope_name=SCOPE,
        span_attributes=attributes_as_text({key: value for key, value in said.items() if value != ""}),
    )
