"""What is known of a domain, as an agent's process holds it: counts of calls by context, see `ranking`.

A server is asked for them. The embedded engine takes one process at a time, and has no place in an agent's: there
`jobs run` leaves them in files, one a domain, in ``advice`` beside the spool. A file is a line of JSON (format, domain,
tools, number of rows) and then the columns one after the other, little-endian; it is replaced as a whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from array import array
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from otel_episodes_clickhouse.learning.ranking import Counts, contexts, hashed, mixed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from otel_episodes_clickhouse.config import Target
    from otel_episodes_clickhouse.store.store import Store

_FORMAT: Final = 1
# Columns of a file and their types, in order.
_COLUMNS: Final = (
    ("ContextId", "Q"), ("CallId", "Q"), ("Seen", "Q"), ("Counted", "Q"), ("Gain", "d"), ("Runs", "Q"), ("Won", "Q"),
)  # fmt: skip
_MOST_TOOLS: Final = 1000


@dataclass(frozen=True)
class Values:
    """The counts of a domain; `Known` of `ranking`. Nothing of it changes, so that threads may share it."""

    domain: str
    tenant: str
    tools: tuple[str, ...]
    contexts: Mapping[int, Counts]
    calls: Mapping[int, Counts]

    def context(self, context: int, /) -> Counts | None:
        """Return what is counted of a context."""
        return self.contexts.get(context)

    def call(self, context: int, call: int, /) -> Counts | None:
        """Return what is counted of a call in it."""
        return self.calls.get(mixed(context, call))


def from_rows(domain: str, tools: Sequence[str], rows: Iterable[Sequence[Any]], tenant: str = "") -> Values:
    """Return the counts of a domain from rows of context, call, seen, counted, gain, runs and won."""
    whole = {hashed(tool) for tool in tools}
    calls: dict[int, Counts] = {}
    totals: dict[int, list[float]] = {}
    for context, call, seen, counted, gain, runs, won in rows:
        calls[mixed(context, call)] = Counts(seen, counted, gain, runs, won)
        # A context is the sum of its tools; their templates are parts of them.
        if call in whole:
            total = totals.setdefault(context, [0, 0, 0.0, 0])
            total[0] += seen
            total[1] += counted
            total[2] += gain
            total[3] += 1
    wholes = {
        context: Counts(int(seen), int(n), gain, calls=int(used)) for context, (seen, n, gain, used) in totals.items()
    }
    return Values(domain, tenant, tuple(tools), wholes, calls)


def ask(store: Store, domain: str, tenant: str = "") -> Values:
    """Return what a store knows of a domain, as of the last `jobs run`."""
    rows = store.query_named("values_of_domain", {"domain": domain, "tenant": tenant})
    return from_rows(domain, _tools(store, domain, tenant), _plain(rows), tenant)


def ask_about(store: Store, domain: str, ids: Sequence[int], tenant: str = "") -> Values:
    """Return of it only what is known of tools in these contexts."""
    rows = store.query_named("values_of_contexts", {"domain": domain, "tenant": tenant, "contexts": list(ids)})
    return from_rows(domain, sorted({row["Tool"] for row in rows}), _plain(rows), tenant)


def write_files(store: Store, domains: Iterable[tuple[str, str]]) -> None:
    """Leave what is known of these domains and tenants where an agent's process finds it; nothing for a server."""
    if not store.target.embedded:
        return
    directory = directory_of(store.target)
    directory.mkdir(mode=0o700, exist_ok=True)
    for domain, tenant in domains:
        rows = store.query_named("values_of_domain", {"domain": domain, "tenant": tenant})
        tools = _tools(store, domain, tenant)
        head = {"format": _FORMAT, "domain": domain, "tenant": tenant, "tools": tools, "rows": len(rows)}
        columns = [_little(array(kind, [row[name] for row in rows])) for name, kind in _COLUMNS]
        parts = [json.dumps(head).encode() + b"\n", *(each.tobytes() for each in columns)]
        _replace(file_of(store.target, domain, tenant), parts)


def read_file(target: Target, domain: str, tenant: str = "") -> Values:
    """Return what the file of a domain holds; nothing where there is none yet, or one of another version."""
    try:
        with file_of(target, domain, tenant).open("rb") as file:
            head = json.loads(file.readline())
            if head.get("format") != _FORMAT:
                return from_rows(domain, (), (), tenant)
            columns = []
            for _, kind in _COLUMNS:
                column = array(kind)
                column.fromfile(file, head["rows"])
                columns.append(_little(column))
    except FileNotFoundError:
        return from_rows(domain, (), (), tenant)
    return from_rows(domain, head["tools"], zip(*columns, strict=True), tenant)


def directory_of(target: Target) -> Path:
    """Return where the files of an embedded store are."""
    return target.spool.parent / "advice"


def file_of(target: Target, domain: str, tenant: str = "") -> Path:
    """Return the file of a domain."""
    digest = hashlib.sha256(f"{tenant}\0{domain}".encode()).hexdigest()
    return directory_of(target) / f"{digest[:32]}.values"


def _plain(rows: Iterable[Mapping[str, Any]]) -> Iterable[Sequence[Any]]:
    return ([row[name] for name, _ in _COLUMNS] for row in rows)


def _tools(store: Store, domain: str, tenant: str) -> list[str]:
    context = contexts(domain, "", (), tenant)[0]
    asked = {"domain": domain, "tenant": tenant, "context": context, "limit": _MOST_TOOLS}
    return [row["Tool"] for row in store.query_named("calls_of_domain", asked) if not row["Template"]]


def _little(column: array[Any]) -> array[Any]:
    if sys.byteorder == "big":
        column.byteswap()
    return column


def _replace(path: Path, parts: Sequence[bytes]) -> None:
    """Put the file in place as a whole, for the owner only: who reads sees the old one or the new one."""
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    with ExitStack() as ending:
        ending.callback(new.unlink, missing_ok=True)  # where it was not put in place
        with open(new, "wb", opener=partial(os.open, mode=0o600)) as file:  # takes no mode
            file.writelines(parts)
        new.replace(path)
