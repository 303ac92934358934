"""Statements of HTTP requests, carried out by the embedded engine."""

from __future__ import annotations

import re
import tempfile
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import chdb
from front_end.native import for_protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

# Parameters of the HTTP interface itself, which are no settings of the engine.
TRANSPORT = frozenset((
    "query", "database", "user", "password", "session_id", "session_timeout", "session_check", "query_id", "quota_key",
    "compress", "decompress", "buffer_size", "client_protocol_version", "default_format", "wait_end_of_query",
    "send_progress_in_http_headers", "role", "http_headers_progress_interval_ms", "enable_http_compression",
))  # fmt: skip
_INSERT = re.compile(r"(\s*INSERT\s+INTO\s.*?)\sFORMAT\s+(\w+)\s*;?\s*", re.IGNORECASE | re.DOTALL)
_FORMAT = re.compile(r"\sFORMAT\s+(\w+)\s*;?\s*\Z", re.IGNORECASE)
_READS = re.compile(r"\s*(?:SELECT|WITH|SHOW|DESC|DESCRIBE|EXISTS|EXPLAIN)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Request:
    """One statement, the rows that go with an insert, and the parameters of the URL."""

    statement: str
    rows: bytes
    arguments: Mapping[str, str]
    default_format: str = "TabSeparated"

    @classmethod
    def of(cls, body: bytes, arguments: Mapping[str, str], default_format: str) -> Request:
        """Tell the statement from the rows: it is in the URL, or the first line of an insert, or the whole body."""
        statement = arguments.get("query", "")
        if _INSERT.fullmatch(statement):
            return cls(statement, body, arguments, default_format)
        line, _, rows = body.partition(b"\n")
        if not statement and _INSERT.fullmatch(line.decode(errors="replace")):
            return cls(line.decode(), rows, arguments, default_format)
        return cls(f"{statement}\n{body.decode()}".strip(), b"", arguments, default_format)

    @property
    def inserts_rows(self) -> bool:
        """Whether it is an insert with rows behind it, not an INSERT ... SELECT."""
        return _INSERT.fullmatch(self.statement) is not None

    @property
    def format(self) -> str:
        """The format of the answer; empty when there is none."""
        if not _READS.match(self.statement):
            return ""
        named = _FORMAT.search(self.statement)
        return named[1] if named else self.default_format


class Engine:
    """The embedded engine; a session for each request, as over HTTP."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = str(directory / "engine")
        self._one_at_a_time = threading.Lock()
        # The engine closes with its last connection.
        self._kept_open = chdb.connect(self._path)

    def answer(self, request: Request) -> bytes:
        """Carry out a request and return the body of the answer; raises what the engine raises."""
        with self._one_at_a_time:
            session = chdb.connect(self._path)
            try:
                for statement in _preparations(request.arguments):
                    session.query(statement)
                if request.inserts_rows:
                    self._insert(session, request)
                    return b""
                parameters = {name[6:]: value for name, value in request.arguments.items() if name.startswith("param_")}
                result = session.query(request.statement, request.default_format, params=parameters)
                body = bytes(result.bytes() or b"")
            finally:
                session.close()
        if request.format == "Native":
            return for_protocol(body, int(request.arguments.get("client_protocol_version", "0")))
        return body if request.format else b""

    def _insert(self, session: chdb.session.Session, request: Request) -> None:
        match = _INSERT.fullmatch(request.statement)
        assert match is not None
        with tempfile.NamedTemporaryFile(dir=self._directory) as file:
            file.write(request.rows)
            file.flush()
            session.query(f"{match[1]} FROM INFILE '{file.name}' FORMAT {match[2]}")


def _preparations(arguments: Mapping[str, str]) -> Iterator[str]:
    """Yield what makes the session that of the request: its database, then its settings."""
    if arguments.get("database"):
        yield f"USE `{arguments['database']}`"
    settings = {name: value for name, value in arguments.items() if name not in TRANSPORT and name[:6] != "param_"}
    # Once a session is read-only it takes no more settings.
    for name in sorted(settings, key=lambda name: name == "readonly"):
        value = settings[name].replace("\\", "\\\\").replace("'", "\\'")
        yield f"SET {name} = '{value}'"
