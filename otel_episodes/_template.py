"""What kind of call a step made: each argument by where its value came from.

A literal argument says little of other runs, and ids nothing at all. Where it came from does: the task told it, an
earlier observation showed it, or neither. Two calls of the same template did the same thing to different things.

    told     every word of the value is in the task
    seen     every word of it was in an observation of this run
    =fast    neither, and short and plain: the literal itself
    text, number, list, map, none      neither: its shape

The key ``""`` is there, with the value ``again``, where the very same call was made in this run before.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_WORD: Final = re.compile(r"\w+")
# A value shorter than this is in any text by chance.
_SHORTEST: Final = 3
# What can be written as it is, and cannot be more than a setting or a choice.
_PLAIN: Final = re.compile(r"[\w .:/@+-]{1,24}", re.ASCII)
_MOST_ARGUMENTS: Final = 20
_MOST_NAME: Final = 40
# Words kept of a run's task and of its observations, and the text they are taken from.
_MOST_WORDS: Final = 4096
_MOST_TEXT: Final = 200_000
AGAIN: Final = "again"


class Words:
    """The words of some texts, as hashes; what comes after the first 4,096 different ones is not kept."""

    __slots__ = ("_hashes",)

    def __init__(self, *texts: str) -> None:
        self._hashes: set[int] = set()
        for text in texts:
            self.add(text)

    def add(self, text: str) -> None:
        """Keep the words of this text too."""
        hashes = self._hashes
        for found in _WORD.finditer(text[:_MOST_TEXT].casefold()):
            if len(hashes) >= _MOST_WORDS:
                return
            hashes.add(hash(found[0]))

    def hold(self, value: str) -> bool:
        """Return True if all words of the value are here, and one of them is long enough to be no accident."""
        words = _WORD.findall(value[:_MOST_TEXT].casefold())
        hashes = self._hashes
        return any(len(word) >= _SHORTEST for word in words) and all(hash(word) in hashes for word in words)


def template(arguments: Mapping[str, Any], *, told: Words, seen: Words, again: bool = False) -> str:
    """Return the template of a call with these arguments: a JSON object, its keys in order."""
    kinds = {"": AGAIN} if again else {}
    for name in sorted(arguments, key=str)[:_MOST_ARGUMENTS]:
        kinds[str(name)[:_MOST_NAME]] = _kind(arguments[name], told, seen)
    return json.dumps(kinds, separators=(",", ":"), ensure_ascii=False, sort_keys=True)


def call_key(tool: str, arguments: Mapping[str, Any]) -> int:
    """Return what tells a call from others of the same run; equal arguments give equal keys, in whatever order."""
    return hash((tool, json.dumps(arguments, sort_keys=True, default=str)))


def _kind(value: Any, told: Words, seen: Words) -> str:
    leaves = list(_leaves(value))
    if leaves and all(told.hold(leaf) for leaf in leaves):
        return "told"
    if leaves and all(told.hold(leaf) or seen.hold(leaf) for leaf in leaves):
        return "seen"
    if isinstance(value, dict):
        return "map"
    if isinstance(value, (list, tuple, set, frozenset)):
        return "list"
    text = _text(value)
    if not text:
        return "none"
    if _PLAIN.fullmatch(text):
        return f"={text}"
    return "number" if isinstance(value, (int, float)) else "text"


def _leaves(value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for inner in value:
            yield from _leaves(inner)
    else:
        yield _text(value)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
