"""What a drain needs of where the rows go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from otel_episodes_clickhouse.spool.row import Row

    Decoded = TypeVar("Decoded")


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
