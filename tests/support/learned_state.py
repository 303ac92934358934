# ruff: noqa: E501  # statements read best on one line
"""What was learned, as it stands: the tables it comes from, those it is in, and all of it without when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from learning_data import rows_of

from otel_episodes_clickhouse import sql
from otel_episodes_clickhouse.learning import jobs

if TYPE_CHECKING:
    from learning_data import Episode

    from otel_episodes_clickhouse import Store

SOURCES = (
    "otel_traces",
    "internal_steps",
    "internal_roots",
    "internal_changes",
    "internal_decisions",
    "internal_evaluations",
    "internal_agent_spans",
)
LEARNED = (
    "internal_facts", "internal_sequences", "internal_domain_scales", "internal_rewards", "internal_reflections", "internal_pattern_observations", "internal_pattern_buckets",
    "internal_pattern_totals", "internal_pattern_evidence", "internal_pattern_keys", "internal_values", "internal_mishaps", "internal_job_runs", "internal_job_worklist",
)  # fmt: skip
STATE = {
    "facts": "SELECT * EXCEPT (Version, WrittenAt) FROM internal_facts FINAL ORDER BY EpisodeId",
    "sequences": "SELECT * EXCEPT (Version, WrittenAt) FROM internal_sequences FINAL ORDER BY EpisodeId",
    "scales": "SELECT * EXCEPT (Version, WrittenAt) FROM internal_domain_scales FINAL ORDER BY Domain",
    "rewards": "SELECT * EXCEPT (Version, WrittenAt) FROM internal_rewards FINAL ORDER BY Formula, EpisodeId",
    "reflections": "SELECT * EXCEPT (Version, WrittenAt) FROM internal_reflections FINAL ORDER BY EpisodeId",
    "observations": "SELECT * EXCEPT (Version, WrittenAt) FROM internal_pattern_observations FINAL ORDER BY EpisodeId",
    "buckets": "SELECT * EXCEPT (Version, WrittenAt) FROM internal_pattern_buckets FINAL WHERE Support > 0 ORDER BY PatternId, Week",
    "totals": "SELECT * EXCEPT (Version, RecentSupport, RecentSuccesses), round(log(RecentSupport), 6) AS A, "
    "round(log(RecentSuccesses + 1), 6) AS B FROM internal_pattern_totals FINAL WHERE Support > 0 ORDER BY PatternId",
    "evidence": "SELECT PatternId, Traces FROM internal_pattern_evidence FINAL WHERE PatternId IN "
    "(SELECT PatternId FROM internal_pattern_totals FINAL WHERE Support > 1) ORDER BY PatternId",
    "keys": "SELECT * FROM internal_pattern_keys FINAL WHERE PatternId IN (SELECT PatternId FROM internal_pattern_totals FINAL WHERE Support > 1) "
    "ORDER BY PatternId",
    "values": "SELECT * EXCEPT (Version, WrittenAt) FROM internal_values FINAL WHERE Seen > 0 ORDER BY ContextId, StepId",
    "mishaps": "SELECT m.* EXCEPT (Version, WrittenAt) FROM internal_mishaps AS m FINAL "
    "INNER JOIN (SELECT Week, max(Version) AS Latest FROM internal_mishaps WHERE Kind = 'week' GROUP BY Week) AS w ON w.Week = m.Week "
    "WHERE m.Version >= w.Latest AND m.Kind != 'week' ORDER BY ALL",
}


def truncate(store: Store, *tables: str) -> None:
    """Empty these tables."""
    statement = sql.Statement("truncate", "TRUNCATE TABLE {table:Identifier}")
    for table in tables:
        store.execute(statement, {"table": table})


def state(store: Store) -> dict[str, list[dict[str, Any]]]:
    """Return everything that was learned, without when."""
    return {name: store.query(query) for name, query in STATE.items()}


def learn(store: Store, *episodes: Episode) -> None:
    """Store these episodes and learn from them."""
    store.insert_rows([row for episode in episodes for row in rows_of(episode)])
    jobs.run(store, "patterns", overlap_seconds=0)
