-- What one episode teaches, by rules over its steps.

-- name: internal_counted_of
-- Of each episode the tools that failed, the errors and the tools used, each with how often, the most frequent first.
CREATE OR REPLACE VIEW internal_counted_of
AS WITH
    (SELECT External FROM internal_reward_settings) AS external,
    (SELECT SuccessAt FROM internal_reward_settings) AS success_at,
    work AS (SELECT EpisodeId FROM internal_work(run = {run:String}, job = 'reflections', batch = {batch:UInt32})),
    texts -> arraySlice(arraySort(arrayDistinct(texts)), 1, 100) AS hundred
SELECT
    *,
    -- As in internal_scores and rewards.
    ifNull(if(external, ExternalReward >= success_at, NULL), Outcome = 'success') AS Won,
    if(DomainSteps > 0, DomainSteps, 0) AS UsualSteps,
    InputTokens + OutputTokens AS Tokens,
    length(StepTools) AS N,
    arrayMap(t -> toString(t), StepTools) AS Names,
    arrayFilter((t, ok) -> NOT ok AND t != '', Names, StepOk) AS FailedNames,
    CAST(arrayReverseSort(arrayMap(t -> (countEqual(FailedNames, t), countEqual(Names, t), t), hundred(FailedNames))),
         'Array(Tuple(Failures UInt64, Calls UInt64, Tool String))') AS FailedTools,
    arrayFilter(e -> e != '', StepErrors) AS ErrorTexts,
    CAST(arrayReverseSort(arrayMap(e -> (countEqual(ErrorTexts, e), e), hundred(ErrorTexts))),
         'Array(Tuple(Times UInt64, Text String))') AS Errors,
    CAST(arrayReverseSort(arrayMap(t -> (countEqual(Names, t), t), hundred(arrayFilter(t -> t != '', Names)))),
         'Array(Tuple(Calls UInt64, Tool String))') AS Used,
    arraySlice(arraySplit((t, p) -> t != p, Names, arraySlice(arrayPushFront(Names, ''), 1, N)), 1, 10000) AS Streaks,
    CAST(arrayReverseSort(arrayMap(g -> (length(g), g[1]), Streaks)), 'Array(Tuple(Calls UInt64, Tool String))') AS LongestFirst,
    arraySum(StepNs) AS Busy,
    arrayMax(StepNs) AS Slowest,
    -- Each step beside the next call of the same tool.
    CAST(arraySort(arrayZip(Names, arrayEnumerate(Names), StepOk, arrayResize(arraySlice(StepOk, 2), N, false))),
         'Array(Tuple(Tool String, At UInt32, Ok Bool, NextOk Bool))') AS ByTool,
    -- As long as it, also of a run without steps.
    arrayResize(arraySlice(ByTool, 2), length(ByTool),
        CAST(('', 0, false, false), 'Tuple(Tool String, At UInt32, Ok Bool, NextOk Bool)')) AS Later,
    -- The first failure after which a step went well and the tool then worked, or was not needed any more.
    arraySort(arrayMap(step -> step.At, arrayFilter((step, later) -> NOT step.Ok AND step.NextOk AND step.Tool != ''
        AND if(later.Tool = step.Tool, later.Ok, Won), ByTool, Later)))[1] AS MendedAt
FROM internal_reward_inputs
WHERE EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work);

-- name: internal_worded_of
-- The same by name, and as it is written in a sentence.
CREATE OR REPLACE VIEW internal_worded_of
AS SELECT
    EpisodeId, Won, Outcome, Domain, N, FailedSteps, DistinctTools, UsualSteps, Tokens, DurationNs, Artifacts, StoppedAtStep,
    DomainSeconds, DomainTokens, DomainCost, ifNull(Cost, 0) AS Dollars, Completed, Failed, ExternalReward, Busy, Slowest,
    if(N = 1, '1 step', format('{} steps', toString(N))) AS NSteps,
    if(FailedSteps = 1, '1 failed step', format('{} failed steps', toString(FailedSteps))) AS NFailedSteps,
    if(DistinctTools = 1, '1 tool', format('{} different tools', toString(DistinctTools))) AS NTools,
    if(Domain = '', '', format(' in {}', Domain)) AS InDomain,
    toString(round(UsualSteps)) AS AboutSteps,
    toString(round(DomainSeconds)) AS AboutSeconds,
    toString(round(DomainTokens)) AS AboutTokens,
    -- Three digits that count.
    if(Dollars > 0, toString(round(Dollars, toInt32(2 - floor(log10(Dollars))))), '0') AS Spent,
    if(DomainCost > 0, toString(round(DomainCost, toInt32(2 - floor(log10(DomainCost))))), '0') AS AboutCost,
    toString(ifNull(ExternalReward, 0)) AS Score,
    N = 0 OR StepOk[-1] AS LastOk, Names[-1] AS LastTool, StepErrors[-1] AS LastError,
    MendedAt > 0 AS Mended, Names[MendedAt] AS MendedTool, StepErrors[MendedAt] AS MendedError, Names[MendedAt + 1] AS MendingTool,
    length(Errors) AS NErrors, Errors[1].Times AS ErrorTimes, Errors[1].Text AS Error,
    FailedTools[1].Failures AS WorstFailures, FailedTools[1].Calls AS WorstCalls, FailedTools[1].Tool AS WorstTool,
    Used[1].Calls AS MostCalls, Used[1].Tool AS MostTool,
    LongestFirst[1].Calls AS StreakCalls, LongestFirst[1].Tool AS StreakTool,
    indexOf(StepNs, Slowest) AS SlowestAt, Names[SlowestAt] AS SlowestTool, toString(round(100 * Slowest / Busy)) AS SlowestPercent,
    notEmpty(Decisions) AS Decided, Decisions[1].Question AS Question, Decisions[1].Choice AS Choice
FROM internal_counted_of(run = {run:String}, batch = {batch:UInt32}, full = {full:Bool}, low = {low:String}, high = {high:String});

-- name: internal_successes_of
-- The rules: when one holds, how telling it is, and what it says. At most five of each list, the most telling first.
CREATE OR REPLACE VIEW internal_successes_of
AS WITH
    rules -> arrayMap((holds, rank, lesson) -> lesson, arraySlice(arrayReverseSort((holds, rank, lesson) -> rank,
        arrayFilter((holds, rank, lesson) -> holds, rules)), 1, 5)) AS five
SELECT
    *,
    five([
        (Won AND N > 0 AND FailedSteps = 0, 100, format('Reached its goal in {}, none of which failed.', NSteps)),
        (Won AND FailedSteps > 0, 99, format('Reached its goal in spite of {}.', NFailedSteps)),
        (Won AND N = 0, 98, 'Reached its goal without a single step.'),
        (Mended, 90, format('Recovered from a failed {} ({}) with {} right after: do that first next time.',
            MendedTool, MendedError, MendingTool)),
        (Won AND UsualSteps > 0 AND N > 0 AND N <= 0.7 * UsualSteps, 80,
            format('Took {} steps where about {} are usual{}: keep this plan.', toString(N), AboutSteps, InDomain)),
        (Won AND arrayExists(a -> position(a, 'test') > 0 OR position(a, 'coverage') > 0, Artifacts), 75, 'Left tests behind.'),
        (Won AND DomainSeconds > 0 AND DurationNs BETWEEN 1000000000 AND 0.7 * DomainSeconds * 1e9, 70,
            format('Took {} s where about {} s are usual.', toString(round(DurationNs / 1e9)), AboutSeconds)),
        (Won AND DomainTokens > 0 AND Tokens BETWEEN 1 AND 0.7 * DomainTokens, 65,
            format('Spent {} tokens where about {} are usual.', toString(Tokens), AboutTokens)),
        (Won AND DomainCost > 0 AND Dollars > 0 AND Dollars <= 0.7 * DomainCost, 62,
            format('Cost {} dollars where about {} are usual.', Spent, AboutCost)),
        (Outcome = 'abstained' AND UsualSteps > 0 AND StoppedAtStep <= 0.5 * UsualSteps, 60,
            format('Gave up early, after {} steps, rather than late.', toString(StoppedAtStep))),
        (Outcome = 'partial' AND Completed > 0, 40,
            format('{} of {} parts were done.', toString(Completed), toString(Completed + Failed)))
    ]) AS Successes
FROM internal_worded_of(run = {run:String}, batch = {batch:UInt32}, full = {full:Bool}, low = {low:String}, high = {high:String});

-- name: internal_improvements_of
CREATE OR REPLACE VIEW internal_improvements_of
AS WITH
    rules -> arrayMap((holds, rank, lesson) -> lesson, arraySlice(arrayReverseSort((holds, rank, lesson) -> rank,
        arrayFilter((holds, rank, lesson) -> holds, rules)), 1, 5)) AS five
SELECT
    *,
    five([
        (Outcome = 'abandoned', 100, if(N = 0, 'Stopped without an end.',
            format('Stopped without an end after {}: find out what interrupted it.', LastTool))),
        (Outcome = 'success' AND NOT Won, 98,
            format('Took itself for a success but was scored {} from outside: check the result before ending.', Score)),
        (ErrorTimes >= 2, 95, format('The same error came {} times ({}): change the approach after the second.',
            toString(ErrorTimes), Error)),
        (WorstFailures >= 2 AND WorstFailures * 3 >= WorstCalls, 90,
            format('{} failed {} of {} times: check its arguments before calling it again.',
                WorstTool, toString(WorstFailures), toString(WorstCalls))),
        (NOT Won AND Outcome IN ('success', 'failure', 'partial') AND NOT LastOk, 85,
            format('Ended on a failed {} ({}): a failed step should not be the last word.', LastTool, LastError)),
        (N >= 3 AND FailedSteps > 0.3 * N, 80,
            format('{} of {} steps failed: look before acting.', toString(FailedSteps), toString(N))),
        (StreakCalls >= 4 AND StreakTool != '', 70,
            format('Called {} {} times in a row: ask for it in one call, or narrow the question.',
                StreakTool, toString(StreakCalls))),
        (UsualSteps > 0 AND N > 1.5 * UsualSteps, 65,
            format('Took {} steps where about {} are usual{}: look for the detour.', toString(N), AboutSteps, InDomain)),
        (DomainTokens > 0 AND Tokens > 1.5 * DomainTokens, 60,
            format('Spent {} tokens where about {} are usual.', toString(Tokens), AboutTokens)),
        (DomainCost > 0 AND Dollars > 1.5 * DomainCost, 62,
            format('Cost {} dollars where about {} are usual: use a smaller model, or fewer calls.', Spent, AboutCost)),
        (N >= 3 AND Busy >= 10000000000 AND Slowest > 0.5 * Busy, 50,
            format('Step {} ({}) took {} % of the time: make it faster or call it less.',
                toString(SlowestAt), SlowestTool, SlowestPercent)),
        (Outcome = 'abstained' AND UsualSteps > 0 AND StoppedAtStep > UsualSteps, 45,
            format('Gave up only after {} steps: see earlier that it cannot be done.', toString(StoppedAtStep))),
        -- A run is not praised for steps that did not get it anywhere.
        (NOT Won AND Outcome != 'abstained' AND N >= 3 AND FailedSteps <= 0.1 * N, 42,
            format('{} of {} steps succeeded and yet it did not reach its goal: the steps do not show why.',
                toString(N - FailedSteps), toString(N))),
        (NOT Won AND Outcome = 'failure' AND N = 0, 40, 'Failed without a single step: try something.')
    ]) AS Improvements
FROM internal_successes_of(run = {run:String}, batch = {batch:UInt32}, full = {full:Bool}, low = {low:String}, high = {high:String});

-- name: internal_reflections_of
CREATE OR REPLACE VIEW internal_reflections_of
AS WITH
    rules -> arrayMap((holds, rank, lesson) -> lesson, arraySlice(arrayReverseSort((holds, rank, lesson) -> rank,
        arrayFilter((holds, rank, lesson) -> holds, rules)), 1, 5)) AS five
SELECT
    EpisodeId, Successes, Improvements,
    five([
        (Mended, 95, format('After {} fails with "{}", {} works.', MendedTool, MendedError, MendingTool)),
        (NErrors >= 2, 90, format('{} different errors came up, most often {}.', toString(NErrors), Error)),
        (N > 0, 80, format('{} of {} steps succeeded, with {}.', toString(N - FailedSteps), toString(N), NTools)),
        (N >= 4 AND MostCalls * 2 >= N, 70, format('{} was {} of the {} steps.', MostTool, toString(MostCalls), toString(N))),
        (N >= 3 AND Busy > 0 AND Slowest > 0.5 * Busy, 60,
            format('{} (step {}) is where the time goes: {} %.', SlowestTool, toString(SlowestAt), SlowestPercent)),
        (UsualSteps > 0 AND N > 0, 50,
            format('An episode here usually takes about {} steps; this one took {}.', AboutSteps, toString(N))),
        (Decided, 40, format('Decided "{}" on: {}.', Choice, Question)),
        (ExternalReward IS NOT NULL, 30, format('Was scored {} from outside.', Score))
    ]) AS Insights
FROM internal_improvements_of(run = {run:String}, batch = {batch:UInt32}, full = {full:Bool}, low = {low:String}, high = {high:String});

-- name: internal_reflections_changed
CREATE OR REPLACE VIEW internal_reflections_changed
AS WITH
    work AS (SELECT EpisodeId FROM internal_work(run = {run:String}, job = 'reflections', batch = {batch:UInt32}))
SELECT *, 0 AS IsDeleted
FROM internal_reflections_of(run = {run:String}, batch = {batch:UInt32}, full = {full:Bool}, low = {low:String}, high = {high:String})
WHERE sipHash128(EpisodeId, Successes, Improvements, Insights) NOT IN
(
    SELECT sipHash128(EpisodeId, Successes, Improvements, Insights) FROM internal_reflections FINAL
    WHERE EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
);

-- name: internal_reflections_gone
CREATE OR REPLACE VIEW internal_reflections_gone
AS WITH
    work AS (SELECT EpisodeId FROM internal_work(run = {run:String}, job = 'reflections', batch = {batch:UInt32}))
SELECT EpisodeId, 1 AS IsDeleted
FROM internal_reflections FINAL
WHERE EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
    AND EpisodeId NOT IN
    (
        SELECT EpisodeId FROM internal_reward_inputs
        WHERE EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
    );

-- name: reflections
CREATE OR REPLACE VIEW reflections
(
    EpisodeId String COMMENT 'the episode',
    Successes Array(String) COMMENT 'what to keep doing, the most telling first, at most five',
    Improvements Array(String) COMMENT 'what to do otherwise, at most five',
    Insights Array(String) COMMENT 'what to know, at most five'
)
AS SELECT EpisodeId, Successes, Improvements, Insights
FROM internal_reflections FINAL;
