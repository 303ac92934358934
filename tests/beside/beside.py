"""What the programs of this folder share: recording into memory as in production, and telling what holds."""

from __future__ import annotations

import sys
from importlib.metadata import version

from otel_episodes.testing import capture_episodes

failed = []


def recording():
    """Record into memory; errors of our own are logged, not raised, as in production."""
    return capture_episodes(strict=False)


def check(claim, holds):
    """Print whether a claim holds."""
    print("ok" if holds else "FAILED", claim)
    if not holds:
        failed.append(claim)


def done(*packages):
    """Print the versions of what was tried, and exit."""
    print("versions", ", ".join(f"{name} {version(name)}" for name in packages))
    sys.exit(bool(failed))
