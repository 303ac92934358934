"""Telling one call from another by the whole of its arguments, at bounded cost and without running their code."""

from __future__ import annotations

from typing import Any, Final

from otel_episodes import _looking

# Of a larger value its beginning and its size are compared.
_MOST_PARTS: Final = 1000
_MAX_DEPTH: Final = 12
_SCALARS: Final = _looking.ids_of(str, int, float, bool, bytes, type(None))


def fingerprint(value: object) -> int:
    """Return a number that is the same for equal values, and nearly always another for others; within one process.

    Records are compared by their fields, objects that nothing is known of by being the same object.
    """
    parts: list[Any] = []
    _collect(value, parts, 0)
    return hash(tuple(parts))


def _collect(value: Any, parts: list[Any], depth: int) -> None:
    kind = type(value)
    if id(kind) in _SCALARS:
        parts.append(value)
        return
    if len(parts) > _MOST_PARTS or depth > _MAX_DEPTH:
        return
    items, size = _items(value, kind)
    if items is None:
        parts.append(id(value))
        return
    # Not the class itself: its metaclass may hash it by code of its own.
    parts.append((_looking.name_of(kind), size))
    for item in items:
        if len(parts) > _MOST_PARTS:
            return
        _collect(item, parts, depth + 1)


def _items(value: Any, kind: type) -> tuple[Any, int]:
    if issubclass(kind, dict):
        return (part for item in dict.items(value) for part in item), dict.__len__(value)
    for container in (list, tuple):
        if issubclass(kind, container):
            return container.__iter__(value), container.__len__(value)
    if issubclass(kind, (set, frozenset)):
        # Their order is not that of equal ones: only the size, and what can be hashed at no risk.
        base: Any = set if issubclass(kind, set) else frozenset
        scalars = [
            item
            for item, _ in zip(base.__iter__(value), range(_MOST_PARTS), strict=False)
            if id(type(item)) in _SCALARS
        ]
        return [hash(frozenset(scalars))], base.__len__(value)
    if issubclass(kind, (str, bytes, int, float)):
        base = next(base for base in (str, bytes, int, float) if issubclass(kind, base))
        return [base.__hash__(value)], 0
    fields = _looking.fields(value)
    return (None, 0) if fields is None else ((part for field in fields for part in field), len(fields))
