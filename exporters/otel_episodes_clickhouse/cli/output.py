"""What commands print: tables and lines for people, JSON for programs, problems on stderr."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any, Final

from otel_episodes_clickhouse.errors import ACTS, HIDES, plain
from otel_episodes_clickhouse.wording import (
    count,
    duration,
    iso_time,
    local_time,
    one_line,
    plural,
    short_id,
    size,
    when,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

__all__ = ("count", "duration", "iso_time", "local_time", "one_line", "plural", "short_id", "size", "when")

# What a task or an observation must not do to the terminal: move the cursor, change colours, ring.
_ESCAPED: Final = re.compile(f"[{ACTS}{HIDES}]")
_JSON_INT: Final = 2**64
_BAR: Final = 40
OUTCOME_STYLES: Final = {
    "success": "green", "partial": "yellow", "failure": "red", "abstained": "cyan", "running": "blue",
    "abandoned": "magenta", "unknown": "dim",
}  # fmt: skip


def console(*, stderr: bool = False) -> Console:
    """Return where to print; colours only on a terminal, and not under NO_COLOR."""
    from rich.console import Console  # noqa: PLC0415  # 50 ms, not for those who only record

    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


def line(text: str, *, flush: bool = False) -> None:
    """Print a line on stdout; ``flush`` where somebody follows along."""
    sys.stdout.write(f"{plain(text)}\n")
    if flush:
        sys.stdout.flush()


def note(text: str) -> None:
    """Print a line on stderr that is no problem."""
    sys.stderr.write(f"{plain(text)}\n")


def problem(text: str) -> None:
    """Print a problem on stderr, on one line."""
    sys.stderr.write(f"otel-episodes: {one_line(text)}\n")


def json(value: object, *, indent: bool = True) -> None:
    """Print a value as JSON on stdout; not indented, it is one line."""
    import orjson  # noqa: PLC0415  # only where asked for

    option = orjson.OPT_APPEND_NEWLINE | (orjson.OPT_INDENT_2 if indent else 0)
    text = orjson.dumps(_jsonable(value), default=str, option=option).decode()
    sys.stdout.buffer.write(_ESCAPED.sub(_escape, text).encode())
    sys.stdout.buffer.flush()


def csv(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> None:
    """Print rows as CSV on stdout, lists and maps in them as JSON; ``columns`` where there may be no row to tell."""
    import csv as library  # noqa: PLC0415  # only where asked for

    import orjson  # noqa: PLC0415  # likewise

    writer = library.writer(sys.stdout, lineterminator="\n")
    names = columns or (list(rows[0]) if rows else ())
    if names:
        writer.writerow([_on_terminal(name) for name in names])
    for row in rows:
        values = [_jsonable(row[name]) for name in names]
        writer.writerow([
            _on_terminal(orjson.dumps(value, default=str).decode() if isinstance(value, (dict, list)) else value)
            for value in values
        ])  # fmt: skip


def rows(rows: Sequence[Mapping[str, Any]], *, as_json: bool, as_csv: bool, columns: Sequence[str] = ()) -> bool:
    """Print rows for programs if that was asked for, and return whether it was; ``columns`` as for `csv`."""
    if as_json:
        json(rows)
    elif as_csv:
        csv(rows, columns)
    return as_json or as_csv


def _on_terminal(value: Any) -> Any:
    return plain(value) if isinstance(value, str) and sys.stdout.isatty() else value


def _escape(found: re.Match[str]) -> str:
    """Return a character as JSON may write it too: only inside of strings are there any."""
    units = found[0].encode("utf-16-be")
    return "".join(f"\\u{units[place]:02x}{units[place + 1]:02x}" for place in range(0, len(units), 2))


def _jsonable(value: Any) -> Any:  # what a query can return
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_jsonable(item) for item in value]
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, int) and abs(value) >= _JSON_INT:
        return str(value)
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    return value


def table(*names: str) -> Any:  # rich is imported late
    """Return a table without lines, for rows to be added to."""
    from rich.table import Table  # noqa: PLC0415  # 50 ms

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in names:
        made.add_column(name, overflow="fold")
    return made


def bar(share: float) -> str:
    """Return a bar of that share of its full length."""
    return "#" * max(1, round(share * _BAR)) if share > 0 else ""


def state(name: str, message: str) -> str:
    """Return the state of a run, with the beginning of its message if it has one."""
    return f"{name}: {one_line(message)[:80]}" if message else name
