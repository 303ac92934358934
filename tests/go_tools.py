"""Programs written in Go that tests run against, built once and kept outside of the repository.

``python tests/go_tools.py jaeger`` builds it where it is not there yet: a quarter of an hour or more on two cores, and
some gigabytes of modules and build cache. Tests only use what has been built; without it they skip and say so.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import platformdirs

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class GoProgram:
    """A command of a released Go module."""

    name: str
    module: str
    version: str
    package: str

    @property
    def path(self) -> Path:
        """Where the built program is, or would be."""
        return (
            platformdirs.user_cache_path("otel-episodes") / f"{self.name}-{self.version.removeprefix('v')}" / self.name
        )

    def missing(self) -> str:
        """Say why it cannot be run here; empty when it can."""
        if self.path.exists():
            return ""
        if shutil.which("go") is None:
            return f"{self.name} is built from Go, which is not on this machine"
        return f"{self.name} {self.version} is not built: make {self.name} (a quarter of an hour, once)"

    def build(self) -> None:
        """Build it, in the module's own directory: with the versions and the replacements its authors released."""
        asked = ["go", "mod", "download", "-json", f"{self.module}@{self.version}"]
        source = json.loads(subprocess.run(asked, check=True, capture_output=True, text=True).stdout)["Dir"]
        unfinished = self.path.with_suffix(".unfinished")
        # -s -w: without symbols for a debugger it is half the size.
        flags = ["-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", str(unfinished)]
        subprocess.run(["go", "build", *flags, self.package], cwd=source, check=True)
        unfinished.rename(self.path)


# Jaeger 2.13.0: its module is named without /v2, so Go finds it by the tag of version 1 on the same commit.
JAEGER = GoProgram("jaeger", "github.com/jaegertracing/jaeger", "v1.76.0", "./cmd/jaeger")
PROGRAMS = {program.name: program for program in (JAEGER,)}

if __name__ == "__main__":
    for wanted in map(PROGRAMS.__getitem__, sys.argv[1:]):
        if wanted.path.exists():
            print(f"{wanted.path} is there")
            continue
        if shutil.which("go") is None:
            sys.exit(wanted.missing())
        print(f"Building {wanted.name} {wanted.version}: a quarter of an hour on two cores ...", flush=True)
        wanted.build()
