"""Statements kept in ``.sql`` files.

Each begins with a line ``-- name: <name>`` and ends where the next begins. Parameters are ClickHouse's own,
``{name:Type}`` and ``{name:Identifier}``; no statement is put together in Python. Lines in the comment above a
statement mark it: ``-- optional`` may be refused without harm (a server where we may not change settings),
``-- shared`` makes what a collector makes too and is therefore never altered, ``-- derived`` makes a table that our own
jobs can fill again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

_HEADER: Final = re.compile(r"^-- name: *(\w+) *$", re.MULTILINE)
_MARKS: Final = re.compile(r"^-- (optional|shared|derived)\b", re.MULTILINE)
_CREATES: Final = re.compile(r"^CREATE ", re.MULTILINE)
_COMMENTS: Final = re.compile(r"\A(?:\s*--[^\n]*\n)*\s*")
# What stands before the next statement's name belongs to that one.
_NEXT: Final = re.compile(r"(?:\s*^--[^\n]*)*\s*\Z", re.MULTILINE)


@dataclass(frozen=True)
class Statement:
    """One SQL statement, without its comment header and its semicolon."""

    name: str
    text: str
    optional: bool = False
    shared: bool = False
    derived: bool = False

    @property
    def creates(self) -> bool:
        """Whether it creates the table or view it is named after."""
        return _CREATES.match(self.text) is not None


def parse(text: str) -> tuple[Statement, ...]:
    """Split the text of a ``.sql`` file into its named statements."""
    pieces = _HEADER.split(text)
    return tuple(_statement(name, body) for name, body in zip(pieces[1::2], pieces[2::2], strict=True))


@cache
def folder(name: str) -> tuple[Statement, ...]:
    """Return the statements of all files of a folder of ``sql/``, in the order of the file names."""
    directory = resources.files("otel_episodes_clickhouse") / "sql" / name
    if not directory.is_dir():
        return ()
    files = sorted((file for file in directory.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    return tuple(statement for file in files for statement in parse(file.read_text(encoding="utf-8")))


def named(name: str) -> Statement:
    """Return the statement of that name from ``sql/queries`` or ``sql/jobs``; raise LookupError when there is none."""
    for group in ("queries", "jobs"):
        for statement in folder(group):
            if statement.name == name:
                return statement
    raise LookupError(f"no statement {name!r} in sql/queries or sql/jobs")


def _statement(name: str, body: str) -> Statement:
    comments = _COMMENTS.match(body)
    start = comments.end() if comments else 0
    text = _NEXT.sub("", body[start:], count=1).rstrip(";").rstrip()
    return Statement(name, text, **dict.fromkeys(_MARKS.findall(body[:start]), True))
