"""The way to an embedded store that `otel-episodes serve` has open: a Unix socket in the store's directory.

The engine takes one process. The one that has it speaks ClickHouse's HTTP interface there, to processes of the same
user only, so that everything that is asked of a server can be asked of it (`serve.engine` is the other end).
"""

from __future__ import annotations

import os
import socket
import stat
import struct
import sys
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from otel_episodes_clickhouse.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from urllib3 import PoolManager

NAME: Final = "serve.sock"
_KNOCK_SECONDS: Final = 5.0
# What a socket's address has room for, less one.
_ADDRESS_BYTES: Final = 103
_CREDENTIALS: Final = struct.Struct("3i")


def is_served(path: Path) -> bool:
    """Return whether a process of this user answers for the store in a directory."""
    try:
        connected(path).close()
    except (OSError, StoreUnavailableError):
        return False
    return True


def connected(path: Path) -> socket.socket:
    """Connect to the process that has the store of a directory open.

    Raises OSError when nobody listens, `StoreUnavailableError` when another user does.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with ExitStack() as failed:
        failed.callback(connection.close)
        connection.settimeout(_KNOCK_SECONDS)
        with address(path) as name:
            if not stat.S_ISSOCK(os.lstat(name).st_mode):
                raise OSError(f"{path / NAME} is not a socket")
            connection.connect(name)
        peer = user_of(connection)
        if peer not in (None, os.geteuid()):
            raise StoreUnavailableError(f"{path / NAME} is answered by user {peer}, not by you")
        connection.settimeout(None)
        failed.pop_all()
    return connection


@contextmanager
def address(path: Path) -> Iterator[str]:
    """Yield the socket's address, which is short, unlike some paths."""
    long = str(path / NAME)
    if len(os.fsencode(long)) <= _ADDRESS_BYTES or sys.platform != "linux":
        yield long
        return
    directory = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{NAME}"
    finally:
        os.close(directory)


def user_of(connection: socket.socket) -> int | None:
    """Return who is at the other end, as the kernel knows; None where it does not tell."""
    with suppress(AttributeError, OSError):
        said = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        return int(_CREDENTIALS.unpack(said)[1])
    return None


def pool(path: Path) -> PoolManager:
    """Return connections through the socket, whatever host they are for."""
    from urllib3 import HTTPConnectionPool, PoolManager  # noqa: PLC0415  # comes with clickhouse-connect
    from urllib3.connection import HTTPConnection  # noqa: PLC0415  # likewise
    from urllib3.exceptions import NewConnectionError  # noqa: PLC0415  # likewise

    class ThroughSocket(HTTPConnection):
        # Those of TCP do not fit.
        default_socket_options = ()

        def _new_conn(self) -> socket.socket:
            try:
                return connected(path)
            except OSError as error:
                raise NewConnectionError(self, f"nobody answers at {path / NAME}: {error}") from error

    class Pool(HTTPConnectionPool):
        ConnectionCls: Any = ThroughSocket

    manager = PoolManager(num_pools=1, maxsize=4)
    manager.pool_classes_by_scheme = {"http": Pool}
    return manager
