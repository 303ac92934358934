"""The lines that go into one insert, as rows or encoded."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from otel_episodes_clickhouse.spool.decode import LineDecoder
from otel_episodes_clickhouse.spool.progress import Cursor, Part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from otel_episodes_clickhouse.spool.reader import Chunk
    from otel_episodes_clickhouse.spool.row import Encoded, Row

    Decoded = TypeVar("Decoded")


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
                bad[part] = [bad_line(chunk, number, reason) for number, reason in wrong]
        self.rows, self.bad = sum(decoder.count for decoder in decoders.values()), bad
        self.cursors = {name: Cursor(self._ends[name], decoder.definitions) for name, decoder in decoders.items()}


def bad_line(chunk: Chunk, number: int, reason: str) -> dict[str, str]:
    """Return what the quarantine keeps of a line that is not a span."""
    offset = chunk.start + sum(map(len, chunk.lines[:number]))
    line = chunk.lines[number].removesuffix(b"\n").decode(errors="replace")
    return {"offset": str(offset), "reason": reason, "line": line}
