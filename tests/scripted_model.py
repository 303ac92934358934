"""A model on loopback that says what it was told to say, in the form of Anthropic's Messages API."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@contextmanager
def scripted_model(
    calls: Sequence[tuple[str, dict[str, Any]]], *, quiet_for: str = "", heard: list[str] | None = None
) -> Iterator[str]:
    """Serve a model that makes these calls, one after the answer to the other, and then is done; yield its address.

    Whoever is asked something that holds ``quiet_for`` makes no calls: a sub-agent, say. ``heard`` takes what is sent.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"] or 0)) or b"{}")
            messages = asked.get("messages", [])
            if heard is not None:
                heard.append(json.dumps(messages, ensure_ascii=False))
            answered = sum(
                block.get("type") == "tool_result"
                for message in messages if isinstance(message["content"], list)
                for block in message["content"]
            )  # fmt: skip
            quiet = quiet_for and quiet_for in json.dumps(messages[:1])
            told = None if quiet or not asked.get("tools") or answered >= len(calls) else calls[answered]
            events = _events(asked.get("model", ""), f"{len(messages)}", told)
            body = b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def _events(model: str, place: str, told: tuple[str, dict[str, Any]] | None) -> list[dict[str, Any]]:
    if told is None:
        block: dict[str, Any] = {"type": "text", "text": ""}
        delta, reason = {"type": "text_delta", "text": "All done."}, "end_turn"
    else:
        block = {"type": "tool_use", "id": f"toolu_{place}", "name": told[0], "input": {}}
        delta, reason = {"type": "input_json_delta", "partial_json": json.dumps(told[1])}, "tool_use"
    message = {
        "id": f"msg_{place}", "type": "message", "role": "assistant", "model": model, "content": [],
        "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 10, "output_tokens": 1},
    }  # fmt: skip
    return [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": None},
            "usage": {"output_tokens": 5},
        },
        {"type": "message_stop"},
    ]
