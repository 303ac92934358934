"""Advice as a span of the run that was advised: through whatever exporters the process has, else into the spool."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Any, Final, Protocol

from otel_episodes import semconv
from otel_episodes._for_store import OBSERVATION_LIMIT, masked_text, note, note_apart

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_episodes import Episode
    from otel_episodes_clickhouse.config import Target

_TRACE_ID: Final = re.compile(r"(?!0{32})[0-9a-f]{32}")


class Recorder(Protocol):
    """Where the spans of an advice go."""

    def write(self, name: str, attributes: Mapping[str, Any], /) -> None:
        """Record a span."""
        ...


class InRun:
    """Into a run of this process."""

    def __init__(self, episode: Episode) -> None:
        self._episode = episode

    def write(self, name: str, attributes: Mapping[str, Any], /) -> None:
        """Record a span in the run, as its steps are."""
        note(self._episode, name, attributes)


class InSpool:
    """Into the spool of a store, beside a run that another process records, or none does."""

    def __init__(self, target: Target, episode: str, trace_id: str, tenant: str = "") -> None:
        self._target = target
        self._episode = episode
        # Of runs that come from elsewhere a trace's id may be any text.
        self._trace_id = trace_id if _TRACE_ID.fullmatch(trace_id) else secrets.token_hex(16)
        self._tenant = tenant

    def write(self, name: str, attributes: Mapping[str, Any], /) -> None:
        """Record a span in the trace of the run."""
        from otel_episodes_clickhouse.delivery.processor import EpisodeSpanProcessor  # noqa: PLC0415  # with the SDK
        from otel_episodes_clickhouse.delivery.recording import new_provider  # noqa: PLC0415  # likewise

        provider = new_provider(tenant=self._tenant)
        provider.add_span_processor(EpisodeSpanProcessor(self._target))
        try:
            known = {semconv.EPISODE_ID: self._episode} if self._episode else {}
            note_apart(provider, self._trace_id, name, {**known, **attributes})
        finally:
            provider.shutdown()


def new_id() -> str:
    """Return an id for an advice."""
    return secrets.token_hex(8)


def told(text: str) -> str:
    """Return words as they are recorded."""
    return masked_text(text, 4 * OBSERVATION_LIMIT)
