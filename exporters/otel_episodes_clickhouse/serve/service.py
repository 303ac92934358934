"""Everything that `otel-episodes serve` runs, begun and ended in order."""

from __future__ import annotations

import threading
from contextlib import ExitStack, closing
from importlib import import_module
from typing import TYPE_CHECKING

from otel_episodes_clickhouse.config import SpoolSettings
from otel_episodes_clickhouse.errors import StoreError
from otel_episodes_clickhouse.serve.engine import ServedEngine
from otel_episodes_clickhouse.store.store import Store

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from otel_episodes_clickhouse.config import Target
    from otel_episodes_clickhouse.serve.server import Server


def run(
    target: Target, listener: socket.socket, started: Callable[[], None], *, token: str = "", learn: bool = True
) -> None:
    """Serve a store at a socket that listens, until SIGTERM or SIGINT; ``started`` is called when pages answer.

    Raises:
        StoreError: the store cannot be opened, or its engine has ended by itself.
    """
    with ExitStack() as ending:
        engine = ending.enter_context(ServedEngine(target)) if target.embedded else None
        # While the engine starts.
        from otel_episodes_clickhouse.serve import tools  # noqa: PLC0415
        from otel_episodes_clickhouse.serve.app import build_app  # noqa: PLC0415
        from otel_episodes_clickhouse.serve.ask import Ask  # noqa: PLC0415
        from otel_episodes_clickhouse.serve.intake import Intake  # noqa: PLC0415
        from otel_episodes_clickhouse.serve.log_spool import LogSpool  # noqa: PLC0415
        from otel_episodes_clickhouse.serve.server import Server  # noqa: PLC0415
        from otel_episodes_clickhouse.serve.work import Work  # noqa: PLC0415

        import_module("clickhouse_connect")
        if engine is not None:
            engine.ready()
        logs = LogSpool(target.spool)
        with Store.open(target) as store:
            store.prepare()
            logs.bring_in(store)

        def open_store() -> Store:
            return Store.open(target)

        work = ending.enter_context(closing(Work(target, open_store, learn=learn)))
        ask = ending.enter_context(closing(Ask(open_store, logs, changed=work.changed)))
        limit = SpoolSettings.resolve().limit_bytes
        intake = ending.enter_context(closing(Intake(target.spool, limit_bytes=limit, spooled=work.spooled)))
        server = Server(build_app(ask, intake, work, tools.routes(open_store), token=token))
        if engine is not None:
            threading.Thread(target=_watch, args=(engine, server), daemon=True).start()
        work.begin()
        started()
        server.run([listener])
        if engine is not None and engine.ended():
            # What it had begun is repeated by the next process, which knows that it was cut short.
            raise StoreError(f"the engine that had {target} open has ended: see above, and start again")


def _watch(engine: ServedEngine, server: Server) -> None:
    engine.wait()
    server.should_exit = True
