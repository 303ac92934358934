"""A server that misbehaves, a spool full of spans and a shipper between them."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import collectors
from storage_fixtures import finished_spans

from otel_episodes._for_store import read_span
from otel_episodes_clickhouse import Store, Target
from otel_episodes_clickhouse.delivery.backoff import Pauses
from otel_episodes_clickhouse.delivery.shipper import Shipper
from otel_episodes_clickhouse.spool.encode import new_encoder
from otel_episodes_clickhouse.spool.writer import SpoolWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# Each with what else it needs. `slow` is slower than the insert may take: carried out when nobody listens any more.
MISBEHAVIOURS: dict[str, dict[str, Any]] = {
    "reset": {},
    "error_500": {},
    "unavailable": {"retry_after": "1"},
    "hang": {},
    "half": {},
    "lose": {},
    "half_answer": {},
    "slow": {"seconds": 1.3},
    "full": {},
    "too_many_parts": {},
    "too_busy": {},
    "read_only_replica": {},
    "denied": {},
    "forbidden": {},
    "readonly": {},
    "no_database": {},
    "old": {"unknown_settings": ("async_insert",)},
}

QUICK = Pauses(first=0.02, longest=0.2, permanent=0.2)
COUNT = "SELECT count() AS Rows, uniqExact(TraceId, SpanId) AS Spans FROM otel_traces WHERE ServiceName = {s:String}"


@contextmanager
def front_end(directory: Path) -> Iterator[str]:
    """Return the DSN of a server inside the block."""
    with collectors.front_end(directory) as url:
        yield f"{url}/default"


def target_of(dsn: str, home: Path, **options: str) -> Target:
    query = "&".join(f"{name}={value}" for name, value in options.items())
    return Target.resolve(f"{dsn}?{query}", environ={"OTEL_EPISODES_HOME": str(home)})


def spool_spans(target: Target, count: int, service: str, **attributes: Any) -> SpoolWriter[Any]:
    """Record spans as an agent does, and leave its file open."""
    writer = SpoolWriter(target.spool, new_encoder)
    for span in finished_spans(count, service=service, **attributes):
        assert writer.append(read_span(span))
    return writer


@contextmanager
def shipping(target: Target, **options: Any) -> Iterator[Shipper]:
    """Return a shipper inside the block that tries again soon."""
    shipper = Shipper(target, pauses=QUICK, **options)
    shipper.ensure_running()
    try:
        yield shipper
    finally:
        shipper.stop(drain=False)


def wait_for(condition: Callable[[], object], *, within: float = 60) -> None:
    """Wait until something is so; fail when it never is."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)


def stored(dsn: str, service: str) -> dict[str, int]:
    """Return how many rows of a service there are, and how many spans, which is the same when none is there twice."""
    with Store.open(Target.resolve(dsn)) as store:
        return store.query(COUNT, {"s": service})[0]
