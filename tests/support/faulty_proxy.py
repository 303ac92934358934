"""A proxy in front of ClickHouse's HTTP interface that misbehaves on command.

In a test::

    with FaultyProxy("http://127.0.0.1:8123/default") as proxy:
        proxy.misbehave("hang", times=3, only=INSERTS)
        Store.open(Target.resolve(proxy.dsn)) ...
        proxy.behave()

Faults queue up: each request takes the first that is left and matches. ``times=None`` stays until `behave`.
``proxy.seen`` lists what came and what was done to it.

From another process: ``python faulty_proxy.py DSN`` prints the DSN of the proxy, then takes a line of JSON at a time on
stdin (``{"do": "hang", "times": 3, "only": "insert"}``, ``{"do": "behave"}``, ``{"do": "seen"}``), answers each with a
line of JSON, and ends with stdin, or after ten minutes.
"""

from __future__ import annotations

import json
import re
import socket
import socketserver
import ssl
import struct
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from http.client import HTTPConnection, HTTPSConnection
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qs, urlsplit

if TYPE_CHECKING:
    from typing import Self

# Statements that carry rows, not those that select them.
INSERTS = r"(?is)^\s*INSERT\s+INTO\b(?!.*\bSELECT\b)"
VERSION = "26.9.1.1"
LONGEST_SECONDS = 600
_HOP = frozenset(("connection", "keep-alive", "transfer-encoding", "content-length", "host"))

# What ClickHouse answers: HTTP status, error code, text. The version trailer is added.
ERRORS = {
    "full": (500, 243, "Cannot reserve 1.00 MiB, not enough space. (NOT_ENOUGH_SPACE)"),
    "too_many_parts": (500, 252, "Too many parts (3000). Merges are slower than inserts. (TOO_MANY_PARTS)"),
    "too_busy": (500, 202, "Too many simultaneous queries. Maximum: 100. (TOO_MANY_SIMULTANEOUS_QUERIES)"),
    "denied": (403, 516, "default: Authentication failed: password is incorrect. (AUTHENTICATION_FAILED)"),
    "forbidden": (500, 497, "default: Not enough privileges: grant INSERT ON default.otel_traces. (ACCESS_DENIED)"),
    "readonly": (500, 164, "default: Cannot execute query in readonly mode. (READONLY)"),
    "no_database": (404, 81, "Database default does not exist. (UNKNOWN_DATABASE)"),
    "read_only_replica": (500, 242, "Table is in readonly mode: replica is not active. (TABLE_IS_READ_ONLY)"),
}
# What somebody in between answers.
ANSWERS = {"error_500": 500, "too_large": 413}
# Besides those. `refuse` closes the port, so it cannot be counted: it lasts until `behave`.
OTHER_FAULTS = frozenset(("refuse", "reset", "unavailable", "hang", "half", "lose", "half_answer", "slow", "old"))
FAULTS = OTHER_FAULTS | set(ERRORS) | set(ANSWERS)


@dataclass
class Fault:
    """What to do to the next ``times`` requests whose statement matches ``only``."""

    how: str
    times: int | None = None
    only: str = ""
    # `slow`: how long before it is passed on.
    seconds: float = 1.0
    # `unavailable`: a number of seconds or an HTTP date; empty for no such header.
    retry_after: str = "1"
    # `old`: what it says it is, and what it does not know.
    version: str = "21.3.20.1"
    unknown_settings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Seen:
    """One request. ``fault`` is "" where it was passed on faithfully."""

    statement: str
    fault: str
    token: str
    bytes: int
    encoding: str
    at: float = field(repr=False, default_factory=time.monotonic)

    @property
    def insert(self) -> bool:
        return bool(re.match(INSERTS, self.statement))


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64
    proxy: FaultyProxy

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: connections that break are what this is for."""


class FaultyProxy:
    """Stands in front of ``upstream`` (a DSN); ``tls`` makes it speak TLS to its clients."""

    def __init__(self, upstream: str, *, tls: ssl.SSLContext | None = None) -> None:
        self.upstream: SplitResult = urlsplit(upstream)
        self.tls = tls
        self.port = 0
        self.seen: list[Seen] = []
        self.closing = threading.Event()
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._server: _Server | None = None
        self._open: set[socket.socket] = set()

    @property
    def dsn(self) -> str:
        """The upstream's DSN with this proxy's address in place of its own."""
        login, at, _ = self.upstream.netloc.rpartition("@")
        scheme = "https" if self.tls else "http"
        return self.upstream._replace(scheme=scheme, netloc=f"{login}{at}127.0.0.1:{self.port}").geturl()

    def misbehave(self, how: str, **options: Any) -> None:
        """Queue a fault (see `Fault`)."""
        if how not in FAULTS:
            raise ValueError(how)
        if how == "refuse":
            self._stop_listening()
            return
        with self._lock:
            self._faults.append(Fault(how, **options))

    def behave(self) -> None:
        """Forget all faults, and listen again."""
        with self._lock:
            self._faults.clear()
        self._listen()

    def faults(self) -> Counter[str]:
        """Count what was done, by fault."""
        return Counter(seen.fault for seen in self.seen if seen.fault)

    def inserts(self) -> list[Seen]:
        """Return the requests that carried rows."""
        return [seen for seen in self.seen if seen.insert]

    def __enter__(self) -> Self:
        self._listen()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._stop_listening()

    def take(self, statement: str) -> Fault | None:
        """Return the fault for this request, and use it up."""
        with self._lock:
            for fault in self._faults:
                if not re.search(fault.only, statement):
                    continue
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self._faults.remove(fault)
                return fault
        return None

    def opened(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.add(connection)

    def closed(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.discard(connection)

    def _listen(self) -> None:
        if self._server is not None:
            return
        server = _Server(("127.0.0.1", self.port), _Handler)
        server.proxy = self
        self._server, self.port = server, server.server_address[1]
        threading.Thread(target=server.serve_forever, args=(0.02,), name="faulty-proxy", daemon=True).start()

    def _stop_listening(self) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        server.shutdown()
        server.socket.close()
        with self._lock:
            left = list(self._open)
        for connection in left:
            _reset(connection)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        self.proxy = self.server.proxy
        self.request.settimeout(LONGEST_SECONDS)
        if self.proxy.tls is not None:
            self.request = self.proxy.tls.wrap_socket(self.request, server_side=True)
        self.proxy.opened(self.request)
        super().setup()

    def finish(self) -> None:
        self.proxy.closed(self.request)
        with suppress(OSError):
            super().finish()
        if isinstance(self.request, ssl.SSLSocket):
            self.request.close()

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        # The statement is in the address, or in front of the body.
        address = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        begin = self.rfile.peek(2000) if length else b""  # type: ignore[attr-defined]
        statement = (address.get("query") or [begin[:length].decode(errors="replace")])[0][:2000]
        fault = self.proxy.take(statement)
        body = b""
        if fault is not None and fault.how == "half":
            body = self.rfile.read(length // 2)
        elif fault is None or fault.how != "reset":
            body = self._body(length)
        self.proxy.seen.append(
            Seen(
                statement,
                fault.how if fault else "",
                address.get("insert_deduplication_token", [""])[0],
                len(body),
                self.headers.get("Content-Encoding") or "",
            )
        )
        if fault is None:
            self._answer(*self._forward(body))
        else:
            self._misbehave(fault, statement, address, body)

    def _body(self, length: int) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(length)
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _misbehave(self, fault: Fault, statement: str, address: dict[str, list[str]], body: bytes) -> None:
        how = fault.how
        if how in ERRORS:
            self._refuse_with(*ERRORS[how])
        elif how in {"reset", "half"}:
            self._cut()
        elif how in ANSWERS:
            self._answer(ANSWERS[how], {}, f"{how}\n".encode())
        elif how == "unavailable":
            self._answer(503, {"Retry-After": fault.retry_after} if fault.retry_after else {}, b"Service Unavailable\n")
        elif how == "hang":
            self.proxy.closing.wait(LONGEST_SECONDS)
            self._cut()
        elif how == "slow":
            self.proxy.closing.wait(fault.seconds)
            self._answer(*self._forward(body))
        elif how == "lose":
            self._forward(body)
            self._cut()
        elif how == "half_answer":
            self._forward(body)
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-ClickHouse-Sum")
            self._cut()
        elif how == "old":
            self._be_old(fault, statement, address, body)

    def _be_old(self, fault: Fault, statement: str, address: dict[str, list[str]], body: bytes) -> None:
        for name in fault.unknown_settings:
            if name in address:
                self._refuse_with(404, 115, f"Unknown setting '{name}'. (UNKNOWN_SETTING)")
                return
        del self.headers["Accept-Encoding"]
        status, headers, answer = self._forward(body)
        if "version()" in statement:
            answer = _with_version(answer, fault.version.encode())
        self._answer(status, headers, answer)

    def _refuse_with(self, status: int, code: int, text: str) -> None:
        message = f"Code: {code}. DB::Exception: {text} (version {VERSION} (official build))\n"
        self._answer(status, {"X-ClickHouse-Exception-Code": str(code)}, message.encode())

    def _forward(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        upstream = self.proxy.upstream
        assert upstream.hostname
        secure = upstream.scheme in {"https", "clickhouses"} or "secure=true" in upstream.query
        kind = HTTPSConnection if secure else HTTPConnection
        connection = kind(upstream.hostname, upstream.port, timeout=LONGEST_SECONDS)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
            connection.request(self.command, self.path, body=body or None, headers=headers)
            answer = connection.getresponse()
            content = answer.read()
            kept = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP}
            return answer.status, kept, content
        finally:
            connection.close()

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _cut(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.wfile.flush()
        _reset(self.request)

    def log_message(self, *_: Any) -> None:
        pass


def _reset(connection: socket.socket) -> None:
    """Close a connection at once, unsent data included."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    with suppress(OSError):
        connection.close()


def _with_version(answer: bytes, version: bytes) -> bytes:
    """Put a version in place of the true one, in text and, with its length in front, in binary formats."""
    true = re.search(rb"\d+\.\d+\.\d+(?:\.\d+)?", answer)
    if true is None:
        return answer
    begin, end = true.span()
    if begin and answer[begin - 1] == end - begin:
        return answer[: begin - 1] + bytes((len(version),)) + version + answer[end:]
    return answer[:begin] + version + answer[end:]


def main() -> None:
    """Serve commands from stdin until it ends."""
    with FaultyProxy(sys.argv[1]) as proxy:
        threading.Thread(target=_serve, args=(proxy,), daemon=True).start()
        proxy.closing.wait(LONGEST_SECONDS)


def _serve(proxy: FaultyProxy) -> None:
    print(proxy.dsn, flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        how = command.pop("do")
        if command.get("only") == "insert":
            command["only"] = INSERTS
        answer: Any = "ok"
        if how == "behave":
            proxy.behave()
        elif how == "seen":
            answer = [asdict(seen) for seen in proxy.seen]
        else:
            proxy.misbehave(how, **command)
        print(json.dumps(answer), flush=True)
    proxy.closing.set()


if __name__ == "__main__":
    main()
