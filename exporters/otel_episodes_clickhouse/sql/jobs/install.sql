-- The jobs as refreshable views on the server: the same views compute, each appends the rows that differ, each waits for
-- the one before. Every minute they look at what arrived since the last fact was written, less ten minutes.

-- name: internal_refresh_1_worklist
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_refresh_1_worklist REFRESH EVERY 1 MINUTE APPEND TO internal_job_worklist
AS SELECT 'refresh' AS RunId, Job, toUInt32(0) AS Batch, EpisodeId, now64(6) AS CreatedAt
FROM
(
    SELECT DISTINCT EpisodeId
    FROM
    (
        SELECT EpisodeId FROM internal_changes
        WHERE InsertedAt >= (SELECT max(Version) FROM internal_facts) - toIntervalMinute(10)
        UNION ALL
        SELECT EpisodeId FROM internal_facts FINAL WHERE Outcome = 'running'
        UNION ALL
        SELECT EpisodeId FROM internal_facts
        WHERE Domain IN (SELECT Domain FROM internal_domain_scales WHERE WrittenAt >= now64(6) - toIntervalMinute(10))
    )
)
ARRAY JOIN ['facts', 'sequences', 'rewards', 'reflections', 'observations'] AS Job;

-- name: internal_refresh_2_facts
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_refresh_2_facts REFRESH EVERY 1 MINUTE DEPENDS ON internal_refresh_1_worklist APPEND TO internal_facts
AS SELECT *, now64(6) AS Version, now64(6) AS WrittenAt
FROM internal_facts_of(run = 'refresh', batch = 0, full = false, low = '', high = '')
WHERE (EpisodeId, Fingerprint) NOT IN
(
    SELECT EpisodeId, Fingerprint FROM internal_facts FINAL
    WHERE EpisodeId IN (SELECT EpisodeId FROM internal_job_worklist WHERE RunId = 'refresh' AND Job = 'facts')
);

-- name: internal_refresh_2_sequences
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_refresh_2_sequences REFRESH EVERY 1 MINUTE DEPENDS ON internal_refresh_2_facts APPEND TO internal_sequences
AS SELECT *, now64(6) AS Version, now64(6) AS WrittenAt
FROM internal_sequences_of(run = 'refresh', batch = 0, full = false, low = '', high = '')
WHERE (EpisodeId, Fingerprint) NOT IN
(
    SELECT EpisodeId, Fingerprint FROM internal_sequences FINAL
    WHERE EpisodeId IN (SELECT EpisodeId FROM internal_job_worklist WHERE RunId = 'refresh' AND Job = 'sequences')
);

-- name: internal_refresh_3_scales
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_refresh_3_scales REFRESH EVERY 1 MINUTE DEPENDS ON internal_refresh_2_sequences APPEND TO internal_domain_scales
AS SELECT Domain, Seconds, Steps, Tokens, now64(6) AS Version, now64(6) AS WrittenAt
FROM internal_domain_scales_now
WHERE (Domain, Seconds, Steps, Tokens) NOT IN (SELECT Domain, Seconds, Steps, Tokens FROM internal_domain_scales FINAL);

-- name: internal_refresh_4_rewards
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_refresh_4_rewards REFRESH EVERY 1 MINUTE DEPENDS ON internal_refresh_3_scales APPEND TO internal_rewards
AS WITH
    work AS
    (
        SELECT EpisodeId FROM internal_job_worklist
        WHERE RunId = 'refresh' AND Job = 'rewards' AND CreatedAt >= now64(6) - toIntervalMinute(10)
    ),
    scored AS
    (
        SELECT EpisodeId, toFloat64(Total) AS Total, toFloat64(Base) AS Base, toFloat64(Abstention) AS Abstention,
            toFloat64(Efficiency) AS Efficiency, toFloat64(ComplexityBonus) AS ComplexityBonus, toFloat64(Quality) AS Quality,
            toFloat64(LearningBonus) AS LearningBonus
        FROM {formula_view:Identifier}
        WHERE EpisodeId IN work
    ),
    external AS (SELECT EpisodeId, ExternalReward FROM internal_facts FINAL WHERE EpisodeId IN work),
    (SELECT if(argMax(Value, UpdatedAt) = '', 'v2', argMax(Value, UpdatedAt)) FROM internal_settings WHERE Name = 'reward_formula') AS formula,
    kept AS (SELECT * FROM internal_rewards FINAL WHERE Formula = formula AND EpisodeId IN work)
SELECT n.EpisodeId AS EpisodeId, formula AS Formula, n.Total AS Total, n.Base AS Base, n.Abstention AS Abstention,
    n.Efficiency AS Efficiency, n.ComplexityBonus AS ComplexityBonus, n.Quality AS Quality, n.LearningBonus AS LearningBonus,
    x.ExternalReward AS ExternalReward, now64(6) AS Version, now64(6) AS WrittenAt, toUInt8(0) AS IsDeleted
FROM scored AS n
LEFT JOIN external AS x ON x.EpisodeId = n.EpisodeId
WHERE (n.EpisodeId, sipHash64(n.Total, n.Base, n.Abstention, n.Efficiency, n.ComplexityBonus, n.Quality, n.LearningBonus,
                              ifNull(toString(x.ExternalReward), ''))) NOT IN
(
    SELECT EpisodeId, sipHash64(Total, Base, Abstention, Efficiency, ComplexityBonus, Quality, LearningBonus,
                                ifNull(toString(ExternalReward), ''))
    FROM kept
)
UNION ALL
SELECT EpisodeId, Formula, Total, Base, Abstention, Efficiency, ComplexityBonus, Quality, LearningBonus, ExternalReward,
    now64(6), now64(6), toUInt8(1)
FROM kept
WHERE EpisodeId NOT IN (SELECT EpisodeId FROM scored);

-- name: internal_refresh_5_reflections
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_refresh_5_reflections REFRESH EVERY 1 MINUTE DEPENDS ON internal_refresh_4_rewards APPEND TO internal_reflections
AS SELECT EpisodeId, Successes, Improvements, Insights, now64(6) AS Version, now64(6) AS WrittenAt, toUInt8(0) AS IsDeleted
FROM internal_reflections_of(run = 'refresh', batch = 0, full = false, low = '', high = '')
WHERE (EpisodeId, Successes, Improvements, Insights) NOT IN
    (SELECT EpisodeId, Successes, Improvements, Insights FROM internal_reflections FINAL)
UNION ALL
SELECT EpisodeId, Successes, Improvements, Insights, now64(6), now64(6), toUInt8(1)
FROM internal_reflections FINAL
WHERE EpisodeId IN (SELECT EpisodeId FROM internal_facts FINAL WHERE Outcome = 'running');

-- name: internal_refresh_6_observations
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_refresh_6_observations REFRESH EVERY 1 MINUTE DEPENDS ON internal_refresh_5_reflections APPEND TO internal_pattern_observations
AS WITH
    (SELECT if(argMax(Value, UpdatedAt) = '', 'v2', argMax(Value, UpdatedAt)) FROM internal_settings WHERE Name = 'reward_formula') AS formula,
    work AS
    (
        SELECT EpisodeId FROM internal_job_worklist
        WHERE RunId = 'refresh' AND Job = 'observations' AND CreatedAt >= now64(6) - toIntervalMinute(10)
    ),
    now_shown AS (SELECT * FROM internal_observations_of(run = 'refresh', batch = 0, full = false, low = '', high = '', formula = {formula:String})),
    kept AS (SELECT * FROM internal_pattern_observations FINAL WHERE EpisodeId IN work)
SELECT Week, EpisodeId, TraceId, Domain, Task, StartTime, Success, RewardMicros, DurationNs, Tokens, Weight, PatternIds, Tools,
    Fingerprint, now64(6) AS Version, now64(6) AS WrittenAt, toUInt8(0) AS IsDeleted
FROM now_shown
WHERE (EpisodeId, Fingerprint) NOT IN (SELECT EpisodeId, Fingerprint FROM kept)
UNION ALL
SELECT Week, EpisodeId, TraceId, Domain, Task, StartTime, Success, RewardMicros, DurationNs, Tokens, Weight, PatternIds, Tools,
    Fingerprint, now64(6), now64(6), toUInt8(1)
FROM kept
WHERE (EpisodeId, Week) NOT IN (SELECT EpisodeId, Week FROM now_shown);

-- name: internal_refresh_7_buckets
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_refresh_7_buckets REFRESH EVERY 1 MINUTE DEPENDS ON internal_refresh_6_observations APPEND TO internal_pattern_buckets
AS WITH
    weeks AS (SELECT DISTINCT Week FROM internal_pattern_observations WHERE WrittenAt >= now64(6) - toIntervalMinute(10)),
    sums AS
    (
        SELECT
            PatternId, o.Week AS Week, count() AS Support, countIf(o.Success) AS Successes, sum(o.RewardMicros) AS RewardMicros,
            sum(o.DurationNs) AS DurationNs, sum(o.Tokens) AS Tokens, sum(toUInt64(o.Weight)) AS Weight,
            sumIf(toUInt64(o.Weight), o.Success) AS SuccessWeight, min(toDateTime(o.StartTime, 'UTC')) AS FirstSeen,
            max(toDateTime(o.StartTime, 'UTC')) AS LastSeen, sum(cityHash64(o.EpisodeId, o.TraceId, o.StartTime)) AS Episodes
        FROM (SELECT * FROM internal_pattern_observations FINAL WHERE Week IN weeks) AS o
        ARRAY JOIN o.PatternIds AS PatternId
        GROUP BY PatternId, o.Week
    )
SELECT *, now64(6) AS Version, now64(6) AS WrittenAt FROM sums
WHERE cityHash64(*) NOT IN (SELECT cityHash64(* EXCEPT (Version, WrittenAt)) FROM internal_pattern_buckets FINAL WHERE Week IN weeks)
UNION ALL
SELECT PatternId, Week, toUInt64(0), toUInt64(0), toInt64(0), toUInt64(0), toUInt64(0), toUInt64(0), toUInt64(0),
    FirstSeen, LastSeen, toUInt64(0), now64(6), now64(6)
FROM internal_pattern_buckets FINAL
WHERE Week IN weeks AND Support > 0 AND (PatternId, Week) NOT IN (SELECT PatternId, Week FROM sums);

-- name: internal_refresh_8_transitions
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_refresh_8_transitions REFRESH EVERY 1 MINUTE DEPENDS ON internal_refresh_7_buckets APPEND TO internal_step_transitions
AS WITH
    shown AS (SELECT Week, Domain, Task, Success, Tools FROM internal_pattern_observations FINAL WHERE Week IN (SELECT Week FROM internal_pattern_observations WHERE WrittenAt >= now64(6) - toIntervalMinute(10))),
    kept AS (SELECT * FROM internal_step_transitions FINAL WHERE Week IN (SELECT Week FROM internal_pattern_observations WHERE WrittenAt >= now64(6) - toIntervalMinute(10)) AND Occurrences > 0),
    names AS
    (
        SELECT Week, Tool, intHash64(bitXor(sipHash64(CAST(Tool, 'String')), toUInt64(Week))) AS Id
        FROM (SELECT DISTINCT Week, arrayJoin(Tools) AS Tool FROM shown UNION DISTINCT SELECT DISTINCT Week, Tool FROM kept)
    )
SELECT c.ContextId AS ContextId, n.Week AS Week, c.StepId AS StepId, n.Tool AS Tool, c.Occurrences AS Occurrences,
    c.Successes AS Successes, now64(6) AS Version
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
INNER JOIN names AS n ON n.Id = c.StepId;

-- name: internal_refresh_9_totals
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_refresh_9_totals REFRESH EVERY 1 MINUTE DEPENDS ON internal_refresh_8_transitions APPEND TO internal_pattern_totals
AS SELECT
    b.PatternId AS PatternId, sum(b.Support) AS Support, sum(b.Successes) AS Successes, sum(b.RewardMicros) AS RewardMicros,
    sum(b.DurationNs) AS DurationNs, sum(b.Tokens) AS Tokens,
    sum(b.Weight * exp2((toInt32(b.Week) - 18262) / 30)) / 1048576 AS RecentSupport,
    sum(b.SuccessWeight * exp2((toInt32(b.Week) - 18262) / 30)) / 1048576 AS RecentSuccesses,
    minIf(b.FirstSeen, b.Support > 0) AS FirstSeen, maxIf(b.LastSeen, b.Support > 0) AS LastSeen,
    maxIf(b.Week, b.Support > 0) AS LastWeek,
    argMaxIf((b.Support, b.Successes, b.RewardMicros, b.DurationNs, b.Tokens, b.Weight, b.SuccessWeight), b.Week, b.Support > 0) AS Latest,
    now64(6) AS Version
FROM internal_pattern_buckets AS b FINAL
WHERE b.PatternId IN (SELECT PatternId FROM internal_pattern_buckets WHERE WrittenAt >= now64(6) - toIntervalMinute(10))
GROUP BY b.PatternId;

-- name: internal_refresh_a_evidence
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_refresh_a_evidence REFRESH EVERY 1 MINUTE DEPENDS ON internal_refresh_9_totals APPEND TO internal_pattern_evidence
AS WITH latest AS (SELECT PatternId, LastWeek FROM internal_pattern_totals FINAL WHERE Support >= 2 AND Version >= now64(6) - toIntervalMinute(10))
SELECT
    PatternId, arrayMap(x -> x.3, groupArraySorted(5)((-toInt64(toUnixTimestamp64Nano(StartTime)), EpisodeId, TraceId))) AS Traces, now64(6) AS Version
FROM (SELECT * FROM internal_pattern_observations FINAL WHERE Week IN (SELECT LastWeek FROM latest))
ARRAY JOIN PatternIds AS PatternId
WHERE (PatternId, Week) IN latest
GROUP BY PatternId;

-- name: internal_refresh_b_keys
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_refresh_b_keys REFRESH EVERY 1 MINUTE DEPENDS ON internal_refresh_a_evidence APPEND TO internal_pattern_keys
AS WITH
    fresh AS
    (
        SELECT PatternId, Traces[1] AS Example
        FROM internal_pattern_evidence FINAL
        WHERE PatternId NOT IN (SELECT PatternId FROM internal_pattern_keys)
    )
SELECT PatternId, any(t.Type) AS Type, any(t.Domain) AS Domain, any(t.Key) AS Key
FROM internal_pattern_texts AS t
WHERE t.EpisodeId IN (SELECT EpisodeId FROM internal_sequences WHERE TraceId IN (SELECT Example FROM fresh))
    AND PatternId IN (SELECT PatternId FROM fresh)
GROUP BY PatternId;

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
