"""The client's connections to one store: which is open, and what becomes of it after an error.

Reading from the embedded engine happens on a connection of its own. Any connection is thrown away after an error: the
engine answers the next statement on such a one with what the failed one left behind.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final

from otel_episodes_clickhouse.errors import StoreError
from otel_episodes_clickhouse.store import chdb_engine, failures
from otel_episodes_clickhouse.store.connections import Connections

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from typing import TypeVar

    from clickhouse_connect.driver.client import Client

    from otel_episodes_clickhouse.config import Target

    Answer = TypeVar("Answer")

_CONNECT_SECONDS: Final = 5
_ANSWER_SECONDS: Final = 300
# A server that has just woken up is asked for its version.
_OPENING_SECONDS: Final = 30
_THROUGH_SOCKET: Final = {"host": "localhost", "port": 80, "interface": "http", "compress": False}


class Clients:
    """Opens a connection when it is first needed, and asks on it. One thread at a time."""

    def __init__(self, target: Target, *, served: bool = False) -> None:
        self._target = target
        # Whether the engine is in this process.
        self._here = target.embedded and not served
        self._writer: Client | None = None
        self._reader: Client | None = None
        self._connections: Connections | None = None

    @property
    def asking_since(self) -> float:
        """When the request was sent that a server has not answered yet (time.monotonic); 0 when there is none."""
        return self._connections.asking_since if self._connections is not None else 0.0

    def open(self) -> None:
        """Connect; raise `StoreUnavailableError` when there is no answer."""
        self._writer = self._connect()

    def close(self) -> None:
        """Close what is open; the next statement opens another."""
        for client in (self._reader, self._writer):
            if client is not None:
                client.close()
        self._reader = self._writer = None

    def clear(self) -> None:
        """Close what is open, and the connections to a server that are kept idle."""
        self.close()
        if self._connections is not None:
            self._connections.clear()

    def deadline(self, seconds: float) -> AbstractContextManager[None]:
        """Give every request to a server that long inside the block."""
        return self._connections.deadline(seconds) if self._connections else nullcontext()

    def write(self, ask: Callable[[Client], Answer]) -> Answer:
        """Ask on the connection that writes."""
        client = self._writer or self._connect()
        # Kept only if all goes well; so below, and `_attempt` closes it otherwise.
        self._writer = None
        answer = self._attempt(client, ask)
        self._writer = client
        return answer

    def read(self, ask: Callable[[Client], Answer]) -> Answer:
        """Ask on the connection that reads."""
        if not self._here:
            return self.write(ask)
        client = self._reader or self._connect()
        self._reader = None
        answer = self._attempt(client, ask)
        self._reader = client
        return answer

    def ask_apart(self, ask: Callable[[Client], Answer]) -> Answer:
        """Ask on a connection that nothing else is asked on."""
        client = self._connect()
        try:
            return self._attempt(client, ask)
        finally:
            client.close()

    def _connect(self) -> Client:
        if self._here:
            with chdb_engine.signals_kept():
                chdb_engine.load()
                return self._client({"settings": chdb_engine.SETTINGS, **self._target.client_arguments()})
        if self._connections is None:
            seconds = float(self._target.option("send_receive_timeout", str(_ANSWER_SECONDS)))
            self._connections = Connections(self._target, seconds=seconds)
        defaults = {"connect_timeout": _CONNECT_SECONDS, "send_receive_timeout": _ANSWER_SECONDS}
        # Sessions would forbid two statements at once, and nothing here needs one.
        own = {"autogenerate_session_id": False, "pool_mgr": self._connections}
        with self._connections.deadline(_OPENING_SECONDS):
            arguments = _THROUGH_SOCKET if self._target.embedded else self._target.client_arguments()
            return self._client({**defaults, **arguments, **own})

    def _client(self, arguments: dict[str, Any]) -> Client:
        import clickhouse_connect  # noqa: PLC0415  # 0.3 s: not for those who only record

        try:
            return clickhouse_connect.get_client(**arguments)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is, it is ours to explain
            cause = failures.cause_of(error, self._target)
            raise failures.explained(error, self._target, self._reply(), connecting=True, here=self._here) from cause

    def _attempt(self, client: Client, ask: Callable[[Client], Answer]) -> Answer:
        """Ask, and on any error close the connection: the embedded engine's next answer on it would be a false one."""
        try:
            return ask(client)
        except StoreError:
            client.close()
            raise
        except Exception as error:  # noqa: BLE001  # the client raises urllib3's, OSError and its own
            client.close()
            cause = failures.cause_of(error, self._target)
            raise failures.explained(error, self._target, self._reply(), here=self._here) from cause

    def _reply(self) -> failures.Reply:
        connections = self._connections
        return failures.Reply(connections.status, connections.retry_after) if connections else failures.Reply()
