"""What a user's read-only SQL must not do, beyond what the engine's own read-only mode refuses.

Measured on ClickHouse 26.9: with ``readonly = 1`` the embedded engine still writes files (INTO OUTFILE), reads any
file (``file(path)``), asks any address for a structure (DESCRIBE of a table function) and runs KILL. The engine
itself takes the statement apart, so that comments, quoted names or another notation of a string hide nothing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Protocol

from otel_episodes_clickhouse.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Mapping

_READS: Final = ("SELECT", "WITH", "SHOW", "DESCRIBE", "EXPLAIN", "EXISTS")
_STRING: Final = re.compile(r"'(?:[^'\\]|\\.)*'", re.DOTALL)
_CALL: Final = re.compile(r"\b(\w+)\s*\(")
# Table functions that make rows up, or read only what the account may read anyway.
_HARMLESS: Final = frozenset((
    "dictionary", "format", "fuzzJSON", "fuzzQuery", "generateRandom", "generateSeries", "generate_series", "loop",
    "merge", "mergeTreeAnalyzeIndexes", "mergeTreeIndex", "mergeTreeProjection", "null", "numbers", "numbers_mt",
    "primes", "values", "view", "viewExplain", "viewIfPermitted", "zeros", "zeros_mt",
))  # fmt: skip
# Functions, not tables, that reach outside.
_OUTSIDE: Final = frozenset(("file", "catboostEvaluate"))
_UNKNOWN_FUNCTION: Final = 46


class Asking(Protocol):
    """What a check needs of a store."""

    def query_named(self, name: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Run a statement of ours that returns rows."""
        ...


def check(store: Asking, text: str) -> None:
    """Raise `QueryError` for a statement that is not only a question to the tables of the store."""
    try:
        plain = store.query_named("formatted", {"text": text})[0]["Text"]
    except QueryError as error:
        if error.code == _UNKNOWN_FUNCTION and "formatQuerySingleLine" in str(error):
            return  # a server before 23.10, whose own read-only mode has to do
        raise QueryError(_syntax(str(error)), code=error.code) from error
    bare = _STRING.sub("''", plain)
    word = bare.split(None, 1)[0].upper().lstrip("(")
    if word not in _READS:
        raise QueryError(f"{word} is no question, and this is read-only: `otel-episodes sql --write` allows it")
    if re.search(r"\bINTO OUTFILE\b", bare):
        raise QueryError("INTO OUTFILE writes a file, and this is read-only: redirect the output instead")
    functions = {row["Name"] for row in store.query_named("table_functions")} - _HARMLESS | _OUTSIDE
    # Some names are known in any case of letters.
    folded = {name.lower() for name in functions}
    for name in _CALL.findall(bare):
        if name.lower() in folded:
            raise QueryError(f"{name}() reaches outside of the store: `otel-episodes sql --write` allows it")


def _syntax(message: str) -> str:
    # The engine speaks of our question about the statement; the user asked only the statement.
    return message.partition(": In scope ")[0]
