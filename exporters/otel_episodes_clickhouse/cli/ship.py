"""Shipping alone: ``ship``."""

from __future__ import annotations

import logging
import os
import select
import signal
import time
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from otel_episodes_clickhouse.cli import output
from otel_episodes_clickhouse.cli.options import Dsn, Json, add
from otel_episodes_clickhouse.config import DSN_VARIABLE, PASSWORD_VARIABLE, Target
from otel_episodes_clickhouse.errors import ConfigurationError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from otel_episodes_clickhouse.delivery.shipper import Shipper
    from otel_episodes_clickhouse.spool.backlog import Backlog
    from otel_episodes_clickhouse.spool.drain import DrainReport

_REPORT_SECONDS = 10.0
_BUSY_SECONDS = 30.0
# After the insert under way has had its time.
_GRACE_SECONDS = 5.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    add(app, ship)


def ship(
    once: Annotated[bool, typer.Option("--once", help="Send what waits now, and end.")] = False,
    every: Annotated[
        float, typer.Option(min=0.1, max=3600, help="Seconds to gather before an insert, unless much comes together.")
    ] = 1.0,
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Send what agents have recorded to the server, until told to stop.

    While it runs, agents with the same spool leave sending to it, and take over when it is gone. For agents that never
    send: configure(ship=False), or OTEL_EPISODES_SHIP=false. Their DSN needs no password, only this one does. Ends by
    SIGTERM or Ctrl-C when the insert under way is done. Any number may run at once.

    Examples:
      otel-episodes ship
      otel-episodes ship --once
    """
    target = Target.resolve(dsn)
    if target.embedded:
        raise ConfigurationError(
            f"{target} is embedded and takes in what is recorded when it is read: ship needs a server, by --dsn or "
            f"{DSN_VARIABLE}"
        )
    if dsn is not None and urlsplit(dsn).password:
        output.note(
            "others on this machine can see this command's arguments: "
            f"leave the password out and put it in {PASSWORD_VARIABLE}, or in a file named by password_file in the DSN"
        )
    with _log_on_stderr():
        if once:
            _ship_once(target, json=json)
        else:
            _ship_on(target, every, json=json)


def _ship_once(target: Target, *, json: bool) -> None:
    from otel_episodes_clickhouse.delivery.batch import ALONE  # noqa: PLC0415  # with the store
    from otel_episodes_clickhouse.delivery.shipper import Shipper  # noqa: PLC0415  # likewise

    report = Shipper(target, pace=ALONE).once(wait_seconds=_BUSY_SECONDS)
    if report.busy:
        raise StoreError(f"another process has been sending {target.spool} for {_BUSY_SECONDS:.0f} s: try again later")
    if json:
        output.json({"target": str(target), "spool": str(target.spool), **asdict(report)})
    else:
        output.line(_sent(report))


def _sent(report: DrainReport) -> str:
    text = f"{output.plural(report.rows, 'span')} sent in {output.plural(report.inserts, 'insert')}"
    return f"{text}; {output.plural(report.quarantined, 'line')} set aside" if report.quarantined else text


def _ship_on(target: Target, every: float, *, json: bool) -> None:
    from otel_episodes_clickhouse.delivery.batch import ALONE  # noqa: PLC0415  # with the store
    from otel_episodes_clickhouse.delivery.shipper import Shipper  # noqa: PLC0415  # likewise

    progress = _Progress(target, json=json)
    with _told_to_stop() as told:
        shipper = Shipper(target, pace=replace(ALONE, gather_seconds=every))
        progress.started()
        shipper.ensure_running()
        while not told(_REPORT_SECONDS):
            shipper.ensure_running()
            progress.report(shipper)
    patience = target.insert_seconds + _GRACE_SECONDS
    whole = shipper.stop(drain=False, within=patience)
    progress.ended(shipper, whole=whole)


class _Progress:
    """Says now and then how it goes: a line of text, or of JSON."""

    def __init__(self, target: Target, *, json: bool) -> None:
        self._target = target
        self._json = json
        self._exported = 0
        self._failures = 0

    def started(self) -> None:
        waiting = self._waiting()
        if self._json:
            self._print_json("started", waiting, {"spool": str(self._target.spool), "target": str(self._target)})
            return
        output.line(f"sending {self._target.spool} to {self._target}; end with Ctrl-C or SIGTERM")
        self._print(f"{_describe(waiting)}")

    def report(self, shipper: Shipper) -> None:
        """Say what has happened since the last time, if anything has."""
        delivery, failures = shipper.delivery, shipper.backoff.failures
        sent, self._exported = delivery.exported - self._exported, delivery.exported
        if not sent and not failures and not self._failures:
            return
        self._failures = failures
        waiting = self._waiting()
        if self._json:
            self._print_json("progress", waiting, {**delivery.counts(), "failures": failures})
            return
        away = f"; not reached, next try in {shipper.backoff.wait():.0f} s" if failures else ""
        self._print(f"{output.plural(sent, 'span')} sent, {_describe(waiting)}{away}")

    def ended(self, shipper: Shipper, *, whole: bool) -> None:
        delivery, waiting = shipper.delivery, self._waiting()
        if self._json:
            self._print_json("ended", waiting, {**delivery.counts(), "whole": whole})
            return
        left = "" if whole else "; one insert has no answer yet, the next to ship repeats it"
        sent = f"{output.plural(delivery.exported, 'span')} sent in {output.plural(delivery.inserts, 'insert')}"
        self._print(f"ended: {sent}, {_describe(waiting)}{left}")

    def _waiting(self) -> Backlog:
        from otel_episodes_clickhouse.spool.backlog import measure  # noqa: PLC0415  # with the store

        return measure(self._target.spool)

    def _print(self, text: str) -> None:
        output.line(f"{time.strftime('%H:%M:%S')} {text}", flush=True)

    def _print_json(self, event: str, waiting: Backlog, more: dict[str, object]) -> None:
        lag = round(waiting.lag_seconds(), 3)
        left = {"rows": waiting.rows, "bytes": waiting.bytes, "lag_seconds": lag}
        output.json({"event": event, "time": output.iso_time(time.time_ns()), **more, "waiting": left}, indent=False)


def _describe(waiting: Backlog) -> str:
    if not waiting.rows:
        return "nothing waits"
    age = output.duration(int(waiting.lag_seconds() * 1e9))
    return f"{output.plural(waiting.rows, 'span')} ({output.size(waiting.bytes)}) wait, the oldest for {age}"


@contextmanager
def _told_to_stop() -> Iterator[_Told]:
    """Yield what waits for a signal to end; a second one ends the process at once."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = {number: signal.signal(number, _nothing) for number in _SIGNALS}
    # Python wakes the pipe for every signal; a handler that took a lock could wait for the code it interrupts.
    woken = signal.set_wakeup_fd(writing)
    try:
        yield _Told(reading)
    finally:
        signal.set_wakeup_fd(woken)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reading)
        os.close(writing)


def _nothing(number: int, frame: FrameType | None) -> None:
    """Do nothing: the signal has woken whoever waits."""


class _Told:
    """Waits that many seconds for a signal; True when one came."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __call__(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self._descriptor], [], [], left)[0]:
                return False
            if set(os.read(self._descriptor, 512)) & set(_SIGNALS):
                return True
        return False


@contextmanager
def _log_on_stderr() -> Iterator[None]:
    """Show what the shipper logs, with the time."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    logger = logging.getLogger("otel_episodes_clickhouse")
    logger.addHandler(handler)
    propagate, logger.propagate = logger.propagate, False
    try:
        yield
    finally:
        logger.propagate = propagate
        logger.removeHandler(handler)
