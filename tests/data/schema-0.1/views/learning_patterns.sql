-- Which patterns an episode shows, and what all episodes together say of each.

-- name: episode_shapes
-- The ids of all patterns of an episode, as arrays. An id is sipHash64 of the type, of the domain's hash and of the key;
-- of a tool sequence, of the hashes of its tools. This is the only place where ids are made of episodes.
CREATE OR REPLACE VIEW episode_shapes
AS WITH 10000 AS most_steps
SELECT
    EpisodeId, TraceId, Outcome, Task, Domain, StartTime, DurationNs, InputTokens + OutputTokens AS Tokens, Steps, DistinctTools,
    sipHash64(Domain) AS D,
    -- Steps without a tool (milestones) are not part of a sequence.
    arrayFilter((t, i) -> t != '' AND i <= most_steps, StepTools, arrayEnumerate(StepTools)) AS Tools,
    arrayFilter((o, t, i) -> t != '' AND i <= most_steps, StepOk, StepTools, arrayEnumerate(StepTools)) AS Oks,
    if(FailedSteps = 0, [], arrayFilter((e, t, i) -> t != '' AND i <= most_steps, StepErrors, StepTools, arrayEnumerate(StepTools))) AS Errors,
    length(Tools) AS L,
    arrayMap(t -> sipHash64(t), Tools) AS H,
    -- The same tool several times in a row counts once, except in the pair (A, A) itself.
    arrayFilter((t, before) -> t != before, Tools, arraySlice(arrayPushFront(Tools, ''), 1, L)) AS Runs,
    arrayMap(t -> sipHash64(t), Runs) AS R,
    length(R) AS M,
    arrayMap((a, b) -> sipHash64('tool_sequence', D, a, b), arraySlice(H, 1, greatest(0, L - 1)), arraySlice(H, 2)) AS Pairs,
    arrayMap((a, b, c) -> sipHash64('tool_sequence', D, a, b, c),
             arraySlice(R, 1, greatest(0, M - 2)), arraySlice(R, 2, greatest(0, M - 2)), arraySlice(R, 3)) AS Triples,
    -- A B A B says no more than A B and B A: a sequence that repeats itself is 0, and left out below.
    arrayMap((a, b, c, d) -> if(a = c AND b = d, 0, sipHash64('tool_sequence', D, a, b, c, d)),
             arraySlice(R, 1, greatest(0, M - 3)), arraySlice(R, 2, greatest(0, M - 3)), arraySlice(R, 3, greatest(0, M - 3)),
             arraySlice(R, 4)) AS Quadruples,
    arrayMap((a, b, c, d, e) -> if((a = c AND b = d) OR (b = d AND c = e), 0, sipHash64('tool_sequence', D, a, b, c, d, e)),
             arraySlice(R, 1, greatest(0, M - 4)), arraySlice(R, 2, greatest(0, M - 4)), arraySlice(R, 3, greatest(0, M - 4)),
             arraySlice(R, 4, greatest(0, M - 4)), arraySlice(R, 5)) AS Quintuples,
    arrayMap(t -> sipHash64('tool', D, t), H) AS Singles,
    arrayMap(t -> sipHash64('start', D, t), arraySlice(H, 1, 1)) AS Starts,
    -- A condition is the last tool and whether it worked; a heuristic adds the tool that came next.
    arrayMap((t, o) -> sipHash64('condition', D, t, o), arraySlice(H, 1, greatest(0, L - 1)), arraySlice(Oks, 1, greatest(0, L - 1))) AS Conditions,
    arrayMap((t, o, next) -> sipHash64('heuristic', D, t, o, next),
             arraySlice(H, 1, greatest(0, L - 1)), arraySlice(Oks, 1, greatest(0, L - 1)), arraySlice(H, 2)) AS Heuristics,
    -- Tool, error, then the tools up to the one that made it good: the same tool if it succeeds within the next three
    -- steps, else the first that succeeds; nothing if none does.
    if(FailedSteps = 0, [], arrayDistinct(arrayFilter(k -> notEmpty(k), arrayMap(
        (t, o, e, t1, o1, t2, o2, t3, o3) -> multiIf(
            o, [],
            o1 AND t1 = t, [t, e, t1],
            o2 AND t2 = t, [t, e, t1, t2],
            o3 AND t3 = t, [t, e, t1, t2, t3],
            o1, [t, e, t1],
            o2, [t, e, t1, t2],
            o3, [t, e, t1, t2, t3],
            [t, e]),
        arrayMap(t -> toString(t), Tools), Oks, Errors,
        arrayResize(arraySlice(arrayMap(t -> toString(t), Tools), 2), L, ''), arrayResize(arraySlice(Oks, 2), L, false),
        arrayResize(arraySlice(arrayMap(t -> toString(t), Tools), 3), L, ''), arrayResize(arraySlice(Oks, 3), L, false),
        arrayResize(arraySlice(arrayMap(t -> toString(t), Tools), 4), L, ''), arrayResize(arraySlice(Oks, 4), L, false))))) AS RecoveryKeys,
    arrayDistinct(arrayMap(d -> [d.1, d.2], Decisions)) AS DecisionKeys,
    arrayFilter(x -> x != '', arrayConcat(
        [if(TaskType = '', '', concat('task_type=', TaskType)), if(Language = '', '', concat('language=', Language)),
         if(Framework = '', '', concat('framework=', Framework)), if(Complexity = '', '', concat('complexity=', Complexity))],
        arrayMap(t -> concat('tag=', t), arraySlice(arraySort(Tags), 1, 5)))) AS Features,
    -- Each feature, and all of them together, with the set of tools that was used.
    if(DistinctTools BETWEEN 1 AND 8 AND notEmpty(Features),
       arrayMap(f -> arrayConcat([f], arraySort(arrayMap(t -> toString(t), arrayDistinct(Tools)))),
                arrayDistinct(arrayPushBack(Features, arrayStringConcat(Features, ' ')))), []) AS ContextKeys,
    arrayFilter(n -> n <= Steps, [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128]) AS Lengths,
    arrayMap(k -> sipHash64('error_recovery', D, k), RecoveryKeys) AS Recoveries,
    arrayMap(k -> sipHash64('decision_point', D, k), DecisionKeys) AS DecisionIds,
    arrayMap(k -> sipHash64('context', D, k), ContextKeys) AS Contexts,
    arrayMap(n -> sipHash64('length', D, n), Lengths) AS LengthIds,
    arrayMap(n -> sipHash64('variety', D, n), range(1, 1 + least(DistinctTools, 12))) AS Varieties,
    if(Task = '', [], [sipHash64('task', D, Task)]) AS TaskIds,
    arrayDistinct(arrayFilter(x -> x != 0, arrayConcat(
        [sipHash64('episode', D)], TaskIds, LengthIds, Varieties, Singles, Starts, Pairs, Triples, Quadruples, Quintuples,
        Conditions, Heuristics, Recoveries, DecisionIds, Contexts))) AS PatternIds
FROM (SELECT * FROM episode_facts FINAL);

-- name: pattern_texts
-- What the ids of an episode mean, one row each.
CREATE OR REPLACE VIEW pattern_texts
AS SELECT EpisodeId, Domain, Item.1 AS PatternId, Item.2 AS Type, Item.3 AS Key
FROM
(
    -- Neighbours by arrays moved against each other: an array looked up inside a lambda is copied for every element.
    SELECT
        EpisodeId, Domain,
        arrayMap(t -> toString(t), Tools) AS T,
        arrayMap(t -> toString(t), Runs) AS S,
        arrayMap(o -> if(o, 'ok', 'failed'), Oks) AS O,
        CAST(arrayConcat(
            [(sipHash64('episode', D), 'episode', emptyArrayString())],
            arrayMap(p -> (p, 'task', [Task]), TaskIds),
            arrayMap((p, n) -> (p, 'length', [toString(n)]), LengthIds, Lengths),
            arrayMap((p, n) -> (p, 'variety', [toString(n)]), Varieties, arrayEnumerate(Varieties)),
            arrayMap((p, a) -> (p, 'tool', [a]), Singles, T),
            arrayMap((p, a) -> (p, 'start', [a]), Starts, arraySlice(T, 1, 1)),
            arrayMap((p, a, b) -> (p, 'tool_sequence', [a, b]), Pairs, arraySlice(T, 1, length(Pairs)), arraySlice(T, 2)),
            arrayMap((p, a, b, c) -> (p, 'tool_sequence', [a, b, c]), Triples,
                arraySlice(S, 1, length(Triples)), arraySlice(S, 2, length(Triples)), arraySlice(S, 3)),
            arrayMap((p, a, b, c, d) -> (p, 'tool_sequence', [a, b, c, d]), Quadruples,
                arraySlice(S, 1, length(Quadruples)), arraySlice(S, 2, length(Quadruples)), arraySlice(S, 3, length(Quadruples)),
                arraySlice(S, 4)),
            arrayMap((p, a, b, c, d, e) -> (p, 'tool_sequence', [a, b, c, d, e]), Quintuples,
                arraySlice(S, 1, length(Quintuples)), arraySlice(S, 2, length(Quintuples)), arraySlice(S, 3, length(Quintuples)),
                arraySlice(S, 4, length(Quintuples)), arraySlice(S, 5)),
            arrayMap((p, a, o) -> (p, 'condition', [a, o]), Conditions,
                arraySlice(T, 1, length(Conditions)), arraySlice(O, 1, length(Conditions))),
            arrayMap((p, a, o, b) -> (p, 'heuristic', [a, o, b]), Heuristics,
                arraySlice(T, 1, length(Heuristics)), arraySlice(O, 1, length(Heuristics)), arraySlice(T, 2)),
            arrayMap((p, k) -> (p, 'error_recovery', k), Recoveries, RecoveryKeys),
            arrayMap((p, k) -> (p, 'decision_point', k), DecisionIds, DecisionKeys),
            arrayMap((p, k) -> (p, 'context', k), Contexts, ContextKeys)),
            'Array(Tuple(UInt64, String, Array(String)))') AS Items
    FROM episode_shapes
)
ARRAY JOIN Items AS Item;

-- name: observations_of
CREATE OR REPLACE VIEW observations_of
AS WITH work AS
(
    SELECT EpisodeId FROM job_worklist
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
        s.Outcome = 'success' AS Success,
        toInt64(round(r.Total * 1e6)) AS RewardMicros,
        s.DurationNs AS DurationNs,
        s.Tokens AS Tokens,
        toUInt32(round(1048576 * exp2(dateDiff('second', toStartOfDay(toMonday(s.StartTime), 'UTC'), toDateTime(s.StartTime, 'UTC')) / 2592000))) AS Weight,
        s.PatternIds AS PatternIds,
        s.Tools AS Tools
    FROM episode_shapes AS s
    INNER JOIN
    (
        SELECT EpisodeId, Total FROM episode_rewards FINAL WHERE Formula = {formula:String} AND EpisodeId IN work
    ) AS r ON r.EpisodeId = s.EpisodeId
    WHERE s.EpisodeId IN work
);

-- name: patterns
CREATE OR REPLACE VIEW patterns
(
    PatternId String COMMENT 'hex of sipHash64 of type, domain and key: the same thing seen twice is one row',
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
    MeanReward Float64 COMMENT 'mean reward of the episodes that show it, under the formula in use',
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
            k.Type AS Type, k.Key AS Key, k.Domain AS Domain, sipHash64(k.Domain) AS D,
            t.PatternId AS PatternId, t.Support AS Support, t.Successes AS Successes, t.RewardMicros AS RewardMicros, t.DurationNs AS DurationNs, t.Tokens AS Tokens,
            t.RecentSupport AS RecentSupport, t.RecentSuccesses AS RecentSuccesses, t.FirstSeen AS FirstSeen, t.LastSeen AS LastSeen, t.Evidence AS Evidence,
            t.Successes / t.Support AS Rate,
            -- Wilson, E. B. (1927): the score interval, z = 1.96.
            (Rate + 3.8416 / (2 * t.Support) - 1.96 * sqrt(Rate * (1 - Rate) / t.Support + 3.8416 / (4 * t.Support * t.Support))) / (1 + 3.8416 / t.Support) AS Low,
            (Rate + 3.8416 / (2 * t.Support) + 1.96 * sqrt(Rate * (1 - Rate) / t.Support + 3.8416 / (4 * t.Support * t.Support))) / (1 + 3.8416 / t.Support) AS High,
            if(k.Type = 'tool_sequence', arrayMap(x -> sipHash64(x), k.Key), []) AS H,
            multiIf(
                length(H) = 3, sipHash64('tool_sequence', D, H[1], H[2]),
                length(H) = 4, sipHash64('tool_sequence', D, H[1], H[2], H[3]),
                length(H) = 5, sipHash64('tool_sequence', D, H[1], H[2], H[3], H[4]), 0) AS Head,
            multiIf(
                length(H) = 3, sipHash64('tool_sequence', D, H[2], H[3]),
                length(H) = 4, sipHash64('tool_sequence', D, H[2], H[3], H[4]),
                length(H) = 5, sipHash64('tool_sequence', D, H[2], H[3], H[4], H[5]), 0) AS Tail,
            if(k.Type = 'heuristic', sipHash64('condition', D, sipHash64(k.Key[1]), k.Key[2] = 'ok'), 0) AS Condition,
            sipHash64('episode', D) AS Whole
        FROM (SELECT * FROM pattern_totals FINAL WHERE Support >= 2) AS t
        INNER JOIN (SELECT PatternId, Type, Domain, Key FROM pattern_keys FINAL) AS k ON k.PatternId = t.PatternId
        WHERE k.Type IN ('tool_sequence', 'decision_point', 'error_recovery', 'context', 'heuristic')
    ),
    counts AS (SELECT PatternId, Support, Successes, Successes / Support AS Rate FROM pattern_totals FINAL WHERE Support > 0),
    tested AS
    (
        SELECT
            k.PatternId AS PatternId, k.Support AS Support, k.Successes AS Successes, k.RewardMicros AS RewardMicros, k.DurationNs AS DurationNs, k.Tokens AS Tokens,
            k.RecentSupport AS RecentSupport, k.RecentSuccesses AS RecentSuccesses, k.FirstSeen AS FirstSeen, k.LastSeen AS LastSeen, k.Evidence AS Evidence,
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
    greatest(0, a.Low) AS SuccessRateLow,
    least(1, a.High) AS SuccessRateHigh,
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
    a.Evidence AS Evidence
FROM adjusted AS a;
