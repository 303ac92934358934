"""Settings and the environment variables they come from; nothing else in this package reads the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from otel_episodes._redaction import Redactor
from otel_episodes.exceptions import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

Capture = Literal["none", "summary", "full"]
Orphans = Literal["episode", "span"]

ACTION_LIMIT = 256
OBSERVATION_LIMIT = 1024
# Full arguments and results are for reading one episode, not for storing files.
CONTENT_LIMIT = 32_768
NAME_LIMIT = 128

_TRUE = frozenset(("1", "true", "yes", "on"))
# What the OpenTelemetry GenAI instrumentations accept for "content belongs on the span".
_CONTENT_ON_SPAN = frozenset(("true", "span_only", "span_and_event"))


@dataclass(frozen=True)
class Settings:
    """How steps are recorded. Change them with `configure`.

    ``capture``: ``none`` keeps no action, observation or error message; ``summary`` keeps the action (256 characters)
    and the observation (1,024); ``full`` adds the arguments and the result as JSON (32,768 each).
    ``stacks``: whether a failure keeps where its exception was: the innermost frames, with secrets masked.
    ``orphans``: a step with no episode and no other span around it becomes an ``episode`` of one step, or stays a
    plain ``span``.
    """

    capture: Capture = "summary"
    orphans: Orphans = "episode"
    redactor: Redactor | None = field(default_factory=Redactor)
    strict: bool = False
    stacks: bool = False

    def __post_init__(self) -> None:
        one_of("capture", self.capture, get_args(Capture))
        one_of("orphans", self.orphans, get_args(Orphans))


def one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    """Raise `UsageError` unless the value is one of the allowed ones."""
    if value not in allowed:
        raise UsageError(f"{name}={value!r} is not known: use one of {', '.join(allowed)}")


def from_environment(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read settings from the environment.

    ``OTEL_EPISODES_CAPTURE`` (none, summary, full), ``OTEL_EPISODES_ORPHANS`` (episode, span),
    ``OTEL_EPISODES_STACKS`` (true: see `Settings`),
    ``OTEL_EPISODES_REDACT`` (true, false), ``OTEL_EPISODES_REDACT_KEY`` (see `Redactor`: secrets become their keyed
    hash instead of a mask), ``OTEL_EPISODES_STRICT`` (true: raise our own errors, for tests).
    ``OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT`` set to true, SPAN_ONLY or SPAN_AND_EVENT means ``full``
    where our own variable is not set.
    """
    capture = environ.get("OTEL_EPISODES_CAPTURE", "").lower()
    if not capture:
        content = environ.get("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "").lower()
        capture = "full" if content in _CONTENT_ON_SPAN else "summary"
    redact = environ.get("OTEL_EPISODES_REDACT", "true").lower() in _TRUE
    return Settings(
        capture=capture,  # type: ignore[arg-type]  # checked in __post_init__
        orphans=environ.get("OTEL_EPISODES_ORPHANS", "episode").lower(),  # type: ignore[arg-type]  # likewise
        redactor=Redactor(hash_key=environ.get("OTEL_EPISODES_REDACT_KEY", "")) if redact else None,
        stacks=environ.get("OTEL_EPISODES_STACKS", "").lower() in _TRUE,
        strict=environ.get("OTEL_EPISODES_STRICT", "").lower() in _TRUE,
    )
