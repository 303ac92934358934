-- Before all others: what fills tables asks it.

-- name: internal_forgotten
-- Nothing makes it again: no job writes it, and no migration drops it.
CREATE TABLE IF NOT EXISTS internal_forgotten
(
    EpisodeId String COMMENT 'an episode that is to be forgotten, whatever of it still arrives',
    Tenant LowCardinality(String) COMMENT 'tenant.id of the resource; empty: none',
    TraceId String COMMENT 'a trace of its; one row for each',
    Reason String COMMENT 'why, as it was given',
    Time DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'when'
)
ENGINE = ReplacingMergeTree(Time)
ORDER BY (EpisodeId, Tenant, TraceId)
COMMENT 'tombstones of episodes';
