"""The process that has an embedded store open while it is served, and the socket at which it answers.

It can reach the store's directory, a directory for temporary files and the engine's libraries, has none of the
environment, and its engine none of the network: whatever statement it is given, see `store.confined_sql`. Threads
that answer at the socket keep that one right, and run no statement.
"""

from __future__ import annotations

import os
import pickle
import socket
import socketserver
import subprocess
import sys
import threading
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from otel_episodes_clickhouse.config import Target
from otel_episodes_clickhouse.errors import StoreError, StoreLockedError, StoreUnavailableError
from otel_episodes_clickhouse.serve.interface import Handler
from otel_episodes_clickhouse.serve.statements import Engine
from otel_episodes_clickhouse.store import chdb_engine, confined_engine, confinement, served
from otel_episodes_clickhouse.store.confined_sql import ConfinedEngine

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_END_SECONDS: Final = 5.0
_LOCK_SECONDS: Final = 10.0


class ServedEngine(ConfinedEngine):
    """The engine on one directory in a process of its own, until the block ends; a context manager.

    Raises:
        StoreLockedError: another process has the store, and keeps it.
    """

    START = (
        "import json, sys; request = json.loads(sys.stdin.readline()); sys.path[:] = request['sys_path']; "
        # What the note in the store's lock says.
        "sys.argv[:] = ['otel-episodes', 'serve']; "
        "from otel_episodes_clickhouse.serve.engine import serve; serve(request)"
    )

    def ready(self) -> None:
        """Wait until it answers; raise what has kept it from that."""
        self.received()

    def wait(self) -> None:
        """Wait until it has ended."""
        self._process.wait()

    def ended(self) -> bool:
        """Return whether it has ended, which it does by itself only when something is wrong."""
        return self._process.poll() is not None

    def __exit__(self, *error: object) -> None:
        """Let it finish what is under way, and end."""
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101  # a pipe
        with suppress(OSError):
            stdin.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._answers.close()
        self.remove_temporary()


def serve(request: Mapping[str, Any]) -> None:
    """Answer at the socket until the process that started this one closes its end of the pipe."""
    confinement.end_with_parent()
    path, spool, temporary = (Path(request[name]) for name in ("path", "spool", "temporary"))
    target = Target(embedded=True, path=path, spool=spool)
    read = [Path(place) for place in request["read"]]
    with os.fdopen(request["channel"], "wb") as channel, ExitStack() as opened:
        try:
            server = _opened(target, temporary, read, opened)
        except StoreError as error:
            pickle.dump(confined_engine.as_error(error), channel)
            return
        threading.Thread(target=server.serve_forever, daemon=True).start()
        pickle.dump(("ready",), channel)
        channel.flush()
        sys.stdin.read()
        server.shutdown()


def _opened(target: Target, temporary: Path, read: Sequence[Path], opened: ExitStack) -> _Server:
    """Lock the store, listen, give up what is not needed, and open the engine, in this order."""
    path = target.path
    assert path is not None  # noqa: S101  # embedded targets have one
    lock = chdb_engine.lock(target, _LOCK_SECONDS)
    if lock is None:
        raise StoreLockedError(f"{target} is served by another otel-episodes serve: end that first")
    opened.enter_context(lock)
    listener = opened.enter_context(_listening(path))
    opened.callback((path / served.NAME).unlink, missing_ok=True)
    confinement.confine_files(read=read, write=[path, target.spool, temporary, Path("/dev/null")])
    try:
        engine = opened.enter_context(closing(Engine(path, temporary)))
    except RuntimeError as error:
        raise StoreUnavailableError(f"cannot open {target}: {error}", lasting=True) from error
    return _Server(listener, engine)


def _listening(path: Path) -> socket.socket:
    """Return a socket in the store's directory that only its owner can connect to; the store's lock is held."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    (path / served.NAME).unlink(missing_ok=True)
    before = os.umask(0o177)
    try:
        with served.address(path) as name:
            listener.bind(name)
    finally:
        os.umask(before)
    listener.listen(128)
    return listener


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def __init__(self, listener: socket.socket, engine: Engine) -> None:
        super().__init__("", Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.engine = engine

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002  # the interface
        """Let only the user in whose process this is; the file's mode says the same."""
        return served.user_of(request) in (None, os.geteuid())

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of commands that were interrupted."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)
