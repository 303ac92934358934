"""How figures, times and ids are written for people, in a terminal and on a page."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Final

from otel_episodes_clickhouse.errors import plain

_BREAKS: Final = re.compile(r"[\n\t]+")
_SECOND: Final = 1_000_000_000
_MANY: Final = 100_000


def one_line(text: str) -> str:
    """Return a text on one line, without what would act on the terminal."""
    return " ".join(_BREAKS.sub(" ", plain(text)).split())


def duration(nanoseconds: int) -> str:
    """Return a duration for people: 4.2 ms, 320 ms, 3.2 s, 1 m 20 s, 2 h 05 m, 3 d 4 h."""
    if nanoseconds < _SECOND:
        text = f"{nanoseconds / 1e6:.1f}" if 0 < nanoseconds < _SECOND // 100 else f"{nanoseconds // 1_000_000}"
        return f"{text} ms"
    tenths = round(nanoseconds / (_SECOND // 10))
    if tenths < 600:  # noqa: PLR2004  # a minute
        return f"{tenths / 10:.1f} s"
    days, rest = divmod(round(nanoseconds / _SECOND), 86_400)
    hours, rest = divmod(rest, 3600)
    if days:
        return f"{days} d {hours} h"
    minutes, seconds = divmod(rest, 60)
    return f"{hours} h {minutes:02d} m" if hours else f"{minutes} m {seconds:02d} s"


def count(number: int) -> str:
    """Return a count for people, at most seven characters."""
    if number < _MANY:
        return f"{number:,}"
    return f"{number / 1e3:,.0f}k" if number < 1e7 else f"{number / 1e6:,.0f}M"  # noqa: PLR2004  # 10 million


def size(number: int) -> str:
    """Return a number of bytes for people."""
    value = float(number)
    for unit in ("B", "kB", "MB"):
        if value < 1000:  # noqa: PLR2004
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def dollars(cost: float | None) -> str:
    """Return US dollars, to the cent or to two digits that count; empty where nobody knows."""
    if cost is None:
        return ""
    places = 2 if cost == 0 or cost >= 1 else 1 - math.floor(math.log10(cost))
    return f"${cost:,.{places}f}"


def plural(number: int, noun: str) -> str:
    """Return a count with its noun: 1 step, 2 steps."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def local_time(nanoseconds: int) -> datetime:
    """Return a time in the zone of whoever reads it."""
    return datetime.fromtimestamp(nanoseconds / _SECOND, tz=UTC).astimezone()


def iso_time(nanoseconds: int) -> str:
    """Return a time for programs: ISO 8601 in UTC, to the nanosecond."""
    moment = datetime.fromtimestamp(nanoseconds // _SECOND, tz=UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds % _SECOND:09d}Z"


def short_id(identifier: str) -> str:
    """Return as much of an id as `show` needs to find it."""
    return one_line(identifier[:8] if re.fullmatch(r"[0-9a-f]{32}", identifier) else identifier[:12])


def when(nanoseconds: int) -> str:
    """Return a time to the second in the zone of whoever reads it; 0 is never."""
    return f"{local_time(nanoseconds):%Y-%m-%d %H:%M:%S}" if nanoseconds else "never"
