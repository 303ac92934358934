"""What came of advice, as whoever used it says, and what people decide about its items."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any, Final

from otel_episodes import UsageError, semconv
from otel_episodes._for_store import OBSERVATION_LIMIT, SCOPE, masked_text, one_of
from otel_episodes_clickhouse import sql
from otel_episodes_clickhouse.delivery.recording import resource_of_ours
from otel_episodes_clickhouse.errors import StoreError
from otel_episodes_clickhouse.spool.row import Row
from otel_episodes_clickhouse.spool.values import attributes_as_text

if TYPE_CHECKING:
    from otel_episodes_clickhouse.store.store import Store

RETIRED: Final = "retired"
ACTIVE: Final = "active"


def give(store: Store, advice: str, verdict: str, *, item: str = "", note: str = "", by: str = "agent") -> str:
    """Say what came of an advice, given by its id or the beginning of it; return the whole id.

    ``verdict`` is helped, no_effect or harmed. An ``item`` that a person (``by`` begins with ``person``), or two
    others, say did harm is not shown any more; one other only puts it last.

    Raises:
        UsageError: an unknown verdict, or an item that was not part of the advice.
        StoreError: no advice, or more than one, has this id.
    """
    one_of("verdict", verdict, semconv.VERDICTS)
    given = find(store, advice)
    item = _item_of(given, item)
    said = {
        semconv.SPAN: semconv.SPAN_FEEDBACK, semconv.EPISODE_ID: given["EpisodeId"],
        semconv.ADVICE_ID: given["AdviceId"], semconv.FEEDBACK_VERDICT: verdict, semconv.FEEDBACK_ITEM: item,
        semconv.FEEDBACK_NOTE: masked_text(note, OBSERVATION_LIMIT), semconv.FEEDBACK_BY: by,
    }  # fmt: skip
    resource = attributes_as_text(resource_of_ours().attributes)
    if given["Tenant"]:
        resource["tenant.id"] = given["Tenant"]
    row = Row(
        time.time_ns(),
        given["TraceId"],
        secrets.token_hex(8),
        span_name="feedback",
        service_name=resource["service.name"],
        resource_attributes=resource,
        scope_name=SCOPE,
        span_attributes=attributes_as_text({key: value for key, value in said.items() if value != ""}),
    )
    store.insert_rows([row])
    return str(given["AdviceId"])


def find(store: Store, identifier: str) -> dict[str, Any]:
    """Return the one advice whose id is or begins with that.

    Raises:
        StoreError: there is none, or more than one.
    """
    found = store.query_named("advice_like", {"id": identifier}) if identifier else []
    if len(found) != 1:
        what = "more than one advice has" if found else "no advice has"
        raise StoreError(f"{what} an id that begins with {identifier!r}: see the view advice")
    return found[0]


def said_of(store: Store, advice: str) -> list[dict[str, Any]]:
    """Return what was said of an advice, given by its whole id, in order of time."""
    return store.query_named("feedback_of", {"id": advice})


def decide(store: Store, item: str, state: str, *, reason: str, by: str = "person") -> str:
    """Retire an item for good, or make one active again whatever was said of it; return its whole id.

    Raises:
        UsageError: an unknown state, or no reason.
        StoreError: no item, or more than one, has this id.
    """
    one_of("state", state, (RETIRED, ACTIVE))
    if not reason.strip():
        raise UsageError("say why, in a sentence: --reason")
    found = store.query_named("items_like", {"id": item}) if item else []
    if len({row["Item"] for row in found}) != 1:
        what = "more than one item has" if found else "no item that was ever told has"
        raise StoreError(f"{what} an id that begins with {item!r}: see advice show ID, or --json of advise")
    for row in found:
        decided = {"item": row["Item"], "state": state, "reason": masked_text(reason, OBSERVATION_LIMIT), "by": by}
        store.execute(sql.named("item_state_write"), {**decided, "tenant": row["Tenant"]})
    return str(found[0]["Item"])


def _item_of(given: dict[str, Any], item: str) -> str:
    if not item:
        return ""
    found = [known for known in given["Items"] if known.startswith(item)]
    if len(found) != 1:
        raise UsageError(f"{item!r} is not an item of advice {given['AdviceId']}: it has {', '.join(given['Items'])}")
    return str(found[0])
