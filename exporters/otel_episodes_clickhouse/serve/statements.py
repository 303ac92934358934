"""ClickHouse's HTTP interface over the embedded engine: a request is one statement with its parameters and settings."""

from __future__ import annotations

import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from otel_episodes_clickhouse.store import chdb_engine, confinement

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

# Parameters of the HTTP interface itself, which are not settings of the engine.
_TRANSPORT: Final = frozenset((
    "query", "database", "user", "password", "session_id", "session_timeout", "session_check", "query_id", "quota_key",
    "compress", "decompress", "buffer_size", "client_protocol_version", "default_format", "wait_end_of_query",
    "send_progress_in_http_headers", "role", "http_headers_progress_interval_ms", "enable_http_compression",
))  # fmt: skip
_PARAMETER: Final = "param_"
_INSERT: Final = re.compile(r"(\s*INSERT\s+INTO\s.*?)\sFORMAT\s+(\w+)\s*;?\s*", re.IGNORECASE | re.DOTALL)
_FORMAT: Final = re.compile(r"\sFORMAT\s+(\w+)\s*;?\s*\Z", re.IGNORECASE)
_READS: Final = re.compile(r"\s*(?:SELECT|WITH|SHOW|DESC|DESCRIBE|EXISTS|EXPLAIN|CHECK)\b", re.IGNORECASE)
# The one thing that a question can write. `read_only_sql` does not let it pass; who asks past that meets this.
_WRITES: Final = re.compile(r"\bOUTFILE\b", re.IGNORECASE)
_SETTING: Final = re.compile(r"\w+")
# By whether a statement reads: between its blocks it waits, a second at the most, while there are others with a smaller
# number. Who asks does not wait for the jobs: twice to three times as fast beside one that has both processors.
_PRIORITIES: Final = {True: 1, False: 10}
# Statements at once: what one command asks does not wait for what a job takes long over.
_THREADS: Final = 16


class StatementError(Exception):
    """A statement that is not carried out; the message has a code, as the engine's own have."""


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

    @property
    def parameters(self) -> dict[str, str]:
        """What stands in the statement's places, by name."""
        size = len(_PARAMETER)
        return {name[size:]: value for name, value in self.arguments.items() if name.startswith(_PARAMETER)}

    @property
    def settings(self) -> dict[str, str]:
        """What is set for this statement alone."""
        return {
            name: value
            for name, value in self.arguments.items()
            if name not in _TRANSPORT and not name.startswith(_PARAMETER)
        }

    @property
    def is_read_only(self) -> bool:
        """Whether it may change nothing."""
        return self.settings.get("readonly", "0") != "0"


class Engine:
    """The embedded engine of a directory, which answers several requests at once, each in a session of its own.

    It runs in threads that have given up sockets and other programs for good, and so do the threads that it starts.
    """

    def __init__(self, path: Path, temporary: Path) -> None:
        self._path = str(path)
        self._temporary = temporary
        self._idle: dict[bool, SimpleQueue[Any]] = {reads: SimpleQueue() for reads in _PRIORITIES}
        self._threads = ThreadPoolExecutor(_THREADS, "engine", initializer=confinement.forbid_calls)
        self._kept_open = self._threads.submit(self._open).result()

    def answer(self, request: Request) -> bytes:
        """Carry out a request and return the body of the answer; raise what the engine raises."""
        return self._threads.submit(self._answer, request).result()

    def close(self) -> None:
        """Wait for what is under way, and close the engine."""
        self._threads.submit(self._close).result()
        self._threads.shutdown()

    def _open(self) -> Any:
        with chdb_engine.signals_kept():
            chdb_engine.load()
            # The engine closes with its last connection.
            return self._connect(reads=True)

    def _connect(self, *, reads: bool) -> Any:
        import chdb  # noqa: PLC0415  # behind the walls

        session = chdb.connect(self._path)
        for name, value in {**chdb_engine.SETTINGS, "priority": _PRIORITIES[reads]}.items():
            session.query(f"SET {name} = {value}")
        return session

    def _answer(self, request: Request) -> bytes:
        if request.is_read_only and _WRITES.search(request.statement):
            raise StatementError("Code: 164. DB::Exception: OUTFILE is not a word of a question, nor may a name be it")
        session = self._session(request)
        with ExitStack() as failed:
            # The next answer on it would be what this one has left behind.
            failed.callback(session.close)
            if request.inserts_rows:
                self._insert(session, request)
                body = b""
            else:
                result = session.query(request.statement, request.default_format, params=request.parameters)
                body = bytes(result.bytes() or b"") if request.format else b""
            failed.pop_all()
        self._let_go(session, request)
        return body

    def _session(self, request: Request) -> Any:
        """Return a session with the database and the settings of a request."""
        preparations = list(_preparations(request))
        if not preparations:
            try:
                return self._idle[bool(request.format)].get_nowait()
            except Empty:
                pass
        session = self._connect(reads=bool(request.format))
        with ExitStack() as failed:
            failed.callback(session.close)
            for statement in preparations:
                session.query(statement)
            failed.pop_all()
        return session

    def _let_go(self, session: Any, request: Request) -> None:
        plain = not request.settings and not request.arguments.get("database")
        # What SET or USE may have left behind is not for the next.
        idle = self._idle[bool(request.format)]
        if plain and (request.format or request.inserts_rows) and idle.qsize() < _THREADS:
            idle.put(session)
        else:
            session.close()

    def _insert(self, session: Any, request: Request) -> None:
        match = _INSERT.fullmatch(request.statement)
        assert match is not None  # noqa: S101  # see inserts_rows
        with tempfile.NamedTemporaryFile(dir=self._temporary) as file:
            file.write(request.rows)
            file.flush()
            session.query(f"{match[1]} FROM INFILE '{file.name}' FORMAT {match[2]}")

    def _close(self) -> None:
        for idle in self._idle.values():
            while not idle.empty():
                idle.get_nowait().close()
        self._kept_open.close()


def _preparations(request: Request) -> Iterator[str]:
    """Yield what makes the session that of the request: its database, then its settings."""
    if database := request.arguments.get("database"):
        yield f"USE `{database.replace('`', '')}`"
    settings = request.settings
    # Once a session is read-only it takes no more settings.
    for name in sorted(settings, key=lambda name: name == "readonly"):
        if not _SETTING.fullmatch(name):
            raise StatementError(f"Code: 115. DB::Exception: {name!r} is not a setting")
        value = settings[name].replace("\\", "\\\\").replace("'", "\\'")
        yield f"SET {name} = '{value}'"
