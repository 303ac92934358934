"""What kind of call a step made: each argument by where its value came from.

A literal argument says little of other runs, and ids nothing at all. Where it came from does: the task told it, an
earlier observation showed it, or neither. Two calls of the same template did the same thing to different things.

    told     every word of the value is in the task
    seen     every word of it is there or in an observation of this run so far
    =fast    neither, and short and plain: the literal itself; so is every true and false
    masked   a secret: where it came from cannot be told
    text, number, list, map, none      neither: its shape

The key ``""`` is there, with the value ``again``, where the very same call was made in this run before. A step may
carry its template as ``episode.step.template``; of all others a job works it out from the arguments and observations
that are kept (internal_templates_of), and so the same way.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_WORD: Final = re.compile(r"\w+")
# A value of shorter words is in any text by chance.
_SHORTEST: Final = 3
# What can be written as it is, and cannot be more than a setting or a choice.
_PLAIN: Final = re.compile(r"[\w .:/@+-]{1,24}", re.ASCII)
_NOT_IN_NAMES: Final = re.compile(r"[^\w.-]", re.ASCII)
_MOST_ARGUMENTS: Final = 20
# Of a secret masked without a key nothing is left to compare.
_MASKED: Final = "[REDACTED]"
# Beyond, a float is not exact, and is written with an exponent.
_LARGEST_WHOLE: Final = 1e15
# Words kept of a run's task and of its observations: more than any run had that was looked at.
_MOST_WORDS: Final = 50_000
AGAIN: Final = '"":"again"'


class Words:
    """The words of some texts, as hashes."""

    __slots__ = ("_hashes",)

    def __init__(self, *texts: str) -> None:
        self._hashes: set[int] = set()
        for text in texts:
            self.add(text)

    def add(self, text: str) -> None:
        """Keep the words of this text too; nothing once there are too many."""
        if len(self._hashes) < _MOST_WORDS:
            self._hashes.update(map(hash, _WORD.findall(text.lower())))

    def hold(self, words: list[str]) -> bool:
        """Return True if all of these words are here."""
        return all(hash(word) in self._hashes for word in words)


def template(arguments: Mapping[str, Any], *, told: Words, seen: Words, again: bool = False) -> str:
    """Return the template of a call with these arguments: a JSON object, its keys in order."""
    names = sorted(arguments, key=str)[:_MOST_ARGUMENTS]
    kinds = [f'"{_NOT_IN_NAMES.sub("_", str(name))}":"{_kind(arguments[name], told, seen)}"' for name in names]
    return "{" + ",".join(sorted([AGAIN, *kinds] if again else kinds)) + "}"


def call_key(tool: str, arguments: Mapping[str, Any]) -> int:
    """Return what tells a call from others of the same run; equal arguments give equal keys, in whatever order."""
    return hash((tool, json.dumps(arguments, sort_keys=True, default=str)))


def _kind(value: Any, told: Words, seen: Words) -> str:
    text = _text(value)
    # The words true and false are in any JSON.
    if isinstance(value, bool):
        return f"={text}"
    if _MASKED in text:
        return "masked"
    words = _WORD.findall(text.lower())
    if any(len(word) >= _SHORTEST for word in words):
        if told.hold(words):
            return "told"
        if all(told.hold([word]) or seen.hold([word]) for word in words):
            return "seen"
    if isinstance(value, dict):
        return "map"
    if isinstance(value, (list, tuple, set, frozenset)):
        return "list"
    if not text:
        return "none"
    if _PLAIN.fullmatch(text):
        return f"={text}"
    return "text" if isinstance(value, str) else "number"


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(_whole(value), ensure_ascii=False, default=str)


def _whole(value: Any) -> Any:
    """Return a value in which 200.0 is 200, as it is to the engine and in what people write."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST_WHOLE:
        return int(value)
    if isinstance(value, dict):
        return {name: _whole(item) for name, item in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list) else value
