"""A model on loopback that says what it was told to say: in the form of Anthropic's, OpenAI's or Gemini's API."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TypeAlias


@contextmanager
def scripted_model(
    calls: Sequence[tuple[str, dict[str, Any]]], *, quiet_for: str = "", heard: list[str] | None = None
) -> Iterator[str]:
    """Serve a model that makes these calls, one after the answer to the other, and then is done; yield its address.

    Whoever is asked something that holds ``quiet_for`` makes no calls: a sub-agent, say. ``heard`` takes what is sent.
    A name of two parts, ``a.b``, is a tool of a namespace where the API has them.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self._say(404, "application/json", b"{}")

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"] or 0)) or b"{}")
            path = self.path.partition("?")[0]
            form = next((form for ending, form in _FORMS.items() if path.endswith(ending)), None)
            if form is None:
                self._say(404, "application/json", b"{}")
                return
            said = form.said(asked)
            if heard is not None:
                heard.append(json.dumps(said, ensure_ascii=False))
            answered = json.dumps(said).count(form.answer)
            quiet = quiet_for and quiet_for in json.dumps(form.asked(said))
            told = None if quiet or not asked.get("tools") or answered >= len(calls) else calls[answered]
            events = form.events(str(asked.get("model", "")), f"{len(said)}", told)
            if path.endswith(":generateContent"):
                self._say(200, "application/json", json.dumps(events[0][1]).encode())
                return
            lines = (f"event: {name}\n" * bool(name) + f"data: {json.dumps(event)}\n\n" for name, event in events)
            self._say(200, "text/event-stream", "".join(lines).encode())

        def _say(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
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


Call: TypeAlias = "tuple[str, dict[str, Any]] | None"


class _Form(NamedTuple):
    """How one API is spoken: where what was said is, what an answer to a call looks like, what the model answers."""

    said: Callable[[dict[str, Any]], list[Any]]
    asked: Callable[[list[Any]], list[Any]]
    answer: str
    events: Callable[[str, str, Call], list[tuple[str, dict[str, Any]]]]


def _anthropic(model: str, place: str, told: Call) -> list[tuple[str, dict[str, Any]]]:
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
    events: list[dict[str, Any]] = [
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
    return [(event["type"], event) for event in events]


def _responses(model: str, place: str, told: Call) -> list[tuple[str, dict[str, Any]]]:
    if told is None:
        content = [{"type": "output_text", "text": "All done.", "annotations": []}]
        item: dict[str, Any] = {"type": "message", "id": f"msg_{place}", "role": "assistant", "content": content}
    else:
        space, dot, name = told[0].rpartition(".")
        item = {
            "type": "function_call", "id": f"fc_{place}", "call_id": f"call_{place}", "name": name,
            "arguments": json.dumps(told[1]), **({"namespace": space} if dot else {}),
        }  # fmt: skip
    usage = {
        "input_tokens": 10, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 15,
    }  # fmt: skip
    response = {"id": f"resp_{place}", "object": "response", "model": model, "output": [item], "usage": usage}
    return [
        ("response.created", {"type": "response.created", "response": {"id": f"resp_{place}"}}),
        ("response.output_item.done", {"type": "response.output_item.done", "output_index": 0, "item": item}),
        ("response.completed", {"type": "response.completed", "response": response}),
    ]


def _gemini(model: str, place: str, told: Call) -> list[tuple[str, dict[str, Any]]]:
    part = {"text": "All done."} if told is None else {"functionCall": {"name": told[0], "args": told[1]}}
    candidate = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}
    usage = {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}
    return [("", {"candidates": [candidate], "usageMetadata": usage, "modelVersion": model, "responseId": place})]


_FORMS: Final = {
    "/messages": _Form(lambda asked: asked.get("messages", []), lambda said: said[:1], '"tool_result"', _anthropic),
    "/responses": _Form(
        lambda asked: asked.get("input", []),
        lambda said: [item for item in said if item.get("role") == "user"],
        '"function_call_output"', _responses,
    ),
    ":streamGenerateContent": _Form(
        lambda asked: asked.get("contents", []), lambda said: said[:2], '"functionResponse"', _gemini
    ),
    ":generateContent": _Form(
        lambda asked: asked.get("contents", []), lambda said: said[:2], '"functionResponse"', _gemini
    ),
}  # fmt: skip
