"""The process that has an embedded store open while it is served, and the socket at which it answers.

It can reach the store's directory, a directory for temporary files and the engine's libraries, has none of the
environment, and its engine none of the network: whatever statement it is given, see `store.confined_sql`. Threads
that answer at the socket keep that one right, and run no statement.
"""

from __future__ import annotations

import os
import pickle
import re
import socket
import socketserver
import subprocess
import sys
import threading
from contextlib import suppress
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlsplit

from otel_episodes_clickhouse.config import Target
from otel_episodes_clickhouse.errors import StoreError, StoreLockedError
from otel_episodes_clickhouse.serve.statements import Engine, Request
from otel_episodes_clickhouse.store import chdb_engine, confined_engine, confinement, served
from otel_episodes_clickhouse.store.confined_sql import ConfinedEngine

if TYPE_CHECKING:
    from collections.abc import Mapping

_CODE: Final = re.compile(r"Code: (\d+)")
# A server answers 404 where something is not known, 400 where a statement or a value is wrong.
_STATUS: Final = {
    **dict.fromkeys((46, 47, 60, 63, 81, 115), 404),
    **dict.fromkeys((6, 26, 27, 38, 41, 53, 62, 69, 70, 72, 456, 457), 400),
}
_END_SECONDS: Final = 5.0
_LOCK_SECONDS: Final = 10.0
_BODY_BYTES: Final = 1 << 30


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
    with os.fdopen(request["channel"], "wb") as channel:
        try:
            lock = chdb_engine.lock(Target(embedded=True, path=path, spool=spool), _LOCK_SECONDS)
            if lock is None:
                raise StoreLockedError(f"chdb://{path} is served by another otel-episodes serve: end that first")
        except StoreError as error:
            pickle.dump(confined_engine.as_error(error), channel)
            return
        with lock, _listening(path) as listener:
            confinement.confine_files(
                read=[Path(place) for place in request["read"]], write=[path, spool, temporary, Path("/dev/null")]
            )
            engine = Engine(path, temporary)
            server = _Server(listener, engine)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            pickle.dump(("ready",), channel)
            channel.flush()
            sys.stdin.read()
            server.shutdown()
            engine.close()
            with suppress(OSError):
                (path / served.NAME).unlink()


def _listening(path: Path) -> socket.socket:
    """Return a socket in the store's directory that only its owner can connect to; the store's lock is held."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with suppress(FileNotFoundError):
        (path / served.NAME).unlink()
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
        super().__init__("", _Handler, bind_and_activate=False)
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


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        url = urlsplit(self.path)
        arguments = dict(parse_qsl(url.query, keep_blank_values=True))
        try:
            body = self._body()
        except (EOFError, ValueError):
            # The client went away in the middle: nothing is carried out.
            self.close_connection = True
            return
        if url.path == "/ping":
            self._answer(200, b"Ok.\n", {})
            return
        try:
            if self.headers.get_content_type() == "multipart/form-data":
                # Long parameters, which no URL would hold.
                body, arguments = b"", arguments | self._form(body)
            request = Request.of(body, arguments, arguments.get("default_format") or "TabSeparated")
            result = self.server.engine.answer(request)
        except Exception as error:  # noqa: BLE001  # whatever the engine raises is the client's to explain
            found = _CODE.search(str(error))
            code = int(found[1]) if found else 1
            self._answer(_STATUS.get(code, 500), str(error).encode(), {"X-ClickHouse-Exception-Code": str(code)})
            return
        headers = {"X-ClickHouse-Format": request.format} if request.format else {}
        self._answer(200, result, {"X-ClickHouse-Summary": "{}", "X-ClickHouse-Timezone": "UTC", **headers})

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self._exactly(int(self.headers.get("Content-Length") or 0))
        parts, whole = [], 0
        while size := int(self.rfile.readline() or b"0", 16):
            whole += size
            parts.append(self._exactly(size, whole))
            self.rfile.readline()
        if self.rfile.readline() not in {b"\r\n", b"\n"}:
            raise EOFError
        return b"".join(parts)

    def _exactly(self, size: int, whole: int = 0) -> bytes:
        if max(size, whole) > _BODY_BYTES:
            raise ValueError("too large")
        data = self.rfile.read(size)
        if len(data) < size:
            raise EOFError
        return data

    def _form(self, body: bytes) -> dict[str, str]:
        message = message_from_bytes(b"Content-Type: " + self.headers["Content-Type"].encode() + b"\r\n\r\n" + body)
        parts: Any = message.get_payload()
        return {
            str(part.get_param("name", header="Content-Disposition")): part.get_payload(decode=True).decode()
            for part in parts
        }

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  # the interface
        """Say nothing of each request."""
