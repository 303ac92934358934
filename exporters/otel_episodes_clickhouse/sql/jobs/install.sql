-- The jobs as refreshable views on the server: each appends what the view of the same computation has, as `jobs run` does, and
-- waits for the one before. Every minute they look at what arrived since the last fact was written, less ten minutes.

-- name: internal_refresh_01_worklist
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_refresh_01_worklist REFRESH EVERY 1 MINUTE APPEND TO internal_job_worklist
AS SELECT 'refresh' AS RunId, Job, toUInt32(0) AS Batch, EpisodeId
FROM internal_work_since(job = '', formula = '',
    since = (SELECT greatest(max(Version), toDateTime64(86400, 6, 'UTC')) - toIntervalMinute(10) FROM internal_facts))
ARRAY JOIN ['facts', 'sequences', 'rewards', 'reflections', 'observations'] AS Job;

-- name: internal_refresh_02_facts
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_refresh_02_facts REFRESH EVERY 1 MINUTE
DEPENDS ON internal_refresh_01_worklist
APPEND TO internal_facts
AS SELECT *, now64(6, 'UTC') AS Version
FROM internal_facts_changed(run = 'refresh', batch = 0, full = false, low = '', high = '', foreign = true);

-- name: internal_refresh_03_sequences
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_refresh_03_sequences REFRESH EVERY 1 MINUTE
DEPENDS ON internal_refresh_02_facts
APPEND TO internal_sequences
AS SELECT *, now64(6, 'UTC') AS Version
FROM internal_sequences_changed(run = 'refresh', batch = 0, full = false, low = '', high = '', foreign = true);

-- name: internal_refresh_04_scales
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_refresh_04_scales REFRESH EVERY 1 MINUTE
DEPENDS ON internal_refresh_03_sequences
APPEND TO internal_domain_scales
AS SELECT *, now64(6, 'UTC') AS Version
FROM internal_scales_changed;

-- name: internal_refresh_05_rewards
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_refresh_05_rewards REFRESH EVERY 1 MINUTE
DEPENDS ON internal_refresh_04_scales
APPEND TO internal_rewards
AS SELECT *, now64(6, 'UTC') AS Version
FROM internal_rewards_changed(run = 'refresh', batch = 0, full = false, low = '', high = '',
    formula = {formula:String}, formula_view = {formula_view:String});

-- name: internal_refresh_06_rewards_gone
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_refresh_06_rewards_gone REFRESH EVERY 1 MINUTE
DEPENDS ON internal_refresh_05_rewards
APPEND TO internal_rewards
AS SELECT *, now64(6, 'UTC') AS Version
FROM internal_rewards_gone(run = 'refresh', batch = 0, full = false, low = '', high = '',
    formula = {formula:String}, formula_view = {formula_view:String});

-- name: internal_refresh_07_reflections
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_refresh_07_reflections REFRESH EVERY 1 MINUTE
DEPENDS ON internal_refresh_06_rewards_gone
APPEND TO internal_reflections
AS SELECT *, now64(6, 'UTC') AS Version
FROM internal_reflections_changed(run = 'refresh', batch = 0, full = false, low = '', high = '');

-- name: internal_refresh_08_reflections_gone
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_refresh_08_reflections_gone REFRESH EVERY 1 MINUTE
DEPENDS ON internal_refresh_07_reflections
APPEND TO internal_reflections
AS SELECT *, now64(6, 'UTC') AS Version
FROM internal_reflections_gone(run = 'refresh', batch = 0, full = false, low = '', high = '');

-- name: internal_refresh_09_observations
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_refresh_09_observations REFRESH EVERY 1 MINUTE
DEPENDS ON internal_refresh_08_reflections_gone
APPEND TO internal_pattern_observations
AS SELECT *, now64(6, 'UTC') AS Version
FROM internal_observations_changed(run = 'refresh', batch = 0, full = false, low = '', high = '',
    formula = {formula:String});

-- name: internal_refresh_10_observations_gone
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_refresh_10_observations_gone REFRESH EVERY 1 MINUTE
DEPENDS ON internal_refresh_09_observations
APPEND TO internal_pattern_observations
AS SELECT *, now64(6, 'UTC') AS Version
FROM internal_observations_gone(run = 'refresh', batch = 0, full = false, low = '', high = '',
    formula = {formula:String});

-- name: internal_refresh_11_buckets
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_refresh_11_buckets REFRESH EVERY 1 MINUTE
DEPENDS ON internal_refresh_10_observations_gone
APPEND TO internal_pattern_buckets
AS SELECT *, now64(6, 'UTC') AS Version
FROM internal_buckets_changed(
    weeks = (SELECT groupUniqArray(Week) FROM internal_pattern_observations WHERE WrittenAt >= now64(6, 'UTC') - toIntervalMinute(10)));

-- name: internal_refresh_12_totals
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_refresh_12_totals REFRESH EVERY 1 MINUTE
DEPENDS ON internal_refresh_11_buckets
APPEND TO internal_pattern_totals
AS SELECT *, now64(6, 'UTC') AS Version
FROM internal_totals_changed(full = false, since = now64(6, 'UTC') - toIntervalMinute(10), snapshot = now64(6, 'UTC'));

-- name: internal_refresh_13_evidence
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_refresh_13_evidence REFRESH EVERY 1 MINUTE
DEPENDS ON internal_refresh_12_totals
APPEND TO internal_pattern_evidence
AS SELECT *, now64(6, 'UTC') AS Version
FROM internal_evidence_changed(since = now64(6, 'UTC') - toIntervalMinute(10),
    weeks = (SELECT groupUniqArray(LastWeek) FROM internal_pattern_totals WHERE Version >= now64(6, 'UTC') - toIntervalMinute(10)));

-- name: internal_refresh_14_keys
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_refresh_14_keys REFRESH EVERY 1 MINUTE
DEPENDS ON internal_refresh_13_evidence
APPEND TO internal_pattern_keys
AS SELECT * FROM internal_keys_changed(since = now64(6, 'UTC') - toIntervalMinute(10));

-- name: internal_refresh_15_values
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_refresh_15_values REFRESH EVERY 1 MINUTE
DEPENDS ON internal_refresh_14_keys
APPEND TO internal_values
AS SELECT *, now64(6, 'UTC') AS Version
FROM internal_values_changed(
    weeks = (SELECT groupUniqArray(Week) FROM internal_pattern_observations WHERE WrittenAt >= now64(6, 'UTC') - toIntervalMinute(10)));

-- name: internal_refresh_16_mishaps
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_refresh_16_mishaps REFRESH EVERY 1 MINUTE
DEPENDS ON internal_refresh_15_values
APPEND TO internal_mishaps
AS SELECT *, now64(6, 'UTC') AS Version
FROM internal_mishaps_changed(
    weeks = (SELECT groupUniqArray(Week) FROM internal_pattern_observations WHERE WrittenAt >= now64(6, 'UTC') - toIntervalMinute(10)));

-- name: refreshed_views
-- Before 0.2 their names had no prefix.
SELECT name AS Name
FROM system.tables
WHERE database = currentDatabase() AND match(name, '^(internal_)?refresh_')
ORDER BY name DESC;

-- name: drop_view
DROP VIEW IF EXISTS {view:Identifier};

-- name: refresh_view
SYSTEM REFRESH VIEW {view:Identifier};

-- name: wait_view
SYSTEM WAIT VIEW {view:Identifier};
