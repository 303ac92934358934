"""Store episodes in ClickHouse, or in the same engine embedded, and learn from them.

Each name is imported when it is first used: what records loads neither the engine nor a client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from otel_episodes_clickhouse import errors
    from otel_episodes_clickhouse.advice.advise import Advice, aadvise, advise
    from otel_episodes_clickhouse.advice.advisor import AdvisedRun, Advisor, Call, Option
    from otel_episodes_clickhouse.advice.handoff import Handoff, handoff
    from otel_episodes_clickhouse.advice.items import Item
    from otel_episodes_clickhouse.config import Target
    from otel_episodes_clickhouse.delivery.exporter import ClickHouseSpanExporter
    from otel_episodes_clickhouse.delivery.processor import EpisodeSpanProcessor, open_processor
    from otel_episodes_clickhouse.learning.advice import NextStep
    from otel_episodes_clickhouse.learning.forget import Forgotten, forget
    from otel_episodes_clickhouse.learning.jobs import JobReport
    from otel_episodes_clickhouse.learning.jobs import run as run_jobs
    from otel_episodes_clickhouse.learning.marks import checkpoint, relate, tag
    from otel_episodes_clickhouse.learning.scores import score
    from otel_episodes_clickhouse.learning.similar import SimilarTask, similar
    from otel_episodes_clickhouse.store.confined_sql import Result
    from otel_episodes_clickhouse.store.store import Store

__all__ = [
    "Advice",
    "AdvisedRun",
    "Advisor",
    "Call",
    "ClickHouseSpanExporter",
    "EpisodeSpanProcessor",
    "Forgotten",
    "Handoff",
    "Item",
    "JobReport",
    "NextStep",
    "Option",
    "Result",
    "SimilarTask",
    "Store",
    "Target",
    "aadvise",
    "advise",
    "checkpoint",
    "errors",
    "forget",
    "handoff",
    "open_processor",
    "relate",
    "run_jobs",
    "score",
    "similar",
    "tag",
]

# Where a public name is defined: its module and, where it is another, its name there.
_PLACES: Final = {
    "Advice": "advice.advise",
    "AdvisedRun": "advice.advisor",
    "Advisor": "advice.advisor",
    "Call": "advice.advisor",
    "ClickHouseSpanExporter": "delivery.exporter",
    "EpisodeSpanProcessor": "delivery.processor",
    "Item": "advice.items",
    "Forgotten": "learning.forget",
    "Handoff": "advice.handoff",
    "JobReport": "learning.jobs",
    "NextStep": "learning.advice",
    "Option": "advice.advisor",
    "Result": "store.confined_sql",
    "SimilarTask": "learning.similar",
    "Store": "store.store",
    "Target": "config",
    "aadvise": "advice.advise",
    "advise": "advice.advise",
    "checkpoint": "learning.marks",
    "errors": "errors:",
    "forget": "learning.forget",
    "handoff": "advice.handoff",
    "open_processor": "delivery.processor",
    "relate": "learning.marks",
    "run_jobs": "learning.jobs:run",
    "score": "learning.scores",
    "similar": "learning.similar",
    "tag": "learning.marks",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415  # not for those who only record

    module_name, colon, attribute = _PLACES[name].partition(":")
    module = import_module(f"{__name__}.{module_name}")
    value = module if colon and not attribute else getattr(module, attribute or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
