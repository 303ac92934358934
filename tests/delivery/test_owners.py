"""Root looking once does not lock the owner out: what it makes in somebody's directory is theirs, or is not made."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from otel_episodes_clickhouse.config import Target
from otel_episodes_clickhouse.errors import StoreError
from otel_episodes_clickhouse.findings import _owners
from otel_episodes_clickhouse.spool.drain import drain
from otel_episodes_clickhouse.spool.ledger import Ledger
from otel_episodes_clickhouse.spool.writer import SpoolWriter
from otel_episodes_clickhouse.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SOMEBODY = 54_321
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for another user")


class Nowhere:
    """Takes every row."""

    def insert_rows(self, rows: Iterable[object], *, token: str) -> int:
        return len(list(rows))


def test_what_root_makes_in_a_spool_is_its_owners(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, SOMEBODY, SOMEBODY)
    spool = home / "spool" / "server"
    writer = SpoolWriter(spool, lambda: lambda item: item + b"\n")
    writer.append(b"[1]")
    writer._drop("disk_full")
    drain(Nowhere(), spool)
    assert Ledger(spool).add({"exported": 1})
    writer.close()
    made = {path.relative_to(home).parts[-1].rpartition(".")[2] for path in home.rglob("*")}
    assert {"spool", "server", "jsonl", "dropped", "lock", "json", "quarantine"} <= made
    assert {(path.stat().st_uid, path.stat().st_gid) for path in home.rglob("*")} == {(SOMEBODY, SOMEBODY)}


def test_root_does_not_open_somebody_elses_embedded_store(tmp_path: Path) -> None:
    path = tmp_path / "store"
    path.mkdir()
    os.chown(path, SOMEBODY, SOMEBODY)
    with pytest.raises(StoreError, match=f"belongs to user {SOMEBODY}"):
        Store.open(Target.resolve(f"chdb://{path}"))
    assert list(path.iterdir()) == []


def test_the_doctor_names_files_of_another_user(tmp_path: Path) -> None:
    path = tmp_path / "store"
    (path / "spool").mkdir(parents=True)
    (path / "spool" / "state.json").write_text("{}")
    target = Target.resolve(f"chdb://{path}")
    assert list(_owners(target)) == []
    os.chown(path / "spool" / "state.json", SOMEBODY, SOMEBODY)
    (found,) = _owners(target)
    assert (found.state, found.text, found.fix) == (
        "fail",
        f"1 file of another user than 0: {path}/spool/state.json ({SOMEBODY})",
        f"give them back: sudo chown -R 0 {path}",
    )
