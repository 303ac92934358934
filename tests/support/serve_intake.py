"""The half of `serve` that takes spans, without a store: to be killed and sent to slowly. Its argument is a spool."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

from starlette.applications import Starlette

from otel_episodes_clickhouse.serve.intake import Intake
from otel_episodes_clickhouse.serve.receive import routes
from otel_episodes_clickhouse.serve.server import Server
from otel_episodes_clickhouse.serve.walls import Walls


async def keep_no_logs(lines: bytes, token: str) -> None:
    pass


with socket.create_server(("127.0.0.1", 0)) as listener:
    intake = Intake(Path(sys.argv[1]))
    app = Walls(Starlette(routes=routes(intake, keep_no_logs, body_seconds=0.5)))
    print(json.dumps({"address": f"http://localhost:{listener.getsockname()[1]}"}), flush=True)
    Server(app, head_seconds=0.5).run([listener])
