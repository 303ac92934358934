"""What a client returns, as rows of ours."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from otel_episodes_clickhouse.store.confined_sql import Result

if TYPE_CHECKING:
    from clickhouse_connect.driver.query import QueryResult

# Times as integer nanoseconds: Python's datetime ends at microseconds.
NANOSECONDS: Final = {"DateTime64*": "int"}
_SUBSECOND: Final = re.compile(r"(?:Nullable\()?DateTime64\((\d)")


def rows_of(answer: QueryResult) -> list[dict[str, Any]]:
    """Return rows by column name; what was asked for in `NANOSECONDS` is in nanoseconds."""
    factors = [_to_nanoseconds(kind.name) for kind in answer.column_types]
    return [
        {
            name: value if factor == 1 or value is None else value * factor
            for name, value, factor in zip(answer.column_names, row, factors, strict=True)
        }
        for row in answer.result_rows
    ]


def result_of(answer: QueryResult) -> Result:
    """Return an answer to a user's own SQL."""
    types = tuple(str(kind.name) for kind in answer.column_types)
    return Result(tuple(answer.column_names), types, [tuple(row) for row in answer.result_rows])


def _to_nanoseconds(type_name: str) -> int:
    # clickhouse-connect returns such a column as its ticks: milliseconds for DateTime64(3).
    scale = _SUBSECOND.match(type_name)
    return 10 ** (9 - int(scale[1])) if scale else 1
