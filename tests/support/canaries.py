"""A file nobody may open, an address nobody may call: what watches whether SQL got out."""

from __future__ import annotations

import ctypes
import os
import secrets
import socket
import struct
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hostile_sql import Places

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_IN_ACCESS, _IN_OPEN = 0x1, 0x20
_EVENT = struct.Struct("iIII")


@dataclass
class Canaries:
    """What to try to reach, and what has been."""

    folder: Path
    store: Path
    secret: str = field(default_factory=lambda: f"canary{secrets.token_hex(8)}")
    fetched: int = 0

    @property
    def present(self) -> Path:
        return self.folder / "present.csv"

    def places(self) -> Places:
        """Return where statements should try to get to: one file to write lies in the store's own directory."""
        absent = (self.folder / "absent", self.store / "absent", self.store / "metadata" / "absent.sql")
        host = f"127.0.0.1:{self.port}"
        return Places(str(self.present), f"http://{host}/x", host, tuple(map(str, absent)))

    def written(self) -> list[str]:
        """Return the files that statements made."""
        return [str(path) for folder in (self.folder, self.store) for path in folder.rglob("*absent*")]

    def opened(self) -> int:
        """Return how often the file was opened since it was last asked."""
        try:
            events = os.read(self._watch, 65_536)
        except BlockingIOError:
            return 0
        return sum(1 for _ in self._events(events))

    @staticmethod
    def _events(data: bytes) -> Iterator[int]:
        while data:
            _, mask, _, length = _EVENT.unpack_from(data)
            data = data[_EVENT.size + length :]
            yield mask

    def start(self) -> None:
        self.present.write_text(f"l\n{self.secret}\n")
        libc = ctypes.CDLL(None, use_errno=True)
        self._watch = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        libc.inotify_add_watch(self._watch, str(self.present).encode(), _IN_ACCESS | _IN_OPEN)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.fetched += 1
            connection.close()

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        os.close(self._watch)


@contextmanager
def canaries(folder: Path, store: Path) -> Iterator[Canaries]:
    """Return canaries inside the block."""
    made = Canaries(folder, store)
    made.start()
    try:
        yield made
    finally:
        made.stop()
