-- Which patterns an episode shows, and what all episodes together say of each.

-- name: internal_tool_steps
-- The steps of an episode that used a tool; those without (milestones) are not part of a sequence.
CREATE OR REPLACE VIEW internal_tool_steps
AS WITH 10000 AS most_steps
SELECT
    EpisodeId, TraceId, Outcome, Task, TaskType, Domain, Language, Framework, Complexity, Tags, Decisions, StartTime, DurationNs,
    InputTokens + OutputTokens AS Tokens, Steps, FailedSteps, DistinctTools, Completed, Failed, ExternalReward,
    OutcomeSource, Tenant, sipHash64(Domain) AS DomainHash,
    arrayFilter((tool, place) -> tool != '' AND place <= most_steps, StepTools, arrayEnumerate(StepTools)) AS Tools,
    arrayFilter((ok, tool, place) -> tool != '' AND place <= most_steps, StepOk, StepTools, arrayEnumerate(StepTools)) AS Oks,
    arrayFilter((template, tool, place) -> tool != '' AND place <= most_steps,
        StepTemplates, StepTools, arrayEnumerate(StepTools)) AS Templates,
    if(FailedSteps = 0, [], arrayFilter((error, tool, place) -> tool != '' AND place <= most_steps,
        StepErrors, StepTools, arrayEnumerate(StepTools))) AS Errors,
    arrayMap(tool -> sipHash64(tool), Tools) AS Hashes,
    -- The same tool several times in a row counts once, except in the pair (A, A) itself.
    arrayFilter((tool, before) -> tool != before, Tools, arraySlice(arrayPushFront(Tools, ''), 1, length(Tools))) AS Runs
FROM (SELECT * FROM internal_sequences FINAL);

-- name: internal_recoveries
-- Tool, error, then the tools up to the one that made it good: the same tool if it succeeds within the next three steps, else the
-- first that succeeds; nothing if none does. Neighbours by arrays moved against each other, of which the places that failed are
-- kept.
CREATE OR REPLACE VIEW internal_recoveries
AS SELECT
    *,
    if(FailedSteps = 0, [], arrayMap(tool -> toString(tool), Tools)) AS Names,
    if(FailedSteps = 0, [], arrayMap(ok -> NOT ok, Oks)) AS Bad,
    if(FailedSteps = 0, [], Oks) AS Good,
    arrayResize(arrayPopFront(Names), length(Bad), '') AS Name1,
    arrayResize(arrayPopFront(Name1), length(Bad), '') AS Name2,
    arrayResize(arrayPopFront(Name2), length(Bad), '') AS Name3,
    arrayResize(arrayPopFront(Good), length(Bad), false) AS Good1,
    arrayResize(arrayPopFront(Good1), length(Bad), false) AS Good2,
    arrayResize(arrayPopFront(Good2), length(Bad), false) AS Good3,
    arrayDistinct(arrayMap(
        (tool, error, tool1, ok1, tool2, ok2, tool3, ok3) -> multiIf(
            ok1 AND tool1 = tool, [tool, error, tool1],
            ok2 AND tool2 = tool, [tool, error, tool1, tool2],
            ok3 AND tool3 = tool, [tool, error, tool1, tool2, tool3],
            ok1, [tool, error, tool1],
            ok2, [tool, error, tool1, tool2],
            ok3, [tool, error, tool1, tool2, tool3],
            [tool, error]),
        arrayFilter((x, bad) -> bad, Names, Bad), arrayFilter((x, bad) -> bad, Errors, Bad),
        arrayFilter((x, bad) -> bad, Name1, Bad), arrayFilter((x, bad) -> bad, Good1, Bad),
        arrayFilter((x, bad) -> bad, Name2, Bad), arrayFilter((x, bad) -> bad, Good2, Bad),
        arrayFilter((x, bad) -> bad, Name3, Bad), arrayFilter((x, bad) -> bad, Good3, Bad))) AS RecoveryKeys
FROM internal_tool_steps;

-- name: internal_keyed_episodes
-- What else of an episode has a text for a key: decisions, and each of its features (and all of them together) with its tools.
CREATE OR REPLACE VIEW internal_keyed_episodes
AS SELECT
    *,
    arrayDistinct(arrayMap((question, choice) -> [question, choice], Decisions)) AS DecisionKeys,
    arrayFilter(x -> x != '', arrayConcat(
        [if(TaskType = '', '', concat('task_type=', TaskType)), if(Language = '', '', concat('language=', Language)),
         if(Framework = '', '', concat('framework=', Framework)), if(Complexity = '', '', concat('complexity=', Complexity))],
        arrayMap(tag -> concat('tag=', tag), arraySlice(arraySort(Tags), 1, 5)))) AS Features,
    if(DistinctTools BETWEEN 1 AND 8 AND notEmpty(Features),
       arrayMap(feature -> arrayConcat([feature], arraySort(arrayMap(tool -> toString(tool), arrayDistinct(Tools)))),
                arrayDistinct(arrayPushBack(Features, arrayStringConcat(Features, ' ')))), []) AS ContextKeys,
    arrayFilter(n -> n <= length(Tools), [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128]) AS Lengths
FROM internal_recoveries;

-- name: internal_sequence_ids
-- Ids of tool sequences. An id is a chain: it begins with a hash of type and domain, and each tool's hash is mixed in, so that a
-- sequence costs one step more than the one it continues.
CREATE OR REPLACE VIEW internal_sequence_ids
AS WITH (made, part) -> intHash64(bitXor(made, part)) AS mixed
SELECT
    *,
    sipHash64('tool_sequence', DomainHash) AS SequenceSeed,
    arrayPopBack(Hashes) AS Befores,
    arrayPopFront(Hashes) AS Nexts,
    arrayMap((a, b) -> mixed(mixed(SequenceSeed, a), b), Befores, Nexts) AS Pairs,
    arrayMap(tool -> sipHash64(tool), Runs) AS First,
    arrayPopFront(First) AS Second, arrayPopFront(Second) AS Third, arrayPopFront(Third) AS Fourth, arrayPopFront(Fourth) AS Fifth,
    arrayMap((a, b) -> mixed(mixed(SequenceSeed, a), b), arrayPopBack(First), Second) AS Changes,
    arrayMap((made, c) -> mixed(made, c), arrayPopBack(Changes), Third) AS Triples,
    arrayMap((made, d) -> mixed(made, d), arrayPopBack(Triples), Fourth) AS Fours,
    arrayMap((made, e) -> mixed(made, e), arrayPopBack(Fours), Fifth) AS Fives,
    -- A B A B says no more than A B and B A: a sequence that repeats itself is 0, and left out of the ids.
    arrayMap((a, b, c, d) -> a = c AND b = d,
             arrayResize(First, length(Fours)), arrayResize(Second, length(Fours)), arrayResize(Third, length(Fours)), Fourth) AS Loops,
    arrayMap((made, loop) -> if(loop, 0, made), Fours, Loops) AS Quadruples,
    arrayMap((made, loop, next) -> if(loop OR next, 0, made), Fives, arrayPopBack(Loops), arrayPopFront(Loops)) AS Quintuples
FROM internal_keyed_episodes;

-- name: internal_shapes
-- The ids of all patterns of an episode, as arrays. This and internal_sequence_ids are the only places where ids are made of
-- episodes. What has a text for a key is sipHash64 of type, domain's hash and key; what has tools is a chain.
CREATE OR REPLACE VIEW internal_shapes
AS WITH (made, part) -> intHash64(bitXor(made, part)) AS mixed
SELECT
    *,
    sipHash64('tool', DomainHash) AS ToolSeed,
    sipHash64('start', DomainHash) AS StartSeed,
    sipHash64('condition', DomainHash) AS ConditionSeed,
    sipHash64('heuristic', DomainHash) AS HeuristicSeed,
    arrayMap(tool -> mixed(ToolSeed, tool), Hashes) AS Singles,
    arrayMap(tool -> mixed(StartSeed, tool), arraySlice(Hashes, 1, 1)) AS Starts,
    -- A condition is the last tool and whether it worked; a heuristic adds the tool that came next.
    arrayMap(ok -> toUInt8(ok), arrayPopBack(Oks)) AS BeforeOks,
    arrayMap((tool, ok) -> mixed(mixed(ConditionSeed, tool), ok), Befores, BeforeOks) AS Conditions,
    arrayMap((tool, ok, next) -> mixed(mixed(mixed(HeuristicSeed, tool), ok), next), Befores, BeforeOks, Nexts) AS Heuristics,
    arrayMap(key -> sipHash64('error_recovery', DomainHash, key), RecoveryKeys) AS Recoveries,
    arrayMap(key -> sipHash64('decision_point', DomainHash, key), DecisionKeys) AS DecisionIds,
    arrayMap(key -> sipHash64('context', DomainHash, key), ContextKeys) AS Contexts,
    arrayMap(n -> sipHash64('length', DomainHash, n), Lengths) AS LengthIds,
    arrayMap(n -> sipHash64('variety', DomainHash, n), range(1, 1 + least(DistinctTools, 12))) AS Varieties,
    if(Task = '', [], [sipHash64('task', DomainHash, Task)]) AS TaskIds,
    arrayDistinct(arrayFilter(x -> x != 0, arrayConcat(
        [sipHash64('episode', DomainHash)], TaskIds, LengthIds, Varieties, Singles, Starts, Pairs, Triples, Quadruples, Quintuples,
        Conditions, Heuristics, Recoveries, DecisionIds, Contexts))) AS PatternIds
FROM internal_sequence_ids;

-- name: internal_pattern_texts
-- What the ids of an episode mean, one row each.
CREATE OR REPLACE VIEW internal_pattern_texts
AS SELECT EpisodeId, Domain, Item.PatternId AS PatternId, Item.Type AS Type, Item.Key AS Key
FROM
(
    -- Neighbours by arrays moved against each other: an array looked up inside a lambda is copied for every element.
    SELECT
        EpisodeId, Domain,
        arrayMap(tool -> toString(tool), Tools) AS ToolNames,
        arrayMap(tool -> toString(tool), Runs) AS RunNames,
        arrayMap(ok -> if(ok, 'ok', 'failed'), Oks) AS Ends,
        CAST(arrayConcat(
            [(sipHash64('episode', DomainHash), 'episode', emptyArrayString())],
            arrayMap(p -> (p, 'task', [Task]), TaskIds),
            arrayMap((p, n) -> (p, 'length', [toString(n)]), LengthIds, Lengths),
            arrayMap((p, n) -> (p, 'variety', [toString(n)]), Varieties, arrayEnumerate(Varieties)),
            arrayMap((p, a) -> (p, 'tool', [a]), Singles, ToolNames),
            arrayMap((p, a) -> (p, 'start', [a]), Starts, arraySlice(ToolNames, 1, 1)),
            arrayMap((p, a, b) -> (p, 'tool_sequence', [a, b]), Pairs, arraySlice(ToolNames, 1, length(Pairs)), arraySlice(ToolNames, 2)),
            arrayMap((p, a, b, c) -> (p, 'tool_sequence', [a, b, c]), Triples,
                arraySlice(RunNames, 1, length(Triples)), arraySlice(RunNames, 2, length(Triples)), arraySlice(RunNames, 3)),
            arrayMap((p, a, b, c, d) -> (p, 'tool_sequence', [a, b, c, d]), Quadruples,
                arraySlice(RunNames, 1, length(Quadruples)), arraySlice(RunNames, 2, length(Quadruples)),
                arraySlice(RunNames, 3, length(Quadruples)), arraySlice(RunNames, 4)),
            arrayMap((p, a, b, c, d, e) -> (p, 'tool_sequence', [a, b, c, d, e]), Quintuples,
                arraySlice(RunNames, 1, length(Quintuples)), arraySlice(RunNames, 2, length(Quintuples)),
                arraySlice(RunNames, 3, length(Quintuples)), arraySlice(RunNames, 4, length(Quintuples)), arraySlice(RunNames, 5)),
            arrayMap((p, a, o) -> (p, 'condition', [a, o]), Conditions,
                arraySlice(ToolNames, 1, length(Conditions)), arraySlice(Ends, 1, length(Conditions))),
            arrayMap((p, a, o, b) -> (p, 'heuristic', [a, o, b]), Heuristics,
                arraySlice(ToolNames, 1, length(Heuristics)), arraySlice(Ends, 1, length(Heuristics)), arraySlice(ToolNames, 2)),
            arrayMap((p, k) -> (p, 'error_recovery', k), Recoveries, RecoveryKeys),
            arrayMap((p, k) -> (p, 'decision_point', k), DecisionIds, DecisionKeys),
            arrayMap((p, k) -> (p, 'context', k), Contexts, ContextKeys)),
            'Array(Tuple(PatternId UInt64, Type String, Key Array(String)))') AS Items
    FROM internal_shapes
)
ARRAY JOIN Items AS Item;

-- name: internal_observations_of
CREATE OR REPLACE VIEW internal_observations_of
AS WITH
    work AS (SELECT EpisodeId FROM internal_work(run = {run:String}, job = 'observations', batch = {batch:UInt32})),
    (SELECT External FROM internal_reward_settings) AS external,
    (SELECT SuccessAt FROM internal_reward_settings) AS success_at,
    -- As recency counts: 2^20 at the start of a week, doubling every 30 days.
    start -> dateDiff('second', toStartOfDay(toMonday(start), 'UTC'), toDateTime(start, 'UTC')) / 2592000 AS months_into_week,
    scores AS
    (
        SELECT EpisodeId, Reward, Judged FROM internal_scores
        WHERE Formula = {formula:String}
            AND EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
    ),
    observations AS
    (
        SELECT
            toMonday(s.StartTime) AS Week, s.EpisodeId AS EpisodeId, s.TraceId AS TraceId, s.Domain AS Domain, s.Task AS Task,
            s.StartTime AS StartTime,
            ifNull(r.Judged, s.Outcome = 'success') AS Success,
            -- Bounded, so that sums stay whole numbers.
            toInt64(round(least(1e6, greatest(-1e6, r.Reward)) * 1e6)) AS RewardMicros,
            s.DurationNs AS DurationNs, s.Tokens AS Tokens,
            toUInt32(round(1048576 * exp2(months_into_week(s.StartTime)))) AS Weight,
            s.PatternIds AS PatternIds, s.Tools AS Tools, s.Oks AS Oks, s.Templates AS Templates, s.Tenant AS Tenant,
            s.OutcomeSource != 'default' OR (ifNull(external, false) AND s.ExternalReward IS NOT NULL) AS Told,
            -- How far the run got: a score on the way to a success (under --reward external; else one between 0 and 1, since on
            -- another scale it says nothing), without one the outcome. Nobody knows what a run was worth that was given up.
            multiIf(
                external AND s.ExternalReward >= success_at, 1.,
                external AND s.ExternalReward IS NOT NULL, if(success_at > 0, greatest(0., s.ExternalReward / success_at), 0.),
                s.ExternalReward > 0 AND s.ExternalReward < 1, s.ExternalReward,
                s.Outcome = 'success', 1.,
                s.Outcome IN ('failure', 'abandoned'), 0.,
                s.Outcome = 'partial' AND s.Completed + s.Failed > 0, s.Completed / (s.Completed + s.Failed),
                s.Outcome = 'partial', 0.5,
                NULL) AS Earned,
            toInt32(round(ifNull(Earned, -1.) * 1e6)) AS Value
        FROM internal_shapes AS s
        INNER JOIN scores AS r ON r.EpisodeId = s.EpisodeId
        WHERE s.EpisodeId >= {low:String} AND ({high:String} = '' OR s.EpisodeId < {high:String})
            AND ({full:Bool} OR s.EpisodeId IN work)
    )
SELECT * EXCEPT Earned, cityHash64(* EXCEPT (EpisodeId, Weight, Earned)) AS Fingerprint
FROM observations;

-- name: internal_observations_changed
-- What was shown before is looked up without FINAL: few rows are left by the time they are grouped.
CREATE OR REPLACE VIEW internal_observations_changed
AS WITH
    work AS (SELECT EpisodeId FROM internal_work(run = {run:String}, job = 'observations', batch = {batch:UInt32}))
SELECT *, 0 AS IsDeleted
FROM internal_observations_of(run = {run:String}, batch = {batch:UInt32}, full = {full:Bool},
    low = {low:String}, high = {high:String}, formula = {formula:String})
WHERE (EpisodeId, Fingerprint) NOT IN
(
    SELECT EpisodeId, argMax(Fingerprint, Version) FROM internal_pattern_observations
    WHERE EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
    GROUP BY EpisodeId, Week
    HAVING argMax(IsDeleted, Version) = 0
);

-- name: internal_observations_gone
-- An episode that runs again is not counted, and one whose start turned out to lie in another week is counted there only.
CREATE OR REPLACE VIEW internal_observations_gone
AS WITH
    work AS (SELECT EpisodeId FROM internal_work(run = {run:String}, job = 'observations', batch = {batch:UInt32})),
    scored AS
    (
        SELECT EpisodeId FROM internal_rewards FINAL
        WHERE Formula = {formula:String}
            AND EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
    )
SELECT Week, EpisodeId, 1 AS IsDeleted
FROM internal_pattern_observations
WHERE EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
GROUP BY Week, EpisodeId
HAVING argMax(internal_pattern_observations.IsDeleted, Version) = 0 AND (EpisodeId, Week) NOT IN
(
    SELECT EpisodeId, toMonday(argMax(StartTime, Version))
    FROM internal_sequences
    WHERE EpisodeId IN scored AND EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String})
        AND ({full:Bool} OR EpisodeId IN work)
    GROUP BY EpisodeId
);

-- name: internal_pattern_rates
-- Each pattern that is listed, with its interval and the ids of what it is compared with, made as internal_shapes makes them.
CREATE OR REPLACE VIEW internal_pattern_rates
AS WITH
    (made, part) -> intHash64(bitXor(made, part)) AS mixed,
    -- Wilson, E. B. (1927): the score interval, z = 1.96.
    (rate, n, side) -> (rate + 3.8416 / (2 * n) + side * 1.96 * sqrt(rate * (1 - rate) / n + 3.8416 / (4 * n * n)))
        / (1 + 3.8416 / n) AS wilson
SELECT
    t.*, k.Type AS Type, k.Key AS Key, k.Domain AS Domain,
    t.Successes / t.Support AS Rate,
    -- The ends at no and at all successes are said, not computed: what rounding leaves there would lie above a base rate of 0.
    if(t.Successes = 0, 0., wilson(Rate, t.Support, -1)) AS Low,
    if(t.Successes = t.Support, 1., wilson(Rate, t.Support, 1)) AS High,
    sipHash64(CAST(k.Domain, 'String')) AS DomainHash,
    if(k.Type = 'tool_sequence' AND length(k.Key) > 2, arrayMap(tool -> sipHash64(tool), k.Key), []) AS Hashes,
    sipHash64('tool_sequence', DomainHash) AS Seed,
    if(empty(Hashes), 0, arrayFold((made, part) -> mixed(made, part), arrayPopBack(Hashes), Seed)) AS Head,
    if(empty(Hashes), 0, arrayFold((made, part) -> mixed(made, part), arrayPopFront(Hashes), Seed)) AS Tail,
    if(k.Type = 'heuristic',
       mixed(mixed(sipHash64('condition', DomainHash), sipHash64(k.Key[1])), toUInt64(k.Key[2] = 'ok')), 0) AS Condition,
    sipHash64('episode', DomainHash) AS Whole
FROM (SELECT * FROM internal_pattern_totals FINAL WHERE Support >= 2) AS t
INNER JOIN (SELECT PatternId AS Of, Type, Domain, Key FROM internal_pattern_keys FINAL) AS k ON k.Of = t.PatternId
WHERE k.Type IN ('tool_sequence', 'decision_point', 'error_recovery', 'context', 'heuristic');

-- name: internal_pattern_tests
-- Of N episodes G succeed; how surprising are x of the n that show it? Exact (hypergeometric) up to 200, then normal with the
-- finite population correction and continuity.
CREATE OR REPLACE VIEW internal_pattern_tests
AS WITH
    counts AS
    (
        SELECT PatternId AS Of, Support AS Shown, Successes AS Won, Successes / Support AS Share
        FROM internal_pattern_totals FINAL
        WHERE Support > 0
    )
SELECT
    k.* EXCEPT (DomainHash, Hashes, Head, Tail, Condition, Whole),
    e.Share AS Base, c.Won AS ConditionSuccesses,
    -- Three or more tools say more than a part of theirs when its rate lies outside their interval.
    k.Head != 0 AND ((h.Shown > 0 AND h.Share BETWEEN k.Low AND k.High)
        OR (s.Shown > 0 AND s.Share BETWEEN k.Low AND k.High)) AS Redundant,
    toInt64(e.Shown) AS N, toInt64(e.Won) AS G, least(toInt64(k.Support), 200) AS n, toInt64(k.Successes) AS x,
    if(k.Support <= 200,
       arrayMap(i -> if(i > G OR n - i > N - G, 0, exp(lgamma(G + 1.) - lgamma(i + 1.) - lgamma(G - i + 1.)
           + lgamma(N - G + 1.) - lgamma(n - i + 1.) - lgamma(N - G - n + i + 1.)
           - lgamma(N + 1.) + lgamma(n + 1.) + lgamma(N - n + 1.))), range(0, n + 1)), []) AS Chances,
    if(k.Support <= 200,
       least(1., 2 * least(arraySum(arraySlice(Chances, 1, x + 1)), arraySum(arraySlice(Chances, x + 1)))),
       if(k.Support >= N OR Base IN (0, 1), 1,
          erfc(greatest(0, abs(x - k.Support * Base) - 0.5)
               / sqrt(2 * k.Support * Base * (1 - Base) * (N - k.Support) / greatest(1, N - 1))))) AS P
FROM internal_pattern_rates AS k
INNER JOIN counts AS e ON e.Of = k.Whole
LEFT JOIN counts AS h ON h.Of = k.Head
LEFT JOIN counts AS s ON s.Of = k.Tail
LEFT JOIN counts AS c ON c.Of = k.Condition;

-- name: internal_pattern_claims
-- One row per distinct claim, in families that are tested apart. Pairs of tools come first; what is about the same tools (longer sequences,
-- and what to do after one that worked) is tested only under a pair that holds. Of contexts that are the same runs the shortest is kept.
CREATE OR REPLACE VIEW internal_pattern_claims
AS WITH
    (made, part) -> intHash64(bitXor(made, part)) AS mixed
SELECT
    *,
    multiIf(
        Type = 'error_recovery' OR (Type = 'heuristic' AND Key[2] = 'failed'), 'recovery',
        Type = 'decision_point', 'decision',
        Type = 'context', 'context',
        Type = 'tool_sequence' AND length(Key) = 2, 'pair',
        'longer') AS Family,
    arrayMap(tool -> sipHash64(tool), multiIf(Family != 'longer', [], Type = 'heuristic', [Key[1], Key[3]], Key)) AS Parts,
    arrayMap((a, b) -> mixed(mixed(Seed, a), b), arrayPopBack(Parts), arrayPopFront(Parts)) AS Pairs,
    Type = 'context' AND row_number() OVER (PARTITION BY Domain, Type, if(Type = 'context', arraySlice(Key, 2), Key), Support, Successes,
        RewardMicros ORDER BY length(Key[1]), PatternId) > 1 AS Repeated
FROM internal_pattern_tests
WHERE NOT Redundant;

-- name: internal_pattern_findings
-- Benjamini, Y. and Hochberg, Y. (1995), within each family of a domain: first for all, then again for what is left to test under the pairs
-- that hold at a tenth.
CREATE OR REPLACE VIEW internal_pattern_findings
AS WITH
    first AS
    (
        SELECT
            *, count() OVER (PARTITION BY Domain, Family) AS FirstTests,
            row_number() OVER (PARTITION BY Domain, Family ORDER BY P, PatternId) AS FirstPlace
        FROM internal_pattern_claims
        WHERE NOT Repeated
    ),
    judged AS
    (
        SELECT *, least(1, min(P * FirstTests / FirstPlace) OVER later) AS FirstQ
        FROM first
        WINDOW later AS (PARTITION BY Domain, Family ORDER BY FirstPlace DESC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
    ),
    gated AS
    (
        SELECT
            * EXCEPT (FirstTests, FirstPlace, FirstQ),
            Family != 'longer' OR hasAny(Pairs, groupArrayIf(PatternId, Family = 'pair' AND FirstQ <= 0.1) OVER (PARTITION BY Domain)) AS Tested
        FROM judged
    ),
    ranked AS
    (
        SELECT
            *, count() OVER (PARTITION BY Domain, Family, Tested) AS Tests,
            row_number() OVER (PARTITION BY Domain, Family, Tested ORDER BY P, PatternId) AS Place
        FROM gated
    )
SELECT *, if(Tested, least(1, min(P * Tests / Place) OVER later), 1) AS Q
FROM ranked
WINDOW later AS (PARTITION BY Domain, Family, Tested ORDER BY Place DESC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW);

-- name: internal_pattern_states
-- What is sure, what looks promising (the ten least likely by chance of a domain), what is open, and what was not tested. Of what is not
-- sure, how many runs more would make it so if its rate stayed: its distance from chance grows with the root of their number.
CREATE OR REPLACE VIEW internal_pattern_states
AS WITH
    -- The tail of the normal distribution from below, to within a hundredth.
    chance -> sqrt(greatest(1., -2 * log(chance) - log(-2 * log(chance)) - log(2 * pi()))) AS distance_at,
    near AS
    (
        SELECT
            *, Tested AND Q > 0.1 AND P <= 0.1 AND Support > 2 AS Near,
            row_number() OVER (PARTITION BY Domain, Near ORDER BY P, PatternId) AS NearPlace,
            abs(x - n * Base) / sqrt(greatest(1e-9, n * Base * (1 - Base) * (N - n) / greatest(1, N - 1))) AS Distance
        FROM internal_pattern_findings
    )
SELECT
    *,
    multiIf(NOT Tested, 'untested', Q <= 0.1, 'sure', Near AND NearPlace <= 10, 'promising', 'open') AS State,
    if(State = 'promising' AND Distance > 0,
       toUInt64(ceil(N * greatest(0., pow(distance_at(0.05 * Place / Tests) / Distance, 2) - 1))), 0) AS MoreRuns
FROM near;

-- name: patterns
CREATE OR REPLACE VIEW patterns
(
    PatternId String COMMENT 'hex of a hash of type, domain and key: the same thing seen twice is one row',
    Type LowCardinality(String) COMMENT 'tool_sequence, decision_point, error_recovery, context or heuristic',
    Verdict String COMMENT 'good: the whole interval is above the domain''s base rate; pitfall: below it; open: neither',
    Key Array(String) COMMENT 'the tools; question and choice; tool, error, what followed; features, tools; last tool, ok or failed, next',
    Domain LowCardinality(String) COMMENT 'domain of the episodes',
    Support UInt64 COMMENT 'distinct episodes that show it, at least two',
    Successes UInt64 COMMENT 'of these, how many succeeded',
    SuccessRate Float64 COMMENT 'Successes / Support',
    SuccessRateLow Float64 COMMENT 'Wilson interval at 95 %, lower bound',
    SuccessRateHigh Float64 COMMENT 'and its upper bound',
    BaseRate Float64 COMMENT 'share of all episodes of the domain that succeeded',
    Lift Nullable(Float64) COMMENT 'SuccessRate / BaseRate; NULL when nothing in the domain ever succeeded',
    PValue Float64 COMMENT 'two-sided: could as many successes be drawn from the domain by chance (hypergeometric)',
    QValue Float64 COMMENT 'Benjamini-Hochberg over the patterns of the domain that are tested with it: the share of false findings if all up to here are believed',
    State String COMMENT 'sure: QValue is 0.1 or less; promising: the ten others of the domain that chance explains least; open; untested: about tools of which no pair holds',
    MoreRuns UInt64 COMMENT 'of a promising one: about how many runs more would make it sure, if its rate stays',
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
AS SELECT
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
    a.State AS State,
    a.MoreRuns AS MoreRuns,
    if(a.Type = 'heuristic' AND a.ConditionSuccesses > 0, toNullable(a.Successes / a.ConditionSuccesses), NULL) AS Confidence,
    a.RewardMicros / 1e6 / a.Support AS MeanReward,
    a.DurationNs / a.Support AS MeanDurationNs,
    a.Tokens / a.Support AS MeanTokens,
    a.RecentSupport * exp2((1577836800 - toUnixTimestamp(now())) / 2592000) AS DecayedSupport,
    a.RecentSuccesses / a.RecentSupport AS DecayedSuccessRate,
    a.FirstSeen AS FirstSeen,
    a.LastSeen AS LastSeen,
    e.Traces AS Evidence
FROM internal_pattern_states AS a
LEFT JOIN (SELECT PatternId, Traces FROM internal_pattern_evidence FINAL) AS e ON e.PatternId = a.PatternId;
