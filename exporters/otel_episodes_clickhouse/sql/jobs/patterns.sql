-- Observations per episode, then sums per pattern and week.

-- name: observations_write
INSERT INTO internal_pattern_observations (* EXCEPT (Version, WrittenAt), Version)
SELECT *, {snapshot:DateTime64(6, 'UTC')}
FROM internal_observations_changed(run = {run:String}, batch = {batch:UInt32}, full = {full:Bool},
    low = {low:String}, high = {high:String}, formula = {formula:String})
SETTINGS optimize_move_to_prewhere_if_final = 1, max_insert_threads = 2, optimize_on_insert = 0;

-- name: observations_forget
INSERT INTO internal_pattern_observations (Week, EpisodeId, IsDeleted, Version)
SELECT *, {snapshot:DateTime64(6, 'UTC')}
FROM internal_observations_gone(run = {run:String}, batch = {batch:UInt32}, full = {full:Bool},
    low = {low:String}, high = {high:String}, formula = {formula:String});

-- name: patterns_weeks
-- Also weeks that a slower, older run wrote after the last one had finished.
SELECT toString(Week) AS Week, count() AS Episodes
FROM internal_pattern_observations
WHERE Week IN
(
    SELECT Week FROM internal_pattern_observations WHERE {full:Bool} OR WrittenAt >= {since:DateTime64(6, 'UTC')}
    UNION DISTINCT
    SELECT Week FROM internal_pattern_buckets
    WHERE NOT {full:Bool} AND WrittenAt >= {since:DateTime64(6, 'UTC')} AND Version < {since:DateTime64(6, 'UTC')}
)
GROUP BY Week
ORDER BY Week;

-- name: buckets_write
INSERT INTO internal_pattern_buckets (* EXCEPT (Version, WrittenAt), Version)
SELECT *, {snapshot:DateTime64(6, 'UTC')}
FROM internal_buckets_changed(weeks = {weeks:Array(Date)})
SETTINGS do_not_merge_across_partitions_select_final = 1, max_insert_threads = 2, optimize_on_insert = 0;

-- name: totals_add
-- What can be added to what is kept; be it written by a run that did not finish.
INSERT INTO internal_pattern_totals (* EXCEPT Version, Version)
SELECT *, {snapshot:DateTime64(6, 'UTC')}
FROM internal_totals_added(since = {since:DateTime64(6, 'UTC')})
SETTINGS do_not_merge_across_partitions_select_final = 1, optimize_move_to_prewhere_if_final = 1;

-- name: totals_write
INSERT INTO internal_pattern_totals (* EXCEPT Version, Version)
SELECT *, {snapshot:DateTime64(6, 'UTC')}
FROM internal_totals_changed(full = {full:Bool}, since = {since:DateTime64(6, 'UTC')}, snapshot = {snapshot:DateTime64(6, 'UTC')})
SETTINGS do_not_merge_across_partitions_select_final = 1, optimize_move_to_prewhere_if_final = 1,
    max_insert_threads = 2, optimize_on_insert = 0;

-- name: evidence_weeks
-- The latest week of each pattern that was added up; of what only one episode shows nothing is said.
SELECT toString(Week) AS Week, count() AS Episodes
FROM internal_pattern_observations
WHERE Week IN (SELECT LastWeek FROM internal_pattern_totals WHERE Version = {snapshot:DateTime64(6, 'UTC')} AND Support >= 2)
GROUP BY Week
ORDER BY Week;

-- name: evidence_write
INSERT INTO internal_pattern_evidence (* EXCEPT Version, Version)
SELECT *, {snapshot:DateTime64(6, 'UTC')}
FROM internal_evidence_changed(weeks = {weeks:Array(Date)}, since = {snapshot:DateTime64(6, 'UTC')})
SETTINGS optimize_on_insert = 0;

-- name: keys_missing
SELECT count() AS Missing FROM internal_unnamed_patterns(since = {snapshot:DateTime64(6, 'UTC')});

-- name: keys_write
INSERT INTO internal_pattern_keys
SELECT * FROM internal_keys_changed(since = {snapshot:DateTime64(6, 'UTC')})
SETTINGS optimize_move_to_prewhere_if_final = 1;
