"""From sources to runs: which reader each is for, what each record is, and what tells runs apart.

A run is told apart by the id its source gives it; where it has none, by what is said at its beginning, since its end
may yet come.
"""

from __future__ import annotations

import hashlib
import json
import re
import stat
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from otel_episodes_clickhouse.importers import registry, sources
from otel_episodes_clickhouse.importers.documents import records
from otel_episodes_clickhouse.importers.reading import ODD, Place, Refused, said_of
from otel_episodes_clickhouse.importers.rules import with_outcome
from otel_episodes_clickhouse.importers.run import RecordError, Run
from otel_episodes_clickhouse.importers.trials import with_result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from otel_episodes_clickhouse.importers.documents import Record
    from otel_episodes_clickhouse.importers.options import ImportOptions
    from otel_episodes_clickhouse.importers.reading import Found
    from otel_episodes_clickhouse.importers.sources import Source
    from otel_episodes_clickhouse.spool.row import Row

_LINE_NS: Final = 1_000_000
# Fields that tell runs of the same task apart from their beginning on; what a run ended with is not among them.
_IDENTIFYING: Final = re.compile(
    r"(?:^|[_.])(?:id|uuid|trial|attempt|epoch|seed|run|index|idx|case|name|split|rollout|sample|task|instance|key|hash)s?$",
    re.IGNORECASE,
)


class Problem(NamedTuple):
    """A record that was not imported."""

    source: str
    line: int
    reason: str


@dataclass
class Reading:
    """Runs out of sources; what goes wrong costs its record, or its session, alone."""

    options: ImportOptions
    on_problem: Callable[[Problem], None]
    on_progress: Callable[[Source, int], None] = lambda _source, _bytes: None
    files: int = 0
    skipped: int = 0
    bad: int = 0
    _claimed: set[Path] = field(default_factory=set)
    _seen: dict[Any, Any] = field(default_factory=dict)
    # The content with which a run without an id was seen first: such a run in another file is another one.
    _nameless: dict[str, bytes] = field(default_factory=dict)

    def runs(self, found: Iterable[Source]) -> Iterator[tuple[Place, Run | Row]]:
        """Yield what is in the sources, in their order."""
        for source in found:
            if source.path is not None and source.path in self._claimed:
                continue
            for place, one in self._source(source):
                yield place, self._judged(one, place) if isinstance(one, Run) else one

    def _judged(self, run: Run, place: Place) -> Run:
        run = with_result(run, place)
        if self.options.ended_how and not run.ended_how and not run.parent_id:
            run = replace(run, ended_how=self.options.ended_how)
        return with_outcome(run, self.options.rules)

    def refuse(self, place: Place, reason: str, line: int = 0) -> None:
        """Say that a record, or a part of one, could not be read."""
        self.bad += 1
        self.on_problem(Problem(place.source.name, line or place.line, reason))

    def _source(self, source: Source) -> Iterator[tuple[Place, Run | Row]]:
        place = Place(self.options, source, source.modified, 0, self._claimed, self._seen)
        bad, any_run = self.bad, False
        try:
            for one in self._read(source, place):
                any_run = True
                yield one
        except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
            # Not there any more, or compressed data that ends too early or is none.
            self.refuse(place, f"cannot be read: {error}")
        self.files += any_run or bad != self.bad

    def _read(self, source: Source, place: Place) -> Iterator[tuple[Place, Run | Row]]:
        if source.is_directory and source.path is not None:
            reader = next(reader for reader in registry.READERS if reader.is_directory(source.path))
            yield from self._take(reader.directory(source.path, place), place)
            return
        with source.archive() as archive:
            if archive is not None:
                yield from self._archive(archive, place)
                return
        with source.open() as file:
            counted = self._counted(records(file), source)
            session, everything = registry.of_session(counted, self.options.format)
            if session is not None:
                yield from self._take(session.session(self._sound(everything, place), place), place)
                return
            first_with: dict[str, bytes] = {}
            for record in everything:
                yield from self._record(record, place, first_with)

    def _archive(self, archive: zipfile.ZipFile, place: Place) -> Iterator[tuple[Place, Run | Row]]:
        reader = next((reader for reader in registry.READERS if reader.is_archive(archive)), None)
        if reader is not None:
            yield from self._take(reader.archive(archive, place), place)
            return
        with sources.unpacked(archive, partial(self.refuse, place)) as directory:
            for path in sources.walk(directory, registry.is_one_run):
                if path not in self._claimed:
                    yield from self._source(sources.from_archive(place.source, path, directory))

    def _counted(self, found: Iterator[Record], source: Source) -> Iterator[Record]:
        for record in found:
            yield record
            self.on_progress(source, record.end)

    def _sound(self, everything: Iterator[Record], place: Place) -> Iterator[Record]:
        for record in everything:
            if record.problem:
                self.refuse(place, record.problem, record.line)
            else:
                yield record

    def _record(self, record: Record, place: Place, first_with: dict[str, bytes]) -> Iterator[tuple[Place, Run | Row]]:
        # Where the source has no times: the file's own, one after the other.
        here = replace(place, fallback_time=place.fallback_time + record.line * _LINE_NS, line=record.line)
        if record.problem:
            self.refuse(here, record.problem)
            return
        try:
            reader = registry.of_record(record.value, self.options.format)
        except RecordError as error:
            if place.source.named:
                self.refuse(here, str(error))
            else:
                self.skipped += 1
            return
        except RecursionError:
            self.refuse(here, "nested deeper than anything that is read")
            return
        yield from self._take(self._told_apart(reader.record(record.value, here), record.value, first_with), here)

    def _take(self, found: Iterable[Found], place: Place) -> Iterator[tuple[Place, Run | Row]]:
        try:
            for one in found:
                if isinstance(one, Refused):
                    self.refuse(place, one.reason, one.line)
                else:
                    # A session without an id, which lost its first line say.
                    yield place, replace(one, id=beginning_of(one)) if isinstance(one, Run) and not one.id else one
        except RecordError as error:
            self.refuse(place, str(error))
        except ODD as error:
            self.refuse(place, f"not in the form it seems to have: {said_of(error)}")

    def _told_apart(self, found: Iterable[Found], value: Any, first_with: dict[str, bytes]) -> Iterator[Found]:
        """Give an id to each run that has none, and another to each that shares it with another record."""
        content = content_digest(value)
        here: Counter[str] = Counter()
        for one in found:
            if not isinstance(one, Run):
                yield one
                continue
            identifier = one.id or beginning_of(one)
            key = f"{one.format} {identifier}"
            here[key] += 1
            if here[key] > 1:
                identifier += f"#{here[key]}"
            # The same record twice is the same run; two records of a file with one id are two.
            known = first_with if one.id else self._nameless
            if known.setdefault(key, content) != content:
                identifier += f"#{content.hex()}"
            yield replace(one, id=identifier)


def beginning_of(run: Run) -> str:
    """Return what tells a run without an id apart from others: what it begins with, since its end may yet come."""
    first = run.steps[0] if run.steps else None
    known = {key: value for key, value in run.attributes.items() if _IDENTIFYING.search(key)}
    said = [
        run.task, run.agent, run.model, sorted((key, str(value)) for key, value in known.items()),
        [first.id, first.tool, str(first.arguments)] if first else [],
        run.model_calls[0].id if run.model_calls else "",
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(said).encode("utf-8", "surrogatepass")).hexdigest()


def content_digest(value: Any) -> bytes:
    """Return a digest of a record, however it is laid out in its file."""
    try:
        text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        try:
            text = json.dumps(value, sort_keys=True).encode("utf-8", "surrogatepass")
        except (TypeError, ValueError, RecursionError):
            text = b""  # nested deeper than anything reads
    return hashlib.blake2b(text, digest_size=8).digest()


# --- what the user names -------------------------------------------------------------------------------------------


def read_pipes(paths: Sequence[Path]) -> dict[Path, Source]:
    """Return what comes through pipes, all of it: before a store is opened, which would be held meanwhile."""
    return {path: sources.from_pipe(path) for path in paths if str(path) == "-" or stat.S_ISFIFO(path.stat().st_mode)}


def found_under(paths: Sequence[Path], pipes: dict[Path, Source]) -> Iterator[Source]:
    """Yield what is to be read: files as they are, directories file by file."""
    for path in paths:
        if path in pipes:
            yield pipes[path]
        elif path.is_dir():
            yield from (sources.from_file(file, named=False) for file in sources.walk(path, registry.is_one_run))
        else:
            yield sources.from_file(path)
