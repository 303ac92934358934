"""One open store: the embedded engine's directory, or a database on a server.

Opening the embedded engine takes a lock of our own first, since a second process would get an empty error message
from the engine. Reading happens on a connection of its own that is thrown away after any error: the engine answers
the next statement on such a connection with what the failed one left behind.
"""

from __future__ import annotations

import logging
import os
import re
from contextlib import nullcontext
from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NoReturn

from otel_episodes_clickhouse import sql
from otel_episodes_clickhouse.errors import (
    DataError,
    MissingDatabaseError,
    NewerStoreError,
    QueryError,
    StoreError,
    StoreLockedError,
    StoreUnavailableError,
)
from otel_episodes_clickhouse.schema import migrations
from otel_episodes_clickhouse.spool import drain as draining
from otel_episodes_clickhouse.spool.directory import make_directory
from otel_episodes_clickhouse.spool.locks import ProcessLock
from otel_episodes_clickhouse.spool.row import COLUMNS, Row
from otel_episodes_clickhouse.store import chdb_engine, confined_sql, read_only_sql
from otel_episodes_clickhouse.store.confined_sql import Result
from otel_episodes_clickhouse.store.connections import Connections
from otel_episodes_clickhouse.store.insert import InsertBody

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import TracebackType
    from typing import Self, TypeVar

    from clickhouse_connect.driver.client import Client
    from clickhouse_connect.driver.query import QueryResult

    from otel_episodes_clickhouse.config import Target
    from otel_episodes_clickhouse.schema.ddl import Layout

    Answer = TypeVar("Answer")

logger = logging.getLogger(__name__)

# Times as integer nanoseconds: Python's datetime ends at microseconds.
_NANOSECONDS: Final = {"DateTime64*": "int"}
_CONNECT_SECONDS: Final = 5
_ANSWER_SECONDS: Final = 300
# A server that has just woken up is asked for its version.
_OPENING_SECONDS: Final = 30
# Of what a server says about an error.
_MESSAGE_LENGTH: Final = 4000

# One INSERT is one block, whatever its size and however many days it spans: only then does a repeated insert have
# the same parts, and its token removes all of them. async_insert would drop the token in most versions. What is in one
# insert twice is collapsed by FINAL and by merges; to do that at once as well would cost a tenth of the insert.
_INSERT_SETTINGS: Final[dict[str, Any]] = {
    "async_insert": 0,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    "input_format_parallel_parsing": 0,
    "insert_deduplicate": 1,
    "max_insert_block_size": 1_000_000,
    "max_insert_threads": 1,
    "max_partitions_per_insert_block": 0,
    "min_insert_block_size_bytes": 0,
    "min_insert_block_size_rows": 1_000_000,
    "optimize_on_insert": 0,
}

# What ClickHouse answers when the values of an insert are at fault: CANNOT_PARSE_*, INCORRECT_DATA, overflows,
# arrays of unequal length, a constraint someone put on the table, and the like.
_DATA_CODES: Final = frozenset((
    6, 25, 26, 27, 32, 33, 38, 41, 53, 69, 70, 72, 117, 130, 131, 190, 321, 349, 407, 441, 467, 469, 631, 675, 676,
))  # fmt: skip
# Not now rather than no: disk full, too many parts, memory, overload, time limits, network between replicas, replica
# read-only, quorum missed, session of keeper lost.
_UNAVAILABLE_CODES: Final = frozenset((
    74, 75, 76, 159, 160, 173, 198, 202, 203, 209, 210, 225, 236, 241, 242, 243, 252, 279, 285, 286, 289, 319, 394, 439,
    473, 745, 999,
))  # fmt: skip
# The same without a word from ClickHouse: somebody in between.
_UNAVAILABLE_STATUSES: Final = frozenset((408, 425, 429))
_SERVER_ERROR: Final = 500
_TOO_LARGE: Final = 413
# What an account that may not read the catalogue, or may only read, is told.
_READ_ONLY_ACCOUNT: Final = 164
_NOT_ALLOWED: Final = frozenset((_READ_ONLY_ACCOUNT, 497))
_LOGIN: Final = "refuses the login: check user and password (in the DSN, OTEL_EPISODES_PASSWORD or password_file)"
# What to do about the errors that only a person can mend.
_FIXES: Final = {
    60: "lacks a table: make it with `otel-episodes migrate`",
    81: "has no such database: make it with `otel-episodes migrate`, or CREATE DATABASE",
    115: "does not know a setting that is needed: it is too old, or an option ch_... of the DSN is misspelt",
    164: "lets this account only read: take one that may insert",
    192: _LOGIN,
    193: _LOGIN,
    194: _LOGIN,
    497: "does not give this account the rights that are needed: grant it SELECT and INSERT on the database",
    516: _LOGIN,
}
_PREFIX: Final = re.compile(r"^Received ClickHouse exception, code: \d+, server response: ")
_FORGET_TOKENS: Final = (
    "forget_tokens_trace_ids", "forget_tokens_steps", "forget_tokens_roots",
    "keep_tokens_trace_ids", "keep_tokens_steps", "keep_tokens_roots",
)  # fmt: skip
# Their ids go into the address of a request, which proxies cut.
_TRACES_AT_ONCE: Final = 50
_SUBSECOND: Final = re.compile(r"(?:Nullable\()?DateTime64\((\d)")
_UNKNOWN_DATABASE: Final = 81


class Store:
    """An open store; a context manager. One thread at a time.

    Never fork a process that has the embedded store open: the child would hang on its first statement.
    """

    def __init__(self, target: Target, lock: ProcessLock | None, *, read_only: bool) -> None:
        self.target = target
        self.read_only = read_only
        self._lock = lock
        self._writer: Client | None = None
        self._reader: Client | None = None
        self._connections: Connections | None = None
        self._migrated = False

    @classmethod
    def open(
        cls, target: Target, *, wait_seconds: float = 30.0, read_only: bool = False, locked: bool = False
    ) -> Store:
        """Connect, waiting that long for another process to let go of the embedded store.

        ``read_only`` refuses `migrate`, `insert_rows` and `drain` on this store; ``locked`` leaves the lock to the
        process that started this one. Raises `StoreLockedError`, or `StoreUnavailableError` when there is no answer.
        """
        lock = _lock(target, wait_seconds) if target.embedded and not locked else None
        store = cls(target, lock, read_only=read_only)
        try:
            store._writer = store._connect()
        except BaseException:
            store.close()
            raise
        return store

    @property
    def asking_since(self) -> float:
        """When the request was sent that a server has not answered yet (time.monotonic); 0 when there is none."""
        return self._connections.asking_since if self._connections is not None else 0.0

    def close(self) -> None:
        """Close the connections, then release the lock; harmless when repeated."""
        self._close_connections()
        if self._connections is not None:
            self._connections.clear()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _close_connections(self) -> None:
        for client in (self._reader, self._writer):
            if client is not None:
                client.close()
        self._reader = self._writer = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- tables ----------------------------------------------------------------------------------------------------

    @classmethod
    def create_database(cls, target: Target) -> None:
        """Create the database of a server's DSN if there is none; the embedded engine has always one."""
        if target.embedded:
            return
        # Every server has this one, and every account may connect to it.
        with cls.open(replace(target, database="system")) as server:
            server.execute(sql.named("create_database"), {"database": target.database})

    def migrate(self, layout: Layout | None = None) -> migrations.Migration:
        """Create the tables and views that are missing and update the others (see `schema.migrate`)."""
        self._refuse_when_read_only("migrate")
        migration = migrations.migrate(self, layout)
        self._migrated = True
        return migration

    def prepare(self) -> None:
        """Migrate unless the store is up to date; an account that may not look finds out by inserting.

        A store that a newer version made is used as it is.
        """
        try:
            if not self._migrated and not migrations.is_current(self):
                self.migrate()
        except NewerStoreError as error:
            # otel_traces takes the same rows in every version: recording goes on.
            logger.warning("%s", error)
        except QueryError as error:
            if error.code not in _NOT_ALLOWED:
                raise
        self._migrated = True

    def drain(self, *, wait_seconds: float = 30.0) -> draining.DrainReport:
        """Bring in what processes have recorded so far (see `drain.drain`), creating the tables first if need be."""
        self._refuse_when_read_only("drain")
        self.prepare()
        return draining.drain(self, self.target.spool, wait_seconds=wait_seconds)

    def insert_rows(self, batch: Iterable[Row], *, token: str | None = None) -> int:
        """Insert rows into ``otel_traces`` and return how many.

        The same rows under the same ``token`` a second time add nothing, there and in the tables filled from there.
        Raises `DataError` when a value is at fault.
        """
        body = InsertBody(self.target)
        for _ in body.add(batch):
            pass
        return self.insert_body(body, token=token)

    def insert_body(self, body: InsertBody, *, token: str | None = None) -> int:
        """Insert the rows of a body; see `insert_rows`."""
        self._refuse_when_read_only("insert")
        if not body.rows:
            return 0
        wanted = dict(_INSERT_SETTINGS, insert_deduplication_token=token) if token else _INSERT_SETTINGS
        content, encoding = body.finish()
        deadline = self._connections.deadline(self.target.insert_seconds) if self._connections else nullcontext()
        with deadline:
            self._write(
                lambda client: client.raw_insert(
                    "otel_traces",
                    COLUMNS,
                    content,
                    settings=needed_settings(client.server_settings, wanted),
                    fmt=body.FORMAT,
                    compression=encoding,
                )
            )
        return body.rows

    def mend(self) -> None:
        """Let a repeated insert fill the tables that views fill, where this process alone writes to the store."""
        if self.target.embedded:
            for name in _FORGET_TOKENS:
                self.execute(sql.named(name))

    def missing_rows(self, batch: Sequence[Row]) -> list[Row]:
        """Return the rows whose spans are not in ``otel_traces``; none where the engine can be relied on to keep them.

        For after an insert whose end nobody saw, see ``recovery.sql``.
        """
        if not self.query_named("tokens_may_lie")[0]["Tables"]:
            return []
        missing = []
        for part in _in_traces(batch):
            times = [row.timestamp for row in part]
            found = self.query_named(
                "stored_spans",
                {"first": min(times), "last": max(times), "traces": sorted({row.trace_id for row in part})},
            )
            stored = {(span["TraceId"], span["SpanId"]) for span in found}
            missing += [row for row in part if (row.trace_id, row.span_id) not in stored]
        return missing

    def execute(self, statement: sql.Statement, parameters: Mapping[str, Any] | None = None) -> None:
        """Run a statement of ours that returns no rows: DDL, or an INSERT ... SELECT of a job."""
        self._refuse_when_read_only(statement.name)
        self._write(lambda client: client.command(statement.text, parameters=dict(parameters or {})))

    # --- reading ---------------------------------------------------------------------------------------------------

    def query(self, statement: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Run a statement of ours and return its rows; DateTime64 values are integer nanoseconds."""
        result = self._read(
            lambda client: client.query(statement, parameters=dict(parameters or {}), query_formats=_NANOSECONDS)
        )
        factors = [_to_nanoseconds(kind.name) for kind in result.column_types]
        return [
            {
                name: value if factor == 1 or value is None else value * factor
                for name, value, factor in zip(result.column_names, row, factors, strict=True)
            }
            for row in result.result_rows
        ]

    def query_named(self, name: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Run the statement of that name from ``sql/queries`` or ``sql/jobs`` and return its rows."""
        return self.query(sql.named(name).text, parameters)

    def sql(self, text: str, parameters: Mapping[str, Any] | None = None, *, read_only: bool = True) -> Result:
        """Run a user's own SQL: unless told otherwise a question to this store, which can change and reach nothing.

        The embedded engine is closed meanwhile, and asked in a process of its own (see `confined_sql`).
        """
        text = text.strip().rstrip(";")
        given = _used(text, parameters or {})
        if not read_only:
            self._refuse_when_read_only("change anything")
            return _result(self._write(lambda client: client.query(text, given)))
        if not self.target.embedded:
            return self.sql_here(text, given)
        self._close_connections()
        return confined_sql.ask(self.target, text, given, locked=True).result

    def sql_here(self, text: str, parameters: Mapping[str, Any]) -> Result:
        """Ask a user's question in this process, where only the first wall and the engine's own mode stand."""
        text = text.strip().rstrip(";")
        given = _used(text, parameters)
        read_only_sql.check(self, text, given)
        return _result(self._read_only(text, given))

    def columns_of(self, select: str) -> dict[str, str]:
        """Return the columns and types of a SELECT of a user's that `read_only_sql.check_select` let pass.

        In read-only mode the engine itself refuses tables that are files or addresses, which in a view it would take.
        """
        return {str(row[0]): str(row[1]) for row in self._read_only(f"DESCRIBE (\n{select}\n)", {}).result_rows}

    def syntax_tree(self, text: str, parameters: Mapping[str, Any]) -> list[str]:
        """Return the lines of EXPLAIN AST for one statement of a user's, which is parsed and not run."""
        # The engine takes the statement of a tree as text only. No format is asked for: that would be the statement's.
        given = dict(parameters)
        answer = self._read(lambda client: client.raw_query(f"EXPLAIN AST {text}", parameters=given))
        return answer.decode(errors="replace").rstrip("\n").split("\n")

    def _read_only(self, text: str, parameters: dict[str, Any]) -> QueryResult:
        if not self.target.embedded:
            return self._read(lambda client: client.query(text, parameters, settings={"readonly": 1}))
        client = self._connect()
        try:
            client.command(sql.named("be_read_only").text)
            return self._attempt(client, lambda ready: ready.query(text, parameters))
        finally:
            client.close()

    # --- connections -----------------------------------------------------------------------------------------------

    def _connect(self) -> Client:
        if self.target.embedded:
            with chdb_engine.signals_kept():
                chdb_engine.load()
                return self._client(self.target.client_arguments())
        if self._connections is None:
            seconds = float(self.target.option("send_receive_timeout", str(_ANSWER_SECONDS)))
            self._connections = Connections(self.target, seconds=seconds)
        defaults = {"connect_timeout": _CONNECT_SECONDS, "send_receive_timeout": _ANSWER_SECONDS}
        # Sessions would forbid two statements at once, and nothing here needs one.
        own = {"autogenerate_session_id": False, "pool_mgr": self._connections}
        with self._connections.deadline(_OPENING_SECONDS):
            return self._client({**defaults, **self.target.client_arguments(), **own})

    def _client(self, arguments: dict[str, Any]) -> Client:
        import clickhouse_connect  # noqa: PLC0415  # 0.3 s: not for those who only record

        try:
            return clickhouse_connect.get_client(**arguments)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is ours to explain
            self._explain(error, connecting=True)

    def _write(self, ask: Callable[[Client], Answer]) -> Answer:
        client = self._writer or self._connect()
        # Kept only if all goes well; so below, and `_attempt` closes it otherwise.
        self._writer = None
        answer = self._attempt(client, ask)
        self._writer = client
        return answer

    def _read(self, ask: Callable[[Client], Answer]) -> Answer:
        if not self.target.embedded:
            return self._write(ask)
        client = self._reader or self._connect()
        self._reader = None
        answer = self._attempt(client, ask)
        self._reader = client
        return answer

    def _attempt(self, client: Client, ask: Callable[[Client], Answer]) -> Answer:
        """Ask, and on any error close the connection: the embedded engine's next answer on it would be a false one."""
        try:
            return ask(client)
        except Exception as error:  # noqa: BLE001  # the client raises urllib3's, OSError and its own
            client.close()
            self._explain(error)

    def _explain(self, error: Exception, *, connecting: bool = False) -> NoReturn:
        from clickhouse_connect.driver import exceptions  # noqa: PLC0415  # see _connect

        if isinstance(error, StoreError):
            raise error
        message = self.target.without_secrets(_PREFIX.sub("", str(error)))[:_MESSAGE_LENGTH]
        # A secret in it must not come back with a traceback.
        cause = error if message in str(error) else None
        code = getattr(error, "code", None)
        status = self._connections.status if self._connections and not code else 0
        if connecting and self.target.embedded:
            raise StoreUnavailableError(
                f"cannot open {self.target}: {message}. Is another program using that directory, or another "
                "chdb:// path in this process? The engine takes one of each"
            ) from cause
        if code == _UNKNOWN_DATABASE and connecting:
            raise MissingDatabaseError(
                f"{self.target} names a database the server does not have: create it with `otel-episodes migrate`",
                code=code,
            ) from cause
        if code in _DATA_CODES or status == _TOO_LARGE:
            raise DataError(message, code=code) from cause
        if code in _FIXES and not self.target.embedded:
            raise QueryError(f"{self.target} {_FIXES[code]} ({message})", code=code) from cause
        refused = isinstance(error, exceptions.Error) and (code or not isinstance(error, exceptions.OperationalError))
        away = code in _UNAVAILABLE_CODES or status >= _SERVER_ERROR or status in _UNAVAILABLE_STATUSES
        if refused and not away:
            raise QueryError(message, code=code) from cause
        retry_after = self._connections.retry_after if self._connections else None
        what = "does not take it now" if code or status else "does not answer"
        raise StoreUnavailableError(f"{self.target} {what}: {message}", retry_after=retry_after) from cause

    def _refuse_when_read_only(self, doing: str) -> None:
        if self.read_only:
            raise StoreError(f"cannot {doing}: this store was opened read-only")


def needed_settings(server: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that have to be sent because the account's are others.

    Raises `StoreUnavailableError` when the account may not change one of them; without it a repeated insert could be
    stored twice.
    """
    needed = {
        name: value
        for name, value in wanted.items()
        if (found := server.get(name)) is None or str(found.value) != str(value)
    }
    fixed = [name for name in needed if name in server and server[name].readonly]
    if fixed and "readonly" in server and server["readonly"].value == "1":
        raise QueryError(f"this server {_FIXES[_READ_ONLY_ACCOUNT]}", code=_READ_ONLY_ACCOUNT)
    if fixed:
        said = ", ".join(f"{name} = {server[name].value}" for name in fixed)
        change = ", ".join(f"{name} = {needed[name]}" for name in fixed)
        raise StoreUnavailableError(
            f"the account's profile fixes {said}, and inserts that can be repeated need {change}: set it so in the "
            "profile, or let the account change it (ALTER SETTINGS PROFILE ... CHANGEABLE_IN_READONLY)",
            lasting=True,
        )
    return needed


def _used(text: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that are in a statement: without any, the client would replace %(name)s by itself."""
    return {name: value for name, value in parameters.items() if re.search(rf"\{{{re.escape(name)}:", text)}


def _in_traces(batch: Sequence[Row]) -> Iterator[list[Row]]:
    """Split rows so that each list has few enough trace ids for one statement's parameters, and all of its traces."""
    ordered = sorted(batch, key=attrgetter("trace_id"))
    part: list[Row] = []
    traces: set[str] = set()
    for row in ordered:
        if len(traces) == _TRACES_AT_ONCE and row.trace_id not in traces:
            yield part
            part, traces = [], set()
        part.append(row)
        traces.add(row.trace_id)
    if part:
        yield part


def _lock(target: Target, wait_seconds: float) -> ProcessLock:
    path = target.path
    assert path is not None  # noqa: S101  # embedded targets have one
    lock = ProcessLock(path / "otel-episodes.lock")
    try:
        make_directory(path)
        owner = path.stat().st_uid
        if owner and os.geteuid() == 0:
            raise StoreError(
                f"{path} belongs to user {owner}, and the engine's files would be root's: run this as that user "
                f"(sudo -u '#{owner}' otel-episodes ...)"
            )
        taken = lock.acquire(wait_seconds=wait_seconds)
    except OSError as error:
        raise StoreUnavailableError(f"cannot write to {path}: {error.strerror}") from error
    if not taken:
        raise StoreLockedError(
            f"{target} is in use by {lock.holder()}: wait for it, end it, or use a ClickHouse server "
            "(OTEL_EPISODES_DSN), which takes many at once"
        )
    return lock


def _to_nanoseconds(type_name: str) -> int:
    # clickhouse-connect returns such a column as its ticks: milliseconds for DateTime64(3).
    scale = _SUBSECOND.match(type_name)
    return 10 ** (9 - int(scale[1])) if scale else 1


def _result(answer: QueryResult) -> Result:
    types = tuple(str(kind.name) for kind in answer.column_types)
    return Result(tuple(answer.column_names), types, [tuple(row) for row in answer.result_rows])
