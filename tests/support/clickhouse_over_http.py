"""ClickHouse's HTTP interface in front of the embedded engine, as far as three clients need it.

``python clickhouse_over_http.py DIRECTORY`` prints the port it listens on. It is the real engine that answers; the
transport is ours, and is a stand-in for tests: one statement at a time, whole bodies in memory, no users but one.
Written for clickhouse-connect, for clickhouse-go (the OpenTelemetry Collector's exporter, over ``http://``) and for
`rotel`: statements in the URL or the body, parameters, settings, several databases, Native blocks of the version a
client asks for, compressed bodies either way, errors with their code.

What it does while there is such a file in DIRECTORY:

lose-answers: inserts are carried out and the connection is then cut.
read-only: nothing can be changed, by anyone; the file has the level, 1 or 2, as a profile has.
credentials: the only ``user:password`` let in; everyone else gets error 516.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

# The place in a buffer, which the transport has to know, is hidden in the C version of the client's reader.
os.environ["CLICKHOUSE_CONNECT_USE_C"] = "false"

from front_end.server import Server  # after the setting above

if __name__ == "__main__":
    server = Server(Path(sys.argv[1]))
    print(server.server_port, flush=True)
    server.serve_forever()
