"""Brings in the transcripts that hooks have noted: one process at a time, until nothing is noted any more.

An agent calls its tools faster than a transcript is worth reading again, and writes a line a moment after the hook that
told of it. So there is a pause before each round, and a longer one after a round that took long.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import orjson

from otel_episodes_clickhouse.config import Target
from otel_episodes_clickhouse.errors import StoreError, StoreLockedError, StoreUnavailableError
from otel_episodes_clickhouse.hooks import cached
from otel_episodes_clickhouse.importers.dispatch import Problem, Reading, found_under
from otel_episodes_clickhouse.importers.load import Import
from otel_episodes_clickhouse.importers.options import ImportOptions
from otel_episodes_clickhouse.spool.flock import try_lock
from otel_episodes_clickhouse.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_WAIT_SECONDS: Final = 60.0
_LOG_BYTES: Final = 256 * 1024
_SAID: Final = ("per", "end", "folder")
_PAUSE_SECONDS: Final = 0.5
# A round is at most a fifth of the time, so that a long session does not keep a processor busy.
_PAUSE_SHARE: Final = 4
_LONGEST_PAUSE_SECONDS: Final = 60.0

logger = logging.getLogger(__name__)


class Note(NamedTuple):
    """A transcript that has grown: whose it is, how it is divided, and how its session ended where that was told."""

    agent: str
    transcript: str
    per: str = ""
    end: str = ""
    folder: str = ""


def bring(home: Path, *, pause_seconds: float = 0.0, lock: int | None = None) -> int:
    """Import what is noted in this directory; return how many transcripts were read.

    ``lock`` is the open file of the lock, held by the process that started this one for it.
    """
    read = 0
    queue = home / "queue"
    pause = pause_seconds
    # What is noted after the last look is found by whoever notes it: he starts another of us.
    while queue.exists() and queue.stat().st_size:
        lock = lock if lock is not None else _locked(home)
        if lock is None:
            break
        try:
            time.sleep(pause)
            began = time.monotonic()
            noted = _taken(queue)
            read += len(noted)
            _import(noted, queue)
            took = time.monotonic() - began
            pause = min(max(pause_seconds, took * _PAUSE_SHARE), _LONGEST_PAUSE_SECONDS) if pause_seconds else 0
        finally:
            os.close(lock)
            lock = None
    return read


def _locked(home: Path) -> int | None:
    """Return the open file of the lock, None where another process has it."""
    lock = os.open(home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if try_lock(lock):
        return lock
    os.close(lock)
    return None


def _taken(queue: Path) -> list[Note]:
    """Return the transcripts that are noted, each once, with what was told of them; and forget them."""
    taken = queue.with_name("queue.taken")
    queue.rename(taken)
    noted: dict[str, Note] = {}
    for line in taken.read_bytes().splitlines():
        try:
            agent, transcript, said = orjson.loads(line)
            note = Note(str(agent), str(transcript), *(str(said.get(name, "")) for name in _SAID))
        except (ValueError, TypeError, AttributeError):
            continue
        noted[transcript] = note
    taken.unlink()
    return list(noted.values())


def _import(noted: Sequence[Note], queue: Path) -> None:
    try:
        with Store.open(Target.resolve(), wait_seconds=_WAIT_SECONDS) as store:
            store.prepare()
            for note in noted:
                if note.folder:
                    cached.take_inbox(store, queue.parent, note.agent)
                    cached.refresh(store, queue.parent, note.folder)
                path = Path(note.transcript)
                if path.is_file():
                    ended_how = f"session ended: {note.end}" if note.end else ""
                    reading = Reading(ImportOptions(note.agent, per=note.per, ended_how=ended_how), _log)
                    Import(store, reading).run(found_under([path], {}))
    except (StoreLockedError, StoreUnavailableError) as error:
        _note_again(noted, queue)
        raise StoreError(str(error)) from error


def _note_again(noted: Iterable[Note], queue: Path) -> None:
    with queue.open("ab") as file:
        for note in noted:
            agent, transcript, *said = note
            file.write(orjson.dumps([agent, transcript, dict(zip(_SAID, said, strict=True))]) + b"\n")


def _log(problem: Problem) -> None:
    logger.warning("%s:%d: %s", problem.source, problem.line, problem.reason)


def main(home: Path, lock: int) -> None:
    """Bring in what is noted, and log what goes wrong beside it: nobody reads what this process prints."""
    os.set_inheritable(lock, False)  # noqa: FBT003  # the function's own
    log = home / "log"
    if log.exists() and log.stat().st_size > _LOG_BYTES:
        log.unlink()
    logging.basicConfig(filename=log, level=logging.WARNING, format="%(asctime)s %(message)s")
    try:
        bring(home, pause_seconds=_PAUSE_SECONDS, lock=lock)
    except (StoreError, OSError) as error:
        logger.warning("%s", error)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
