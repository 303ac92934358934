"""Statements of HTTP requests, carried out by the embedded engine as a server would."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from front_end.native import for_protocol

from otel_episodes_clickhouse.serve import statements

if TYPE_CHECKING:
    from pathlib import Path

    from otel_episodes_clickhouse.serve.statements import Request


class Engine(statements.Engine):
    """The engine that `serve` has, in the blocks of a server; one request at a time."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory / "engine", directory)
        self._one_at_a_time = threading.Lock()

    def answer(self, request: Request) -> bytes:
        """Carry out a request and return the body of the answer; raises what the engine raises."""
        with self._one_at_a_time:
            body = super().answer(request)
        if request.format == "Native":
            return for_protocol(body, int(request.arguments.get("client_protocol_version", "0")))
        return body
