"""ClickHouse's HTTP interface, as far as clickhouse-connect speaks it: requests in, answers and errors out."""

from __future__ import annotations

import re
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import parse_qsl, urlsplit

from otel_episodes_clickhouse.serve.statements import Request

if TYPE_CHECKING:
    from collections.abc import Mapping

_CODE: Final = re.compile(r"Code: (\d+)")
# A server answers 404 where something is not known, 400 where a statement or a value is wrong, 403 to strangers.
_STATUS: Final = {
    **dict.fromkeys((46, 47, 60, 63, 81, 115), 404),
    **dict.fromkeys((6, 26, 27, 38, 41, 53, 62, 69, 70, 72, 456, 457), 400),
    516: 403,
}
_BODY_BYTES: Final = 1 << 30


class Answering(Protocol):
    """What carries out requests."""

    def answer(self, request: Request) -> bytes:
        """Return the body of the answer."""
        ...


class Handler(BaseHTTPRequestHandler):
    """Carries statements to the ``engine`` of its server."""

    server: Any
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """As `do_POST`."""
        self.do_POST()

    def do_POST(self) -> None:
        """Answer one request."""
        url = urlsplit(self.path)
        arguments = dict(parse_qsl(url.query, keep_blank_values=True))
        try:
            body = self._body()
        except (EOFError, ValueError):
            # The client went away in the middle: nothing is carried out.
            self.close_connection = True
            return
        if url.path == "/ping":
            self.answer(200, b"Ok.\n", {})
            return
        try:
            request = self.request_of(body, arguments)
            engine: Answering = self.server.engine
            result = engine.answer(request)
        except Exception as error:  # noqa: BLE001  # whatever the engine raises is the client's to explain
            found = _CODE.search(str(error))
            code = int(found[1]) if found else 1
            headers = {"X-ClickHouse-Exception-Code": str(code)}
            self.answer(_STATUS.get(code, 500), self.packed(str(error).encode(), arguments), headers)
            return
        self.answer_result(request, result)

    def request_of(self, body: bytes, arguments: Mapping[str, str]) -> Request:
        """Return what is asked."""
        if self.headers.get_content_type() == "multipart/form-data":
            # Long parameters, which no URL would hold.
            body, arguments = b"", {**arguments, **self._form(body)}
        default = arguments.get("default_format") or self.headers.get("X-ClickHouse-Format") or "TabSeparated"
        return Request.of(body, arguments, default)

    def answer_result(self, request: Request, result: bytes) -> None:
        """Send what the engine has answered."""
        headers = {"X-ClickHouse-Summary": "{}", "X-ClickHouse-Timezone": "UTC"}
        if request.format:
            headers["X-ClickHouse-Format"] = request.format
        self.answer(200, self.packed(result, request.arguments), headers)

    def packed(self, body: bytes, arguments: Mapping[str, str]) -> bytes:  # noqa: ARG002  # a server's may pack
        """Return a body as this request wants it."""
        return body

    def answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        """Send an answer."""
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  # the interface
        """Say nothing of each request."""

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self._exactly(int(self.headers.get("Content-Length") or 0), 0)
        parts, whole = [], 0
        while size := int(self.rfile.readline() or b"0", 16):
            whole += size
            parts.append(self._exactly(size, whole))
            self.rfile.readline()
        if self.rfile.readline() not in {b"\r\n", b"\n"}:
            raise EOFError
        return b"".join(parts)

    def _exactly(self, size: int, whole: int) -> bytes:
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
