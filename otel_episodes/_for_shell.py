"""The inner door for a command that lasts a moment: nothing of OpenTelemetry is loaded behind it; see `_for_store`."""

from __future__ import annotations

from otel_episodes._cutting import masked_list, masked_name, short_line, short_text
from otel_episodes._redaction import Redactor

__all__ = ["Redactor", "masked_list", "masked_name", "short_line", "short_text"]
