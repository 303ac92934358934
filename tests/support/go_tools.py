"""Programs written in Go that tests run against, built once and kept outside of the repository.

``python tests/support/go_tools.py collector jaeger`` builds what is not there yet. That takes Go, the network,
gigabytes of modules and build cache, and minutes: a quarter of an hour or more for Jaeger on two cores. Tests only
use what has been built; without it they skip and say so.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import platformdirs

if TYPE_CHECKING:
    from collections.abc import Callable

CACHE: Final = platformdirs.user_cache_path("otel-episodes")
MANIFEST: Final = Path(__file__).resolve().parents[2] / "collector-config" / "otelcol" / "builder.yaml"
# Where Go's own installer puts it, which not every PATH has.
GO: Final = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")


@dataclass(frozen=True)
class GoProgram:
    """A program, where it belongs and how it is built: ``compile`` runs in an empty directory and says what it made."""

    name: str
    version: str
    path: Path
    compile: Callable[[str, Path], Path]

    def missing(self) -> str:
        """Say why it cannot be run here; empty when it can."""
        if self.path.exists():
            return ""
        if GO is None:
            return f"{self.name} is built with Go, which is not on this machine: https://go.dev/doc/install"
        return f"{self.name} {self.version} is not built: make {self.name} (minutes, once)"

    def build(self, go: str) -> None:
        """Build it beside where it belongs and move it there whole, so that half a program is never found."""
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as directory:
            made = self.compile(go, Path(directory))
            self.path.parent.mkdir(exist_ok=True)
            made.replace(self.path)


def from_manifest(version: str, go: str, directory: Path) -> Path:
    """Build the collector of collector-config/otelcol/builder.yaml with the OpenTelemetry Collector's own builder."""
    # Paths in a manifest are relative to where the builder runs.
    shutil.copy(MANIFEST, directory)
    builder = f"go.opentelemetry.io/collector/cmd/builder@v{version}"
    subprocess.run([go, "run", builder, "--config", MANIFEST.name], cwd=directory, check=True)
    return directory / "build" / "otelcol-episodes"


def from_module(module: str, package: str, go: str, directory: Path) -> Path:
    """Build a command in its module's own directory: with the versions and replacements its authors released."""
    asked = [go, "mod", "download", "-json", module]
    source = json.loads(subprocess.run(asked, check=True, capture_output=True, text=True).stdout)["Dir"]
    made = directory / "program"
    # -s -w: without symbols for a debugger it is half the size.
    flags = ["-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", str(made)]
    subprocess.run([go, "build", *flags, package], cwd=source, check=True)
    return made


def _collector() -> GoProgram:
    manifest = MANIFEST.read_text()
    found = re.search(r"^  version: (\S+)$", manifest, re.MULTILINE)
    assert found is not None
    # Another manifest is another collector.
    digest = hashlib.sha256(manifest.encode()).hexdigest()[:12]
    path = CACHE / f"otelcol-{digest}" / "otelcol-episodes"
    return GoProgram("collector", found[1], path, partial(from_manifest, found[1]))


def _jaeger(version: str) -> GoProgram:
    compiled = partial(from_module, f"github.com/jaegertracing/jaeger@v{version}", "./cmd/jaeger")
    return GoProgram("jaeger", version, CACHE / f"jaeger-{version}" / "jaeger", compiled)


COLLECTOR: Final = _collector()
# Jaeger 2.13.0: its module is named without /v2, so Go finds it by the tag of version 1 on the same commit. Later
# releases have no such tag.
JAEGER: Final = _jaeger("1.76.0")
PROGRAMS: Final = {program.name: program for program in (COLLECTOR, JAEGER)}


def main(wanted: list[str]) -> int:
    """Build what is wanted and not there yet."""
    for program in map(PROGRAMS.__getitem__, wanted):
        if program.path.exists():
            print(f"{program.path} is there already")
            continue
        if GO is None:
            print(f"{program.missing()}. Without it, its tests are skipped.")
            return 1
        print(f"Building {program.name} {program.version} into {program.path.parent}: minutes, once ...", flush=True)
        try:
            program.build(GO)
        except subprocess.CalledProcessError as error:
            print(f"{program.name} could not be built: {error}\n{error.stdout or ''}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
