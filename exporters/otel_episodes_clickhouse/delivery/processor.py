"""The durable way from a finished span to the store: into the spool before ``on_end`` returns."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.trace import TraceFlags

from otel_episodes import semconv
from otel_episodes._for_store import SCOPE, Boundary, EpisodeContextProcessor, read_span, report
from otel_episodes_clickhouse import config
from otel_episodes_clickhouse.delivery import agent_marks
from otel_episodes_clickhouse.delivery.metrics import Delivery
from otel_episodes_clickhouse.delivery.shipper import Shipper
from otel_episodes_clickhouse.errors import ConfigurationError
from otel_episodes_clickhouse.spool.encode import new_encoder
from otel_episodes_clickhouse.spool.writer import SpoolWriter

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from otel_episodes._for_store import SpanFields
    from otel_episodes_clickhouse.config import Target

# Left on a span that is in a spool, with that spool: of two of us on one provider, only one stores it. Where there is
# one of us, as nearly always, no mark is needed.
_STORED_IN: Final = "_otel_episodes_stored_in"
_users: Counter[str] = Counter()
_SAMPLED: Final = int(TraceFlags.SAMPLED)
# Where `read_span` puts the name of a span.
_NAME: Final = 10


class EpisodeSpanProcessor(EpisodeContextProcessor, SpanProcessor):
    """Stores every finished span that belongs to an episode, whatever happens to the process right after.

    It is also what stamps other libraries' spans (see its base), in one since every processor costs every span.

    A span belongs when it has ``episode.id`` or ``episode.span``; with ``include_agents`` also when another
    instrumentation marked it as an agent's or a model's. With ``ship`` a background thread moves what is spooled to
    the store, a server's only: the embedded engine is never loaded in a process that records.
    """

    def __init__(self, target: Target, *, include_agents: bool = False, ship: bool | None = None) -> None:
        if ship and target.embedded:
            raise ConfigurationError(
                "ship=True needs a server: the embedded store takes in what is recorded when it is next read"
            )
        self.target = target
        settings = config.SpoolSettings.resolve()
        self.writer = SpoolWriter(target.spool, new_encoder, limit_bytes=settings.limit_bytes, fsync=settings.fsync)
        self._spool = str(target.spool)
        self.count_user()
        self._marks = agent_marks.shipped() if include_agents else None
        self._delivery = Delivery(target.spool, self.writer)
        ship = config.ships() if ship is None else ship
        self._shipper = None if target.embedded or ship is False else Shipper(target, self._delivery)

    def count_user(self) -> None:
        """Say that one more way leads to this processor's spool, so that spans are marked as stored."""
        _users[self._spool] += 1

    def on_end(self, span: ReadableSpan) -> None:
        """Append the span to the spool, if it belongs to an episode; never raises."""
        try:
            fields = read_span(span)
            # What our own tracer makes belongs: told by its scope, one object, nearly all need no further look.
            if fields[0] is not self._own_scope:
                super().on_end(span)
                if not self._belongs(fields):
                    return
            context = fields[1]
            # A SpanContext is a tuple; by name this is two properties, each a call.
            if context is None or not context[3] & _SAMPLED:
                return
            if _users[self._spool] == 1 or _claim(span, self._spool):
                self.writer.append(fields)
                shipper = self._shipper
                if shipper is not None and not shipper.running:
                    shipper.ensure_running()
        except Exception as error:  # noqa: BLE001  # the boundary, in the hot path
            report(error, "storing a span")

    @Boundary("closing the spool")
    def shutdown(self) -> None:
        """Finish the segment and ship what is left, for a moment at most; spans that end later are still stored."""
        self.writer.close()
        if self._shipper is not None:
            self._shipper.stop()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Bring everything that has ended to where the next reader finds it.

        For a server that is the server itself, and False says it was not reached in time. For the embedded store it
        is the spool, where everything is already.
        """
        if self._shipper is None:
            return True
        return self._shipper.flush(timeout_millis / 1000)

    def _belongs(self, fields: SpanFields) -> bool:
        scope, _, attributes = fields[:3]
        if scope is not None and scope.name == SCOPE:
            return True
        ours = semconv.EPISODE_ID in attributes or semconv.SPAN in attributes
        return ours or (self._marks is not None and self._marks.are_on(fields[_NAME], attributes))


def open_processor(
    dsn: str | None = None, *, include_agents: bool = False, ship: bool | None = None
) -> EpisodeSpanProcessor:
    """Return a processor for a DSN (default: see `config.Target.resolve`); the entry point of ``configure()``.

    ``ship``: whether to send to a server in the background; False leaves it to ``otel-episodes ship``, None does as
    OTEL_EPISODES_SHIP says, else for every server.
    """
    return EpisodeSpanProcessor(config.Target.resolve(dsn), include_agents=include_agents, ship=ship)


def _claim(span: ReadableSpan, spool: str) -> bool:
    """Mark the span as stored there; False when another processor or exporter of ours was first."""
    if getattr(span, _STORED_IN, None) == spool:
        return False
    setattr(span, _STORED_IN, spool)
    return True
