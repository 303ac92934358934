"""Fixtures shared by the tests."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from collectors import front_end

from otel_episodes_clickhouse import Store, Target

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Return the directory of an embedded store that has all tables, to be copied; one for all workers of a run."""
    base = tmp_path_factory.getbasetemp()
    place = (base if worker_id == "master" else base.parent) / "migrated"
    with (place.parent / "migrated.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            making = place.with_name("migrating")
            command = [sys.executable, "-m", "otel_episodes_clickhouse.cli", "migrate", "--dsn", f"chdb://{making}"]
            # In a process of its own: the engine takes one directory each.
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            making.rename(place)
    return place


@pytest.fixture(scope="module")
def storage_store(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Return an embedded store with all tables; one for a module, since the engine takes one directory at a time."""
    place = tmp_path_factory.mktemp("chdb") / "store"
    shutil.copytree(migrated, place, symlinks=True)
    with Store.open(Target.resolve(f"chdb://{place}")) as store:
        yield store


@pytest.fixture
def storage_server(tmp_path: Path) -> Iterator[str]:
    """Return the DSN of a server; ``tmp_path/server/lose-answers`` makes it swallow the answers to inserts."""
    with front_end(tmp_path / "server") as url:
        yield f"{url}/default"
