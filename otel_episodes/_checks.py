"""What is checked where something is said: a wrong argument is refused at once, with the fix in the message."""

from __future__ import annotations

import inspect
import math
import operator
import os
from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import Enum
from itertools import islice
from pathlib import PurePath
from typing import TYPE_CHECKING, Any
from uuid import UUID

from otel_episodes import _looking, _rendering, _state, semconv
from otel_episodes._cutting import masked_list, masked_name
from otel_episodes._settings import CONTENT_LIMIT, NAME_LIMIT, one_of
from otel_episodes.exceptions import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_episodes._redaction import Redactor

# A truth is not a number, NumPy's neither.
_TRUTHS = ("bool", "bool_")
# What may stand for a text besides one.
_TEXT_TYPES = (int, float, Decimal, UUID, os.PathLike, PurePath, Enum)
_MOST_TEXTS = 256


def tool_name(function: Any) -> str:
    """Return the name a callable is known by."""
    while hasattr(function, "func") and not hasattr(function, "__name__"):
        function = function.func  # functools.partial
    name = getattr(function, "__name__", None)
    if name is None:
        told = _looking.attribute(function, "name")  # what a tool object is called by
        name = told if type(told) is str and told else type(function).__name__
    return str(name)[:NAME_LIMIT]


def checked_name(name: str) -> str:
    """Return the name with secrets masked, or raise `UsageError` if it is too long to be one."""
    if not issubclass(type(name), str):
        raise UsageError(f"a name is a string, not {type(name).__name__}")
    if str.__len__(name) > NAME_LIMIT:
        raise UsageError(f"a name has at most {NAME_LIMIT} characters, this one has {len(name)}: put it in action=")
    return masked_name(str.__str__(name), _state.settings.redactor)


def text_of(name: str, value: object, limit: int | None = None) -> str:
    """Return a text; of a path, a number or an id its text, and of None none.

    With a limit it is cut, and secrets are masked.

    Raises:
        UsageError: it is a list, a mapping or an object.
    """
    if value is None:
        return ""
    is_text = issubclass(type(value), str)
    if not is_text and not issubclass(type(value), _TEXT_TYPES):
        raise UsageError(f"{name}={value!r} must be a text, not {type(value).__name__}")
    if limit is None:
        return str.__str__(value) if is_text else str(value)
    return _rendering.text(value, limit, _state.settings.redactor)


def checked_function(name: str, function: Any) -> Any:
    """Return a function that is to be called with a result, or raise `UsageError`: it cannot be waited for."""
    if function is None:
        return None
    if not callable(function):
        raise UsageError(f"{name}={function!r} must be a function of the result, as in {name}=lambda result: ...")
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None)):  # noqa: B004
        raise UsageError(f"{name}= is called when the step ends and cannot be waited for: make it a plain function")
    return function


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
    if isinstance(values, (str, os.PathLike)) or not isinstance(values, Iterable):
        raise UsageError(f"{name}={values!r} must be a list of strings")
    plain = [os.fspath(value) if isinstance(value, os.PathLike) else value for value in islice(values, _MOST_TEXTS + 1)]
    if not all(isinstance(value, (str, *_TEXT_TYPES)) for value in plain):
        raise UsageError(f"{name}={values!r} must be a list of strings")
    redactor = _state.settings.redactor
    return masked_list([text_of(name, value) for value in plain], redactor)


def parts(name: str, values: Sequence[str] | int) -> list[str] | int:
    """Return the names of parts, or how many there are."""
    return whole(name, values) if hasattr(type(values), "__index__") else texts(name, values)  # type: ignore[arg-type]


def cleaned_attributes(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return attributes of a user's as a span takes them; those that are None are left out.

    Raises:
        UsageError: it is not a mapping.
    """
    if attributes is None:
        return {}
    if not isinstance(attributes, Mapping):
        raise UsageError(f"attributes={attributes!r} must be a mapping of names to values")
    return {str(key): cleaned_attribute(key, value) for key, value in attributes.items() if value is not None}


def cleaned_attribute(key: str, value: Any) -> Any:
    """Return the value of an attribute as a span takes it: builtin types, secrets masked, other objects as text."""
    redactor = _state.settings.redactor
    if redactor is not None and redactor.masks(str(key), value):
        return redactor.masked(value)
    if isinstance(value, (list, tuple)):
        return tuple(_attribute_scalar(item, redactor) for item in value)
    return _attribute_scalar(value, redactor)


def _attribute_scalar(value: Any, redactor: Redactor | None) -> Any:
    if type(value) is bool or type(value) is int or type(value) is float:
        return value
    if isinstance(value, str):
        return _rendering.text(value, CONTENT_LIMIT, redactor)
    if type(value).__name__ in _TRUTHS:
        return bool(value)
    whole_number = integer(value)
    if whole_number is not None and -(1 << 63) <= whole_number < 1 << 63:
        return whole_number
    found = number(value)
    return _rendering.text(value, CONTENT_LIMIT, redactor) if found is None else found


def error_type_named(error_type: object) -> str:
    """Return the type of an error as ``error.type`` has it: given as a text, as an exception's class, or by one."""
    if isinstance(error_type, type):
        return _qualified(error_type)
    if isinstance(error_type, BaseException):
        return error_type_of(error_type)
    return _rendering.one_line(error_type, NAME_LIMIT, _state.settings.redactor) or semconv.TOOL_ERROR


def error_type_of(error: BaseException) -> str:
    """Return the fully qualified name of an exception's class, as ``error.type`` has it."""
    return _qualified(type(error))


def _qualified(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
