"""Statements kept in ``.sql`` files.

Each begins with a line ``-- name: <name>`` and ends where the next begins. Parameters are ClickHouse's own,
``{name:Type}`` and ``{name:Identifier}``; no statement is put together in Python. Lines in the comment above a
statement mark it: ``-- optional`` may be refused without harm (a server where we may not change settings),
``-- shared`` makes what a collector makes too and is therefore never altered, ``-- derived`` makes a table that our own
jobs can fill again, ``-- when: <table>`` is run only where there is that table.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

_HEADER: Final = re.compile(r"^-- name: *(\w+) *$", re.MULTILINE)
_MARKS: Final = re.compile(r"^-- (optional|shared|derived)\b", re.MULTILINE)
_WHEN: Final = re.compile(r"^-- when: *(\w+) *$", re.MULTILINE)
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
    when: str = ""

    @property
    def creates(self) -> bool:
        """Whether it creates the table or view it is named after."""
        return _CREATES.match(self.text) is not None


def parse(text: str) -> tuple[Statement, ...]:
    """Split the text of a ``.sql`` file into its named statements."""
    pieces = _HEADER.split(text)
    return tuple(_statement(name, body) for name, body in zip(pieces[1::2], pieces[2::2], strict=True))


@cache
def files(folder: str) -> tuple[tuple[str, str], ...]:
    """Return name and text of the files of a folder of ``sql/``, in the order of the names."""
    directory = resources.files("otel_episodes_clickhouse") / "sql" / folder
    if not directory.is_dir():
        return ()
    found = sorted((file for file in directory.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    return tuple((file.name, file.read_text(encoding="utf-8")) for file in found)


@cache
def folder(name: str) -> tuple[Statement, ...]:
    """Return the statements of all files of a folder of ``sql/``, in the order of the file names."""
    return tuple(statement for _, text in files(name) for statement in parse(text))


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
    when = _WHEN.search(body[:start])
    return Statement(name, text, when=when[1] if when else "", **dict.fromkeys(_MARKS.findall(body[:start]), True))
