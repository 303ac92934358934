"""Scores that people give episodes: evaluation results as the GenAI conventions have them, on spans of their own.

A score stands beside the computed reward. It decides the outcome, from `SUCCESS_AT` on as a success, where nobody told
one; the views show that at once, and the jobs learn from it the next time they run.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from otel_episodes import UsageError, semconv
from otel_episodes._for_store import OBSERVATION_LIMIT, masked_text
from otel_episodes_clickhouse.learning.beside import known_episode, span_beside
from otel_episodes_clickhouse.spool.values import attributes_as_text

if TYPE_CHECKING:
    from otel_episodes_clickhouse.store.store import Store

WORDS: Final = {"good": 1.0, "bad": 0.0}
SUCCESS_AT: Final = 0.5


def score(store: Store, episode: str, value: float | str, *, note: str = "", by: str = "human") -> float:
    """Score an episode: ``good``, ``bad``, or a number; return the number.

    ``episode`` is its id. Of several scores the latest counts; ``by`` names who judges, ``note`` says why.

    Raises:
        UsageError: the value is neither a word nor a finite number.
        StoreError: there is no episode with this id.
    """
    number = number_of(value)
    known = known_episode(store, episode)
    said = {
        semconv.GEN_AI_EVALUATION_NAME: by,
        semconv.GEN_AI_EVALUATION_SCORE_VALUE: number,
        semconv.GEN_AI_EVALUATION_SCORE_LABEL: value if value in WORDS else "",
        semconv.GEN_AI_EVALUATION_EXPLANATION: masked_text(note, OBSERVATION_LIMIT),
    }
    row = span_beside(known, "score", {})
    event = attributes_as_text({key: value for key, value in said.items() if value != ""})
    names = (semconv.GEN_AI_EVALUATION_RESULT,)
    store.insert_rows([row._replace(event_timestamps=(row.timestamp,), event_names=names, event_attributes=(event,))])
    return number


def number_of(value: float | str) -> float:
    """Return a score as a number; raise `UsageError` for what is neither one of `WORDS` nor a finite number."""
    if isinstance(value, str) and value in WORDS:
        return WORDS[value]
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        raise UsageError(f"{value!r} is not a score: use good, bad, or a number such as 0.7")
    return number
