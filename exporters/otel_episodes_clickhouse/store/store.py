"""One open store: the embedded engine's directory, or a database on a server."""

from __future__ import annotations

import logging
import re
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from otel_episodes_clickhouse import sql
from otel_episodes_clickhouse.errors import (
    NewerStoreError,
    QueryError,
    SchemaError,
    StoreError,
    StoreUnavailableError,
)
from otel_episodes_clickhouse.schema import migrations, source
from otel_episodes_clickhouse.spool import drain as draining
from otel_episodes_clickhouse.spool.row import COLUMNS
from otel_episodes_clickhouse.store import chdb_engine, confined_sql, forgotten, read_only_sql, recovery
from otel_episodes_clickhouse.store.clients import Clients
from otel_episodes_clickhouse.store.failures import READ_ONLY_ACCOUNT
from otel_episodes_clickhouse.store.insert import INSERT_SETTINGS, LOG_COLUMNS, InsertBody, needed_settings
from otel_episodes_clickhouse.store.results import NANOSECONDS, result_of, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from clickhouse_connect.driver.client import Client
    from clickhouse_connect.driver.query import QueryResult

    from otel_episodes_clickhouse.config import Target
    from otel_episodes_clickhouse.schema.ddl import Layout
    from otel_episodes_clickhouse.spool.locks import ProcessLock
    from otel_episodes_clickhouse.spool.row import Row
    from otel_episodes_clickhouse.store.confined_sql import Result

logger = logging.getLogger(__name__)

# What an account that may not read the catalogue, or may only read, is told.
_NOT_ALLOWED: Final = frozenset((READ_ONLY_ACCOUNT, 497))
_SERVED_DRAIN_SECONDS: Final = 0.25


class Store:
    """An open store; a context manager. One thread at a time.

    Never fork a process that has the embedded store open: the child would hang on its first statement.
    """

    def __init__(self, target: Target, lock: ProcessLock | None, *, read_only: bool, served: bool = False) -> None:
        self.target = target
        self.read_only = read_only
        # Whether another process has the embedded store open, and answers for it.
        self.served = served
        self._lock = lock
        self._clients = Clients(target, served=served)
        self._migrated = False

    @classmethod
    def open(
        cls, target: Target, *, wait_seconds: float = 30.0, read_only: bool = False, locked: bool = False
    ) -> Store:
        """Connect, waiting that long for another process to let go of the embedded store, or to answer for it.

        ``read_only`` refuses `migrate`, `insert_rows` and `drain` on this store; ``locked`` leaves the lock to the
        process that started this one. Raises `StoreLockedError`, or `StoreUnavailableError` when there is no answer.
        """
        locks = target.embedded and not locked
        lock = chdb_engine.lock(target, wait_seconds) if locks else None
        store = cls(target, lock, read_only=read_only, served=locks and lock is None)
        with ExitStack() as failed:
            failed.callback(store.close)
            store._clients.open()
            failed.pop_all()
        return store

    @property
    def asking_since(self) -> float:
        """When the request was sent that a server has not answered yet (time.monotonic); 0 when there is none."""
        return self._clients.asking_since

    def close(self) -> None:
        """Close the connections, then release the lock; harmless when repeated."""
        self._clients.clear()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

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

    def read_from(self, name: str) -> int:
        """Read the spans of a table that is not ours from now on, and return how many were there already."""
        self._refuse_when_read_only("read from another table")
        database, table = source.parsed(name)
        asked = {"database": database, "table": table}
        engines = self.query_named("source_engine", asked)
        if not engines:
            raise SchemaError(f"there is no table {name}")
        columns = {row["Name"]: row["Type"] for row in self.query_named("source_columns", asked)}
        other = source.source(name, columns, engines[0]["Database"], engines[0]["Engine"])
        before = self.query_named("count_spans")[0]["Spans"]
        for statement in other.statements():
            self.execute(statement)
        return int(self.query_named("count_spans")[0]["Spans"] - before)

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
        if self.served:
            # The process that has it takes in what is recorded, all the time.
            wait_seconds = min(wait_seconds, _SERVED_DRAIN_SECONDS)
        report = draining.drain(self, self.target.spool, wait_seconds=wait_seconds)
        forgotten.sweep(self)
        return report

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
        content, encoding = body.finish()
        self._insert("otel_traces", COLUMNS, content, token, encoding)
        return body.rows

    def insert_log_records(self, lines: bytes, *, token: str) -> None:
        """Insert lines of JSONCompactEachRow into ``otel_logs``; a second time under the same token adds nothing."""
        self._refuse_when_read_only("insert")
        self._insert("otel_logs", LOG_COLUMNS, lines, token, None)

    def _insert(
        self, table: str, columns: Sequence[str], content: bytes, token: str | None, encoding: str | None
    ) -> None:
        wanted = dict(INSERT_SETTINGS, insert_deduplication_token=token) if token else INSERT_SETTINGS
        with self._clients.deadline(self.target.insert_seconds):
            self._clients.write(
                lambda client: client.raw_insert(
                    table,
                    columns,
                    content,
                    settings=needed_settings(client.server_settings, wanted),
                    fmt=InsertBody.FORMAT,
                    compression=encoding,
                )
            )

    def mend(self) -> None:
        """Let a repeated insert fill the tables that views fill, where this process alone writes to the store."""
        recovery.forget_tokens(self)

    def missing_rows(self, batch: Sequence[Row]) -> list[Row]:
        """Return the rows whose spans are not in ``otel_traces``; none where the engine can be relied on to keep them.

        For after an insert whose end nobody saw, see ``recovery.sql``.
        """
        return recovery.missing_rows(self, batch)

    def execute(self, statement: sql.Statement, parameters: Mapping[str, Any] | None = None) -> None:
        """Run a statement of ours that returns no rows: DDL, or an INSERT ... SELECT of a job."""
        self._refuse_when_read_only(statement.name)
        self._clients.write(lambda client: client.command(statement.text, parameters=dict(parameters or {})))

    # --- reading ---------------------------------------------------------------------------------------------------

    def query(self, statement: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Run a statement of ours and return its rows; DateTime64 values are integer nanoseconds."""
        given = dict(parameters or {})
        return rows_of(self._clients.read(lambda client: client.query(statement, given, query_formats=NANOSECONDS)))

    def query_named(self, name: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Run the statement of that name from ``sql/queries`` or ``sql/jobs`` and return its rows."""
        return self.query(sql.named(name).text, parameters)

    def is_granted(self, name: str) -> bool:
        """Return what the CHECK GRANT of that name says, which the client takes for a command, not for a question."""
        return str(self._clients.read(lambda client: client.command(sql.named(name).text))).strip() == "1"

    def sql(self, text: str, parameters: Mapping[str, Any] | None = None, *, read_only: bool = True) -> Result:
        """Run a user's own SQL: unless told otherwise a question to this store, which can change and reach nothing.

        An embedded engine here is closed meanwhile, and asked in a process of its own (see `confined_sql`).
        """
        text = text.strip().rstrip(";")
        given = _used(text, parameters or {})
        if not read_only:
            self._refuse_when_read_only("change anything")
            return result_of(self._clients.write(lambda client: client.query(text, given)))
        if self.served or not self.target.embedded:
            return self.sql_here(text, given)
        self._clients.close()
        return confined_sql.ask(self.target, text, given, locked=True).result

    def sql_here(self, text: str, parameters: Mapping[str, Any]) -> Result:
        """Ask a user's question in this process, where only the first wall and the engine's own mode stand."""
        text = text.strip().rstrip(";")
        given = _used(text, parameters)
        read_only_sql.check(self, text, given)
        try:
            return result_of(self._read_only(text, given))
        except StoreUnavailableError as error:
            raise read_only_sql.limited(error) or error from error

    def columns_of(self, select: str) -> dict[str, str]:
        """Return the columns and types of a SELECT of a user's that `read_only_sql.check_select` let pass.

        In read-only mode the engine itself refuses tables that are files or addresses, which in a view it would take.
        """
        return {str(row[0]): str(row[1]) for row in self._read_only(f"DESCRIBE (\n{select}\n)", {}).result_rows}

    def syntax_tree(self, text: str, parameters: Mapping[str, Any]) -> list[str]:
        """Return the lines of EXPLAIN AST for one statement of a user's, which is parsed and not run."""
        # The engine takes the statement of a tree as text only. No format is asked for: that would be the statement's.
        given = dict(parameters)
        answer = self._clients.read(lambda client: client.raw_query(f"EXPLAIN AST {text}", parameters=given))
        return answer.decode(errors="replace").rstrip("\n").split("\n")

    def _read_only(self, text: str, parameters: dict[str, Any]) -> QueryResult:
        if not self.target.embedded:
            # An account that may only read may not say so either.
            return self._clients.read(
                lambda client: client.query(text, parameters, settings=_read_only_settings(client.server_settings))
            )
        settings = {**read_only_sql.LIMITS, "readonly": 1}
        if self.served:
            return self._clients.read(lambda client: client.query(text, parameters, settings=settings))

        def ask(client: Client) -> QueryResult:
            # On a handle of its own: there is no way back from the last of them, which is the point.
            for name, value in settings.items():
                client.set_client_setting(name, value)
            return client.query(text, parameters)

        return self._clients.ask_apart(ask)

    def _refuse_when_read_only(self, doing: str) -> None:
        if self.read_only:
            raise StoreError(f"cannot {doing}: this store was opened read-only")


def _read_only_settings(server: Mapping[str, Any]) -> dict[str, int]:
    """Return what makes a question to a server read-only; nothing where the account already is."""
    found = server.get("readonly")
    return {} if found is not None and str(found.value) != "0" else {"readonly": 1}


def _used(text: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that are in a statement: without any, the client would replace %(name)s by itself."""
    return {name: value for name, value in parameters.items() if re.search(rf"\{{{re.escape(name)}:", text)}
