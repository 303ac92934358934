-- What one episode teaches, by rules over its steps. Each rule gives (how telling, sentence) or an empty sentence.

-- name: internal_reflections_of
CREATE OR REPLACE VIEW internal_reflections_of
AS WITH
    (SELECT External FROM internal_reward_settings) AS external,
    (SELECT SuccessAt FROM internal_reward_settings) AS success_at,
    work AS
    (
        SELECT EpisodeId FROM internal_job_worklist
        WHERE RunId = {run:String} AND Job = 'reflections' AND Batch = {batch:UInt32}
            -- The refreshable views have one worklist, of which the latest entries count.
            AND ({run:String} != 'refresh' OR CreatedAt >= now64(6) - toIntervalMinute(10))
    ),
    shaped AS
    (
        SELECT
            f.*,
            -- As in internal_scores and rewards.
            ifNull(if(external, ExternalReward >= success_at, NULL), Outcome = 'success') AS Won,
            if(DomainSteps > 0, DomainSteps, 0) AS UsualSteps,
            InputTokens + OutputTokens AS Tokens,
            length(StepTools) AS N,
            arrayMap(t -> toString(t), StepTools) AS Names,
            arrayFilter((t, ok) -> NOT ok AND t != '', Names, StepOk) AS FailedNames,
            arrayReverseSort(arrayMap(t -> (toUInt64(countEqual(FailedNames, t)), toUInt64(countEqual(Names, t)), t), arraySlice(arraySort(arrayDistinct(FailedNames)), 1, 100))) AS Worst,
            arrayFilter(e -> e != '', StepErrors) AS ErrorTexts,
            arrayReverseSort(arrayMap(e -> (toUInt64(countEqual(ErrorTexts, e)), e), arraySlice(arraySort(arrayDistinct(ErrorTexts)), 1, 100))) AS Repeated,
            arrayReverseSort(arrayMap(t -> (toUInt64(countEqual(Names, t)), t), arraySlice(arraySort(arrayFilter(t -> t != '', arrayDistinct(Names))), 1, 100))) AS Used,
            -- Positions where a run of one tool ends, and the longest such run.
            arrayReverseSort(arraySlice(arrayMap(g -> (toUInt64(length(g)), g[1]), arraySplit((t, p) -> t != p, Names, arraySlice(arrayPushFront(Names, ''), 1, N))), 1, 10000)) AS Streaks,
            arraySum(StepNs) AS Busy,
            arrayMax(StepNs) AS Slowest,
            indexOf(StepNs, Slowest) AS SlowestAt,
            -- The first failure that the very next step mended.
            arrayFirstIndex((ok, next) -> NOT ok AND next, StepOk, arrayResize(arraySlice(StepOk, 2), N, false)) AS Mended
        FROM (SELECT * FROM internal_reward_inputs WHERE EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)) AS f
    )
SELECT
    EpisodeId,
    arraySlice(arrayMap(x -> x.2, arrayReverseSort(arrayFilter(x -> x.2 != '', [
        (100, if(Won AND N > 0 AND FailedSteps = 0, concat('Reached its goal in ', toString(N), if(N = 1, ' step', ' steps'), ', none of which failed.'), '')),
        (99, if(Won AND FailedSteps > 0, concat('Reached its goal in spite of ', toString(FailedSteps), if(FailedSteps = 1, ' failed step.', ' failed steps.')), '')),
        (98, if(Won AND N = 0, 'Reached its goal without a single step.', '')),
        (90, if(Mended > 0, concat('Recovered from a failed ', Names[Mended], ' (', StepErrors[Mended], ') with ', Names[Mended + 1], ' right after: do that first next time.'), '')),
        (80, if(Won AND UsualSteps > 0 AND N > 0 AND N <= 0.7 * UsualSteps, concat('Took ', toString(N), ' steps where about ', toString(round(UsualSteps)), ' are usual', if(Domain = '', '', concat(' in ', Domain)), ': keep this plan.'), '')),
        (75, if(Won AND arrayExists(a -> position(a, 'test') > 0 OR position(a, 'coverage') > 0, Artifacts), 'Left tests behind.', '')),
        (70, if(Won AND DomainSeconds > 0 AND DurationNs BETWEEN 1000000000 AND 0.7 * DomainSeconds * 1e9, concat('Took ', toString(round(DurationNs / 1e9)), ' s where about ', toString(round(DomainSeconds)), ' s are usual.'), '')),
        (65, if(Won AND DomainTokens > 0 AND Tokens BETWEEN 1 AND 0.7 * DomainTokens, concat('Spent ', toString(Tokens), ' tokens where about ', toString(round(DomainTokens)), ' are usual.'), '')),
        (60, if(Outcome = 'abstained' AND UsualSteps > 0 AND StoppedAtStep <= 0.5 * UsualSteps, concat('Gave up early, after ', toString(StoppedAtStep), ' steps, rather than late.'), '')),
        (50, if(NOT Won AND N >= 3 AND FailedSteps <= 0.1 * N, concat(toString(N - FailedSteps), ' of ', toString(N), ' steps succeeded: the tools were used well.'), '')),
        (40, if(Outcome = 'partial' AND Completed > 0, concat(toString(Completed), ' of ', toString(Completed + Failed), ' parts were done.'), ''))
    ]))), 1, 5) AS Successes,
    arraySlice(arrayMap(x -> x.2, arrayReverseSort(arrayFilter(x -> x.2 != '', [
        (100, if(Outcome = 'abandoned', concat('Stopped without an end', if(N = 0, '.', concat(' after ', Names[-1], ': find out what interrupted it.'))), '')),
        (98, if(Outcome = 'success' AND NOT Won, concat('Took itself for a success but was scored ', toString(ifNull(ExternalReward, 0)), ' from outside: check the result before ending.'), '')),
        (95, if(notEmpty(Repeated) AND Repeated[1].1 >= 2, concat('The same error came ', toString(Repeated[1].1), ' times (', Repeated[1].2, '): change the approach after the second.'), '')),
        (90, if(notEmpty(Worst) AND Worst[1].1 >= 2 AND Worst[1].1 * 3 >= Worst[1].2, concat(Worst[1].3, ' failed ', toString(Worst[1].1), ' of ', toString(Worst[1].2), ' times: check its arguments before calling it again.'), '')),
        (85, if(NOT Won AND Outcome IN ('success', 'failure', 'partial') AND N > 0 AND NOT StepOk[-1], concat('Ended on a failed ', Names[-1], ' (', StepErrors[-1], '): a failed step should not be the last word.'), '')),
        (80, if(N >= 3 AND FailedSteps > 0.3 * N, concat(toString(FailedSteps), ' of ', toString(N), ' steps failed: look before acting.'), '')),
        (70, if(notEmpty(Streaks) AND Streaks[1].1 >= 4 AND Streaks[1].2 != '', concat('Called ', Streaks[1].2, ' ', toString(Streaks[1].1), ' times in a row: ask for it in one call, or narrow the question.'), '')),
        (65, if(UsualSteps > 0 AND N > 1.5 * UsualSteps, concat('Took ', toString(N), ' steps where about ', toString(round(UsualSteps)), ' are usual', if(Domain = '', '', concat(' in ', Domain)), ': look for the detour.'), '')),
        (60, if(DomainTokens > 0 AND Tokens > 1.5 * DomainTokens, concat('Spent ', toString(Tokens), ' tokens where about ', toString(round(DomainTokens)), ' are usual.'), '')),
        (50, if(N >= 3 AND Busy >= 10000000000 AND Slowest > 0.5 * Busy, concat('Step ', toString(SlowestAt), ' (', Names[SlowestAt], ') took ', toString(round(100 * Slowest / Busy)), ' % of the time: make it faster or call it less.'), '')),
        (45, if(Outcome = 'abstained' AND UsualSteps > 0 AND StoppedAtStep > UsualSteps, concat('Gave up only after ', toString(StoppedAtStep), ' steps: see earlier that it cannot be done.'), '')),
        (40, if(NOT Won AND Outcome = 'failure' AND N = 0, 'Failed without a single step: try something.', ''))
    ]))), 1, 5) AS Improvements,
    arraySlice(arrayMap(x -> x.2, arrayReverseSort(arrayFilter(x -> x.2 != '', [
        (95, if(Mended > 0, concat('After ', Names[Mended], ' fails with "', StepErrors[Mended], '", ', Names[Mended + 1], ' works.'), '')),
        (90, if(length(Repeated) >= 2, concat(toString(length(Repeated)), ' different errors came up, most often ', Repeated[1].2, '.'), '')),
        (80, if(N > 0, concat(toString(N - FailedSteps), ' of ', toString(N), ' steps succeeded, with ', toString(DistinctTools), if(DistinctTools = 1, ' tool.', ' different tools.')), '')),
        (70, if(N >= 4 AND notEmpty(Used) AND Used[1].1 * 2 >= N, concat(Used[1].2, ' was ', toString(Used[1].1), ' of the ', toString(N), ' steps.'), '')),
        (60, if(N >= 3 AND Busy > 0 AND Slowest > 0.5 * Busy, concat(Names[SlowestAt], ' (step ', toString(SlowestAt), ') is where the time goes: ', toString(round(100 * Slowest / Busy)), ' %.'), '')),
        (50, if(UsualSteps > 0 AND N > 0, concat('An episode here usually takes about ', toString(round(UsualSteps)), ' steps; this one took ', toString(N), '.'), '')),
        (40, if(notEmpty(Decisions), concat('Decided "', Decisions[1].2, '" on: ', Decisions[1].1, '.'), '')),
        (30, if(ExternalReward IS NOT NULL, concat('Was scored ', toString(ifNull(ExternalReward, 0)), ' from outside.'), ''))
    ]))), 1, 5) AS Insights
FROM shaped;

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
