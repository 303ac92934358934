"""Fixtures shared by the tests."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from collectors import front_end
from schema_fixtures import copied

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otel_episodes_clickhouse import Store


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
    with copied(migrated, tmp_path_factory.mktemp("chdb") / "store") as store:
        yield store


@pytest.fixture
def empty_server(tmp_path: Path) -> Iterator[str]:
    """Return the DSN of a server; ``tmp_path/server/lose-answers`` makes it swallow the answers to inserts."""
    with front_end(tmp_path / "server") as url:
        yield f"{url}/default"


@pytest.fixture
def storage_server(migrated: Path, tmp_path: Path) -> Iterator[str]:
    """Return the DSN of such a server that has all tables."""
    shutil.copytree(migrated, tmp_path / "server" / "engine", symlinks=True)
    with front_end(tmp_path / "server") as url:
        yield f"{url}/default"
