"""The official OTLP exporters of other languages, got from their registries once and kept outside of the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest
from go_tools import CACHE, GO

HERE: Final = Path(__file__).parents[1] / "exporters"
SEND_JS: Final = HERE / "send.cjs"
_PACKAGES: Final = (
    "@opentelemetry/api@1.9.1", "@opentelemetry/sdk-trace-base@2.12.1", "@opentelemetry/resources@2.12.1",
    "@opentelemetry/exporter-trace-otlp-proto@0.223.1", "@opentelemetry/exporter-trace-otlp-http@0.223.1",
)  # fmt: skip
_GO_VERSION: Final = "v1.46.0"
_INSTALL_SECONDS: Final = 600
# A collector that hands on what comes, and writes the same into ClickHouse itself.
BOTH_WAYS: Final = """
receivers: {otlp: {protocols: {grpc: {endpoint: "${env:OTELCOL_GRPC}"}}}}
exporters:
  otlp_http: {endpoint: "${env:SERVE}"}
  clickhouse: {endpoint: "${env:CLICKHOUSE_ENDPOINT}", create_schema: true, async_insert: false}
extensions: {health_check: {endpoint: "${env:OTELCOL_HEALTH}"}}
service:
  extensions: [health_check]
  pipelines:
    traces: {receivers: [otlp], exporters: [otlp_http, clickhouse]}
    logs: {receivers: [otlp], exporters: [otlp_http, clickhouse]}
"""


def node_modules() -> Path:
    """Return where the exporters for JavaScript are; skip where they cannot be."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not here, which brings the exporters for JavaScript")
    place = CACHE / "otlp-js"
    if not (place / "node_modules").exists():
        _run([npm, "install", "--no-audit", "--no-fund", "--prefix", str(place), *_PACKAGES], CACHE)
    return place / "node_modules"


def go_program() -> Path:
    """Return the program that sends from Go, built where that was asked for; skip where it is not."""
    program = CACHE / "otlp-go" / "send"
    if not program.exists():
        if GO is None or not os.environ.get("OTEL_EPISODES_TEST_FRAMEWORKS"):
            pytest.skip("the exporter for Go is built (a minute, once) with OTEL_EPISODES_TEST_FRAMEWORKS=1")
        program.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(HERE / "send.go", program.parent / "main.go")
        if not (program.parent / "go.mod").exists():
            _run([GO, "mod", "init", "send"], program.parent)
        modules = ("otel", "otel/sdk", "otel/exporters/otlp/otlptrace/otlptracehttp")
        _run([GO, "get", *(f"go.opentelemetry.io/{name}@{_GO_VERSION}" for name in modules)], program.parent)
        _run([GO, "build", "-o", str(program), "."], program.parent)
    return program


def _run(command: list[str], place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False, timeout=_INSTALL_SECONDS)
    if done.returncode:
        pytest.skip(f"{command[0]} {command[1]} fails here: {done.stderr.strip()[-300:]}")
