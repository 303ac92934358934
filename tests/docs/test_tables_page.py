"""docs/reference/tables.md says of each column what the schema says of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otel_episodes_clickhouse import Store

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "tables.md"
SECTIONS = re.compile(r"^## (\w+)$", re.MULTILINE)
ROW = re.compile(r"^\| (\w+) \| (.+?) \| (.*?) \|$", re.MULTILINE)
DESCRIBED = """
SELECT table AS Section, name AS Column, type AS Type, comment AS Meaning
FROM system.columns
WHERE database = currentDatabase() AND has({sections:Array(String)}, table)
ORDER BY table, position
"""


def test_the_page_lists_every_column_as_the_schema_describes_it(storage_store: Store) -> None:
    pieces = SECTIONS.split(PAGE.read_text(encoding="utf-8"))
    listed = {
        name: [row for row in ROW.findall(text) if row[0] != "column"]
        for name, text in zip(pieces[1::2], pieces[2::2], strict=True)
    }
    described: dict[str, list[tuple[str, str, str]]] = {name: [] for name in listed}
    for row in storage_store.query(DESCRIBED, {"sections": list(listed)}):
        described[row["Section"]].append((row["Column"], row["Type"], row["Meaning"]))
    for name, columns in described.items():
        # internal_reward_inputs hands on columns of other tables; what a view does not comment on, only the page says.
        said = [
            (column, kind, meaning or page[2])
            for (column, kind, meaning), page in zip(columns, listed[name], strict=True)
        ]
        assert listed[name] == said, name
        assert all(meaning for _, _, meaning in said), name
    assert {"patterns", "rewards", "internal_scores", "internal_reward_settings"} <= set(listed)
