"""ClickHouse's HTTP interface in front of the embedded engine, as far as clickhouse-connect needs it.

``python clickhouse_over_http.py DIRECTORY`` prints the port it listens on. It is the real engine that answers; only
the transport is ours. While DIRECTORY/lose-answers exists, inserts are carried out and the connection is then cut;
while DIRECTORY/read-only exists, everyone may only read.
"""

from __future__ import annotations

import re
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import chdb

DIRECTORY = Path(sys.argv[1])
CONNECTION = chdb.connect(str(DIRECTORY / "engine"))
READER = chdb.connect(str(DIRECTORY / "engine"))
READER.query("SET readonly = 1")
ONE_AT_A_TIME = threading.Lock()
# Parameters of the HTTP interface itself, which are no settings of the engine.
TRANSPORT = frozenset((
    "query", "database", "user", "password", "session_id", "query_id", "compress", "decompress", "buffer_size",
    "client_protocol_version", "wait_end_of_query", "send_progress_in_http_headers", "role",
    "http_headers_progress_interval_ms", "enable_http_compression",
))  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    """Carries statements to the engine."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        arguments = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        body = self.body()
        if self.path.startswith("/ping"):
            self.answer(200, b"Ok.\n", {})
            return
        # The client sends "INSERT INTO ... FORMAT ...", a line, in front of the rows.
        line, _, rows = body.partition(b"\n")
        insert = re.fullmatch(rb"(INSERT INTO .*) FORMAT (\w+)\s*", line)
        try:
            with ONE_AT_A_TIME:
                result = insert_rows(insert, rows, arguments) if insert else execute(body, arguments)
        except Exception as error:
            code = re.search(r"Code: (\d+)", str(error))
            self.answer(500, str(error).encode(), {"X-ClickHouse-Exception-Code": code[1] if code else "1"})
            return
        if insert and (DIRECTORY / "lose-answers").exists():
            self.close_connection = True
            return
        self.answer(200, result, {"X-ClickHouse-Summary": "{}", "X-ClickHouse-Timezone": "UTC"})

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def execute(body: bytes, arguments: dict[str, str]) -> bytes:
    parameters = {name[6:]: value for name, value in arguments.items() if name.startswith("param_")}
    query = arguments.get("query") or body.decode()
    return bytes(connection(arguments).query(query, "TabSeparated", params=parameters).bytes() or b"")


def connection(arguments: dict[str, str]) -> Any:
    chosen = READER if (DIRECTORY / "read-only").exists() else CONNECTION
    chosen.query(f"USE {arguments.get('database') or 'default'}")
    return chosen


def insert_rows(insert: re.Match[bytes], rows: bytes, arguments: dict[str, str]) -> bytes:
    statement, form = insert[1].decode(), insert[2].decode()
    settings = ", ".join(f"{name} = '{value}'" for name, value in arguments.items() if name not in TRANSPORT)
    with tempfile.NamedTemporaryFile(dir=DIRECTORY) as file:
        file.write(rows)
        file.flush()
        connection(arguments).query(
            f"{statement} FROM INFILE '{file.name}' SETTINGS {settings} FORMAT {form}", "TabSeparated"
        )
    return b""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()
