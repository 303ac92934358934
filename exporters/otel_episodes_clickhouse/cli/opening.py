"""Opening a store for a command, and recording into one."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from otel_episodes_clickhouse.cli import output
from otel_episodes_clickhouse.config import Target
from otel_episodes_clickhouse.errors import QueryError, SchemaError, StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_episodes_clickhouse.delivery.processor import EpisodeSpanProcessor
    from otel_episodes_clickhouse.store.store import Store


NOTHING_YET = (
    "no episodes yet: record some (otel-episodes start, or configure() in your agent) or bring some in (otel-episodes "
    "import); otel-episodes demo shows made-up ones, in a store of its own and not in this one"
)


LATELY: Final = "what was recorded lately could not be brought in ({})"


def recorded(dsn: str | None) -> Target:
    """Return the store, in which something has been recorded; raise `StoreUnavailableError` where nothing has."""
    target = Target.resolve(dsn)
    if target.path is not None and not target.path.is_dir():
        raise StoreUnavailableError(
            f"nothing is recorded at {target} yet: record (otel-episodes start, or configure() in your agent), bring "
            "something in (otel-episodes import), or name another place with --dsn; otel-episodes demo shows made-up "
            "runs, in a store of its own"
        )
    return target


@contextmanager
def reading(dsn: str | None) -> Iterator[Store]:
    """Open the store with everything in it that has been recorded so far."""
    from otel_episodes_clickhouse.store.store import Store  # noqa: PLC0415  # with the engine

    with Store.open(recorded(dsn)) as store:
        try:
            store.drain()
        except (QueryError, SchemaError) as error:
            # An account that may only read, say: what is in the store can be shown all the same.
            output.problem(LATELY.format(error))
        yield store


@contextmanager
def writing(dsn: str | None) -> Iterator[Store]:
    """Open the store to add to it, making its tables first if need be."""
    from otel_episodes_clickhouse.store.store import Store  # noqa: PLC0415  # with the engine

    with Store.open(Target.resolve(dsn)) as store:
        store.migrate()
        yield store


@contextmanager
def recording(dsn: str | None) -> Iterator[EpisodeSpanProcessor]:
    """Record into the spool inside the block, as an agent does; raise `StoreError` if that was not possible."""
    from otel_episodes._for_store import recording_to  # noqa: PLC0415  # with the SDK
    from otel_episodes_clickhouse.delivery.processor import open_processor  # noqa: PLC0415  # likewise
    from otel_episodes_clickhouse.delivery.recording import new_provider  # noqa: PLC0415  # likewise

    processor = open_processor(dsn)
    provider = new_provider()
    provider.add_span_processor(processor)
    try:
        with recording_to(provider):
            yield processor
    finally:
        provider.shutdown()
    if processor.writer.lost:
        raise StoreError(f"cannot write to {processor.target.spool}: nothing was recorded")
