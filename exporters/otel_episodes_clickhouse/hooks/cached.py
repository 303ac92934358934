"""What is left for `at_tool` to read, and what it left in its inbox."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from otel_episodes import semconv
from otel_episodes._for_store import SCOPE
from otel_episodes_clickhouse import config
from otel_episodes_clickhouse.advice import pitfalls
from otel_episodes_clickhouse.advice import policy as policies
from otel_episodes_clickhouse.advice.arms import Policy
from otel_episodes_clickhouse.advice.items import blocked
from otel_episodes_clickhouse.delivery.recording import resource_of_ours
from otel_episodes_clickhouse.hooks import at_tool
from otel_episodes_clickhouse.importers.folders import domain_of
from otel_episodes_clickhouse.importers.run_rows import RunIds
from otel_episodes_clickhouse.spool.row import Row
from otel_episodes_clickhouse.spool.values import attributes_as_text

if TYPE_CHECKING:
    from otel_episodes_clickhouse.advice.items import Item
    from otel_episodes_clickhouse.store.store import Store

FRESH_SECONDS: Final = 3600
_KEPT_SECONDS: Final = 7 * 86400
_MOST_ITEMS: Final = 500


def refresh(store: Store, home: Path, folder: str) -> None:
    """Write down what is known of the work in a folder, where that is older than an hour."""
    path = Path(at_tool.cache_of(str(home), folder))
    if not config.gives_advice():
        path.unlink(missing_ok=True)
        return
    if path.exists() and time.time() - path.stat().st_mtime < FRESH_SECONDS:
        return
    _forget_sessions(home)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    known = content(store, domain_of(folder))
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    new.touch(mode=0o600)
    new.write_text(json.dumps(known), encoding="utf-8")
    new.replace(path)


def drop(home: Path) -> None:
    """Drop what is known of all folders: something in it is to be forgotten."""
    for path in (home / "advice").glob("*.json"):
        path.unlink(missing_ok=True)


def content(store: Store, domain: str, tenant: str = "") -> dict[str, Any]:
    """Return what `at_tool` is to know of a domain, the surest first, as far as there is room."""
    policy = policies.of_store(store)
    away = blocked(store, tenant)
    known: dict[str, Any] = {
        "domain": domain, "tenant": tenant, "policy": policy.text, "held": policy.held_pushed,
        "warnings": {}, "recoveries": {},
    }  # fmt: skip
    room = at_tool.MOST_BYTES - len(json.dumps(known))
    for tool, template, item in pitfalls.all_warnings(store, domain, tenant, _MOST_ITEMS):
        said = {"template": template, **_said(item)}
        room -= len(json.dumps(said)) + len(tool) + 8
        if item.id not in away.away and room >= 0:
            known["warnings"].setdefault(tool, []).append(said)
    for tool, error, item in pitfalls.all_recoveries(store, domain, tenant, _MOST_ITEMS):
        said = _said(item)
        room -= len(json.dumps(said)) + len(tool) + len(json.dumps(error)) + 8
        if item.id not in away.away and room >= 0:
            known["recoveries"].setdefault(tool, {}).setdefault(error, []).append(said)
    return known


def take_inbox(store: Store, home: Path, format_: str) -> int:
    """Make spans of what `at_tool` showed or held back; return of how much."""
    inbox, taken = home / "inbox", home / "inbox.taken"
    if not taken.exists():
        if not inbox.exists():
            return 0
        inbox.rename(taken)
    rows = []
    for line in taken.read_bytes().splitlines():
        try:
            rows.append(_span(json.loads(line), format_))
        except (ValueError, KeyError, TypeError):
            continue
    # The same lines under the same token once, whatever happens before they are gone.
    store.insert_rows(rows, token=f"inbox-{taken.stat().st_mtime_ns}-{len(rows)}")
    taken.unlink()
    return len(rows)


def _span(said: dict[str, Any], format_: str) -> Row:
    trace = RunIds(format_, said["session"]).trace_id
    resource = attributes_as_text(resource_of_ours().attributes)
    if said["tenant"]:
        resource["tenant.id"] = said["tenant"]
    attributes = {
        semconv.SPAN: semconv.SPAN_ADVICE, semconv.EPISODE_ID: trace, semconv.ADVICE_ID: secrets.token_hex(8),
        semconv.ADVICE_PLACE: said["place"], semconv.ADVICE_ARM: said["arm"], semconv.ADVICE_SHARE: said["share"],
        semconv.ADVICE_UNIT: said["unit"], semconv.ADVICE_POLICY: Policy(said["policy"]).name,
        semconv.ADVICE_ITEMS: said["items"], semconv.ADVICE_SHOWN: said["shown"], semconv.DOMAIN: said["domain"],
        semconv.ADVICE_TEXT: said["text"],
    }  # fmt: skip
    return Row(
        said["time"],
        trace,
        secrets.token_hex(8),
        span_name=f"advice {said['place']}",
        service_name=resource["service.name"],
        resource_attributes=resource,
        scope_name=SCOPE,
        span_attributes=attributes_as_text({key: value for key, value in attributes.items() if value != ""}),
    )


def _said(item: Item) -> dict[str, str]:
    return {"id": item.id, "text": item.text}


def _forget_sessions(home: Path) -> None:
    sessions = home / "advice" / "sessions"
    for place in sessions.iterdir() if sessions.is_dir() else ():
        if time.time() - place.stat().st_mtime > _KEPT_SECONDS:
            shutil.rmtree(place, ignore_errors=True)
