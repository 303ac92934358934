"""What goes wrong with a statement, as one of our own errors that says what to do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_episodes_clickhouse.errors import (
    DataError,
    MissingDatabaseError,
    QueryError,
    StoreError,
    StoreUnavailableError,
)

if TYPE_CHECKING:
    from otel_episodes_clickhouse.config import Target

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
# An account that may only read.
READ_ONLY_ACCOUNT: Final = 164
_LOGIN: Final = "refuses the login: check user and password (in the DSN, OTEL_EPISODES_PASSWORD or password_file)"
# What to do about the errors that only a person can fix.
FIXES: Final = {
    60: "lacks a table: make it with `otel-episodes migrate`",
    81: "has no such database: make it with `otel-episodes migrate`, or CREATE DATABASE",
    115: "does not know a setting that is needed: it is too old, or an option ch_... of the DSN is misspelt",
    READ_ONLY_ACCOUNT: "lets this account only read: take one that may insert",
    192: _LOGIN,
    193: _LOGIN,
    194: _LOGIN,
    497: "does not give this account the rights that are needed: grant it SELECT and INSERT on the database",
    516: _LOGIN,
}
_PREFIX: Final = re.compile(r"^Received ClickHouse exception, code: \d+, server response: ")
_THROUGH_SOCKET: Final = " (for url http://localhost:80)"
_UNKNOWN_DATABASE: Final = 81
# Of what a server says about an error.
_MESSAGE_LENGTH: Final = 4000


class Reply(NamedTuple):
    """What came with the failure: the status of the answer, 0 where there was none, and when to come back."""

    status: int = 0
    retry_after: float | None = None


def explained(
    error: Exception, target: Target, reply: Reply, *, connecting: bool = False, here: bool = False
) -> StoreError:
    """Return the error of ours that an error of the client, of its connections or of the engine stands for.

    ``here``: the engine is in this process.
    To be raised from `cause_of` the error, so that no secret comes back with a traceback.
    """
    message, code = message_of(error, target), getattr(error, "code", None)
    status = 0 if code else reply.status
    if connecting and here:
        return StoreUnavailableError(
            f"cannot open {target}: {message}. Is another program using that directory, or another "
            "chdb:// path in this process? The engine takes one of each"
        )
    if code == _UNKNOWN_DATABASE and connecting:
        return MissingDatabaseError(
            f"{target} names a database the server does not have: create it with `otel-episodes migrate`", code=code
        )
    if code in _DATA_CODES or status == _TOO_LARGE:
        return DataError(message, code=code)
    if code in FIXES and not target.embedded:
        return QueryError(f"{target} {FIXES[code]} ({message})", code=code)
    away = code in _UNAVAILABLE_CODES or status >= _SERVER_ERROR or status in _UNAVAILABLE_STATUSES
    if _is_refusal(error, code) and not away:
        return QueryError(message, code=code)
    what = "does not take it now" if code or status else "does not answer"
    return StoreUnavailableError(f"{target} {what}: {message}", retry_after=reply.retry_after)


def cause_of(error: Exception, target: Target) -> Exception | None:
    """Return the error where its text holds no secret of the target's, else None."""
    return error if message_of(error, target) in str(error) else None


def message_of(error: Exception, target: Target) -> str:
    """Return what an error says, without the client's own words and without secrets."""
    message = target.without_secrets(_PREFIX.sub("", str(error)))
    # Of the socket, where an address says nothing.
    return (message.removesuffix(_THROUGH_SOCKET) if target.embedded else message)[:_MESSAGE_LENGTH]


def _is_refusal(error: Exception, code: int | None) -> bool:
    from clickhouse_connect.driver import exceptions  # noqa: PLC0415  # 0.3 s: loaded where the error came from

    return isinstance(error, exceptions.Error) and bool(code or not isinstance(error, exceptions.OperationalError))
