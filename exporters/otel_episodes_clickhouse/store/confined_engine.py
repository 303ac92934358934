"""The other end of `confined_sql`: a process that gives up what it does not need, then answers questions."""

from __future__ import annotations

import json
import os
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from otel_episodes_clickhouse.config import Target
from otel_episodes_clickhouse.errors import QueryError, SchemaError, StoreError, StoreUnavailableError
from otel_episodes_clickhouse.store import confinement

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_episodes_clickhouse.store.store import Store


def serve(request: Mapping[str, Any]) -> None:
    """Answer the questions that come in, until there are no more."""
    confinement.end_with_parent()
    path, spool, temporary = (Path(request[name]) for name in ("path", "spool", "temporary"))
    confinement.confine(
        read=[Path(place) for place in request["read"]], write=[path, spool, temporary, Path("/dev/null")]
    )
    target = Target(embedded=True, path=path, spool=spool)
    with os.fdopen(request["channel"], "wb") as channel:
        try:
            # After the walls, which no thread of the engine may be without.
            from otel_episodes_clickhouse.store.store import Store  # noqa: PLC0415

            # Landlock is of a thread: this one can be denied what the engine's own threads need.
            asking = ThreadPoolExecutor(1, initializer=confinement.forbid_writing)
            with Store.open(target, locked=request["locked"]) as store, asking:
                for line in sys.stdin:
                    problem = _bring_in(store) if request["bring_in"] else ""
                    question = json.loads(line)
                    _send(channel, asking.submit(_answer, store, question, problem).result())
        except StoreError as error:
            _send(channel, as_error(error))


def _bring_in(store: Store) -> str:
    try:
        store.drain()
    except (QueryError, SchemaError) as error:
        # What is in the store can be shown all the same.
        return str(error)
    return ""


def _answer(store: Store, question: Mapping[str, Any], problem: str) -> tuple[Any, ...]:
    try:
        result = store.sql_here(question["text"], question["parameters"])
    except StoreError as error:
        return as_error(error)
    return ("result", result.columns, result.types, result.rows, problem)


def as_error(error: StoreError) -> tuple[Any, ...]:
    """Return an error as the plain values that `ConfinedEngine` raises again."""
    details: dict[str, Any] = {}
    if isinstance(error, QueryError):
        details = {"code": error.code}
    elif isinstance(error, StoreUnavailableError):
        details = {"lasting": error.lasting}
    return ("error", type(error).__name__, str(error), details)


def _send(channel: BinaryIO, answer: tuple[Any, ...]) -> None:
    pickle.dump(answer, channel, protocol=pickle.HIGHEST_PROTOCOL)
    channel.flush()
