"""The shape of an error's text: what stays when numbers, paths, ids and quoted text are replaced.

The standard library alone, and the same as the jobs make in ``sql/views/learning_facts.sql``: a test compares them.
"""

from __future__ import annotations

import re
from typing import Final

_REPLACED: Final = tuple(
    (re.compile(pattern, re.ASCII), word)
    for pattern, word in (
        (r"""["`][^"`]*["`]|'[^']*'""", "<text>"),
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{13,}|0x[0-9a-f]+|\b[0-9a-f]{12,}\b", "<id>"),
        (r"(?:[a-z]:)?(?:[\w.~-]*[/\\])+[\w.~-]*", "<path>"),
        (r"[0-9]+(?:[.,][0-9]+)*", "<n>"),
        (r"[\s\x00-\x1f\x7f]+", " "),
    )
)
_LONGEST: Final = 160


def error_shape(text: str) -> str:
    """Return the shape by which two errors are the same; of an empty text that of a failure nobody described."""
    shape = (text or "failed").lower()
    for pattern, word in _REPLACED:
        shape = pattern.sub(word, shape)
    return shape.strip(" ")[:_LONGEST]
