"""From the spool to the store, with the effect of exactly once.

`state.json` in the spool says how far each segment has been read. Before an insert it also names the insert to come:
its token and the exact bytes of each segment in it. Whatever dies between the two writes of the state, the next drain
repeats that insert from the same bytes under the same token, and the store drops what it has seen. Since an engine
that is killed can have noted a token without its rows, what is repeated is then looked for, and added where it is not.

A line that is no span goes to ``quarantine/``, a segment that cannot be read or is of a later version is left where
it is, and neither blocks the others.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, runtime_checkable

import orjson

from otel_episodes_clickhouse.errors import (
    ConfigurationError,
    DataError,
    QueryError,
    StoreError,
    StoreUnavailableError,
)
from otel_episodes_clickhouse.spool.decode import LineDecoder
from otel_episodes_clickhouse.spool.directory import FORMAT, STATE, is_segment_name, open_directory
from otel_episodes_clickhouse.spool.locks import ProcessLock
from otel_episodes_clickhouse.spool.reader import Chunk, SpoolReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from otel_episodes_clickhouse.spool.row import Encoded, Row

    Decoded = TypeVar("Decoded")

logger = logging.getLogger(__name__)

# An insert costs about 40 ms however small it is; at 50,000 rows that no longer matters.
BATCH_ROWS: Final = 50_000
BATCH_BYTES: Final = 32 * 1024 * 1024
# At once: takes some tenths of a millisecond, in which no other thread runs.
_READ_BYTES: Final = 256 * 1024
_MAX_REFUSED: Final = 1000
_QUARANTINE: Final = "quarantine"
_STATE_FORMAT: Final = 1
_RESERVE: Final = ".reserve"
# Room for the state of some hundred living processes.
_RESERVE_BYTES: Final = 256 * 1024
# What encoding a row can raise when a line has the shape of a span and the wrong things in it.
_ENCODING_ERRORS: Final = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)
_CREATE_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_SESSION: Final = secrets.token_hex(8)
# Told about once by a process, however often it drains.
_told: set[tuple[str, str]] = set()


class RowSink(Protocol):
    """What a drain needs of a store."""

    def insert_rows(self, rows: Iterable[Row], *, token: str | None = None) -> int:
        """Insert rows; a second insert with the same rows and token adds nothing. `DataError`: a value is refused."""
        ...


@runtime_checkable
class VerifyingSink(RowSink, Protocol):
    """A store that can say what of an insert is in it."""

    def mend(self) -> None:
        """Make repeating an insert that was cut short fill the tables that follow from ``otel_traces``."""
        ...

    def missing_rows(self, rows: Sequence[Row]) -> list[Row]:
        """Return the rows that are not in the store; none of them where it can be relied on to know its tokens."""
        ...


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
    # Whose it is: of another process means that one has ended in the middle.
    session: str = ""


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
        """Read the state; a missing file means nothing has been drained yet.

        Raises `StoreError` for one of a later version, ValueError, LookupError, TypeError, AttributeError for what is
        none, OSError for what cannot be read, a symbolic link too.
        """
        try:
            data = orjson.loads(SpoolReader(path.parent).read_file(path.name))
        except FileNotFoundError:
            return cls()
        if data.get("format", _STATE_FORMAT) > _STATE_FORMAT:
            raise StoreError("a later version of otel-episodes has drained this spool: upgrade this one")
        pending = data["pending"]
        state = cls(
            cursors={name: Cursor(*cursor) for name, cursor in data["segments"].items()},
            pending=pending
            and Pending(pending["token"], tuple(Part(*part) for part in pending["parts"]), pending.get("session", "")),
        )
        names = [*state.cursors, *(part.segment for part in (state.pending.parts if state.pending else ()))]
        if not all(map(is_segment_name, names)):
            raise ValueError("a segment outside of the spool")
        return state

    def dump(self) -> bytes:
        """Return what `load` reads."""
        data: dict[str, Any] = {
            "format": _STATE_FORMAT,
            "segments": {name: [cursor.offset, cursor.definitions] for name, cursor in self.cursors.items()},
            "pending": self.pending
            and {
                "token": self.pending.token,
                "parts": [[part.segment, part.start, part.end] for part in self.pending.parts],
                "session": self.pending.session,
            },
        }
        return orjson.dumps(data)


class Batch:
    """Lines of some segments, as rows for a sink: decoded anew whenever they are gone through.

    Kept as lines since nearly always they are gone through once, and rows take six times the memory.
    """

    def __init__(self, known: Mapping[str, Cursor]) -> None:
        self._known = known
        self._chunks: list[tuple[Part, Chunk]] = []
        self._ends: dict[str, int] = {}
        self.lines = self.size = 0
        # Segments that could not be read on.
        self.left: set[str] = set()
        # What going through it has found: how many rows, what is none, and where the cursors stand after it.
        self.rows = 0
        self.bad: dict[Part, list[dict[str, str]]] = {}
        self.cursors: dict[str, Cursor] | None = None

    @property
    def parts(self) -> tuple[Part, ...]:
        """Return which bytes of which segments these are."""
        return tuple(part for part, _ in self._chunks)

    @property
    def may_have_rows(self) -> bool:
        """Tell whether any line could be a span; headers and definitions are not."""
        return any(not line.startswith((b'["', b"{", b"\n")) for _, chunk in self._chunks for line in chunk.lines)

    def end(self, name: str) -> int:
        """Return up to where a segment is in this batch, or was read before."""
        known = self._known.get(name)
        return self._ends.get(name, known.offset if known else 0)

    def add(self, name: str, chunk: Chunk) -> None:
        """Add the next lines of a segment."""
        self._chunks.append((Part(name, chunk.start, chunk.end), chunk))
        self._ends[name] = chunk.end
        self.lines += len(chunk.lines)
        self.size += chunk.end - chunk.start

    def finish(self) -> dict[str, Cursor]:
        """Return the cursors, going through it where no sink has: one that knows the token may look no further."""
        if self.cursors is None:
            for _ in self:
                pass
        return self.cursors or {}

    def __iter__(self) -> Iterator[Row]:
        return self._through(LineDecoder.rows)

    def encoded(self) -> Iterator[Encoded]:
        """Yield the rows as an insert carries them; see `EncodedRows`."""
        return self._through(LineDecoder.encoded)

    def _through(
        self, decode: Callable[[LineDecoder, Sequence[bytes], list[tuple[int, str]]], Iterator[Decoded]]
    ) -> Iterator[Decoded]:
        bad: dict[Part, list[dict[str, str]]] = {}
        decoders: dict[str, LineDecoder] = {}
        for part, chunk in self._chunks:
            if part.segment not in decoders:
                known = self._known.get(part.segment)
                decoders[part.segment] = LineDecoder(known.definitions if known else ())
            wrong: list[tuple[int, str]] = []
            if chunk.cut:
                wrong.append((0, f"a line of {part.end - part.start:,} bytes; this is its beginning"))
            else:
                yield from decode(decoders[part.segment], chunk.lines, wrong)
            if wrong:
                bad[part] = [_bad_line(chunk, number, reason) for number, reason in wrong]
        self.rows, self.bad = sum(decoder.count for decoder in decoders.values()), bad
        self.cursors = {name: Cursor(self._ends[name], decoder.definitions) for name, decoder in decoders.items()}


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
        self._files = _Files(spool)
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
            # Not by a crash of ours, see _Files.write. Reading everything again doubles rows in otel_traces at worst;
            # episode_steps and episode_roots collapse them.
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
                version = self._reader.format(name)
            except OSError as error:
                self._leave(name, error.strerror or str(error))
                continue
            if version > FORMAT:
                self._leave(name, f"a later version of otel-episodes wrote it (format {version}): upgrade this one")
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
            self._set_aside(f"{name}.{offset}", [_bad_line(Chunk([tail], offset, offset), 0, reason)])
        self._reader.delete(name)
        return True


class _Files:
    """What a drain writes in the spool's directory, so that a crash leaves the old file or the new one.

    There is a reserve, given up when the disk is full: taking in the spool is what makes room.
    """

    def __init__(self, spool: Path) -> None:
        self._spool = spool

    def reserve(self) -> None:
        """Keep some room for a full disk."""
        with suppress(OSError), open_directory(self._spool) as parent:
            # Not found full again and again: whoever cannot have it now tries at the next drain.
            descriptor = os.open(_RESERVE, _CREATE_FLAGS, 0o600, dir_fd=parent)
            try:
                os.posix_fallocate(descriptor, 0, _RESERVE_BYTES)
            except OSError:
                os.unlink(_RESERVE, dir_fd=parent)
            finally:
                os.close(descriptor)

    def write(self, name: str, text: bytes) -> None:
        """Replace a file, durably before this returns."""
        with open_directory(self._spool) as parent:
            self._with_room(parent, lambda: _replace_file(parent, name, text))

    def set_aside(self, name: str, text: bytes) -> Path:
        """Keep something in the quarantine and return where."""
        with open_directory(self._spool) as parent:
            with suppress(FileExistsError):
                os.mkdir(_QUARANTINE, mode=0o700, dir_fd=parent)
            with open_directory(self._spool / _QUARANTINE) as quarantine:
                self._with_room(parent, lambda: _replace_file(quarantine, name, text))
        return self._spool / _QUARANTINE / name

    def _with_room(self, parent: int, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            with suppress(FileNotFoundError):
                os.unlink(_RESERVE, dir_fd=parent)
            write()


def _replace_file(parent: int, name: str, text: bytes) -> None:
    temporary = f"{name}.new"
    with suppress(FileNotFoundError):
        os.unlink(temporary, dir_fd=parent)
    descriptor = os.open(temporary, _CREATE_FLAGS, 0o600, dir_fd=parent)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
    # The new name too must outlive a power cut: an insert follows that this file has to know of.
    os.fsync(parent)


def _bad_line(chunk: Chunk, number: int, reason: str) -> dict[str, str]:
    offset = chunk.start + sum(map(len, chunk.lines[:number]))
    line = chunk.lines[number].removesuffix(b"\n").decode(errors="replace")
    return {"offset": str(offset), "reason": reason, "line": line}
