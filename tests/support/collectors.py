"""Real collectors and the tests' front end as processes: started, awaited, stopped."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from go_tools import COLLECTOR, MANIFEST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = MANIFEST.parent
# Two collectors on one machine would both want the port of the default, and nobody reads these metrics here.
_QUIET = "service: {telemetry: {metrics: {level: none}, logs: {level: info}}}\n"
_PATIENCE_SECONDS = 120


def otelcol_binary() -> Path:
    """Return the OpenTelemetry Collector that `make collector` built, or skip."""
    if reason := COLLECTOR.missing():
        pytest.skip(reason)
    return COLLECTOR.path


def rotel_binary() -> Path:
    """Return the binary inside the `rotel` package, or skip."""
    rotel = pytest.importorskip("rotel", reason="the package rotel is not installed: it has wheels for Linux and macOS")
    return Path(rotel.__file__).with_name("rotel-agent")


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def eventually(ready: Callable[[], object], what: str) -> None:
    """Ask until the answer is true; fail after two minutes, which no answer takes but on a machine that hangs."""
    end = time.monotonic() + _PATIENCE_SECONDS
    while not ready():
        if time.monotonic() > end:
            pytest.fail(f"waited {_PATIENCE_SECONDS} s: {what}")
        time.sleep(0.1)


@contextmanager
def front_end(directory: Path) -> Iterator[str]:
    """Run the front end over the embedded engine; gives the URL without a database."""
    directory.mkdir(parents=True, exist_ok=True)
    script = Path(__file__).with_name("clickhouse_over_http.py")
    with subprocess.Popen([sys.executable, script, directory], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
        finally:
            server.kill()


@contextmanager
def otelcol(directory: Path, *configs: str, **environ: str) -> Iterator[str]:
    """Run the OpenTelemetry Collector with configurations of ours; gives host:port of its OTLP over gRPC."""
    directory.mkdir(parents=True, exist_ok=True)
    quiet = directory / "quiet.yaml"
    quiet.write_text(_QUIET)
    health, grpc, http = (f"127.0.0.1:{free_port()}" for _ in range(3))
    arguments = [f"--config={path}" for path in (*(CONFIGS / name for name in configs), quiet)]
    places = {"OTELCOL_STORAGE": str(directory / "queue"), "OTELCOL_HEALTH": health, "OTELCOL_GRPC": grpc}
    with _process([otelcol_binary(), *arguments], directory / "log", OTELCOL_HTTP=http, **places, **environ) as log:
        eventually(lambda: _answers(f"http://{health}/"), f"the collector does not start, see {log}")
        yield grpc


@contextmanager
def rotel(directory: Path, **environ: str) -> Iterator[str]:
    """Run rotel with our variables; gives host:port of its OTLP over gRPC."""
    directory.mkdir(parents=True, exist_ok=True)
    grpc, http = (f"127.0.0.1:{free_port()}" for _ in range(2))
    places = {"ROTEL_OTLP_GRPC_ENDPOINT": grpc, "ROTEL_OTLP_HTTP_ENDPOINT": http}
    with _process([rotel_binary(), "start"], directory / "log", **places, **environ) as log:
        eventually(lambda: _listens(grpc), f"rotel does not start, see {log}")
        yield grpc


def rotel_environ(url: str, database: str) -> dict[str, str]:
    """Return the variables of rotel.env, as a shell that reads it sets them."""
    script = f"set -a; . {ROOT}/collector-config/rotel/rotel.env; env -0"
    clean = {"PATH": os.environ["PATH"], "CLICKHOUSE_ENDPOINT": url, "CLICKHOUSE_DATABASE": database}
    done = subprocess.run(["sh", "-c", script], env=clean, capture_output=True, text=True, check=True)
    pairs = (pair.partition("=") for pair in done.stdout.split("\0") if pair.startswith("ROTEL_"))
    return {name: value for name, _, value in pairs if not name.endswith(("GRPC_ENDPOINT", "HTTP_ENDPOINT"))}


@contextmanager
def _process(command: list[object], log: Path, **environ: str) -> Iterator[Path]:
    with (
        log.open("wb") as file,
        subprocess.Popen(
            [str(part) for part in command], env={**os.environ, **environ}, stdout=file, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            yield log
        finally:
            process.terminate()
            try:
                process.wait(60)
            finally:
                process.kill()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def _listens(address: str) -> bool:
    host, _, port = address.partition(":")
    with socket.socket() as sock:
        return sock.connect_ex((host, int(port))) == 0
