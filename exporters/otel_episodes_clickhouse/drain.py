"""From the spool to the store, with the effect of exactly once.

`state.json` in the spool says how far each segment has been read. Before an insert it also names the insert to come:
its token and the exact bytes of each segment in it. Whatever dies between the two writes of the state, the next drain
repeats that insert from the same bytes under the same token, and the store drops what it has seen.

A line that is no span goes to ``quarantine/`` and never blocks what is behind it.
"""

from __future__ import annotations

import logging
import os
import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

import orjson

from otel_episodes_clickhouse.errors import DataError
from otel_episodes_clickhouse.locks import ProcessLock
from otel_episodes_clickhouse.rows import LineDecoder, Row, SpoolLineError
from otel_episodes_clickhouse.spool import SpoolReader

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

logger = logging.getLogger(__name__)

# An insert costs about 40 ms however small it is; at 50,000 rows that no longer matters.
BATCH_ROWS: Final = 50_000
BATCH_BYTES: Final = 32 * 1024 * 1024
_READ_BYTES: Final = 4 * 1024 * 1024
_MAX_REFUSED: Final = 1000
_QUARANTINE: Final = "quarantine"


class RowSink(Protocol):
    """What a drain needs of a store."""

    def insert_rows(self, rows: Sequence[Row], *, token: str | None = None) -> int:
        """Insert rows; a second insert with the same rows and token adds nothing. `DataError`: a value is refused."""
        ...


@dataclass(frozen=True)
class DrainReport:
    """What a drain did. ``busy``: nothing, because another process was draining the same spool."""

    rows: int = 0
    inserts: int = 0
    quarantined: int = 0
    segments: int = 0
    deleted: int = 0
    busy: bool = False


@dataclass(frozen=True)
class Part:
    """The bytes of one segment that go into one insert."""

    segment: str
    start: int
    end: int


@dataclass(frozen=True)
class Pending:
    """An insert under way: everything needed to repeat it."""

    token: str
    parts: tuple[Part, ...]


@dataclass
class Cursor:
    """How far a segment has been read, and what was defined in it up to there."""

    offset: int = 0
    definitions: list[list[Any]] = field(default_factory=list)


@dataclass
class State:
    """The contents of ``state.json``."""

    cursors: dict[str, Cursor] = field(default_factory=dict)
    pending: Pending | None = None

    @classmethod
    def load(cls, path: Path) -> State:
        """Read the state; a missing file means nothing has been drained yet."""
        try:
            data = orjson.loads(path.read_bytes())
        except FileNotFoundError:
            return cls()
        pending = data["pending"]
        return cls(
            cursors={name: Cursor(*cursor) for name, cursor in data["segments"].items()},
            pending=pending and Pending(pending["token"], tuple(Part(*part) for part in pending["parts"])),
        )

    def save(self, path: Path) -> None:
        """Write the state so that a crash leaves the old one or the new one, nothing between."""
        data: dict[str, Any] = {
            "format": 1,
            "segments": {name: [cursor.offset, cursor.definitions] for name, cursor in self.cursors.items()},
            "pending": self.pending
            and {
                "token": self.pending.token,
                "parts": [[part.segment, part.start, part.end] for part in self.pending.parts],
            },
        }
        temporary = path.with_suffix(".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(orjson.dumps(data))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)


@dataclass(frozen=True)
class Batch:
    """The rows of some parts, and the lines in them that are no rows."""

    rows: list[Row]
    parts: list[Part]
    bad: dict[Part, list[dict[str, str]]]
    # Where the cursors stand once the batch is in the store.
    cursors: dict[str, Cursor]


def drain(
    sink: RowSink,
    spool: Path,
    *,
    wait_seconds: float = 0.0,
    batch_rows: int = BATCH_ROWS,
    breathe: Callable[[], None] | None = None,
) -> DrainReport:
    """Insert everything the spool holds now and delete the segments nobody writes to any more.

    ``breathe`` is called for every line read, by whoever must let other threads run now and then.

    Another process draining the same spool is waited for; after ``wait_seconds`` the report says ``busy``. An error
    of the store passes through; what was not acknowledged is sent again by the next drain.
    """
    if not spool.is_dir():
        return DrainReport()
    lock = ProcessLock(spool / "drain.lock")
    if not lock.acquire(wait_seconds=wait_seconds):
        return DrainReport(busy=True)
    with lock:
        return _Drain(sink, spool, batch_rows, breathe).run()


class _Drain:
    """One run over a spool whose lock is held."""

    def __init__(self, sink: RowSink, spool: Path, batch_rows: int, breathe: Callable[[], None] | None) -> None:
        self._sink = sink
        self._spool = spool
        self._reader = SpoolReader(spool)
        self._state_path = spool / "state.json"
        self._state = self._load_state()
        self._batch_rows = batch_rows
        self._breathe = breathe
        self._report = DrainReport()

    def run(self) -> DrainReport:
        if self._state.pending is not None:
            self._insert(self._read_again(self._state.pending), self._state.pending.token)
        # Names and sizes as of now: a process that writes faster than we insert must not hold us here for ever.
        until = {name: self._reader.size(name) for name in self._reader.segments()}
        self._report = replace(self._report, segments=len(until))
        self._forget_lost(until)
        while True:
            batch = self._gather(until)
            if not batch.parts:
                break
            if batch.rows:
                token = secrets.token_hex(16)
                self._state.pending = Pending(token, tuple(batch.parts))
                self._state.save(self._state_path)
                self._insert(batch, token)
            else:
                self._commit(batch)
        self._clean_up(until)
        return self._report

    def _load_state(self) -> State:
        try:
            return State.load(self._state_path)
        except (ValueError, LookupError, TypeError):
            # Not by a crash of ours, see State.save. Reading everything again doubles rows in otel_traces at worst;
            # episode_steps and episode_roots collapse them.
            aside = self._state_path.with_suffix(".damaged")
            logger.exception("%s is damaged; kept as %s, draining the spool from its start", self._state_path, aside)
            self._state_path.replace(aside)
            return State()

    def _forget_lost(self, until: dict[str, int]) -> None:
        for name in [name for name in self._state.cursors if name not in until]:
            del self._state.cursors[name]

    # --- reading ---------------------------------------------------------------------------------------------------

    def _gather(self, until: dict[str, int]) -> Batch:
        batch = Batch([], [], {}, {})
        size = 0
        for name, stop in until.items():
            while len(batch.rows) < self._batch_rows and size < BATCH_BYTES:
                cursor = batch.cursors.get(name) or self._state.cursors.get(name) or Cursor()
                if cursor.offset >= stop:
                    break
                # At worst a row takes some hundred bytes: do not read what the batch has no room for.
                limit = min(_READ_BYTES, BATCH_BYTES - size)
                part = self._read_part(batch, name, cursor, limit)
                if part is None:
                    break
                size += part.end - part.start
        return batch

    def _read_part(self, batch: Batch, name: str, cursor: Cursor, limit: int) -> Part | None:
        chunk = self._reader.read(name, cursor.offset, limit=limit)
        if chunk.start == chunk.end:
            return None
        lines = chunk.lines[: self._batch_rows - len(batch.rows)]
        part = Part(name, chunk.start, chunk.start + sum(len(line) + 1 for line in lines))
        self._decode(batch, part, cursor, lines)
        return part

    def _read_again(self, pending: Pending) -> Batch:
        batch = Batch([], [], {}, {})
        for part in pending.parts:
            cursor = batch.cursors.get(part.segment) or self._state.cursors.get(part.segment) or Cursor()
            try:
                lines = self._reader.read(part.segment, part.start, end=part.end).lines
            except FileNotFoundError:
                logger.warning("segment %s was removed while its insert was under way", part.segment)
                continue
            self._decode(batch, part, cursor, lines)
        return batch

    def _decode(self, batch: Batch, part: Part, cursor: Cursor, lines: Sequence[bytes]) -> None:
        decoder = LineDecoder(cursor.definitions)
        offset = part.start
        for line in lines:
            try:
                row = decoder(line)
            except SpoolLineError as error:
                batch.bad.setdefault(part, []).append(_bad_line(offset, str(error), line))
            else:
                if row is not None:
                    batch.rows.append(row)
            offset += len(line) + 1
            if self._breathe is not None:
                self._breathe()
        batch.parts.append(part)
        batch.cursors[part.segment] = Cursor(part.end, decoder.definitions)

    # --- inserting -------------------------------------------------------------------------------------------------

    def _insert(self, batch: Batch, token: str) -> None:
        refused: list[dict[str, str]] = []
        if batch.rows:
            self._insert_what_fits(batch.rows, token, refused)
        if refused:
            self._set_aside(f"{token}.refused", refused)
        self._report = replace(
            self._report, rows=self._report.rows + len(batch.rows) - len(refused), inserts=self._report.inserts + 1
        )
        self._commit(batch)

    def _insert_what_fits(self, rows: Sequence[Row], token: str, refused: list[dict[str, str]]) -> None:
        """Insert the rows, halving around those the store refuses, which go to ``refused``.

        The tokens of the halves follow from the token of the whole, so that a repeated insert repeats them too.
        """
        try:
            self._sink.insert_rows(rows, token=token)
        except DataError as error:
            if len(refused) >= _MAX_REFUSED:
                # Not one odd row but a table that does not fit: keep the spool as it is.
                raise
            if len(rows) == 1:
                refused.append({"reason": str(error), "row": repr(rows[0])})
                return
            middle = len(rows) // 2
            self._insert_what_fits(rows[:middle], f"{token}.0", refused)
            self._insert_what_fits(rows[middle:], f"{token}.1", refused)

    def _commit(self, batch: Batch) -> None:
        for part, lines in batch.bad.items():
            # Named by position: a repeated insert writes the same file again.
            self._set_aside(f"{part.segment}.{part.start}", lines)
        self._state.cursors.update(batch.cursors)
        self._state.pending = None
        self._state.save(self._state_path)

    def _set_aside(self, name: str, lines: list[dict[str, str]]) -> None:
        directory = self._spool / _QUARANTINE
        directory.mkdir(mode=0o700, exist_ok=True)
        path = directory / f"{name}.json"
        path.write_bytes(b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines))
        self._report = replace(self._report, quarantined=self._report.quarantined + len(lines))
        logger.warning("%d lines of the spool cannot be stored; kept in %s: %s", len(lines), path, lines[0]["reason"])

    # --- cleaning up -----------------------------------------------------------------------------------------------

    def _clean_up(self, until: dict[str, int]) -> None:
        deleted = [name for name in until if self._delete_if_done(name)]
        if not deleted:
            return
        for name in deleted:
            self._state.cursors.pop(name, None)
        self._state.save(self._state_path)
        self._report = replace(self._report, deleted=self._report.deleted + len(deleted))

    def _delete_if_done(self, name: str) -> bool:
        # In this order: once it is finished, its size is final.
        if not self._reader.finished(name):
            return False
        offset = self._state.cursors.get(name, Cursor()).offset
        tail = self._reader.tail(name, offset)
        if b"\n" in tail:
            return False
        if tail:
            reason = "the last line is not whole: its process ended while writing it"
            self._set_aside(f"{name}.{offset}", [_bad_line(offset, reason, tail)])
        self._reader.delete(name)
        return True


def _bad_line(offset: int, reason: str, line: bytes) -> dict[str, str]:
    return {"offset": str(offset), "reason": reason, "line": line.decode(errors="replace")}
