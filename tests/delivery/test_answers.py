"""Servers that do not end what they say: each is left, in time and without filling the memory."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from otel_episodes_clickhouse.config import Target
from otel_episodes_clickhouse.errors import StoreUnavailableError
from otel_episodes_clickhouse.store import answers
from otel_episodes_clickhouse.store.connections import Connections, knock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OK = b"HTTP/1.1 200 OK\r\n"
BOMB = gzip.compress(b"\0" * (64 << 20))


@contextmanager
def serving(answer: Callable[[socket.socket], None]) -> Iterator[Target]:
    """Return the target of a server that answers whatever it is asked by that, over and over."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65_536)
                try:
                    answer(connection)
                except OSError:
                    continue

    threading.Thread(target=run, daemon=True).start()
    try:
        yield Target.resolve(f"http://127.0.0.1:{listener.getsockname()[1]}/default")
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def endless_body(connection: socket.socket) -> None:
    connection.sendall(OK + b"\r\n")
    while True:
        connection.sendall(b"x" * 65_536)


def endless_error(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 500 Nothing\r\n\r\n")
    while True:
        connection.sendall(b"x" * 65_536)


def packed(connection: socket.socket) -> None:
    connection.sendall(OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB) + BOMB)


def packed_unasked(connection: socket.socket) -> None:
    connection.sendall(OK + b"Content-Encoding: zstd\r\nContent-Length: 4\r\n\r\nabcd")


def trickle(connection: socket.socket) -> None:
    connection.sendall(OK + b"Content-Length: 100000\r\n\r\n")
    while True:
        connection.sendall(b"z")
        time.sleep(0.05)


def trickled_head(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.05)


def never_begins(connection: socket.socket) -> None:
    connection.recv(1)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (endless_body, "it answers with more than 1,048,576 bytes where a few were expected"),
        (packed, "it answers with more than 1,048,576 bytes where a few were expected"),
        (packed_unasked, "it answers in an encoding that was not asked for: zstd"),
        (trickle, "no whole answer in time"),
        (trickled_head, "no whole answer in time"),
    ],
)
def test_an_answer_without_an_end_is_no_answer(answer: Callable[[socket.socket], None], said: str) -> None:
    with serving(answer) as target:
        connections = Connections(target, seconds=300)
        with pytest.raises(StoreUnavailableError) as refused, connections.deadline(0.5):
            connections.request("POST", f"http://{target.host}:{target.port}/", body=b"x")
        assert str(refused.value) == f"{target} does not answer: {said}"
        connections.clear()


def test_of_an_error_without_an_end_the_beginning_is_read() -> None:
    with serving(endless_error) as target:
        connections = Connections(target, seconds=300)
        with connections.deadline(30):
            answer = connections.request("POST", f"http://{target.host}:{target.port}/", body=b"x")
        assert (answer.status, len(answer.data)) == (500, answers.ERROR_BYTES)
        connections.clear()


def test_a_result_that_stops_coming_is_left() -> None:
    with serving(trickle) as target:
        connections = Connections(target, seconds=0.5)
        url = f"http://{target.host}:{target.port}/"
        answer = connections.request("POST", url, body=b"x", preload_content=False)
        with pytest.raises(StoreUnavailableError, match="the rest of its answer does not come in time"):
            list(answer.stream(1 << 20))
        answer.close()
        connections.clear()


def test_nobody_is_knocked_at_for_long() -> None:
    with serving(trickle) as target:
        assert knock(target)
    with serving(never_begins) as target:
        assert not knock(target)
