"""From runs to the store: make rows, insert what is not there yet, replace what has grown.

A file that has grown brings what is new: its steps that were there keep their ids, and its root, whose end has moved,
replaces the one that was stored.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import uuid4

from otel_episodes import semconv
from otel_episodes_clickhouse import sql
from otel_episodes_clickhouse.errors import QueryError
from otel_episodes_clickhouse.importers.divided import by_prompt
from otel_episodes_clickhouse.importers.reading import ODD
from otel_episodes_clickhouse.importers.run_rows import RowMaker, RunIds
from otel_episodes_clickhouse.spool.row import Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from otel_episodes_clickhouse.importers.dispatch import Reading
    from otel_episodes_clickhouse.importers.reading import Place
    from otel_episodes_clickhouse.importers.run import Run
    from otel_episodes_clickhouse.importers.sources import Source
    from otel_episodes_clickhouse.store.store import Store

BATCH_ROWS: Final = 10_000
_TRACES_AT_ONCE: Final = 1000
_SPANS_AT_ONCE: Final = 500
_NOT_ALLOWED: Final = frozenset((164, 497))


@dataclass
class Tally:
    """What an import did. ``spans`` are those that are neither episodes nor steps nor model calls."""

    episodes: int = 0
    steps: int = 0
    model_calls: int = 0
    spans: int = 0
    agents: int = 0
    unknown: int = 0
    episodes_updated: int = 0
    episodes_already_there: int = 0
    spans_already_there: int = 0
    files: int = 0
    skipped: int = 0
    bad: int = 0
    forgotten: int = 0


@dataclass
class Import:
    """Runs on their way into one store. An import that was interrupted goes on where it stopped."""

    store: Store
    reading: Reading
    batch_rows: int = BATCH_ROWS
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        self._maker = RowMaker()
        self._waiting: list[Row] = []
        self._traces_of_ids: dict[str, str] = {}
        self._of_runs: set[str] = set()
        self._divided: set[str] | None = None
        self._gone: set[str] | None = None
        self._stored_soon: Future[None] | None = None

    def run(self, found: Iterable[Source]) -> Tally:
        """Import sources in their order.

        Raises:
            StoreError: the store does not take it; what was inserted so far is kept.
        """
        with ThreadPoolExecutor(1, "otel-episodes-import") as self._storing:
            for place, one in self.reading.runs(found):
                if isinstance(one, Row):
                    if one.trace_id not in self._forgotten():
                        self._add(one)
                elif self._is_free(one, place):
                    for part in by_prompt(one) if self._is_divided(one) else (one,):
                        self._run(part, place)
            self._flush()
            self._settle()
        self.tally.files, self.tally.skipped, self.tally.bad = (
            self.reading.files, self.reading.skipped, self.reading.bad,
        )  # fmt: skip
        return self.tally

    def _run(self, run: Run, place: Place) -> None:
        try:
            for row in self._maker.rows(run):
                if row.trace_id in self._forgotten():
                    self.tally.forgotten += _is_root(row)
                    continue
                self._of_runs.add(row.trace_id)
                self._add(row)
        except ODD as error:
            self.reading.refuse(place, f"a run that cannot be stored: {error}")

    def _forgotten(self) -> set[str]:
        if self._gone is None:
            self._gone = {row["TraceId"] for row in self._query("forgotten_traces")}
        return self._gone

    def _is_divided(self, run: Run) -> bool:
        """Return whether a session is an episode for each prompt: as it is stored, else as was asked for."""
        if run.parent_id or run.options.get("id") or not (run.prompts or self.reading.options.per):
            return False
        if self._divided is None:
            self._divided = {row["TraceId"] for row in self._query("divided_sessions")}
        trace = RunIds(run.format, run.id).trace_id
        if trace in self._divided or not self.reading.options.per:
            return trace in self._divided
        return not self._query("root_of_trace", {"trace": trace})

    def _add(self, row: Row) -> None:
        self._waiting.append(row)
        if len(self._waiting) >= self.batch_rows:
            self._flush()

    def _is_free(self, run: Run, place: Place) -> bool:
        """Refuse a run whose id, named by the user, another run has: the two would be shown as one episode."""
        identifier = str(run.options.get("id") or "")
        if not identifier:
            return True
        trace = next(self._maker.rows(replace(run, steps=(), model_calls=(), sub_agents=()))).trace_id
        known = self._traces_of_ids.get(identifier)
        if known is None:
            found = self._query("traces_of_episodes", {"ids": [identifier]})
            known = self._traces_of_ids[identifier] = found[0]["TraceId"] if found else trace
        if known != trace:
            reason = f"the id {identifier!r} is another episode's: --id must name a field that tells runs apart"
            self.reading.refuse(place, reason)
        return known == trace

    # --- storing ---------------------------------------------------------------------------------------------------

    def _query(self, name: str, parameters: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """Ask the store, once what was read before is in it."""
        self._settle()
        return self.store.query_named(name, parameters)

    def _flush(self) -> None:
        """Store what waits while more is read: the engine works beside Python."""
        rows = list({(row.trace_id, row.span_id): row for row in self._waiting}.values())
        self._waiting = []
        self._settle()
        self._stored_soon = self._storing.submit(self._store, rows)

    def _settle(self) -> None:
        """Wait for what is being stored; raise what went wrong there."""
        storing, self._stored_soon = self._stored_soon, None
        if storing is not None:
            storing.result()

    def _store(self, rows: list[Row]) -> None:
        stored = self._stored({row.trace_id for row in rows})
        rows = [_with_known_end(row, stored) for row in _at_stored_times(rows, stored)]
        new, changed = [], []
        for row in rows:
            known = stored.get((row.trace_id, row.span_id))
            if known is None:
                new.append(row)
            elif row.trace_id in self._of_runs and known.digest != digest_of(row) and not _says_less(row, known):
                changed.append(row)
        self._remove(changed)
        # A token of its own: what was stored, changed and changed back is a block the engine has seen.
        self.store.insert_rows([*changed, *new], token=uuid4().hex)
        self._count(rows, new, changed)

    def _stored(self, traces: set[str]) -> dict[tuple[str, str], _Stored]:
        """Return which spans are there, in ``otel_traces`` and in the tables filled from it.

        A process that was killed during an insert may have left a span in the first and not in the others.
        """
        ordered = sorted(traces)
        found: dict[tuple[str, str], _Stored] = {}
        for start in range(0, len(ordered), _TRACES_AT_ONCE):
            some = self.store.query_named(
                "completely_stored_spans", {"trace_ids": ordered[start : start + _TRACES_AT_ONCE]}
            )
            for row in some:
                found[row["TraceId"], row["SpanId"]] = _Stored(
                    row["Start"], row["End"], row["Outcome"], row["EndedHow"], row["Digest"]
                )
        return found

    def _remove(self, changed: Sequence[Row]) -> None:
        """Take out the rows that others are about to replace, so that ``otel_traces`` has each span once."""
        for start in range(0, len(changed), _SPANS_AT_ONCE):
            some = changed[start : start + _SPANS_AT_ONCE]
            times = [row.timestamp for row in some]
            parameters = {
                "first": min(times), "last": max(times), "traces": sorted({row.trace_id for row in some}),
                "spans": [row.span_id for row in some],
            }  # fmt: skip
            try:
                self.store.execute(sql.named("remove_spans"), parameters)
            except QueryError as error:
                # An account that may only insert: the span is in otel_traces twice, and once where it is read.
                if error.code not in _NOT_ALLOWED:
                    raise

    def _count(self, rows: Sequence[Row], new: Sequence[Row], changed: Sequence[Row]) -> None:
        for row in new:
            kind = row.span_attributes.get(semconv.SPAN)
            operation = row.span_attributes.get(semconv.GEN_AI_OPERATION_NAME)
            self.tally.episodes += kind == semconv.SPAN_EPISODE
            self.tally.steps += kind == semconv.SPAN_STEP
            self.tally.model_calls += kind is None and operation == semconv.CHAT
            self.tally.agents += kind is None and operation == semconv.INVOKE_AGENT
            self.tally.spans += kind is None and operation not in (semconv.CHAT, semconv.INVOKE_AGENT)
            self.tally.unknown += row.span_attributes.get(semconv.OUTCOME) == semconv.UNKNOWN
        handled = {(row.trace_id, row.span_id) for row in (*new, *changed)}
        self.tally.episodes_updated += sum(map(_is_root, changed))
        self.tally.spans_already_there += len(rows) - len(handled)
        same = (row for row in rows if (row.trace_id, row.span_id) not in handled)
        self.tally.episodes_already_there += sum(map(_is_root, same))


class _Stored(NamedTuple):
    """What the store has of a span."""

    start: int
    end: int
    outcome: str
    ended_how: str
    digest: str


def _says_less(row: Row, known: _Stored) -> bool:
    """Return True for what an older copy of a source says of a span: it must not take back what a newer one said."""
    attributes = row.span_attributes
    if _is_root(row):
        forgets = attributes.get(semconv.OUTCOME) == semconv.UNKNOWN and known.outcome not in ("", semconv.UNKNOWN)
        return forgets or row.timestamp + row.duration < known.end
    return semconv.STEP_UNANSWERED in attributes


def _with_known_end(row: Row, stored: dict[tuple[str, str], _Stored]) -> Row:
    """Return a root with the end that a hook was told of, which its source does not say; unless it went on since."""
    known = stored.get((row.trace_id, row.span_id))
    if known is None or not known.ended_how or not _is_root(row) or semconv.ENDED_HOW in row.span_attributes:
        return row
    if row.timestamp + row.duration != known.end:
        return row
    said = {**row.span_attributes, semconv.ENDED_HOW: known.ended_how}
    return row._replace(span_attributes=dict(sorted(said.items())))


def _is_root(row: Row) -> bool:
    return row.span_attributes.get(semconv.SPAN) == semconv.SPAN_EPISODE


def digest_of(row: Row) -> str:
    """Return what the statement ``completely_stored_spans`` computes of the same row in the store."""
    parts = [
        str(row.timestamp), str(row.duration), row.parent_span_id, row.span_name, row.status_code, row.status_message,
        "\0".join(f"{key}={row.span_attributes[key]}" for key in sorted(row.span_attributes)),
        "\0".join(row.link_span_ids),
        "\0".join(attributes.get(semconv.PROMPT_TEXT, "") for attributes in row.event_attributes),
    ]  # fmt: skip
    return hashlib.md5("\1".join(parts).encode("utf-8", "replace"), usedforsecurity=False).hexdigest()


def _at_stored_times(rows: list[Row], stored: dict[tuple[str, str], _Stored]) -> list[Row]:
    """Move runs whose times are made up to where they are stored: the file's own time changes when it grows."""
    made_up = {row.trace_id for row in rows if semconv.TIME_SYNTHETIC in row.span_attributes}
    if not made_up or not stored:
        return rows
    moves: dict[str, int] = {}
    for row in rows:
        known = stored.get((row.trace_id, row.span_id))
        if known is not None and row.trace_id in made_up:
            moves.setdefault(row.trace_id, known.start - row.timestamp)
    return [
        row._replace(timestamp=row.timestamp + moves[row.trace_id]) if row.trace_id in moves else row for row in rows
    ]
