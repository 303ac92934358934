"""By what a span of another instrumentation is taken for one of an agent, a model or a tool, where it is recorded.

The same rows that a store is shipped with (``sql/conventions``); rows of one's own are in a store, which is not opened
where spans are recorded.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_episodes_clickhouse import sql

if TYPE_CHECKING:
    from collections.abc import Iterable

_ROLE: Final = re.compile(r"\('([^']+)', '([^']*)', '[\w ]+', \d+\)")
_OF_ROLES: Final = "(Attribute, Value, Role, Rank)"
_ANY: Final = "*."
_SPAN_NAME: Final = "span name"


class Marks(NamedTuple):
    """Attributes, ends of attributes (their last two words) and names of spans, in lower case."""

    keys: frozenset[str]
    ends: frozenset[str]
    names: frozenset[str]

    def are_on(self, name: str, attributes: Iterable[Any]) -> bool:
        """Return True if a span of that name, with these attributes, is an agent's, a model's or a tool's."""
        return any(key in self.keys or _end(key) in self.ends for key in attributes) or name.lower() in self.names


@cache
def shipped() -> Marks:
    """Read the marks from the conventions that are shipped."""
    texts = [statement.text for statement in sql.folder("conventions") if _OF_ROLES in statement.text]
    said = [match.groups() for text in texts for match in _ROLE.finditer(text)]
    return Marks(
        frozenset(key for key, _ in said if not key.startswith(_ANY) and key != _SPAN_NAME),
        frozenset(key.removeprefix(_ANY) for key, _ in said if key.startswith(_ANY)),
        frozenset(value for key, value in said if key == _SPAN_NAME),
    )


def _end(key: str) -> str:
    """Return the last two words of a name."""
    return ".".join(key.rsplit(".", 2)[-2:])
