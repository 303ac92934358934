-- Which patterns an episode shows, and what all episodes together say of each.

-- name: internal_shapes
-- The ids of all patterns of an episode, as arrays. This is the only place where ids are made of episodes. What has a text
-- for a key is sipHash64 of type, domain's hash and key. A key of tools is a chain: it begins with sipHash64 of type and
-- domain's hash, and each tool's hash is mixed in (xor, then intHash64), so that a sequence costs one step more than the
-- one it continues.
CREATE OR REPLACE VIEW internal_shapes
AS WITH
    10000 AS most_steps,
    (made, part) -> intHash64(bitXor(made, part)) AS mixed
SELECT
    EpisodeId, TraceId, Outcome, Task, Domain, StartTime, DurationNs, InputTokens + OutputTokens AS Tokens, Steps, DistinctTools,
    sipHash64(Domain) AS D,
    -- Steps without a tool (milestones) are not part of a sequence.
    arrayFilter((t, i) -> t != '' AND i <= most_steps, StepTools, arrayEnumerate(StepTools)) AS Tools,
    arrayFilter((o, t, i) -> t != '' AND i <= most_steps, StepOk, StepTools, arrayEnumerate(StepTools)) AS Oks,
    if(FailedSteps = 0, [], arrayFilter((e, t, i) -> t != '' AND i <= most_steps, StepErrors, StepTools, arrayEnumerate(StepTools))) AS Errors,
    length(Tools) AS L,
    arrayMap(t -> sipHash64(t), Tools) AS H,
    arrayPopBack(H) AS Befores,
    arrayPopFront(H) AS Nexts,
    arrayMap(o -> toUInt8(o), arrayPopBack(Oks)) AS BeforeOks,
    -- The same tool several times in a row counts once, except in the pair (A, A) itself.
    arrayFilter((t, before) -> t != before, Tools, arraySlice(arrayPushFront(Tools, ''), 1, L)) AS Runs,
    arrayMap(t -> sipHash64(t), Runs) AS R,
    arrayPopFront(R) AS R2, arrayPopFront(R2) AS R3, arrayPopFront(R3) AS R4, arrayPopFront(R4) AS R5,
    sipHash64('tool_sequence', D) AS Sequences,
    arrayMap((a, b) -> mixed(mixed(Sequences, a), b), Befores, Nexts) AS Pairs,
    arrayMap((a, b) -> mixed(mixed(Sequences, a), b), arrayPopBack(R), R2) AS Changes,
    arrayMap((p, c) -> mixed(p, c), arrayPopBack(Changes), R3) AS Triples,
    arrayMap((p, d) -> mixed(p, d), arrayPopBack(Triples), R4) AS Fours,
    arrayMap((p, e) -> mixed(p, e), arrayPopBack(Fours), R5) AS Fives,
    -- A B A B says no more than A B and B A: a sequence that repeats itself is 0, and left out below.
    arrayMap((a, b, c, d) -> a = c AND b = d, arrayResize(R, length(Fours)), arrayResize(R2, length(Fours)), arrayResize(R3, length(Fours)), R4) AS Loops,
    arrayMap((p, loop) -> if(loop, 0, p), Fours, Loops) AS Quadruples,
    arrayMap((p, loop, next) -> if(loop OR next, 0, p), Fives, arrayPopBack(Loops), arrayPopFront(Loops)) AS Quintuples,
    sipHash64('tool', D) AS ToolSeed,
    sipHash64('start', D) AS StartSeed,
    sipHash64('condition', D) AS ConditionSeed,
    sipHash64('heuristic', D) AS HeuristicSeed,
    arrayMap(t -> mixed(ToolSeed, t), H) AS Singles,
    arrayMap(t -> mixed(StartSeed, t), arraySlice(H, 1, 1)) AS Starts,
    -- A condition is the last tool and whether it worked; a heuristic adds the tool that came next.
    arrayMap((t, o) -> mixed(mixed(ConditionSeed, t), o), Befores, BeforeOks) AS Conditions,
    arrayMap((t, o, next) -> mixed(mixed(mixed(HeuristicSeed, t), o), next), Befores, BeforeOks, Nexts) AS Heuristics,
    -- Tool, error, then the tools up to the one that made it good: the same tool if it succeeds within the next three
    -- steps, else the first that succeeds; nothing if none does. Neighbours by arrays moved against each other, of which the
    -- places that failed are kept.
    if(FailedSteps = 0, [], arrayMap(t -> toString(t), Tools)) AS T,
    if(FailedSteps = 0, [], arrayMap(o -> NOT o, Oks)) AS F,
    if(FailedSteps = 0, [], Oks) AS O,
    arrayResize(arrayPopFront(T), length(F), '') AS T1, arrayResize(arrayPopFront(T1), length(F), '') AS T2, arrayResize(arrayPopFront(T2), length(F), '') AS T3,
    arrayResize(arrayPopFront(O), length(F), false) AS O1, arrayResize(arrayPopFront(O1), length(F), false) AS O2, arrayResize(arrayPopFront(O2), length(F), false) AS O3,
    arrayDistinct(arrayMap(
        (t, e, t1, o1, t2, o2, t3, o3) -> multiIf(
            o1 AND t1 = t, [t, e, t1],
            o2 AND t2 = t, [t, e, t1, t2],
            o3 AND t3 = t, [t, e, t1, t2, t3],
            o1, [t, e, t1],
            o2, [t, e, t1, t2],
            o3, [t, e, t1, t2, t3],
            [t, e]),
        arrayFilter((x, f) -> f, T, F), arrayFilter((x, f) -> f, Errors, F),
        arrayFilter((x, f) -> f, T1, F), arrayFilter((x, f) -> f, O1, F),
        arrayFilter((x, f) -> f, T2, F), arrayFilter((x, f) -> f, O2, F),
        arrayFilter((x, f) -> f, T3, F), arrayFilter((x, f) -> f, O3, F))) AS RecoveryKeys,
    arrayDistinct(arrayMap(d -> [d.1, d.2], Decisions)) AS DecisionKeys,
    arrayFilter(x -> x != '', arrayConcat(
        [if(TaskType = '', '', concat('task_type=', TaskType)), if(Language = '', '', concat('language=', Language)),
         if(Framework = '', '', concat('framework=', Framework)), if(Complexity = '', '', concat('complexity=', Complexity))],
        arrayMap(t -> concat('tag=', t), arraySlice(arraySort(Tags), 1, 5)))) AS Features,
    -- Each feature, and all of them together, with the set of tools that was used.
    if(DistinctTools BETWEEN 1 AND 8 AND notEmpty(Features),
       arrayMap(f -> arrayConcat([f], arraySort(arrayMap(t -> toString(t), arrayDistinct(Tools)))),
                arrayDistinct(arrayPushBack(Features, arrayStringConcat(Features, ' ')))), []) AS ContextKeys,
    arrayFilter(n -> n <= L, [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128]) AS Lengths,
    arrayMap(k -> sipHash64('error_recovery', D, k), RecoveryKeys) AS Recoveries,
    arrayMap(k -> sipHash64('decision_point', D, k), DecisionKeys) AS DecisionIds,
    arrayMap(k -> sipHash64('context', D, k), ContextKeys) AS Contexts,
    arrayMap(n -> sipHash64('length', D, n), Lengths) AS LengthIds,
    arrayMap(n -> sipHash64('variety', D, n), range(1, 1 + least(DistinctTools, 12))) AS Varieties,
    if(Task = '', [], [sipHash64('task', D, Task)]) AS TaskIds,
    arrayDistinct(arrayFilter(x -> x != 0, arrayConcat(
        [sipHash64('episode', D)], TaskIds, LengthIds, Varieties, Singles, Starts, Pairs, Triples, Quadruples, Quintuples,
        Conditions, Heuristics, Recoveries, DecisionIds, Contexts))) AS PatternIds
FROM (SELECT * FROM internal_sequences FINAL);

-- name: internal_pattern_texts
-- What the ids of an episode mean, one row each.
CREATE OR REPLACE VIEW internal_pattern_texts
AS SELECT EpisodeId, Domain, Item.1 AS PatternId, Item.2 AS Type, Item.3 AS Key
FROM
(
    -- Neighbours by arrays moved against each other: an array looked up inside a lambda is copied for every element.
    SELECT
        EpisodeId, Domain,
        arrayMap(t -> toString(t), Tools) AS Names,
        arrayMap(t -> toString(t), Runs) AS S,
        arrayMap(o -> if(o, 'ok', 'failed'), Oks) AS Ends,
        CAST(arrayConcat(
            [(sipHash64('episode', D), 'episode', emptyArrayString())],
            arrayMap(p -> (p, 'task', [Task]), TaskIds),
            arrayMap((p, n) -> (p, 'length', [toString(n)]), LengthIds, Lengths),
            arrayMap((p, n) -> (p, 'variety', [toString(n)]), Varieties, arrayEnumerate(Varieties)),
            arrayMap((p, a) -> (p, 'tool', [a]), Singles, Names),
            arrayMap((p, a) -> (p, 'start', [a]), Starts, arraySlice(Names, 1, 1)),
            arrayMap((p, a, b) -> (p, 'tool_sequence', [a, b]), Pairs, arraySlice(Names, 1, length(Pairs)), arraySlice(Names, 2)),
            arrayMap((p, a, b, c) -> (p, 'tool_sequence', [a, b, c]), Triples,
                arraySlice(S, 1, length(Triples)), arraySlice(S, 2, length(Triples)), arraySlice(S, 3)),
            arrayMap((p, a, b, c, d) -> (p, 'tool_sequence', [a, b, c, d]), Quadruples,
                arraySlice(S, 1, length(Quadruples)), arraySlice(S, 2, length(Quadruples)), arraySlice(S, 3, length(Quadruples)),
                arraySlice(S, 4)),
            arrayMap((p, a, b, c, d, e) -> (p, 'tool_sequence', [a, b, c, d, e]), Quintuples,
                arraySlice(S, 1, length(Quintuples)), arraySlice(S, 2, length(Quintuples)), arraySlice(S, 3, length(Quintuples)),
                arraySlice(S, 4, length(Quintuples)), arraySlice(S, 5)),
            arrayMap((p, a, o) -> (p, 'condition', [a, o]), Conditions,
                arraySlice(Names, 1, length(Conditions)), arraySlice(Ends, 1, length(Conditions))),
            arrayMap((p, a, o, b) -> (p, 'heuristic', [a, o, b]), Heuristics,
                arraySlice(Names, 1, length(Heuristics)), arraySlice(Ends, 1, length(Heuristics)), arraySlice(Names, 2)),
            arrayMap((p, k) -> (p, 'error_recovery', k), Recoveries, RecoveryKeys),
            arrayMap((p, k) -> (p, 'decision_point', k), DecisionIds, DecisionKeys),
            arrayMap((p, k) -> (p, 'context', k), Contexts, ContextKeys)),
            'Array(Tuple(UInt64, String, Array(String)))') AS Items
    FROM internal_shapes
)
ARRAY JOIN Items AS Item;

-- name: internal_observations_of
CREATE OR REPLACE VIEW internal_observations_of
AS WITH work AS
(
    SELECT EpisodeId FROM internal_job_worklist
    WHERE RunId = {run:String} AND Job = 'observations' AND Batch = {batch:UInt32}
        -- The refreshable views have one worklist, of which the latest entries count.
        AND ({run:String} != 'refresh' OR CreatedAt >= now64(6) - toIntervalMinute(10))
)
SELECT
    *,
    cityHash64(Week, TraceId, Domain, Task, StartTime, Success, RewardMicros, DurationNs, Tokens, PatternIds, Tools) AS Fingerprint
FROM
(
    SELECT
        toMonday(s.StartTime) AS Week,
        s.EpisodeId AS EpisodeId,
        s.TraceId AS TraceId,
        s.Domain AS Domain,
        s.Task AS Task,
        s.StartTime AS StartTime,
        ifNull(r.Judged, s.Outcome = 'success') AS Success,
        -- Bounded, so that sums stay whole numbers.
        toInt64(round(least(1e6, greatest(-1e6, r.Reward)) * 1e6)) AS RewardMicros,
        s.DurationNs AS DurationNs,
        s.Tokens AS Tokens,
        toUInt32(round(1048576 * exp2(dateDiff('second', toStartOfDay(toMonday(s.StartTime), 'UTC'), toDateTime(s.StartTime, 'UTC')) / 2592000))) AS Weight,
        s.PatternIds AS PatternIds,
        s.Tools AS Tools
    FROM internal_shapes AS s
    INNER JOIN
    (
        SELECT EpisodeId, Reward, Judged FROM internal_scores
        WHERE Formula = {formula:String} AND EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
    ) AS r ON r.EpisodeId = s.EpisodeId
    WHERE s.EpisodeId >= {low:String} AND ({high:String} = '' OR s.EpisodeId < {high:String}) AND ({full:Bool} OR s.EpisodeId IN work)
);

-- name: patterns
CREATE OR REPLACE VIEW patterns
(
    PatternId String COMMENT 'hex of a hash of type, domain and key: the same thing seen twice is one row',
    Type LowCardinality(String) COMMENT 'tool_sequence, decision_point, error_recovery, context or heuristic',
    Verdict String COMMENT 'good: the whole interval is above the domain''s base rate; pitfall: below it; open: neither',
    Key Array(String) COMMENT 'tool_sequence: the tools; decision_point: question, choice; error_recovery: tool, error, what followed up to the recovery (nothing: none); context: features, tools; heuristic: last tool, ok or failed, next tool',
    Domain LowCardinality(String) COMMENT 'domain of the episodes',
    Support UInt64 COMMENT 'distinct episodes that show it, at least two',
    Successes UInt64 COMMENT 'of these, how many succeeded',
    SuccessRate Float64 COMMENT 'Successes / Support',
    SuccessRateLow Float64 COMMENT 'Wilson interval at 95 %, lower bound',
    SuccessRateHigh Float64 COMMENT 'and its upper bound',
    BaseRate Float64 COMMENT 'share of all episodes of the domain that succeeded',
    Lift Nullable(Float64) COMMENT 'SuccessRate / BaseRate; NULL when nothing in the domain ever succeeded',
    PValue Float64 COMMENT 'two-sided: could as many successes be drawn from the domain by chance (hypergeometric)',
    QValue Float64 COMMENT 'Benjamini-Hochberg over all patterns of the domain: the share of false findings if all up to this one are believed',
    Confidence Nullable(Float64) COMMENT 'heuristic: share of the successful episodes in that condition in which this tool came next',
    MeanReward Float64 COMMENT 'mean reward in use of the episodes that show it',
    MeanDurationNs Float64 COMMENT 'mean duration of these episodes',
    MeanTokens Float64 COMMENT 'mean tokens of these episodes',
    DecayedSupport Float64 COMMENT 'Support with each episode halved for every 30 days of age',
    DecayedSuccessRate Float64 COMMENT 'SuccessRate weighted likewise',
    FirstSeen DateTime('UTC') COMMENT 'start of the earliest of these episodes',
    LastSeen DateTime('UTC') COMMENT 'start of the latest',
    Evidence Array(String) COMMENT 'trace ids of the latest episodes of the latest week, at most five'
)
AS WITH
    keyed AS
    (
        SELECT
            k.Type AS Type, k.Key AS Key, k.Domain AS Domain, sipHash64(CAST(k.Domain, 'String')) AS D,
            t.PatternId AS PatternId, t.Support AS Support, t.Successes AS Successes, t.RewardMicros AS RewardMicros, t.DurationNs AS DurationNs, t.Tokens AS Tokens,
            t.RecentSupport AS RecentSupport, t.RecentSuccesses AS RecentSuccesses, t.FirstSeen AS FirstSeen, t.LastSeen AS LastSeen,
            t.Successes / t.Support AS Rate,
            -- Wilson, E. B. (1927): the score interval, z = 1.96. Its ends at no and at all successes are said, not computed: what
            -- rounding leaves there would lie above a base rate of 0.
            if(t.Successes = 0, 0., (Rate + 3.8416 / (2 * t.Support) - 1.96 * sqrt(Rate * (1 - Rate) / t.Support + 3.8416 / (4 * t.Support * t.Support))) / (1 + 3.8416 / t.Support)) AS Low,
            if(t.Successes = t.Support, 1., (Rate + 3.8416 / (2 * t.Support) + 1.96 * sqrt(Rate * (1 - Rate) / t.Support + 3.8416 / (4 * t.Support * t.Support))) / (1 + 3.8416 / t.Support)) AS High,
            -- Ids as internal_shapes makes them.
            if(k.Type = 'tool_sequence' AND length(k.Key) > 2, arrayMap(x -> sipHash64(x), k.Key), []) AS H,
            if(empty(H), 0, arrayFold((made, part) -> intHash64(bitXor(made, part)), arrayPopBack(H), sipHash64('tool_sequence', D))) AS Head,
            if(empty(H), 0, arrayFold((made, part) -> intHash64(bitXor(made, part)), arrayPopFront(H), sipHash64('tool_sequence', D))) AS Tail,
            if(k.Type = 'heuristic',
               intHash64(bitXor(intHash64(bitXor(sipHash64('condition', D), sipHash64(k.Key[1]))), toUInt64(k.Key[2] = 'ok'))), 0) AS Condition,
            sipHash64('episode', D) AS Whole
        FROM (SELECT * FROM internal_pattern_totals FINAL WHERE Support >= 2) AS t
        INNER JOIN (SELECT PatternId, Type, Domain, Key FROM internal_pattern_keys FINAL) AS k ON k.PatternId = t.PatternId
        WHERE k.Type IN ('tool_sequence', 'decision_point', 'error_recovery', 'context', 'heuristic')
    ),
    counts AS (SELECT PatternId, Support, Successes, Successes / Support AS Rate FROM internal_pattern_totals FINAL WHERE Support > 0),
    tested AS
    (
        SELECT
            k.PatternId AS PatternId, k.Support AS Support, k.Successes AS Successes, k.RewardMicros AS RewardMicros, k.DurationNs AS DurationNs, k.Tokens AS Tokens,
            k.RecentSupport AS RecentSupport, k.RecentSuccesses AS RecentSuccesses, k.FirstSeen AS FirstSeen, k.LastSeen AS LastSeen,
            k.Type AS Type, k.Key AS Key, k.Domain AS Domain, k.Rate AS Rate, k.Low AS Low, k.High AS High,
            toInt64(e.Support) AS N, toInt64(e.Successes) AS G, e.Rate AS Base, c.Successes AS ConditionSuccesses,
            -- Three or more tools say more than a part of theirs when its rate lies outside their interval.
            k.Head != 0 AND ((h.Support > 0 AND h.Rate BETWEEN k.Low AND k.High) OR (s.Support > 0 AND s.Rate BETWEEN k.Low AND k.High)) AS Redundant,
            -- Of N episodes G succeed; how surprising are x of the n that show it? Exact up to 200, then normal with
            -- the finite population correction and continuity.
            least(toInt64(k.Support), 200) AS n, toInt64(k.Successes) AS x,
            if(k.Support <= 200,
               arrayMap(i -> if(i > G OR n - i > N - G, 0, exp(lgamma(G + 1.) - lgamma(i + 1.) - lgamma(G - i + 1.)
                   + lgamma(N - G + 1.) - lgamma(n - i + 1.) - lgamma(N - G - n + i + 1.)
                   - lgamma(N + 1.) + lgamma(n + 1.) + lgamma(N - n + 1.))), range(0, n + 1)), []) AS Chances,
            if(k.Support <= 200,
               least(1., 2 * least(arraySum(arraySlice(Chances, 1, x + 1)), arraySum(arraySlice(Chances, x + 1)))),
               if(k.Support >= N OR Base IN (0, 1), 1,
                  erfc(greatest(0, abs(x - k.Support * Base) - 0.5)
                       / sqrt(2 * k.Support * Base * (1 - Base) * (N - k.Support) / greatest(1, N - 1))))) AS P
        FROM keyed AS k
        INNER JOIN counts AS e ON e.PatternId = k.Whole
        LEFT JOIN counts AS h ON h.PatternId = k.Head
        LEFT JOIN counts AS s ON s.PatternId = k.Tail
        LEFT JOIN counts AS c ON c.PatternId = k.Condition
    ),
    ranked AS
    (
        SELECT *, count() OVER (PARTITION BY Domain) AS Tests, row_number() OVER (PARTITION BY Domain ORDER BY P, PatternId) AS Place
        FROM tested
        WHERE NOT Redundant
    ),
    -- Benjamini, Y. and Hochberg, Y. (1995).
    adjusted AS
    (
        SELECT *, least(1, min(P * Tests / Place) OVER (PARTITION BY Domain ORDER BY Place DESC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)) AS Q
        FROM ranked
    )
SELECT
    leftPad(lower(hex(a.PatternId)), 16, '0') AS PatternId,
    a.Type AS Type,
    multiIf(a.Low > a.Base, 'good', a.High < a.Base, 'pitfall', 'open') AS Verdict,
    a.Key AS Key,
    a.Domain AS Domain,
    a.Support AS Support,
    a.Successes AS Successes,
    a.Rate AS SuccessRate,
    a.Low AS SuccessRateLow,
    a.High AS SuccessRateHigh,
    a.Base AS BaseRate,
    if(a.Base > 0, toNullable(a.Rate / a.Base), NULL) AS Lift,
    a.P AS PValue,
    a.Q AS QValue,
    if(a.Type = 'heuristic' AND a.ConditionSuccesses > 0, toNullable(a.Successes / a.ConditionSuccesses), NULL) AS Confidence,
    a.RewardMicros / 1e6 / a.Support AS MeanReward,
    a.DurationNs / a.Support AS MeanDurationNs,
    a.Tokens / a.Support AS MeanTokens,
    a.RecentSupport * exp2((1577836800 - toUnixTimestamp(now())) / 2592000) AS DecayedSupport,
    a.RecentSuccesses / a.RecentSupport AS DecayedSuccessRate,
    a.FirstSeen AS FirstSeen,
    a.LastSeen AS LastSeen,
    e.Traces AS Evidence
FROM adjusted AS a
LEFT JOIN (SELECT PatternId, Traces FROM internal_pattern_evidence FINAL) AS e ON e.PatternId = a.PatternId;
