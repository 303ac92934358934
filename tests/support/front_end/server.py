"""The HTTP side of a server: what `serve` answers at its socket, with accounts, compression and faults."""

from __future__ import annotations

import base64
import sys
from http.server import ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from front_end.compression import DECODERS, ENCODERS, preferred_encoding, read_blocks, write_blocks
from front_end.engine import Engine

from otel_episodes_clickhouse.serve import interface

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from otel_episodes_clickhouse.serve.statements import Request

_DENIED = (
    "Code: 516. DB::Exception: {user}: Authentication failed: password is incorrect, or there is no user with such "
    "name. (AUTHENTICATION_FAILED)"
)

_FIXED = "Code: 164. DB::Exception: Cannot modify 'readonly' setting in readonly mode. (READONLY)"


class Server(ThreadingHTTPServer):
    """Listens on a free port of this machine."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, directory: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.directory = directory
        self.engine = Engine(directory)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that were killed; campaigns kill hundreds."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Handler(interface.Handler):
    """Carries statements to the engine, from who may ask; DIRECTORY/read-only has the level nobody may change."""

    # Without it the last packet of an answer waits for the acknowledgement of the one before.
    disable_nagle_algorithm = True

    def request_of(self, body: bytes, arguments: Mapping[str, str]) -> Request:
        user = self.refuse_strangers(arguments)
        if user:
            raise PermissionError(_DENIED.format(user=user))
        fixed = self.server.directory / "read-only"
        if fixed.exists():
            if arguments.get("readonly") not in (None, fixed.read_text()):
                raise PermissionError(_FIXED)
            arguments = {**arguments, "readonly": fixed.read_text()}
        return super().request_of(self.decoded(body, arguments), arguments)

    def answer_result(self, request: Request, result: bytes) -> None:
        if request.inserts_rows and (self.server.directory / "lose-answers").exists():
            self.close_connection = True
            return
        super().answer_result(request, result)

    def decoded(self, body: bytes, arguments: Mapping[str, str]) -> bytes:
        encoding = self.headers.get("Content-Encoding")
        if encoding:
            body = DECODERS[encoding](body)
        return read_blocks(body) if arguments.get("decompress") == "1" else body

    def packed(self, body: bytes, arguments: Mapping[str, str]) -> bytes:
        return write_blocks(body) if arguments.get("compress") == "1" else body

    def answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        encoding = preferred_encoding(self.headers.get("Accept-Encoding", ""))
        if status == 200 and body and encoding and "enable_http_compression=1" in self.path:
            headers = {**headers, "Content-Encoding": encoding}
            body = ENCODERS[encoding](body)
        super().answer(status, body, headers)

    def refuse_strangers(self, arguments: Mapping[str, str]) -> str:
        """Return who is asking, unless it is who DIRECTORY/credentials says (``user:password``) or there is no such."""
        required = self.server.directory / "credentials"
        if not required.exists():
            return ""
        user = self.headers.get("X-ClickHouse-User") or arguments.get("user", "default")
        password = self.headers.get("X-ClickHouse-Key") or arguments.get("password", "")
        given = f"{user}:{password}"
        scheme, _, basic = self.headers.get("Authorization", "").partition(" ")
        if scheme == "Basic":
            given = unquote(base64.b64decode(basic).decode())
        return "" if given == required.read_text().strip() else given.partition(":")[0]
