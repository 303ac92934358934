"""Build the OpenTelemetry Collector of collector-config/otelcol/builder.yaml into the cache where the tests look.

`make collector` runs this. It takes Go, the network and seven minutes of a CPU, once for each version of the manifest.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from collectors import CONFIGS, cached_collector

MANIFEST = CONFIGS / "builder.yaml"
# Where Go's own installer puts it, which not every PATH has.
GO = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")


def main() -> int:
    binary = cached_collector()
    if binary.exists():
        print(f"{binary} is there already")
        return 0
    if GO is None:
        print("Go is needed to build the collector: https://go.dev/doc/install. Without it, its tests are skipped.")
        return 1
    found = re.search(r"^  version: (\S+)$", MANIFEST.read_text(), re.MULTILINE)
    assert found is not None
    print(f"Building {binary.name} {found[1]} into {binary.parent}: several minutes, once ...", flush=True)
    binary.parent.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=binary.parent.parent) as directory:
        # Paths in a manifest are relative to where the builder runs.
        shutil.copy(MANIFEST, directory)
        builder = f"go.opentelemetry.io/collector/cmd/builder@v{found[1]}"
        subprocess.run([GO, "run", builder, "--config", MANIFEST.name], cwd=directory, check=True)
        binary.parent.mkdir(exist_ok=True)
        (Path(directory) / "build" / binary.name).replace(binary)
    return 0


if __name__ == "__main__":
    sys.exit(main())
