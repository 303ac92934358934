"""From the spool to the store, with the effect of exactly once.

`state.json` in the spool says how far each segment has been read. Before an insert it also names the insert to come:
its token and the exact bytes of each segment in it. Whatever dies between the two writes of the state, the next drain
repeats that insert from the same bytes under the same token, and the store drops what it has seen. Since an engine
that is killed can have noted a token without its rows, what is repeated is then looked for, and added where it is not.

A line that is no span goes to ``quarantine/``, a segment that cannot be read or is of a later version is left where
it is, and neither blocks the others.
"""

from __future__ import annotations

import logging
import os
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar

import orjson

from otel_episodes_clickhouse.errors import (
    ConfigurationError,
    DataError,
    QueryError,
    StoreUnavailableError,
)
from otel_episodes_clickhouse.spool.batch import Batch, bad_line
from otel_episodes_clickhouse.spool.directory import FORMAT, STATE, open_directory
from otel_episodes_clickhouse.spool.files import DrainFiles
from otel_episodes_clickhouse.spool.locks import ProcessLock
from otel_episodes_clickhouse.spool.progress import Cursor, Pending, State
from otel_episodes_clickhouse.spool.reader import Chunk, SpoolReader
from otel_episodes_clickhouse.spool.sink import RowSink, VerifyingSink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from otel_episodes_clickhouse.spool.row import Row

    Decoded = TypeVar("Decoded")


logger = logging.getLogger(__name__)

# An insert costs about 40 ms however small it is; at 50,000 rows that no longer matters.
BATCH_ROWS: Final = 50_000
BATCH_BYTES: Final = 32 * 1024 * 1024
# At once: takes some tenths of a millisecond, in which no other thread runs.
_READ_BYTES: Final = 256 * 1024
_MAX_REFUSED: Final = 1000
# What encoding a row can raise when a line has the shape of a span and the wrong things in it.
_ENCODING_ERRORS: Final = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)
_SESSION: Final = secrets.token_hex(8)
# Told about once by a process, however often it drains.
_told: set[tuple[str, str]] = set()


@dataclass(frozen=True)
class DrainReport:
    """What a drain did. ``busy``: nothing, because another process was draining the same spool.

    ``left``: segments it could not read, or that a later version has written.
    """

    rows: int = 0
    inserts: int = 0
    quarantined: int = 0
    segments: int = 0
    deleted: int = 0
    busy: bool = False
    left: int = 0


def drain(
    sink: RowSink,
    spool: Path,
    *,
    wait_seconds: float = 0.0,
    batch_rows: int = BATCH_ROWS,
    breathe: Callable[[], None] | None = None,
) -> DrainReport:
    """Insert everything the spool holds now and delete the segments nobody writes to any more.

    ``breathe`` is called after every piece read, by whoever must let other threads run now and then.

    Another process draining the same spool is waited for; after ``wait_seconds`` the report says ``busy``. An error
    of the store passes through; what stands in the way of the spool itself is a `StoreUnavailableError`. What was not
    acknowledged is sent again by the next drain.
    """
    try:
        with open_directory(spool):
            lock = ProcessLock(spool / "drain.lock")
            if not lock.acquire(wait_seconds=wait_seconds):
                return DrainReport(busy=True)
        with lock:
            return _Drain(sink, spool, batch_rows, breathe).run()
    except FileNotFoundError as error:
        # The directory itself: it may have been made since, by an agent that starts.
        if error.filename == str(spool) or not os.path.lexists(spool):
            return DrainReport()
        raise StoreUnavailableError(f"cannot take in the spool {spool}: {error}") from error
    except OSError as error:
        raise StoreUnavailableError(f"cannot take in the spool {spool}: {error}") from error


class _Drain:
    """One run over a spool whose lock is held."""

    def __init__(self, sink: RowSink, spool: Path, batch_rows: int, breathe: Callable[[], None] | None) -> None:
        self._sink = sink
        self._spool = spool
        self._reader = SpoolReader(spool)
        self._files = DrainFiles(spool)
        self._state = self._load_state()
        self._batch_rows = batch_rows
        self._breathe = breathe
        self._report = DrainReport()

    def run(self) -> DrainReport:
        self._files.reserve()
        if self._state.pending is not None:
            self._repeat(self._state.pending)
        until = self._readable()
        self._forget_lost(until)
        while True:
            batch = self._gather(until)
            if not batch.parts:
                break
            if batch.may_have_rows:
                token = secrets.token_hex(16)
                self._save_pending(token, batch)
                self._finish(batch, token, self._insert(batch, token))
            else:
                self._commit(batch)
        self._clean_up(until)
        return self._report

    def _load_state(self) -> State:
        try:
            return State.load(self._spool / STATE)
        except (ValueError, LookupError, TypeError, AttributeError):
            # Not by a crash of ours, see DrainFiles.write. Reading everything again doubles rows in otel_traces at
            # worst; internal_steps and internal_roots collapse them.
            path = self._spool / STATE
            aside = path.with_suffix(".damaged")
            logger.exception("%s is damaged; kept as %s, draining the spool from its start", path, aside)
            path.replace(aside)
            return State()

    def _save(self) -> None:
        self._files.write(STATE, self._state.dump())

    def _save_pending(self, token: str, batch: Batch) -> None:
        self._state.pending = Pending(token, batch.parts, _SESSION)
        self._save()

    def _readable(self) -> dict[str, int]:
        """Return the segments to read, with their sizes as of now.

        A process that writes faster than we insert must not hold us here for ever.
        """
        until = {}
        for name in self._reader.segments():
            try:
                header = self._reader.header(name)
            except OSError as error:
                self._leave(name, error.strerror or str(error))
                continue
            if header.format > FORMAT:
                version = f"format {header.format}"
                self._leave(name, f"a later version of otel-episodes wrote it ({version}): upgrade this one")
                continue
            if header.name != name:
                # How far it was read is known by its name only.
                self._leave(name, f"it is a copy of {header.name}, or was renamed: rename it back or remove it")
                continue
            until[name] = self._reader.size(name)
        self._report = replace(self._report, segments=len(until))
        return until

    def _leave(self, name: str, reason: str) -> None:
        self._report = replace(self._report, left=self._report.left + 1)
        if (name, reason) not in _told:
            _told.add((name, reason))
            logger.warning("segment %s in %s is left alone: %s", name, self._spool, reason)

    def _forget_lost(self, until: dict[str, int]) -> None:
        present = {*until, *self._reader.segments()}
        for name in [name for name in self._state.cursors if name not in present]:
            del self._state.cursors[name]

    # --- reading ---------------------------------------------------------------------------------------------------

    def _gather(self, until: dict[str, int]) -> Batch:
        batch = Batch(self._state.cursors)
        for name, stop in until.items():
            while name not in batch.left and batch.lines < self._batch_rows and batch.size < BATCH_BYTES:
                # Do not read much of what the batch has no room for.
                limit = min(_READ_BYTES, BATCH_BYTES - batch.size)
                if batch.end(name) >= stop or not self._read_part(batch, name, limit):
                    break
                if self._breathe is not None:
                    self._breathe()
        return batch

    def _read_part(self, batch: Batch, name: str, limit: int) -> bool:
        try:
            chunk = self._reader.read(name, batch.end(name), limit=limit)
        except OSError as error:
            batch.left.add(name)
            if not isinstance(error, FileNotFoundError):
                self._leave(name, error.strerror or str(error))
            return False
        room = self._batch_rows - batch.lines
        if len(chunk.lines) > room:
            lines = chunk.lines[:room]
            chunk = Chunk(lines, chunk.start, chunk.start + sum(map(len, lines)))
        if chunk.start < chunk.end:
            batch.add(name, chunk)
        return chunk.start < chunk.end

    def _read_again(self, pending: Pending) -> Batch:
        batch = Batch(self._state.cursors)
        for part in pending.parts:
            try:
                batch.add(part.segment, self._reader.read(part.segment, part.start, end=part.end))
            except FileNotFoundError:
                logger.warning("segment %s was removed while its insert was under way", part.segment)
        return batch

    # --- inserting -------------------------------------------------------------------------------------------------

    def _repeat(self, pending: Pending) -> None:
        """Do again what may have been done, or half done."""
        batch = self._read_again(pending)
        self._mend(pending)
        refused = self._insert(batch, pending.token)
        turned_down = {(row.trace_id, row.span_id) for row, _ in refused}
        missing = [row for row in self._missing(batch) if (row.trace_id, row.span_id) not in turned_down]
        token = pending.token
        if missing:
            # The store was killed between noting the token and keeping the rows: under this token they never arrive.
            logger.warning("%d rows of an insert that was cut short are not in the store; sent again", len(missing))
            token = secrets.token_hex(16)
            self._save_pending(token, batch)
            refused += self._insert(missing, token)
        self._finish(batch, token, refused)

    def _mend(self, pending: Pending) -> None:
        if isinstance(self._sink, VerifyingSink) and pending.session != _SESSION:
            self._sink.mend()

    def _missing(self, batch: Batch) -> list[Row]:
        if not isinstance(self._sink, VerifyingSink):
            return []
        try:
            return self._sink.missing_rows(list(batch))
        except QueryError as error:
            # An account that may insert and not read: the token has to do, as it nearly always does.
            logger.warning("cannot look whether a repeated insert is in the store, its token is relied on: %s", error)
            return []

    def _insert(self, rows: Iterable[Row], token: str) -> list[tuple[Row, str]]:
        """Insert rows; return those the store refuses, with its reasons."""
        refused: list[tuple[Row, str]] = []
        self._insert_what_fits(rows, token, refused)
        return refused

    def _finish(self, batch: Batch, token: str, refused: list[tuple[Row, str]]) -> None:
        batch.finish()
        if refused:
            told = [{"reason": reason, "row": repr(row)} for row, reason in refused]
            self._set_aside(f"{token}.refused", told)
        stored, inserts = batch.rows - len(refused), 1 if batch.rows else 0
        self._report = replace(self._report, rows=self._report.rows + stored, inserts=self._report.inserts + inserts)
        self._commit(batch)

    def _insert_what_fits(self, rows: Iterable[Row], token: str, refused: list[tuple[Row, str]]) -> None:
        """Insert the rows, halving around those the store refuses, which go to ``refused``.

        The tokens of the halves follow from the token of the whole, so that a repeated insert repeats them too.
        """
        try:
            self._sink.insert_rows(rows, token=token)
        except ConfigurationError:
            # A ValueError too, but of the DSN: no row is at fault.
            raise
        except (DataError, *_ENCODING_ERRORS) as error:
            rows = list(rows)
            if len(refused) >= _MAX_REFUSED or not rows:
                # Not one odd row but a table that does not fit: keep the spool as it is.
                raise
            if len(rows) == 1:
                refused.append((rows[0], str(error)))
                return
            middle = len(rows) // 2
            self._insert_what_fits(rows[:middle], f"{token}.0", refused)
            self._insert_what_fits(rows[middle:], f"{token}.1", refused)

    def _commit(self, batch: Batch) -> None:
        for part, lines in batch.bad.items():
            # Named by position: a repeated insert writes the same file again.
            self._set_aside(f"{part.segment}.{part.start}", lines)
        self._state.cursors.update(batch.finish())
        self._state.pending = None
        self._save()

    def _set_aside(self, name: str, lines: list[dict[str, str]]) -> None:
        text = b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines)
        path = self._files.set_aside(f"{name}.json", text)
        self._report = replace(self._report, quarantined=self._report.quarantined + len(lines))
        logger.warning("%d lines of the spool cannot be stored; kept in %s: %s", len(lines), path, lines[0]["reason"])

    # --- cleaning up -----------------------------------------------------------------------------------------------

    def _clean_up(self, until: dict[str, int]) -> None:
        deleted = [name for name in until if self._delete_if_done(name)]
        # Their cursors go with the next state that is saved: should a power cut bring a file back, it is known.
        self._report = replace(self._report, deleted=self._report.deleted + len(deleted))
        self._reader.delete_left_over()

    def _delete_if_done(self, name: str) -> bool:
        offset = self._state.cursors.get(name, Cursor()).offset
        try:
            # In this order: once it is finished, its size is final.
            if not self._reader.finished(name) or self._reader.read(name, offset).lines:
                return False
            tail = self._reader.tail(name, offset)
        except OSError:
            # Left alone, or gone.
            return False
        if tail:
            reason = "the last line is not whole: its process ended while writing it"
            self._set_aside(f"{name}.{offset}", [bad_line(Chunk([tail], offset, offset), 0, reason)])
        self._reader.delete(name)
        return True
