"""A server that speaks as models' APIs do and says what it was told to: OpenAI's chat completions, and Gemini's."""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# What the model asks for, turn by turn; then it says that it is done.
SCENARIOS = {
    "plain": [("grep", {"pattern": "TODO"}), ("grep", {"pattern": "FIXME"})],
    "fails": [("grep", {"pattern": "TODO"}), ("boom", {"path": "x"})],
}


def grep(pattern: str) -> str:
    """Search for a pattern."""
    return f"3 hits of {pattern}"


def boom(path: str) -> str:
    """Break a file."""
    raise ValueError(f"cannot edit {path}")


def serve() -> str:
    """Start the server for the scenario of the command line; return its address."""
    turns = SCENARIOS[sys.argv[2]]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            gemini = "contents" in asked
            said = asked["contents"] if gemini else asked["messages"]
            turn = sum(message.get("role") in ("assistant", "model") for message in said)
            call = turns[turn] if turn < len(turns) else None
            stream = bool(asked.get("stream"))
            body = _gemini(call) if gemini else _openai(call, turn)
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream" if stream else "application/json")
            answer = (_streamed(body) if stream else json.dumps(body)).encode()
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_about: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}"


def _openai(call: tuple[str, dict[str, str]] | None, turn: int) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": "done" if call is None else None}
    if call is not None:
        function = {"name": call[0], "arguments": json.dumps(call[1])}
        message["tool_calls"] = [{"id": f"call_{turn}", "type": "function", "function": function}]
    return {
        "id": f"chatcmpl-{turn}", "object": "chat.completion", "created": 1_767_225_600, "model": "gpt-4o-mini",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if call else "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
    }  # fmt: skip


def _streamed(body: dict[str, Any]) -> str:
    """Return an answer as a stream has it: the message, the end of it, and then what it used."""
    frame = {key: body[key] for key in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    (choice,) = body["choices"]
    delta = dict(choice["message"])
    if "tool_calls" in delta:
        delta["tool_calls"] = [{**call, "index": number} for number, call in enumerate(delta["tool_calls"])]
    chunks = (
        {**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
        {**frame, "choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]},
        {**frame, "choices": [], "usage": body["usage"]},
    )
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"


def _gemini(call: tuple[str, dict[str, str]] | None) -> dict[str, Any]:
    part = {"text": "done"} if call is None else {"functionCall": {"name": call[0], "args": call[1]}}
    return {
        "candidates": [{"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 2, "totalTokenCount": 12},
        "modelVersion": "gemini-2.5-flash",
    }
