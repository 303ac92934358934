"""The HTTP side: requests in, answers and errors out."""

from __future__ import annotations

import base64
import re
import sys
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from front_end.compression import DECODERS, ENCODERS, preferred_encoding, read_blocks, write_blocks
from front_end.engine import Engine, Request

if TYPE_CHECKING:
    from pathlib import Path

_CODE = re.compile(r"Code: (\d+)")
# A server answers 404 where something is not known, 400 where a statement or a value is wrong, 403 to strangers.
_STATUS = {
    **dict.fromkeys((46, 47, 60, 63, 81, 115), 404),
    **dict.fromkeys((6, 26, 27, 38, 41, 53, 62, 69, 70, 72, 456, 457), 400),
    516: 403,
}
_DENIED = (
    "Code: 516. DB::Exception: {user}: Authentication failed: password is incorrect, or there is no user with such "
    "name. (AUTHENTICATION_FAILED)"
)


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


class Handler(BaseHTTPRequestHandler):
    """Carries statements to the engine."""

    server: Server
    protocol_version = "HTTP/1.1"
    # Without it the last packet of an answer waits for the acknowledgement of the one before.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        url = urlsplit(self.path)
        arguments = dict(parse_qsl(url.query, keep_blank_values=True))
        try:
            body = self.body()
        except EOFError:
            # The client went away in the middle: nothing is carried out.
            self.close_connection = True
            return
        if url.path == "/ping":
            self.answer(200, b"Ok.\n", {})
            return
        try:
            user = self.refuse_strangers(arguments)
            if user:
                raise PermissionError(_DENIED.format(user=user))
            body = self.decoded(body, arguments)
            if self.headers.get_content_type() == "multipart/form-data":
                # Long parameters, which no URL would hold.
                body, arguments = b"", arguments | self.form(body)
            if (self.server.directory / "read-only").exists():
                arguments["readonly"] = "1"
            request = Request.of(body, arguments, self.default_format(arguments))
            result = self.server.engine.answer(request)
        except Exception as error:
            self.answer_error(error, arguments)
            return
        if request.inserts_rows and (self.server.directory / "lose-answers").exists():
            self.close_connection = True
            return
        self.answer_result(request, result)

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.exactly(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline() or b"0", 16):
            parts.append(self.exactly(size))
            self.rfile.readline()
        if self.rfile.readline() not in {b"\r\n", b"\n"}:
            raise EOFError
        return b"".join(parts)

    def exactly(self, size: int) -> bytes:
        data = self.rfile.read(size)
        if len(data) < size:
            raise EOFError
        return data

    def decoded(self, body: bytes, arguments: dict[str, str]) -> bytes:
        encoding = self.headers.get("Content-Encoding")
        if encoding:
            body = DECODERS[encoding](body)
        return read_blocks(body) if arguments.get("decompress") == "1" else body

    def form(self, body: bytes) -> dict[str, str]:
        message = message_from_bytes(b"Content-Type: " + self.headers["Content-Type"].encode() + b"\r\n\r\n" + body)
        return {
            str(part.get_param("name", header="Content-Disposition")): part.get_payload(decode=True).decode()
            for part in message.get_payload()
        }

    def default_format(self, arguments: dict[str, str]) -> str:
        return arguments.get("default_format") or self.headers.get("X-ClickHouse-Format") or "TabSeparated"

    def refuse_strangers(self, arguments: dict[str, str]) -> str:
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

    def answer_result(self, request: Request, result: bytes) -> None:
        headers = {"X-ClickHouse-Summary": "{}", "X-ClickHouse-Timezone": "UTC"}
        if request.format:
            headers["X-ClickHouse-Format"] = request.format
        if request.arguments.get("compress") == "1":
            result = write_blocks(result)
        elif request.arguments.get("enable_http_compression") == "1":
            encoding = preferred_encoding(self.headers.get("Accept-Encoding", ""))
            if encoding and result:
                headers["Content-Encoding"] = encoding
                result = ENCODERS[encoding](result)
        self.answer(200, result, headers)

    def answer_error(self, error: Exception, arguments: dict[str, str]) -> None:
        found = _CODE.search(str(error))
        code = int(found[1]) if found else 1
        body = str(error).encode()
        if arguments.get("compress") == "1":
            body = write_blocks(body)
        self.answer(_STATUS.get(code, 500), body, {"X-ClickHouse-Exception-Code": str(code)})

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass
