"""Attribute values as text: what the collector's ``pcommon.Value.AsString()`` makes of them."""

from __future__ import annotations

import base64
import math
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping


INT64_MAX: Final = 2**63 - 1
INT64_MIN: Final = -(2**63)
_MAX_DEPTH: Final = 64
# Go writes these two as escapes in JSON, orjson as they are.
_LINE_SEPARATORS: Final = re.compile("[\u2028\u2029]")


def storable(value: Any, depth: int = 0) -> Any:
    """Return the value with everything JSON has no word for as the text the collector stores for it."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _sound_text(value)
    if isinstance(value, int):
        return int(value) if INT64_MIN <= value <= INT64_MAX else str(int(value))
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else _float_text(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        # Inside of a list or map the collector writes no bytes at all as null.
        return base64.b64encode(value).decode() or None
    if depth < _MAX_DEPTH:
        if isinstance(value, (list, tuple)):
            return [storable(item, depth + 1) for item in value]
        if hasattr(value, "items"):
            return {_text(key): storable(item, depth + 1) for key, item in value.items()}
    return _text(value)


def _text(value: object) -> str:
    try:
        return _sound_text(str(value))
    except Exception:  # noqa: BLE001  # a __str__ of the user's must not cost the span
        return f"<{type(value).__name__}>"


def _sound_text(text: str) -> str:
    """Return the text with surrogate pairs joined and lone surrogates replaced, so that it has a UTF-8 form."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return str(text)


def attributes_as_text(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Return attributes as the collector stores them: sorted by key, every value a string."""
    return {key: value if type(value) is str else as_string(value) for key, value in sorted(attributes.items())}


def as_string(value: Any) -> str:
    """Return an attribute value as the collector's ``pcommon.Value.AsString()`` (pdata 1.70) writes it.

    One difference: an array or map with a NaN or infinity in it becomes an empty string there; here it keeps its
    other values and has "NaN" in that place.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return _float_text(value)
    if isinstance(value, str):
        return _sound_text(value)
    if value is None:
        return ""
    if isinstance(value, (list, tuple)) or hasattr(value, "items"):
        return _json(storable(value))
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode()
    return _text(value)


def _float_text(value: float) -> str:
    """Return a float as Go's encoding/json does: no exponent from 1e-6 to below 1e21, no trailing ``.0``."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    text = repr(float(value))
    if "e" not in text:
        return text.removesuffix(".0")
    # 1e-6 itself prints without an exponent, as in ES6.
    if 1e-6 <= abs(value) < 1e21:  # noqa: PLR2004
        return format(Decimal(text), "f")
    return text.replace("e-0", "e-")


def _json(value: Any) -> str:
    """Return arrays and maps as Go's encoding/json without HTML escaping: keys sorted, no spaces."""
    if isinstance(value, str):
        text = orjson.dumps(value).decode()
        return _LINE_SEPARATORS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    if isinstance(value, list):
        return f"[{','.join([_json(item) for item in value])}]"
    if isinstance(value, dict):
        return f"{{{','.join([f'{_json(key)}:{_json(value[key])}' for key in sorted(value)])}}}"
    if isinstance(value, float):
        return _float_text(value)
    return orjson.dumps(value).decode()
