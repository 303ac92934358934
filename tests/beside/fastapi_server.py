"""FastAPI on uvicorn: streaming responses sync and async, a client that leaves, dependencies, background tasks."""

import asyncio
import socket
import threading
import time

import httpx
import uvicorn
from beside import check, done, recording
from fastapi import BackgroundTasks, Depends, FastAPI
from fastapi.responses import StreamingResponse

from otel_episodes import episode, step, with_context

app = FastAPI()


@step
def note(n):
    return n


def streamed():
    with episode("sync stream"):
        for n in range(3):
            note(n)
            yield f"{n}\n"


@episode("async stream")
async def async_streamed():
    for n in range(500):
        note(n)
        await asyncio.sleep(0.01)
        yield f"{n}\n"


async def in_an_episode():
    with episode("dependency"):
        yield


@app.get("/stream")
def stream():
    return StreamingResponse(streamed())


@app.get("/endless")
async def endless():
    return StreamingResponse(async_streamed())


@app.get("/dependency", dependencies=[Depends(in_an_episode)])
async def dependency():
    note(1)


@app.get("/background")
async def background(tasks: BackgroundTasks):
    with episode("background"):
        tasks.add_task(with_context(note), 1)


def steps_of(recorded, task):
    roots = [e for e in recorded.episodes if e.attributes["episode.task"] == task]
    return [sum(s.trace_id == root.trace_id for s in recorded.steps) for root in roots]


with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
with recording() as recorded:
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        client.get("/stream")
        client.get("/dependency")
        client.get("/background")
        with client.stream("GET", "/endless") as response:
            next(response.iter_lines())
    deadline = time.monotonic() + 10
    while not steps_of(recorded, "async stream") and time.monotonic() < deadline:
        time.sleep(0.05)
    server.should_exit = True
    thread.join()
check(
    "an episode in a sync generator under a streaming response has its steps", steps_of(recorded, "sync stream") == [3]
)
check("an episode ends when its client leaves", len(steps_of(recorded, "async stream")) == 1)
check("an episode in an async dependency has the endpoint's steps", steps_of(recorded, "dependency") == [1])
check("a background task with with_context is in the episode", steps_of(recorded, "background") == [1])
done("fastapi", "uvicorn", "starlette")
