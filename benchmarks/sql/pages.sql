-- How a store of very many episodes is made: that of 100,000 which was learned from, with copies of its rows under other ids and
-- from other weeks. What is learned of a million episodes that are all different would take hours.

-- name: copy_facts
-- {table}: internal_facts or internal_sequences.
INSERT INTO {table:Identifier}
SELECT * EXCEPT (n) REPLACE (
    lower(hex(sipHash128(EpisodeId, n))) AS EpisodeId, lower(hex(sipHash128(TraceId, n))) AS TraceId,
    StartTime - toIntervalWeek(n * {weeks:UInt32}) AS StartTime, LastTime - toIntervalWeek(n * {weeks:UInt32}) AS LastTime)
FROM {table:Identifier}
CROSS JOIN (SELECT number + 1 AS n FROM numbers({copies:UInt32})) AS copies;

-- name: copy_spans
-- {table}: internal_steps or internal_roots.
INSERT INTO {table:Identifier}
SELECT * EXCEPT (n) REPLACE (
    lower(hex(sipHash128(EpisodeId, n))) AS EpisodeId, lower(hex(sipHash128(TraceId, n))) AS TraceId,
    StartTime - toIntervalWeek(n * {weeks:UInt32}) AS StartTime)
FROM {table:Identifier}
CROSS JOIN (SELECT number + 1 AS n FROM numbers({copies:UInt32})) AS copies;

-- name: forget_arrivals
-- To the views copies of spans are spans that have just arrived, of which the jobs have seen nothing yet.
TRUNCATE TABLE internal_changes;

-- name: old_arrivals
INSERT INTO internal_changes (EpisodeId, InsertedAt)
SELECT EpisodeId, now64(6) - INTERVAL 1 DAY
FROM internal_facts
CROSS JOIN numbers(2) AS twice;

-- name: copy_results
-- {table}: internal_rewards or internal_reflections.
INSERT INTO {table:Identifier}
SELECT * EXCEPT (n) REPLACE (lower(hex(sipHash128(EpisodeId, n))) AS EpisodeId)
FROM {table:Identifier}
CROSS JOIN (SELECT number + 1 AS n FROM numbers({copies:UInt32})) AS copies;

-- name: copy_observations
INSERT INTO internal_pattern_observations
SELECT * EXCEPT (n) REPLACE (
    lower(hex(sipHash128(EpisodeId, n))) AS EpisodeId, lower(hex(sipHash128(TraceId, n))) AS TraceId,
    StartTime - toIntervalWeek(n * {weeks:UInt32}) AS StartTime, Week - toIntervalWeek(n * {weeks:UInt32}) AS Week)
FROM internal_pattern_observations
CROSS JOIN (SELECT number + 1 AS n FROM numbers({copies:UInt32})) AS copies;

-- name: copy_buckets
INSERT INTO internal_pattern_buckets
SELECT * EXCEPT (n) REPLACE (Week - toIntervalWeek(n * {weeks:UInt32}) AS Week)
FROM internal_pattern_buckets
CROSS JOIN (SELECT number + 1 AS n FROM numbers({copies:UInt32})) AS copies;
