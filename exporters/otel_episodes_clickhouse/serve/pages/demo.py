"""Made-up runs to look at, on request: in a store of their own, since the engine takes one a process."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Final

from otel_episodes_clickhouse import config
from otel_episodes_clickhouse.errors import StoreError
from otel_episodes_clickhouse.serve.pages import drawing

_SECONDS: Final = 180
_SINCE: Final = "90d"


async def page() -> str:
    """Return what `otel-episodes demo` records as one page, recording it first if that was never done.

    Raises:
        StoreError: the demo cannot be recorded or read, or took too long.
    """
    place = config.home() / "demo"
    if not place.is_dir():
        await _run("demo")
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "demo.html"
        await _run("report", "--since", _SINCE, "--output", str(file), "--dsn", f"chdb://{place}")
        return drawing.unsealed(file.read_text(encoding="utf-8"))


async def _run(*arguments: str) -> None:
    """Run a command of ours in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "otel_episodes_clickhouse.cli", *arguments,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        _, said = await asyncio.wait_for(process.communicate(), _SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise StoreError(f"the demo took longer than {_SECONDS} seconds: try otel-episodes demo") from None
    if process.returncode:
        raise StoreError(f"the demo could not be made: {said.decode(errors='replace').strip()[-300:]}")
