-- Skills: what holds in a domain, in versions that a person accepts. Rows are added and never changed; no job fills this table, and
-- no migration empties it.

-- name: internal_skills
CREATE TABLE IF NOT EXISTS internal_skills
(
    Name LowCardinality(String) COMMENT 'its name, which is the folder it is exported to',
    Version UInt32 COMMENT 'from 1 on',
    Event LowCardinality(String) COMMENT 'proposed: the version was made; accepted: it counts from now on; rolled back: none counts any more, or an earlier one again',
    Domain LowCardinality(String) COMMENT 'episode.domain of the runs it was learned from',
    Tenant LowCardinality(String) COMMENT 'tenant.id of these runs; empty: none',
    Steps Array(String) COMMENT 'of a proposed version: what led to success',
    Avoid Array(String) COMMENT 'what did not, and calls that usually fail',
    Recoveries Array(String) COMMENT 'what put failures right',
    Items Array(String) COMMENT 'ids of the items it was made of',
    Evidence Array(String) COMMENT 'episodes or traces behind it',
    Runs UInt64 COMMENT 'of how many runs it was learned',
    Reason String COMMENT 'why it was accepted or rolled back',
    By String COMMENT 'who did it',
    Time DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'when'
)
ENGINE = MergeTree
ORDER BY (Name, Time)
COMMENT 'versions of skills, and what people decided about them';
