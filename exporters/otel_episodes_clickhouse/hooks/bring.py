"""Brings in the transcripts that hooks have noted: one process at a time, until nothing is noted any more."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson

from otel_episodes_clickhouse.config import Target
from otel_episodes_clickhouse.errors import StoreError, StoreLockedError, StoreUnavailableError
from otel_episodes_clickhouse.importers.dispatch import Problem, Reading, found_under
from otel_episodes_clickhouse.importers.load import Import
from otel_episodes_clickhouse.importers.options import ImportOptions
from otel_episodes_clickhouse.spool.locks import ProcessLock
from otel_episodes_clickhouse.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable

_WAIT_SECONDS: Final = 60.0
_LOG_BYTES: Final = 256 * 1024

logger = logging.getLogger(__name__)


def bring(home: Path) -> int:
    """Import what is noted in this directory; return how many transcripts were read."""
    read = 0
    queue = home / "queue"
    # What is noted after the last look is found by whoever notes it: he starts another of us.
    while queue.exists() and queue.stat().st_size:
        lock = ProcessLock(home / "lock")
        if not lock.acquire(wait_seconds=0):
            break
        try:
            noted = _taken(queue)
            read += len(noted)
            _import(noted, queue)
        finally:
            lock.release()
    return read


def _taken(queue: Path) -> dict[str, str]:
    """Return the transcripts that are noted, each once, with their agents; and forget them."""
    taken = queue.with_name("queue.taken")
    queue.rename(taken)
    noted: dict[str, str] = {}
    for line in taken.read_bytes().splitlines():
        try:
            agent, transcript = orjson.loads(line)
        except ValueError:
            continue
        noted[transcript] = agent
    taken.unlink()
    return noted


def _import(noted: dict[str, str], queue: Path) -> None:
    try:
        with Store.open(Target.resolve(), wait_seconds=_WAIT_SECONDS) as store:
            store.prepare()
            for transcript, agent in noted.items():
                path = Path(transcript)
                if path.is_file():
                    reading = Reading(ImportOptions(agent), _log)
                    Import(store, reading).run(found_under([path], {}))
    except (StoreLockedError, StoreUnavailableError) as error:
        _note_again(noted.items(), queue)
        raise StoreError(str(error)) from error


def _note_again(noted: Iterable[tuple[str, str]], queue: Path) -> None:
    with queue.open("ab") as file:
        for transcript, agent in noted:
            file.write(orjson.dumps([agent, transcript]) + b"\n")


def _log(problem: Problem) -> None:
    logger.warning("%s:%d: %s", problem.source, problem.line, problem.reason)


def main(home: Path) -> None:
    """Bring in what is noted, and log what goes wrong beside it: nobody reads what this process prints."""
    log = home / "log"
    if log.exists() and log.stat().st_size > _LOG_BYTES:
        log.unlink()
    logging.basicConfig(filename=log, level=logging.WARNING, format="%(asctime)s %(message)s")
    try:
        bring(home)
    except (StoreError, OSError) as error:
        logger.warning("%s", error)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
