"""Tools that run in a thread pool, and a burst of small actions that is one step.

Runs offline, on files of its own: `python examples/thread_pool.py`, then `otel-episodes episodes`.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from otel_episodes import configure, episode, step, with_context


@step(tool="sha256", action="hash {path.name}")
def digest(path: Path) -> str:
    """Hash one file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def deduplicate(folder: Path) -> None:
    """Remove the files of a folder that another one has the content of."""
    paths = sorted(folder.iterdir())
    with episode("Remove duplicate files", agent="janitor", domain="files") as ep:
        # A new thread starts with an empty context: with_context takes this one along, so these are steps of ep.
        with ThreadPoolExecutor(4) as pool:
            digests = list(pool.map(with_context(digest), paths))
        originals = dict(zip(reversed(digests), reversed(paths), strict=True))
        duplicates = [path for path in paths if path not in originals.values()]
        # Forty removals would be forty steps that say nothing: as a burst they are one, with count, errors and times.
        with ep.batch("rm", action="remove duplicates") as burst:
            for path in duplicates:
                begin = time.perf_counter()
                path.unlink()
                burst.add(f"rm {path.name}", latency_ms=(time.perf_counter() - begin) * 1000)
        ep.succeed(f"{len(duplicates)} of {len(paths)} files removed")


if __name__ == "__main__":
    configure(service_name="examples")
    with tempfile.TemporaryDirectory() as name:
        for number in range(6):
            (Path(name) / f"{number}.txt").write_text(f"the same as {number % 2}")
        deduplicate(Path(name))
