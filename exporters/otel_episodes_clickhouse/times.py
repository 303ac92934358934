"""Times and durations as people type them: ``7d``, ``2h``, ``30m``, or a date."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Final

from otel_episodes.exceptions import UsageError

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)([smhdw])")
_SECOND: Final = 1_000_000_000
_YEAR_SECONDS: Final = 365 * 86_400


def since(text: str) -> int:
    """Return a time in nanoseconds since 1970, 0 for no limit.

    Raises:
        UsageError: the text is neither a duration that ends now nor a date.
    """
    if not text:
        return 0
    ago = _DURATION.fullmatch(text.strip())
    if ago:
        return max(1, time.time_ns() - int(float(ago[1]) * _UNITS[ago[2]] * _SECOND))
    try:
        # Without an offset it is the reader's own time.
        moment = datetime.fromisoformat(text.strip()).astimezone()
    except (ValueError, OverflowError, OSError):
        raise UsageError(f"--since {text} is not a time: use 30m, 2h, 7d or a date like 2026-01-31") from None
    return max(1, int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * _SECOND)


def since_in_utc(text: str) -> str | None:
    """Return a time as the jobs take it, ``YYYY-MM-DD hh:mm:ss`` in UTC; None for no limit. Raises as `since` does."""
    nanoseconds = since(text)
    return f"{datetime.fromtimestamp(nanoseconds // _SECOND, tz=UTC):%Y-%m-%d %H:%M:%S}" if nanoseconds else None


def pause(text: str) -> float:
    """Return the seconds between two turns, a year at most.

    Raises:
        UsageError: the text is not such a duration.
    """
    found = _DURATION.fullmatch(text.strip())
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if not 0 < seconds <= _YEAR_SECONDS:
        raise UsageError(f"--every {text!r} is not a pause of up to a year: use 30s, 5m or 1h")
    return seconds
