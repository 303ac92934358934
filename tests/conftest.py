"""Fixtures shared by the tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from collectors import front_end

from otel_episodes_clickhouse import Store, Target

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def storage_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Return an embedded store with all tables; one for a module, since the engine takes one directory at a time."""
    with Store.open(Target.resolve(f"chdb://{tmp_path_factory.mktemp('chdb')}")) as store:
        store.migrate()
        yield store


@pytest.fixture
def storage_server(tmp_path: Path) -> Iterator[str]:
    """Return the DSN of a server; ``tmp_path/server/lose-answers`` makes it swallow the answers to inserts."""
    with front_end(tmp_path / "server") as url:
        yield f"{url}/default"
