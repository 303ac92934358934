"""The state of this process: the settings in force and the tracer steps are recorded with.

Other modules read these names through the module (``_state.settings``), so that `configure` can replace them.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from opentelemetry import trace

from otel_episodes import _settings
from otel_episodes._sdk import provider_set
from otel_episodes._version import __version__
from otel_episodes.exceptions import UsageError

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer, TracerProvider

SCOPE = "otel_episodes"


def _settings_at_import() -> _settings.Settings:
    # A typing error in a variable must not keep a program from starting; the default is safe, and the log says so.
    try:
        return _settings.from_environment()
    except UsageError as error:
        logging.getLogger(SCOPE).warning("%s (from the environment; the default is used)", error)
        return _settings.Settings()


settings: _settings.Settings = _settings_at_import()

# Set where `configure(tracer_provider=...)` was given a provider that is not the global one.
provider: TracerProvider | None = None


def enabled() -> bool:
    """Return True, in a fraction of a microsecond, if any tracer provider is there to record to."""
    return provider is not None or provider_set() is not None


_tracer: tuple[TracerProvider, Tracer] | None = None


def tracer() -> Tracer:
    """Return the tracer of the provider in force."""
    global _tracer  # noqa: PLW0603  # asking the SDK for it costs ten times this
    current = provider or trace.get_tracer_provider()
    if _tracer is None or _tracer[0] is not current:
        made = current.get_tracer(SCOPE, __version__)
        if isinstance(current, trace.ProxyTracerProvider):
            return made  # a stand-in until a provider is set
        _tracer = current, made
    return _tracer[1]
