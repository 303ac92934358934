-- Observations per episode, then sums per pattern and week.

-- name: observations_worklist
INSERT INTO job_worklist (RunId, Job, Batch, EpisodeId)
SELECT {run:String}, 'observations', toUInt32(intDiv(rowNumberInAllBlocks(), {size:UInt32})), EpisodeId
FROM
(
    SELECT DISTINCT EpisodeId
    FROM
    (
        SELECT EpisodeId FROM episode_sequences WHERE WrittenAt >= {since:DateTime64(6, 'UTC')}
        UNION ALL
        SELECT EpisodeId FROM episode_rewards
        WHERE Formula = {formula:String} AND WrittenAt >= {since:DateTime64(6, 'UTC')}
    )
    ORDER BY EpisodeId
    SETTINGS max_threads = 1
)
SETTINGS max_insert_threads = 1;

-- name: observations_write
-- What was shown before is looked up without FINAL: few rows are left by the time they are grouped.
INSERT INTO pattern_observations (Week, EpisodeId, TraceId, Domain, Task, StartTime, Success, RewardMicros, DurationNs, Tokens,
    Weight, PatternIds, Tools, Fingerprint, Version, IsDeleted)
WITH work AS
(
    SELECT EpisodeId FROM job_worklist WHERE RunId = {run:String} AND Job = 'observations' AND Batch = {batch:UInt32}
)
SELECT Week, EpisodeId, TraceId, Domain, Task, StartTime, Success, RewardMicros, DurationNs, Tokens,
    Weight, PatternIds, Tools, Fingerprint, {snapshot:DateTime64(6, 'UTC')}, 0
FROM observations_of(run = {run:String}, batch = {batch:UInt32}, full = {full:Bool}, low = {low:String}, high = {high:String}, formula = {formula:String})
WHERE (EpisodeId, Fingerprint) NOT IN
(
    SELECT EpisodeId, argMax(Fingerprint, Version) FROM pattern_observations
    WHERE EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
    GROUP BY EpisodeId, Week
    HAVING argMax(IsDeleted, Version) = 0
)
SETTINGS optimize_move_to_prewhere_if_final = 1, max_insert_threads = 2, optimize_on_insert = 0;

-- name: observations_forget
-- An episode that runs again is not counted, and one whose start turned out to lie in another week is counted there only.
INSERT INTO pattern_observations (Week, EpisodeId, Version, IsDeleted)
WITH work AS
(
    SELECT EpisodeId FROM job_worklist WHERE RunId = {run:String} AND Job = 'observations' AND Batch = {batch:UInt32}
)
SELECT Week, EpisodeId, {snapshot:DateTime64(6, 'UTC')}, 1
FROM pattern_observations
WHERE EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
GROUP BY Week, EpisodeId
HAVING argMax(IsDeleted, Version) = 0 AND (EpisodeId, Week) NOT IN
(
    SELECT EpisodeId, toMonday(argMax(StartTime, Version))
    FROM episode_sequences
    WHERE EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
        AND EpisodeId IN (SELECT EpisodeId FROM episode_rewards FINAL WHERE Formula = {formula:String} AND EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work))
    GROUP BY EpisodeId
);

-- name: patterns_weeks
-- Also weeks that a slower, older run wrote after the last one had finished.
SELECT toString(Week) AS Week, sum(Shown) AS Episodes
FROM
(
    SELECT Week, 1 AS Shown FROM pattern_observations
    WHERE Week IN
    (
        SELECT Week FROM pattern_observations WHERE {full:Bool} OR WrittenAt >= {since:DateTime64(6, 'UTC')}
        UNION DISTINCT
        SELECT Week FROM pattern_buckets WHERE NOT {full:Bool} AND WrittenAt >= {since:DateTime64(6, 'UTC')} AND Version < {since:DateTime64(6, 'UTC')}
    )
)
GROUP BY Week
ORDER BY Week;

-- name: buckets_write
-- The sums of these weeks beside those that are kept; what differs is written, zeros for what is not shown any more.
-- Plain sums only, which are compiled into one: what a condition decides is decided once an episode, not once a pattern of it.
INSERT INTO pattern_buckets (PatternId, Week, Support, Successes, RewardMicros, DurationNs, Tokens, Weight, SuccessWeight,
    FirstSeen, LastSeen, Episodes, Version)
SELECT
    b.PatternId, b.Week,
    sum(b.Shown) AS Support, sum(b.Won) AS Successes, sum(b.RewardMicros) AS RewardMicros,
    sum(b.DurationNs) AS DurationNs, sum(b.Tokens) AS Tokens, sum(b.Weight) AS Weight, sum(b.WonWeight) AS SuccessWeight,
    min(b.First) AS FirstSeen, max(b.Last) AS LastSeen, sum(b.Mark) AS Episodes,
    {snapshot:DateTime64(6, 'UTC')}
FROM
(
    SELECT PatternId, Week, Shown, Won, RewardMicros, DurationNs, Tokens, Weight, WonWeight, First, Last, Mark, toUInt64(0) AS Kept
    FROM
    (
        SELECT
            PatternIds, Week, toUInt64(1) AS Shown, toUInt64(Success) AS Won, RewardMicros, DurationNs, Tokens, toUInt64(Weight) AS Weight,
            Won * Weight AS WonWeight, toDateTime(StartTime, 'UTC') AS First, First AS Last, cityHash64(EpisodeId, TraceId, StartTime) AS Mark
        FROM pattern_observations FINAL
        WHERE Week IN {weeks:Array(Date)}
    )
    ARRAY JOIN PatternIds AS PatternId
    UNION ALL
    SELECT PatternId, Week, 0, 0, 0, 0, 0, 0, 0, toDateTime(4294967295, 'UTC'), toDateTime(0, 'UTC'), 0,
        cityHash64(Support, Successes, RewardMicros, DurationNs, Tokens, Weight, SuccessWeight, FirstSeen, LastSeen, Episodes)
    FROM pattern_buckets FINAL
    WHERE Week IN {weeks:Array(Date)} AND Support > 0
) AS b
GROUP BY b.Week, b.PatternId
HAVING if(Support = 0, 0, cityHash64(Support, Successes, RewardMicros, DurationNs, Tokens, Weight, SuccessWeight, FirstSeen, LastSeen, Episodes)) != max(b.Kept)
SETTINGS do_not_merge_across_partitions_select_final = 1, max_insert_threads = 2, optimize_on_insert = 0;

-- name: totals_write
-- Of all patterns whose buckets were written since the last run that finished, be it by one that did not.
INSERT INTO pattern_totals (PatternId, Support, Successes, RewardMicros, DurationNs, Tokens, RecentSupport, RecentSuccesses,
    FirstSeen, LastSeen, LastWeek, Version)
WITH touched AS (SELECT PatternId FROM pattern_buckets WHERE WrittenAt >= {since:DateTime64(6, 'UTC')})
SELECT
    b.PatternId, sum(b.Support), sum(b.Successes), sum(b.RewardMicros), sum(b.DurationNs), sum(b.Tokens),
    sum(b.Weight * exp2((toInt32(b.Week) - 18262) / 30)) / 1048576,
    sum(b.SuccessWeight * exp2((toInt32(b.Week) - 18262) / 30)) / 1048576,
    minIf(b.FirstSeen, b.Support > 0), maxIf(b.LastSeen, b.Support > 0), maxIf(b.Week, b.Support > 0),
    {snapshot:DateTime64(6, 'UTC')}
FROM pattern_buckets AS b FINAL
WHERE {full:Bool} OR b.PatternId IN touched
GROUP BY b.PatternId
-- A pattern's row of a week is always in the same partition.
SETTINGS do_not_merge_across_partitions_select_final = 1, optimize_move_to_prewhere_if_final = 1, max_insert_threads = 2, optimize_on_insert = 0;

-- name: evidence_weeks
-- The latest week of each pattern that was added up; of what only one episode shows nothing is said.
SELECT toString(Week) AS Week, count() AS Episodes
FROM pattern_observations
WHERE Week IN (SELECT LastWeek FROM pattern_totals WHERE Version = {snapshot:DateTime64(6, 'UTC')} AND Support >= 2)
GROUP BY Week
ORDER BY Week;

-- name: evidence_write
-- By number, the latest episode being 1: sorting trace ids takes eight times as long.
INSERT INTO pattern_evidence (PatternId, Traces, Version)
WITH
    (
        SELECT groupArray(TraceId)
        FROM (SELECT TraceId FROM pattern_observations FINAL WHERE Week IN {weeks:Array(Date)} ORDER BY StartTime DESC, EpisodeId)
    ) AS traces,
    latest AS
    (
        SELECT PatternId, LastWeek
        FROM pattern_totals
        WHERE Version = {snapshot:DateTime64(6, 'UTC')} AND Support >= 2 AND LastWeek IN {weeks:Array(Date)}
    )
SELECT PatternId, arrayMap(place -> traces[place], groupArraySorted(5)(Place)) AS Traces, {snapshot:DateTime64(6, 'UTC')}
FROM
(
    -- The numbers are joined: what follows a window has one thread.
    SELECT o.Week AS Week, o.PatternIds AS PatternIds, p.Place AS Place
    FROM (SELECT Week, EpisodeId, PatternIds FROM pattern_observations FINAL WHERE Week IN {weeks:Array(Date)}) AS o
    INNER JOIN
    (
        SELECT Week, EpisodeId, row_number() OVER (ORDER BY StartTime DESC, EpisodeId) AS Place
        FROM pattern_observations FINAL
        WHERE Week IN {weeks:Array(Date)}
    ) AS p ON p.EpisodeId = o.EpisodeId AND p.Week = o.Week
)
ARRAY JOIN PatternIds AS PatternId
WHERE (PatternId, Week) IN latest
GROUP BY PatternId
SETTINGS optimize_on_insert = 0;

-- name: keys_missing
SELECT count() AS Missing
FROM pattern_totals
WHERE Version = {snapshot:DateTime64(6, 'UTC')} AND Support >= 2 AND PatternId NOT IN (SELECT PatternId FROM pattern_keys);

-- name: keys_write
-- What the new ids mean, read off one episode for each; of what only one episode shows nothing is said, so it has no key.
INSERT INTO pattern_keys (PatternId, Type, Domain, Key)
WITH
    fresh AS
    (
        SELECT PatternId, Traces[1] AS Example
        FROM pattern_evidence
        WHERE Version = {snapshot:DateTime64(6, 'UTC')} AND PatternId NOT IN (SELECT PatternId FROM pattern_keys)
    )
SELECT PatternId, any(Type), any(Domain), any(Key)
FROM pattern_texts
WHERE EpisodeId IN (SELECT EpisodeId FROM episode_sequences WHERE TraceId IN (SELECT Example FROM fresh))
    AND PatternId IN (SELECT PatternId FROM fresh)
GROUP BY PatternId
SETTINGS optimize_move_to_prewhere_if_final = 1;

-- name: transitions_write
-- Contexts: the last 0 to 3 tools, of all tasks and of the same task; 94 (a '^') stands before the first. A context's id is a
-- chain, as that of a tool sequence is. Grouped by two numbers, since grouping by text or by three takes twice as long;
-- week and tool are told from the second at the end.
INSERT INTO step_transitions (ContextId, Week, StepId, Tool, Occurrences, Successes, Version)
WITH
    shown AS (SELECT Week, Domain, Task, Success, Tools FROM pattern_observations FINAL WHERE Week IN {weeks:Array(Date)}),
    kept AS (SELECT * FROM step_transitions FINAL WHERE Week IN {weeks:Array(Date)} AND Occurrences > 0),
    names AS
    (
        SELECT Week, Tool, intHash64(bitXor(sipHash64(CAST(Tool, 'String')), toUInt64(Week))) AS Id
        FROM (SELECT DISTINCT Week, arrayJoin(Tools) AS Tool FROM shown UNION DISTINCT SELECT DISTINCT Week, Tool FROM kept)
    )
SELECT c.ContextId, n.Week, c.StepId, n.Tool, c.Occurrences, c.Successes, {snapshot:DateTime64(6, 'UTC')}
FROM
(
    -- Both counts in one number, the successes in its upper half.
    SELECT ContextId, StepId, sum(Now) AS Counts, bitAnd(Counts, 4294967295) AS Occurrences, bitShiftRight(Counts, 32) AS Successes
    FROM
    (
        SELECT ContextId, StepId, if(Success, 4294967297, 1) AS Now, toUInt64(0) AS Before
        FROM
        (
            WITH (made, part) -> intHash64(bitXor(made, part)) AS mixed
            SELECT
                Success, sipHash64('next', Domain) AS Any, sipHash64('next', Domain, Task) AS Same,
                arrayMap(t -> sipHash64(t), Tools) AS H,
                length(H) AS L,
                if(Task = '', 0, L) AS K,
                arraySlice(arrayPushFront(H, 94), 1, L) AS A,
                arraySlice(arrayPushFront(A, 94), 1, L) AS B,
                arraySlice(arrayPushFront(B, 94), 1, L) AS C,
                arrayMap(a -> mixed(Any, a), A) AS One,
                arrayMap((m, b) -> mixed(m, b), One, B) AS Two,
                arrayMap((m, c) -> mixed(m, c), Two, C) AS Three,
                arrayMap(a -> mixed(Same, a), arrayResize(A, K)) AS SameOne,
                arrayMap((m, b) -> mixed(m, b), SameOne, arrayResize(B, K)) AS SameTwo,
                arrayConcat(arrayWithConstant(L, Any), One, Two, Three, arrayWithConstant(K, Same), SameOne, SameTwo) AS ContextIds,
                arrayMap(h -> mixed(h, toUInt64(Week)), H) AS S,
                arrayResize(S, K) AS SameS,
                arrayConcat(S, S, S, S, SameS, SameS, SameS) AS StepIds
            FROM shown
        )
        ARRAY JOIN ContextIds AS ContextId, StepIds AS StepId
        UNION ALL
        SELECT ContextId, StepId, 0, bitShiftLeft(Successes, 32) + Occurrences FROM kept
    )
    GROUP BY ContextId, StepId
    HAVING Counts != max(Before)
) AS c
INNER JOIN names AS n ON n.Id = c.StepId
SETTINGS do_not_merge_across_partitions_select_final = 1, max_insert_threads = 2, optimize_on_insert = 0;
