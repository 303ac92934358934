"""From a file to the store: read, record, insert what is not there yet."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from otel_episodes import semconv
from otel_episodes_clickhouse.importers import atif, chat, otlp_json
from otel_episodes_clickhouse.importers.reader import Record, records
from otel_episodes_clickhouse.importers.replay import Recorder
from otel_episodes_clickhouse.importers.trajectory import RecordError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from otel_episodes_clickhouse.importers.options import ImportOptions
    from otel_episodes_clickhouse.spool.row import Row
    from otel_episodes_clickhouse.store.store import Store

BATCH_ROWS: Final = 20_000
_TRACES_AT_ONCE: Final = 1000
_LINE_NS: Final = 1_000_000


class Problem(NamedTuple):
    """A record that was not imported."""

    line: int
    reason: str


@dataclass
class Tally:
    """What an import did. ``spans`` are those that are neither episodes nor steps."""

    episodes: int = 0
    steps: int = 0
    spans: int = 0
    episodes_already_there: int = 0
    spans_already_there: int = 0
    bad: int = 0

    def add(self, other: Tally) -> None:
        """Add what another file brought."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


@dataclass
class FileImport:
    """One file on its way into the store.

    A run is told apart by its content, so a file that has grown brings only what is new, and the same run under
    another name nothing. An import that was interrupted goes on where it stopped.
    """

    store: Store
    path: Path
    options: ImportOptions
    on_problem: Callable[[Problem], None]
    on_progress: Callable[[int], None] = lambda _bytes: None
    batch_rows: int = BATCH_ROWS
    tally: Tally = field(default_factory=Tally)

    def run(self) -> Tally:
        """Import the file.

        Raises:
            OSError: the file cannot be read.
            StoreError: the store does not take it; what was inserted so far is kept.
        """
        self._recorder = Recorder()
        self._waiting: list[tuple[Record, list[Row]]] = []
        waiting = 0
        written = self.path.stat().st_mtime_ns
        for record in records(self.path):
            try:
                rows = self._rows(record, written)
            except RecordError as error:
                self._refuse(record, str(error))
                continue
            self._waiting.append((record, rows))
            waiting += len(rows)
            if waiting >= self.batch_rows:
                self._flush()
                waiting = 0
            self.on_progress(record.end)
        self._flush()
        return self.tally

    def _refuse(self, record: Record, reason: str) -> None:
        self.tally.bad += 1
        self.on_problem(Problem(record.line, reason))

    def _rows(self, record: Record, written: int) -> list[Row]:
        if record.problem:
            raise RecordError(record.problem)
        kind = self.options.format if self.options.format != "auto" else detected(record.value)
        if kind == "otlp-json":
            return otlp_json.parse(record.value)
        parse = atif.parse if kind == "atif" else chat.parse
        try:
            # Where the source has no times: the file's own, one after the other.
            run = parse(record.value, self.options, written + record.line * _LINE_NS)
        except RecordError:
            raise
        except (TypeError, ValueError, LookupError, AttributeError, RecursionError) as error:
            raise RecordError(f"not in the form of {kind}: {error}") from error
        return self._recorder.rows(run, seed(kind, record.value))

    def _flush(self) -> None:
        if self.options.id:
            self._refuse_shared_ids()
        rows = list({(row.trace_id, row.span_id): row for _, some in self._waiting for row in some}.values())
        self._waiting = []
        stored = self._stored({row.trace_id for row in rows})
        new = [row for row in rows if (row.trace_id, row.span_id) not in stored]
        self.store.insert_rows(new)
        self._count(rows, stored)

    def _refuse_shared_ids(self) -> None:
        """Refuse runs whose id another run has: the two would be shown as one episode."""
        # The last span of a run is its root.
        ids = sorted({rows[-1].span_attributes[semconv.EPISODE_ID] for _, rows in self._waiting})
        traces: dict[str, str] = {}
        for start in range(0, len(ids), _TRACES_AT_ONCE):
            found = self.store.query_named("traces_of_episodes", {"ids": ids[start : start + _TRACES_AT_ONCE]})
            traces.update((row["EpisodeId"], row["TraceId"]) for row in found)
        accepted = []
        for record, rows in self._waiting:
            episode_id = rows[-1].span_attributes[semconv.EPISODE_ID]
            if traces.setdefault(episode_id, rows[-1].trace_id) == rows[-1].trace_id:
                accepted.append((record, rows))
            else:
                reason = f"the id {episode_id!r} is another episode's: --id must name a field that tells runs apart"
                self._refuse(record, reason)
        self._waiting = accepted

    def _stored(self, traces: set[str]) -> set[tuple[str, str]]:
        """Return which spans are there, in ``otel_traces`` and in the tables filled from it.

        A process that was killed during an insert may have left a span in the first and not in the others.
        """
        ordered = sorted(traces)
        found: set[tuple[str, str]] = set()
        for start in range(0, len(ordered), _TRACES_AT_ONCE):
            some = self.store.query_named(
                "completely_stored_spans", {"trace_ids": ordered[start : start + _TRACES_AT_ONCE]}
            )
            found.update((row["TraceId"], row["SpanId"]) for row in some)
        return found

    def _count(self, rows: Sequence[Row], stored: set[tuple[str, str]]) -> None:
        for row in rows:
            kind = row.span_attributes.get(semconv.SPAN)
            if (row.trace_id, row.span_id) in stored:
                self.tally.spans_already_there += 1
                self.tally.episodes_already_there += kind == semconv.SPAN_EPISODE
            elif kind == semconv.SPAN_EPISODE:
                self.tally.episodes += 1
            elif kind == semconv.SPAN_STEP:
                self.tally.steps += 1
            else:
                self.tally.spans += 1


def detected(value: object) -> str:
    """Return the format of a record; raises `RecordError` where it is none of those known."""
    if otlp_json.matches(value):
        return "otlp-json"
    if atif.matches(value):
        return "atif"
    if chat.matches(value):
        return "chat"
    what = f"an object with {', '.join(map(str, value)) or 'nothing'}" if isinstance(value, dict) else "no object"
    raise RecordError(f"neither a chat transcript nor ATIF nor OTLP-JSON: {what[:200]}")


def seed(kind: str, value: Any) -> bytes:  # decoded JSON
    """Return what a run's ids are drawn from: its content, however it is laid out in the file."""
    try:
        text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        text = json.dumps(value, sort_keys=True).encode()
    return hashlib.sha256(kind.encode() + b"\0" + text).digest()
