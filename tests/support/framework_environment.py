"""Environments with frameworks of others: made once, kept for a new day."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ASKED_FOR = os.environ.get("OTEL_EPISODES_TEST_FRAMEWORKS", "") not in ("", "0")
REASON = "several hundred megabytes of frameworks: make test-frameworks installs and runs them"


def environment(packages: tuple[str, ...]) -> Path:
    """Return the interpreter of an environment with these packages and this project; skip where it cannot be made."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "otel-episodes"
    digest = hashlib.sha256(" ".join((*packages, sys.version, str(ROOT))).encode()).hexdigest()[:12]
    told = os.environ.get("OTEL_EPISODES_FRAMEWORKS")
    home = Path(told) / digest if told else cache / f"frameworks-{digest}"
    interpreter = home / "bin" / "python"
    if not (home / ".installed").exists():
        uv = shutil.which("uv")
        make = [uv, "venv", "--quiet", "--python", sys.executable, home] if uv else [sys.executable, "-m", "venv", home]
        install = [uv, "pip", "install", "--python", interpreter] if uv else [interpreter, "-m", "pip", "install"]
        for command in (make, [*install, "--quiet", "--editable", f"{ROOT}[clickhouse]", *packages]):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"the frameworks cannot be installed here: {done.stderr.strip()[-300:]}")
        (home / ".installed").touch()
    return interpreter
