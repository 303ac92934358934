"""What is checked where something is said: a wrong argument is refused at once, with the fix in the message."""

from __future__ import annotations

import math
import operator
import os
from typing import TYPE_CHECKING, Any

from otel_episodes import _state, semconv
from otel_episodes._cutting import masked_list, masked_name, short_text
from otel_episodes._settings import NAME_LIMIT, one_of
from otel_episodes.exceptions import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

# A truth is not a number, NumPy's neither.
_TRUTHS = ("bool", "bool_")


def tool_name(function: Any) -> str:
    """Return the name a callable is known by."""
    while hasattr(function, "func") and not hasattr(function, "__name__"):
        function = function.func  # functools.partial
    return str(getattr(function, "__name__", type(function).__name__))[:NAME_LIMIT]


def checked_name(name: str) -> str:
    """Return the name with secrets masked, or raise `UsageError` if it is too long to be one."""
    if len(name) > NAME_LIMIT:
        raise UsageError(f"a name has at most {NAME_LIMIT} characters, this one has {len(name)}: put it in action=")
    return masked_name(name, _state.settings.redactor)


def label(value: str) -> str:
    """Return a short word on a task, masked and cut."""
    return short_text(value, NAME_LIMIT, _state.settings.redactor)


def checked_kind(kind: str) -> str:
    """Return the kind, or raise `UsageError`."""
    one_of("kind", kind, semconv.KINDS)
    return kind


def checked_expected(expected: object) -> tuple[type[BaseException], ...]:
    """Return exception classes, or raise `UsageError`."""
    kinds = expected if isinstance(expected, (tuple, list, set, frozenset)) else (expected,)
    if not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
        raise UsageError(f"expected={expected!r} must be exception classes: expected=(KeyError, LookupError)")
    return tuple(kinds)


def number(value: object) -> float | None:
    """Return a number of any numeric type as a float; None for what is not a number."""
    if isinstance(value, (bool, str, bytes, bytearray)) or type(value).__name__ in _TRUTHS:
        return None
    try:
        return float(value)  # type: ignore[arg-type]  # asked, and it says
    except (TypeError, ValueError, OverflowError):
        return None


def integer(value: object) -> int | None:
    """Return a whole number of any numeric type as an int; None for what is not one."""
    if type(value) is int:
        return value
    found = number(value)
    if found is None or not found.is_integer():
        return None
    return operator.index(value) if hasattr(type(value), "__index__") else int(found)  # type: ignore[arg-type]


def milliseconds(name: str, value: float) -> int:
    """Return milliseconds as nanoseconds.

    Raises:
        UsageError: the value is negative, not a number, or not finite.
    """
    found = number(value)
    if found is None or not 0 <= found < math.inf:
        raise UsageError(f"{name}={value!r} must be a number of milliseconds, 0 or more")
    return round(found * 1_000_000)


def count_of(name: str, value: int) -> int:
    """Return a count of tokens.

    Raises:
        UsageError: the value is negative or not a whole number.
    """
    found = integer(value)
    if found is None or found < 0:
        raise UsageError(f"tokens({name}={value!r}) must be a whole number, 0 or more")
    return found


def whole(name: str, value: int) -> int:
    """Return a whole number, or raise `UsageError`."""
    found = integer(value)
    if found is None or found < 0:
        raise UsageError(f"{name}={value!r} must be a whole number, 0 or more")
    return found


def finite_score(value: float) -> float:
    """Return a finite number, or raise `UsageError`."""
    found = number(value)
    if found is None or not math.isfinite(found):
        raise UsageError(f"reward({value!r}) must be a finite number")
    return found


def probability(name: str, value: float) -> float:
    """Return a number from 0 to 1, or raise `UsageError`."""
    found = number(value)
    if found is None or not 0 <= found <= 1:
        raise UsageError(f"{name}={value!r} must be a probability, from 0 to 1")
    return found


def texts(name: str, values: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Return a list of strings or paths, masked, each cut and at most 256, or raise `UsageError`."""
    if isinstance(values, (str, os.PathLike)):
        raise UsageError(f"{name}={values!r} must be a list of strings")
    plain = [os.fspath(value) if isinstance(value, os.PathLike) else value for value in values]
    if not all(isinstance(value, str) for value in plain):
        raise UsageError(f"{name}={values!r} must be a list of strings")
    return masked_list([str.__str__(value) for value in plain], _state.settings.redactor)


def parts(name: str, values: Sequence[str] | int) -> list[str] | int:
    """Return the names of parts, or how many there are."""
    return whole(name, values) if hasattr(type(values), "__index__") else texts(name, values)  # type: ignore[arg-type]


def error_type_of(error: BaseException) -> str:
    """Return the fully qualified name of an exception's class, as ``error.type`` has it."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
