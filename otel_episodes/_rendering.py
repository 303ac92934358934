"""Turning arguments, results and errors into short texts: bounded work, no code of the user's run, secrets masked."""

from __future__ import annotations

from json import loads
from typing import TYPE_CHECKING, Any

from otel_episodes._cutting import MARK, cut, short_line, short_text
from otel_episodes._json_writer import ARRAY_ITEM, OBJECT_END, JsonWriter, encoded_key, exception_message, pass_on

if TYPE_CHECKING:
    from otel_episodes._redaction import Redactor

__all__ = ["MARK", "cut", "exception_message", "fair_json", "json", "one_line", "pass_on", "text"]


def text(value: object, limit: int, redactor: Redactor | None) -> str:
    """Render a value as text of at most ``limit`` characters: a string as it is, anything else as JSON."""
    if type(value) is not str:
        if not issubclass(type(value), str):
            rendered = json(value, limit, redactor)
            # A path, a date, an unknown object: one string as JSON, which reads better without its quotes.
            return str(loads(rendered)) if rendered.startswith('"') else rendered
        value = str.__str__(value)  # a subclass: its own methods are not asked
    if len(value) <= limit and value.isascii() and (redactor is None or not redactor.suspects(value)):
        return value  # nearly always, and not for the price of one more call
    return short_text(value, limit, redactor)


def json(value: object, limit: int, redactor: Redactor | None) -> str:
    """Render a value as valid JSON of at most ``limit`` characters; what is left out is marked by ``…``."""
    writer = JsonWriter(limit, redactor)
    writer.write(value, 0)
    return "".join(writer.out)


def members(value: object, limit: int) -> dict[str, Any] | None:
    """Return what an object holds by name: a dictionary, or the text of one as JSON; None for anything else.

    Texts of more than ``limit`` characters are not read.
    """
    if type(value) is str and value[:1] == "{" and value[-1:] == "}" and len(value) <= limit:
        try:
            value = loads(value)
        except (ValueError, RecursionError):
            return None
    return {str(name): item for name, item in value.items()} if type(value) is dict else None


def fair_json(values: dict[str, Any], limit: int, redactor: Redactor | None) -> tuple[str, bool]:
    """Render an object as `json` does; where it does not fit, each value has its share of the room.

    Returns also whether anything was cut.
    """
    writer = JsonWriter(limit, redactor)
    writer.write(values, 0)
    in_order = "".join(writer.out)
    if not writer.is_cut:
        return in_order, False
    names = {name: encoded_key(name, redactor) for name in values}
    room = limit - OBJECT_END - sum(len(name) + len(": , ") for name in names.values())
    if room < len(values) * ARRAY_ITEM:
        return in_order, True
    shares = _shares(values, room, redactor)
    return "{" + ", ".join(f"{names[name]}: {share}" for name, share in shares.items()) + "}", True


def _shares(values: dict[str, Any], room: int, redactor: Redactor | None) -> dict[str, str]:
    """Give every value an equal share, then what the short ones leave over to those that were cut."""
    shares = dict.fromkeys(values, "")
    wanting, share = list(values), room // len(values)
    while wanting:
        spare, still = 0, []
        for name in wanting:
            writer = JsonWriter(share, redactor)
            writer.member(name, values[name], 1)
            shares[name] = "".join(writer.out)
            if writer.is_cut:
                still.append(name)
            else:
                spare += writer.left
        if not still or spare < len(still):
            break
        wanting, share = still, share + spare // len(still)
    return shares


def one_line(value: object, limit: int, redactor: Redactor | None) -> str:
    """Render an error message on one line."""
    return short_line(value if type(value) is str else text(value, limit, redactor), limit, redactor)
