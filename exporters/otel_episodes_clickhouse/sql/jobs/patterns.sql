-- Observations per episode, then sums per pattern and week.

-- name: observations_worklist
INSERT INTO internal_job_worklist (RunId, Job, Batch, EpisodeId)
SELECT {run:String}, 'observations', toUInt32(intDiv(rowNumberInAllBlocks(), {size:UInt32})), EpisodeId
FROM
(
    SELECT DISTINCT EpisodeId
    FROM
    (
        SELECT EpisodeId FROM internal_sequences WHERE WrittenAt >= {since:DateTime64(6, 'UTC')}
        UNION ALL
        SELECT EpisodeId FROM internal_rewards
        WHERE Formula = {formula:String} AND WrittenAt >= {since:DateTime64(6, 'UTC')}
    )
    ORDER BY EpisodeId
    SETTINGS max_threads = 1
)
SETTINGS max_insert_threads = 1;

-- name: observations_write
-- What was shown before is looked up without FINAL: few rows are left by the time they are grouped.
INSERT INTO internal_pattern_observations (Week, EpisodeId, TraceId, Domain, Task, StartTime, Success, RewardMicros, DurationNs, Tokens,
    Weight, PatternIds, Tools, Fingerprint, Version, IsDeleted)
WITH work AS
(
    SELECT EpisodeId FROM internal_job_worklist WHERE RunId = {run:String} AND Job = 'observations' AND Batch = {batch:UInt32}
)
SELECT Week, EpisodeId, TraceId, Domain, Task, StartTime, Success, RewardMicros, DurationNs, Tokens,
    Weight, PatternIds, Tools, Fingerprint, {snapshot:DateTime64(6, 'UTC')}, 0
FROM internal_observations_of(run = {run:String}, batch = {batch:UInt32}, full = {full:Bool}, low = {low:String}, high = {high:String}, formula = {formula:String})
WHERE (EpisodeId, Fingerprint) NOT IN
(
    SELECT EpisodeId, argMax(Fingerprint, Version) FROM internal_pattern_observations
    WHERE EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
    GROUP BY EpisodeId, Week
    HAVING argMax(IsDeleted, Version) = 0
)
SETTINGS optimize_move_to_prewhere_if_final = 1, max_insert_threads = 2, optimize_on_insert = 0;

-- name: observations_forget
-- An episode that runs again is not counted, and one whose start turned out to lie in another week is counted there only.
INSERT INTO internal_pattern_observations (Week, EpisodeId, Version, IsDeleted)
WITH work AS
(
    SELECT EpisodeId FROM internal_job_worklist WHERE RunId = {run:String} AND Job = 'observations' AND Batch = {batch:UInt32}
)
SELECT Week, EpisodeId, {snapshot:DateTime64(6, 'UTC')}, 1
FROM internal_pattern_observations
WHERE EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
GROUP BY Week, EpisodeId
HAVING argMax(IsDeleted, Version) = 0 AND (EpisodeId, Week) NOT IN
(
    SELECT EpisodeId, toMonday(argMax(StartTime, Version))
    FROM internal_sequences
    WHERE EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
        AND EpisodeId IN (SELECT EpisodeId FROM internal_rewards FINAL WHERE Formula = {formula:String} AND EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work))
    GROUP BY EpisodeId
);

-- name: patterns_weeks
-- Also weeks that a slower, older run wrote after the last one had finished.
SELECT toString(Week) AS Week, sum(Shown) AS Episodes
FROM
(
    SELECT Week, 1 AS Shown FROM internal_pattern_observations
    WHERE Week IN
    (
        SELECT Week FROM internal_pattern_observations WHERE {full:Bool} OR WrittenAt >= {since:DateTime64(6, 'UTC')}
        UNION DISTINCT
        SELECT Week FROM internal_pattern_buckets WHERE NOT {full:Bool} AND WrittenAt >= {since:DateTime64(6, 'UTC')} AND Version < {since:DateTime64(6, 'UTC')}
    )
)
GROUP BY Week
ORDER BY Week;

-- name: buckets_write
-- The sums of these weeks beside those that are kept; what differs is written, zeros for what is not shown any more.
-- Plain sums only, which are compiled into one: what a condition decides is decided once an episode, not once a pattern of it.
INSERT INTO internal_pattern_buckets (PatternId, Week, Support, Successes, RewardMicros, DurationNs, Tokens, Weight, SuccessWeight,
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
        FROM internal_pattern_observations FINAL
        WHERE Week IN {weeks:Array(Date)}
    )
    ARRAY JOIN PatternIds AS PatternId
    UNION ALL
    SELECT PatternId, Week, 0, 0, 0, 0, 0, 0, 0, toDateTime(4294967295, 'UTC'), toDateTime(0, 'UTC'), 0,
        cityHash64(Support, Successes, RewardMicros, DurationNs, Tokens, Weight, SuccessWeight, FirstSeen, LastSeen, Episodes)
    FROM internal_pattern_buckets FINAL
    WHERE Week IN {weeks:Array(Date)} AND Support > 0
) AS b
GROUP BY b.Week, b.PatternId
HAVING if(Support = 0, 0, cityHash64(Support, Successes, RewardMicros, DurationNs, Tokens, Weight, SuccessWeight, FirstSeen, LastSeen, Episodes)) != max(b.Kept)
SETTINGS do_not_merge_across_partitions_select_final = 1, max_insert_threads = 2, optimize_on_insert = 0;

-- name: totals_add
-- Of the patterns whose buckets were written since the last run that finished, be it by one that did not: what is kept, less
-- what it holds of its latest week where that was written again, and what was written. This is all there is to know of a
-- pattern that every written week shows, and of which none comes before the latest that is kept; totals_write has the others.
INSERT INTO internal_pattern_totals (PatternId, Support, Successes, RewardMicros, DurationNs, Tokens, RecentSupport, RecentSuccesses,
    FirstSeen, LastSeen, LastWeek, Latest, Version)
WITH
    written AS (SELECT PatternId, Week FROM internal_pattern_buckets WHERE WrittenAt >= {since:DateTime64(6, 'UTC')}),
    week -> exp2((toInt32(week) - 18262) / 30) / 1048576 AS recency,
    b.Week = k.LastWeek AS Again
SELECT
    b.PatternId,
    any(k.Support) + sum(b.Support - Again * k.LatestSupport),
    any(k.Successes) + sum(b.Successes - Again * k.LatestSuccesses),
    any(k.RewardMicros) + sum(b.RewardMicros - Again * k.LatestRewardMicros),
    any(k.DurationNs) + sum(b.DurationNs - Again * k.LatestDurationNs),
    any(k.Tokens) + sum(b.Tokens - Again * k.LatestTokens),
    any(k.RecentSupport) + sum((b.Weight - Again * k.LatestWeight) * recency(b.Week)),
    any(k.RecentSuccesses) + sum((b.SuccessWeight - Again * k.LatestSuccessWeight) * recency(b.Week)),
    if(any(k.Support) > max(Again * k.LatestSupport), least(any(k.FirstSeen), min(b.FirstSeen)), min(b.FirstSeen)),
    max(b.LastSeen), max(b.Week),
    (argMax(b.Support, b.Week), argMax(b.Successes, b.Week), argMax(b.RewardMicros, b.Week), argMax(b.DurationNs, b.Week),
     argMax(b.Tokens, b.Week), argMax(b.Weight, b.Week), argMax(b.SuccessWeight, b.Week)),
    {snapshot:DateTime64(6, 'UTC')}
FROM (SELECT * FROM internal_pattern_buckets FINAL WHERE (PatternId, Week) IN written) AS b
LEFT ANY JOIN
(
    -- Without FINAL, which would put all that is read in order to find a few of it.
    SELECT
        PatternId, Support, Successes, RewardMicros, DurationNs, Tokens, RecentSupport, RecentSuccesses, FirstSeen, LastWeek,
        Latest.Support AS LatestSupport, Latest.Successes AS LatestSuccesses, Latest.RewardMicros AS LatestRewardMicros,
        Latest.DurationNs AS LatestDurationNs, Latest.Tokens AS LatestTokens, Latest.Weight AS LatestWeight,
        Latest.SuccessWeight AS LatestSuccessWeight
    FROM internal_pattern_totals
    WHERE (PatternId, Version) IN
    (
        SELECT PatternId, max(Version) FROM internal_pattern_totals WHERE PatternId IN (SELECT PatternId FROM written) GROUP BY PatternId
    )
) AS k ON k.PatternId = b.PatternId
GROUP BY b.PatternId
HAVING min(b.Week) >= any(k.LastWeek) AND min(b.Support) > 0
SETTINGS do_not_merge_across_partitions_select_final = 1, optimize_move_to_prewhere_if_final = 1;

-- name: totals_write
-- From all weeks: of all patterns, or of those that were written and not added above.
INSERT INTO internal_pattern_totals (PatternId, Support, Successes, RewardMicros, DurationNs, Tokens, RecentSupport, RecentSuccesses,
    FirstSeen, LastSeen, LastWeek, Latest, Version)
WITH
    left_over AS
    (
        SELECT PatternId FROM internal_pattern_buckets
        WHERE WrittenAt >= {since:DateTime64(6, 'UTC')}
            AND PatternId NOT IN (SELECT PatternId FROM internal_pattern_totals WHERE Version = {snapshot:DateTime64(6, 'UTC')})
    ),
    week -> exp2((toInt32(week) - 18262) / 30) / 1048576 AS recency
SELECT
    b.PatternId, sum(b.Support), sum(b.Successes), sum(b.RewardMicros), sum(b.DurationNs), sum(b.Tokens),
    sum(b.Weight * recency(b.Week)), sum(b.SuccessWeight * recency(b.Week)),
    minIf(b.FirstSeen, b.Support > 0), maxIf(b.LastSeen, b.Support > 0), maxIf(b.Week, b.Support > 0),
    (argMaxIf(b.Support, b.Week, b.Support > 0), argMaxIf(b.Successes, b.Week, b.Support > 0),
     argMaxIf(b.RewardMicros, b.Week, b.Support > 0), argMaxIf(b.DurationNs, b.Week, b.Support > 0),
     argMaxIf(b.Tokens, b.Week, b.Support > 0), argMaxIf(b.Weight, b.Week, b.Support > 0),
     argMaxIf(b.SuccessWeight, b.Week, b.Support > 0)),
    {snapshot:DateTime64(6, 'UTC')}
FROM internal_pattern_buckets AS b FINAL
WHERE {full:Bool} OR b.PatternId IN left_over
GROUP BY b.PatternId
-- A pattern's row of a week is always in the same partition.
SETTINGS do_not_merge_across_partitions_select_final = 1, optimize_move_to_prewhere_if_final = 1, max_insert_threads = 2, optimize_on_insert = 0;

-- name: evidence_weeks
-- The latest week of each pattern that was added up; of what only one episode shows nothing is said.
SELECT toString(Week) AS Week, count() AS Episodes
FROM internal_pattern_observations
WHERE Week IN (SELECT LastWeek FROM internal_pattern_totals WHERE Version = {snapshot:DateTime64(6, 'UTC')} AND Support >= 2)
GROUP BY Week
ORDER BY Week;

-- name: evidence_write
-- By number, the latest episode being 1: sorting trace ids takes eight times as long.
INSERT INTO internal_pattern_evidence (PatternId, Traces, Version)
WITH
    (
        SELECT groupArray(TraceId)
        FROM (SELECT TraceId FROM internal_pattern_observations FINAL WHERE Week IN {weeks:Array(Date)} ORDER BY StartTime DESC, EpisodeId)
    ) AS traces,
    latest AS
    (
        SELECT PatternId, LastWeek
        FROM internal_pattern_totals
        WHERE Version = {snapshot:DateTime64(6, 'UTC')} AND Support >= 2 AND LastWeek IN {weeks:Array(Date)}
    )
SELECT PatternId, arrayMap(place -> traces[place], groupArraySorted(5)(Place)) AS Traces, {snapshot:DateTime64(6, 'UTC')}
FROM
(
    -- The numbers are joined: what follows a window has one thread.
    SELECT o.Week AS Week, o.PatternIds AS PatternIds, p.Place AS Place
    FROM (SELECT Week, EpisodeId, PatternIds FROM internal_pattern_observations FINAL WHERE Week IN {weeks:Array(Date)}) AS o
    INNER JOIN
    (
        SELECT Week, EpisodeId, row_number() OVER (ORDER BY StartTime DESC, EpisodeId) AS Place
        FROM internal_pattern_observations FINAL
        WHERE Week IN {weeks:Array(Date)}
    ) AS p ON p.EpisodeId = o.EpisodeId AND p.Week = o.Week
)
ARRAY JOIN PatternIds AS PatternId
WHERE (PatternId, Week) IN latest
GROUP BY PatternId
SETTINGS optimize_on_insert = 0;

-- name: keys_missing
SELECT count() AS Missing
FROM internal_pattern_evidence
WHERE Version = {snapshot:DateTime64(6, 'UTC')}
    AND PatternId NOT IN (SELECT PatternId FROM internal_pattern_keys WHERE PatternId IN (SELECT PatternId FROM internal_pattern_evidence WHERE Version = {snapshot:DateTime64(6, 'UTC')}));

-- name: keys_write
-- What the new ids mean, read off one episode for each; of what only one episode shows nothing is said, so it has no key.
INSERT INTO internal_pattern_keys (PatternId, Type, Domain, Key)
WITH
    fresh AS
    (
        SELECT PatternId, Traces[1] AS Example
        FROM internal_pattern_evidence
        WHERE Version = {snapshot:DateTime64(6, 'UTC')}
            AND PatternId NOT IN (SELECT PatternId FROM internal_pattern_keys WHERE PatternId IN (SELECT PatternId FROM internal_pattern_evidence WHERE Version = {snapshot:DateTime64(6, 'UTC')}))
    )
-- Joined, not looked for: a condition would be moved into the view, and be planned at each of its steps.
SELECT t.PatternId, any(t.Type), any(t.Domain), any(t.Key)
FROM
(
    SELECT PatternId, Type, Domain, Key FROM internal_pattern_texts
    WHERE EpisodeId IN
    (
        SELECT EpisodeId FROM internal_pattern_observations
        WHERE Week IN (SELECT LastWeek FROM internal_pattern_totals WHERE Version = {snapshot:DateTime64(6, 'UTC')} AND Support >= 2)
            AND TraceId IN (SELECT Example FROM fresh)
    )
) AS t
INNER JOIN fresh AS f ON f.PatternId = t.PatternId
GROUP BY t.PatternId
SETTINGS optimize_move_to_prewhere_if_final = 1;

-- name: transitions_write
-- Contexts: the last 0 to 3 tools, of all tasks and of the same task; 94 (a '^') stands before the first. A context's id is a
-- chain, as that of a tool sequence is. Grouped by two numbers, since grouping by text or by three takes twice as long;
-- week and tool are told from the second at the end.
INSERT INTO internal_step_transitions (ContextId, Week, StepId, Tool, Occurrences, Successes, Version)
WITH
    shown AS (SELECT Week, Domain, Task, Success, Tools FROM internal_pattern_observations FINAL WHERE Week IN {weeks:Array(Date)}),
    -- Without FINAL, which would read the whole month, and put it in order, for one of its weeks.
    kept AS
    (
        SELECT ContextId, StepId, argMax(bitShiftLeft(Successes, 32) + Occurrences, Version) AS Before
        FROM internal_step_transitions
        WHERE Week IN {weeks:Array(Date)}
        GROUP BY ContextId, StepId
        HAVING Before > 0
    ),
    names AS
    (
        SELECT Week, Tool, intHash64(bitXor(sipHash64(CAST(Tool, 'String')), toUInt64(Week))) AS Id
        FROM (SELECT DISTINCT Week, arrayJoin(Tools) AS Tool FROM shown UNION DISTINCT SELECT DISTINCT Week, Tool FROM internal_step_transitions WHERE Week IN {weeks:Array(Date)})
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
        SELECT ContextId, StepId, 0, Before FROM kept
    )
    GROUP BY ContextId, StepId
    HAVING Counts != max(Before)
) AS c
INNER JOIN names AS n ON n.Id = c.StepId
SETTINGS do_not_merge_across_partitions_select_final = 1, max_insert_threads = 2, optimize_on_insert = 0;
