"""Episodic memory for agents: every run an OpenTelemetry trace, every step a span.

>>> from otel_episodes import episode, step
>>> @step(action="search {pattern}")
... def grep(pattern: str, path: str) -> list[str]: ...
>>> with episode("Fix the flaky test", agent="coder"):
...     grep("TODO", "src")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_episodes._version import __version__

if TYPE_CHECKING:
    from otel_episodes._batch import Batch
    from otel_episodes._configure import configure
    from otel_episodes._episode import Episode, current_episode, episode
    from otel_episodes._log_step import log_step
    from otel_episodes._model_call import ModelCall
    from otel_episodes._redaction import Redactor
    from otel_episodes._step import Step, current_step, step
    from otel_episodes._with_context import with_context
    from otel_episodes.exceptions import EpisodesError, HandleError, SetupError, UsageError

__all__ = [
    "Batch",
    "Episode",
    "EpisodesError",
    "HandleError",
    "ModelCall",
    "Redactor",
    "SetupError",
    "Step",
    "UsageError",
    "__version__",
    "configure",
    "current_episode",
    "current_step",
    "episode",
    "log_step",
    "step",
    "with_context",
]

# Loaded when first asked for: a shell hook that adds one step to an episode pays for nothing else.
_HOMES = {
    "Batch": "_batch",
    "Episode": "_episode",
    "EpisodesError": "exceptions",
    "HandleError": "exceptions",
    "ModelCall": "_model_call",
    "Redactor": "_redaction",
    "SetupError": "exceptions",
    "Step": "_step",
    "UsageError": "exceptions",
    "configure": "_configure",
    "current_episode": "_episode",
    "current_step": "_step",
    "episode": "_episode",
    "log_step": "_log_step",
    "step": "_step",
    "with_context": "_with_context",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415  # not a name of this module

    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
