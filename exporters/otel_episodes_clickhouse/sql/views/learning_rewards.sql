-- Reward formulas. Each is a view with the columns EpisodeId, Total, Base, Abstention, Efficiency, ComplexityBonus, Quality
-- and LearningBonus over internal_reward_facts, one row an episode; docs/how-to/rewards.md says why they are as they are.

-- name: internal_domain_scales_now
-- Medians as powers of the square root of 2: a reward that is relative to them moves when the domain really moved,
-- not with each new episode.
CREATE OR REPLACE VIEW internal_domain_scales_now
AS SELECT
    Domain,
    if(AnyTimed, exp2(round(2 * log2(MedianSeconds)) / 2), 0) AS Seconds,
    if(AnySteps, exp2(round(2 * log2(MedianSteps)) / 2), 0) AS Steps,
    if(AnyTokens, exp2(round(2 * log2(MedianTokens)) / 2), 0) AS Tokens,
    if(AnyCost, exp2(round(2 * log2(MedianCost)) / 2), 0) AS Cost
FROM
(
    SELECT
        Domain,
        countIf(DurationNs >= 1000000000) >= 5 AS AnyTimed,
        countIf(Steps > 0) >= 5 AS AnySteps,
        countIf(InputTokens + OutputTokens > 0) >= 5 AS AnyTokens,
        countIf(f.Cost > 0) >= 5 AS AnyCost,
        quantileExactIf(0.5)(DurationNs / 1e9, DurationNs >= 1000000000) AS MedianSeconds,
        quantileExactIf(0.5)(toFloat64(Steps), Steps > 0) AS MedianSteps,
        quantileExactIf(0.5)(toFloat64(InputTokens + OutputTokens), InputTokens + OutputTokens > 0) AS MedianTokens,
        quantileExactIf(0.5)(ifNull(f.Cost, 0), f.Cost > 0) AS MedianCost
    FROM internal_facts AS f FINAL
    WHERE Outcome IN ('success', 'partial', 'failure', 'abstained')
    GROUP BY Domain
    HAVING count() >= 5
);

-- name: internal_scales_changed
CREATE OR REPLACE VIEW internal_scales_changed
AS SELECT Domain, Seconds, Steps, Tokens, Cost
FROM internal_domain_scales_now
WHERE (Domain, Seconds, Steps, Tokens, Cost) NOT IN (SELECT Domain, Seconds, Steps, Tokens, Cost FROM internal_domain_scales FINAL);

-- name: internal_usual
-- What is usual in each domain, by names of its own.
CREATE OR REPLACE VIEW internal_usual
AS SELECT Domain AS OfDomain, Seconds AS DomainSeconds, Steps AS DomainSteps, Tokens AS DomainTokens,
    Cost AS DomainCost
FROM internal_domain_scales FINAL;

-- name: internal_reward_facts
-- What the built-in formulas read. An episode that runs, or ended without an outcome, has no reward.
CREATE OR REPLACE VIEW internal_reward_facts
AS SELECT
    f.* EXCEPT (TraceId, OutcomeSource, Tenant, LastTime, Fingerprint, Version, WrittenAt),
    toInt64(intDiv(f.DurationNs, 1000000000)) AS Seconds,
    -- 0: not known yet, the domain has fewer than five episodes.
    s.DomainSeconds AS DomainSeconds, s.DomainSteps AS DomainSteps, s.DomainTokens AS DomainTokens,
    s.DomainCost AS DomainCost
FROM (SELECT * FROM internal_facts FINAL) AS f
LEFT JOIN internal_usual AS s ON s.OfDomain = f.Domain
WHERE f.Outcome IN ('success', 'partial', 'failure', 'abstained', 'abandoned');

-- name: internal_reward_inputs
-- The same with the steps in order, for formulas of your own and reflections.
CREATE OR REPLACE VIEW internal_reward_inputs
AS SELECT
    f.* EXCEPT (TraceId, OutcomeSource, Tenant, LastTime, Fingerprint, Version, WrittenAt),
    toInt64(intDiv(f.DurationNs, 1000000000)) AS Seconds,
    s.DomainSeconds AS DomainSeconds, s.DomainSteps AS DomainSteps, s.DomainTokens AS DomainTokens,
    s.DomainCost AS DomainCost
FROM (SELECT * FROM internal_sequences FINAL) AS f
LEFT JOIN internal_usual AS s ON s.OfDomain = f.Domain
WHERE f.Outcome IN ('success', 'partial', 'failure', 'abstained', 'abandoned');

-- name: internal_reward_parity_1
CREATE OR REPLACE VIEW internal_reward_parity_1
AS SELECT
    EpisodeId,
    greatest(0, Base + Abstention) * Efficiency * ComplexityBonus * Quality + LearningBonus AS Total,
    Base, Abstention, Efficiency, ComplexityBonus, Quality, LearningBonus
FROM
(
    SELECT
        EpisodeId,
        multiIf(
            Outcome = 'success', 1,
            Outcome = 'partial', if(Completed + Failed = 0, 0.5, Completed / (Completed + Failed)),
            Outcome = 'abstained', 0.3,
            0) AS Base,
        multiIf(
            Outcome = 'abstained' AND StoppedAtStep <= 3, 0.5,
            Outcome = 'abstained' AND StoppedAtStep >= 10, -0.3,
            Outcome = 'abstained', 0.5 - 0.8 * (StoppedAtStep - 3) / 7,
            Outcome IN ('failure', 'abandoned') AND Steps > 10, -0.2,
            0) AS Abstention,
        multiIf(NOT Ended, 1, Seconds <= 0, 1.5, 0.5 + exp(-Seconds / 120)) AS DurationPart,
        if(Steps = 0, 0.5, 0.5 + exp(-toInt64(Steps) / 20)) AS StepsPart,
        least(1.5, greatest(0.5, 0.5 * DurationPart + 0.5 * StepsPart)) AS Efficiency,
        multiIf(Complexity = 'moderate', 1.1, Complexity = 'complex', 1.2, 1.0) AS ComplexityBonus,
        if(Steps = 0, 0, FailedSteps / Steps) AS ErrorRate,
        if(Outcome = 'success',
            if(arrayExists(a -> position(a, 'test') > 0 OR position(a, 'coverage') > 0, Artifacts), 0.1, 0)
            + if(length(Artifacts) >= 3, 0.05, 0)
            + multiIf(ifNull(TestCoverage, 0) > 80, 0.15, ifNull(TestCoverage, 0) > 60, 0.1, 0), 0)
        + multiIf(Steps = 0, 0, ErrorRate > 0.3, -0.2, ErrorRate > 0.1, -0.1, ErrorRate = 0, 0.1, 0)
        + if(ClippyWarnings = '0', 0.05, 0) AS QualityPart,
        least(1.5, greatest(0.5, 1 + QualityPart)) AS Quality,
        least(0.5,
            least(0.3, 0.1 * PatternsApplied)
            + multiIf(Steps >= 3 AND DistinctTools >= 5, 0.15, Steps >= 3 AND DistinctTools >= 3, 0.1, 0)
            + multiIf(Steps >= 5 AND (Steps - FailedSteps) / Steps > 0.9, 0.2, Steps >= 3 AND FailedSteps = 0, 0.15, 0)
            + if(Recovered, 0.15, 0)
            + if(Ended AND Seconds < 30 AND Steps > 0 AND Steps < 10, 0.1, 0)) AS LearningBonus
    FROM internal_reward_facts
);

-- name: internal_reward_v2_of
-- With cost, what a run cost takes the place of its tokens.
CREATE OR REPLACE VIEW internal_reward_v2_of
AS SELECT
    EpisodeId,
    greatest(0, Base + Abstention) * Efficiency * ComplexityBonus * Quality + LearningBonus AS Total,
    Base, Abstention, Efficiency, ComplexityBonus, Quality, LearningBonus
FROM
(
    SELECT
        EpisodeId,
        multiIf(
            Outcome = 'success', 1,
            Outcome = 'partial', if(Completed + Failed = 0, 0.5, Completed / (Completed + Failed)),
            Outcome = 'abstained', 0.25,
            0) AS Base,
        -- At most 0.4 in all, where the poorest success earns 0.6.
        if(Outcome = 'abstained', 0.15 / (1 + StoppedAtStep / if(DomainSteps > 0, DomainSteps, 20)), 0) AS Abstention,
        -- 1 at the usual size, 1.25 towards nothing, 0.75 towards infinity; what was not measured is left out.
        arrayFilter(x -> x >= 0, [
            if(Ended AND DurationNs >= 1000000000, DurationNs / 1e9 / if(DomainSeconds > 0, DomainSeconds, 120), -1),
            if(Steps > 0, Steps / if(DomainSteps > 0, DomainSteps, 20), -1),
            multiIf(
                {cost:Bool}, if(Cost > 0 AND DomainCost > 0, assumeNotNull(Cost) / DomainCost, -1),
                InputTokens + OutputTokens > 0 AND DomainTokens > 0, (InputTokens + OutputTokens) / DomainTokens,
                -1)]) AS Sizes,
        if(Outcome = 'abstained' OR empty(Sizes), 1, arrayAvg(arrayMap(x -> 0.75 + 0.5 / (1 + x), Sizes))) AS Efficiency,
        multiIf(Outcome = 'abstained', 1, Complexity = 'moderate', 1.1, Complexity = 'complex', 1.2, 1.0) AS ComplexityBonus,
        if(Outcome = 'success',
            if(arrayExists(a -> position(a, 'test') > 0 OR position(a, 'coverage') > 0, Artifacts), 0.05, 0)
            + least(0.1, greatest(0, (ifNull(TestCoverage, 0) - 50) / 500)), 0)
        + if(Steps = 0, 0, greatest(-0.2, 0.1 - FailedSteps / Steps))
        + if(ClippyWarnings = '0', 0.05, 0) AS QualityPart,
        if(Outcome = 'abstained', 1, least(1.2, greatest(0.8, 1 + QualityPart))) AS Quality,
        multiIf(
            Outcome IN ('success', 'partial'),
            least(0.2, 0.05 * least(2, PatternsApplied) + if(Recovered, 0.1, 0) + if(Steps >= 3 AND DistinctTools >= 3, 0.05, 0)),
            Outcome = 'failure' AND Recovered, 0.05,
            0) AS LearningBonus
    FROM internal_reward_facts
);

-- name: internal_reward_v2
CREATE OR REPLACE VIEW internal_reward_v2
AS SELECT * FROM internal_reward_v2_of(cost = false);

-- name: internal_reward_v2_cost
CREATE OR REPLACE VIEW internal_reward_v2_cost
AS SELECT * FROM internal_reward_v2_of(cost = true);

-- name: internal_rewards_of
-- What the formula in that view gives, and the score from outside beside it. merge() is a table by a name that is a parameter.
CREATE OR REPLACE VIEW internal_rewards_of
AS WITH
    work AS (SELECT EpisodeId FROM internal_work(run = {run:String}, job = 'rewards', batch = {batch:UInt32})),
    computed AS
    (
        SELECT EpisodeId, Total, Base, Abstention, Efficiency, ComplexityBonus, Quality, LearningBonus
        FROM merge(currentDatabase(), concat('^', {formula_view:String}, '$'))
        WHERE EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
    ),
    judged AS
    (
        SELECT EpisodeId, ExternalReward FROM internal_facts FINAL
        WHERE ExternalReward IS NOT NULL AND EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String})
            AND ({full:Bool} OR EpisodeId IN work)
    )
SELECT
    c.EpisodeId AS EpisodeId, {formula:String} AS Formula, toFloat64(c.Total) AS Total, toFloat64(c.Base) AS Base,
    toFloat64(c.Abstention) AS Abstention, toFloat64(c.Efficiency) AS Efficiency, toFloat64(c.ComplexityBonus) AS ComplexityBonus,
    toFloat64(c.Quality) AS Quality, toFloat64(c.LearningBonus) AS LearningBonus, j.ExternalReward AS ExternalReward
FROM computed AS c
LEFT JOIN judged AS j ON j.EpisodeId = c.EpisodeId;

-- name: internal_rewards_changed
CREATE OR REPLACE VIEW internal_rewards_changed
AS WITH
    work AS (SELECT EpisodeId FROM internal_work(run = {run:String}, job = 'rewards', batch = {batch:UInt32}))
SELECT *, 0 AS IsDeleted
FROM internal_rewards_of(run = {run:String}, batch = {batch:UInt32}, full = {full:Bool},
    low = {low:String}, high = {high:String}, formula = {formula:String}, formula_view = {formula_view:String})
-- One number of 128 bits is looked up in half the time that an id and another take.
WHERE sipHash128(EpisodeId, Total, Base, Abstention, Efficiency, ComplexityBonus, Quality, LearningBonus,
                 ifNull(toString(ExternalReward), '')) NOT IN
(
    SELECT sipHash128(EpisodeId, Total, Base, Abstention, Efficiency, ComplexityBonus, Quality, LearningBonus,
                      ifNull(toString(ExternalReward), ''))
    FROM internal_rewards FINAL
    WHERE Formula = {formula:String}
        AND EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
);

-- name: internal_rewards_gone
-- An episode that was resumed has no reward until it ends again.
CREATE OR REPLACE VIEW internal_rewards_gone
AS WITH
    work AS (SELECT EpisodeId FROM internal_work(run = {run:String}, job = 'rewards', batch = {batch:UInt32}))
SELECT EpisodeId, Formula, 1 AS IsDeleted
FROM internal_rewards FINAL
WHERE Formula = {formula:String}
    AND EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
    AND sipHash128(EpisodeId) NOT IN
    (
        SELECT sipHash128(EpisodeId)
        FROM merge(currentDatabase(), concat('^', {formula_view:String}, '$'))
        WHERE EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
    );

-- name: internal_formula_check
-- What a formula of the user's gives the episodes of a batch that cannot be used: NaN, two rows, none.
CREATE OR REPLACE VIEW internal_formula_check
AS WITH
    work AS (SELECT EpisodeId FROM internal_work(run = {run:String}, job = 'rewards', batch = {batch:UInt32})),
    given AS
    (
        SELECT EpisodeId, true AS IsScore, toFloat64(Total) + toFloat64(Base) + toFloat64(Abstention) + toFloat64(Efficiency)
            + toFloat64(ComplexityBonus) + toFloat64(Quality) + toFloat64(LearningBonus) AS Sum
        FROM merge(currentDatabase(), concat('^', {formula_view:String}, '$'))
        WHERE EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
        UNION ALL
        SELECT EpisodeId, false, 0
        FROM internal_reward_inputs
        WHERE EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
    )
SELECT EpisodeId, sum(IsScore) AS Scored, countIf(IsScore AND NOT isFinite(ifNull(Sum, nan))) AS Infinite, max(NOT IsScore) AS Known
FROM given
GROUP BY EpisodeId;

-- name: internal_reward_settings
-- What `jobs run --reward` and `--success-at` chose.
CREATE OR REPLACE VIEW internal_reward_settings
(
    External Bool COMMENT 'true: scores from outside are used where there are any',
    SuccessAt Float64 COMMENT 'from which score on such an episode succeeded'
)
AS SELECT
    argMaxIf(Value, UpdatedAt, Name = 'reward_source') = 'external' AS External,
    ifNull(toFloat64OrNull(argMaxIf(Value, UpdatedAt, Name = 'success_at')), 1.) AS SuccessAt
FROM internal_settings
WHERE Name IN ('reward_source', 'success_at');

-- name: internal_scores
-- The reward in use of each scored episode, under each formula.
CREATE OR REPLACE VIEW internal_scores
(
    EpisodeId String COMMENT 'the episode',
    Formula LowCardinality(String) COMMENT 'formula version',
    Total Float64 COMMENT 'the computed reward',
    Base Float64 COMMENT 'for the outcome',
    Abstention Float64 COMMENT 'for giving up early, or late',
    Efficiency Float64 COMMENT 'factor for time, steps and tokens',
    ComplexityBonus Float64 COMMENT 'factor for the complexity of the task',
    Quality Float64 COMMENT 'factor for tests, coverage and failed steps',
    LearningBonus Float64 COMMENT 'for what was learned on the way',
    ExternalReward Nullable(Float64) COMMENT 'the score from outside',
    Reward Float64 COMMENT 'the reward in use: Total; with --reward external the score from outside, Base for an episode without one',
    Judged Nullable(Bool) COMMENT 'whether the score from outside says that it succeeded; NULL where the outcome decides'
)
AS WITH
    (SELECT External FROM internal_reward_settings) AS external,
    (SELECT SuccessAt FROM internal_reward_settings) AS success_at
SELECT
    EpisodeId, Formula, Total, Base, Abstention, Efficiency, ComplexityBonus, Quality, LearningBonus, ExternalReward,
    if(external, ifNull(ExternalReward, Base), Total) AS Reward,
    if(external, ExternalReward >= success_at, NULL) AS Judged
FROM internal_rewards FINAL;

-- name: rewards
-- The reward beside what it is relative to: its domain (from five episodes on) and its age.
CREATE OR REPLACE VIEW rewards
(
    EpisodeId String COMMENT 'the episode',
    Formula LowCardinality(String) COMMENT 'formula version',
    Domain LowCardinality(String) COMMENT 'domain of the episode',
    Task String COMMENT 'its task',
    Outcome LowCardinality(String) COMMENT 'its outcome',
    StartTime DateTime64(9, 'UTC') COMMENT 'when it started',
    Total Float64 COMMENT 'the computed reward',
    Base Float64 COMMENT 'for the outcome',
    Abstention Float64 COMMENT 'for giving up early, or late',
    Efficiency Float64 COMMENT 'factor for time, steps and tokens',
    ComplexityBonus Float64 COMMENT 'factor for the complexity of the task',
    Quality Float64 COMMENT 'factor for tests, coverage and failed steps',
    LearningBonus Float64 COMMENT 'for what was learned on the way',
    ExternalReward Nullable(Float64) COMMENT 'the score from outside',
    Reward Float64 COMMENT 'the reward in use: Total; with --reward external the score from outside, Base for an episode without one',
    DomainEpisodes UInt64 COMMENT 'scored episodes of the domain',
    DomainMean Nullable(Float64) COMMENT 'mean of Reward in the domain; NULL under five episodes',
    Normalised Nullable(Float64) COMMENT '(Reward - mean) / standard deviation in the domain; NULL under five episodes or without spread',
    Decayed Float64 COMMENT 'Reward halved for every 30 days of age, as of now',
    Success Bool COMMENT 'the outcome is success; where a score from outside is in use, that it is high enough'
)
AS SELECT
    r.EpisodeId AS EpisodeId, r.Formula AS Formula, f.Domain AS Domain, f.Task AS Task, f.Outcome AS Outcome, f.StartTime AS StartTime,
    r.Total AS Total, r.Base AS Base, r.Abstention AS Abstention, r.Efficiency AS Efficiency,
    r.ComplexityBonus AS ComplexityBonus, r.Quality AS Quality, r.LearningBonus AS LearningBonus,
    r.ExternalReward AS ExternalReward, r.Reward AS Reward,
    count() OVER same AS DomainEpisodes,
    if(DomainEpisodes >= 5, toNullable(avg(r.Reward) OVER same), NULL) AS DomainMean,
    if(DomainEpisodes >= 5 AND stddevPop(r.Reward) OVER same > 1e-9,
       toNullable((r.Reward - avg(r.Reward) OVER same) / stddevPop(r.Reward) OVER same), NULL) AS Normalised,
    r.Reward * exp2(-greatest(0, dateDiff('second', f.StartTime, now64(9))) / 2592000) AS Decayed,
    ifNull(r.Judged, f.Outcome = 'success') AS Success
FROM internal_scores AS r
INNER JOIN (SELECT EpisodeId, Domain, Task, Outcome, StartTime FROM internal_facts FINAL) AS f ON f.EpisodeId = r.EpisodeId
WINDOW same AS (PARTITION BY r.Formula, f.Domain);

-- name: internal_domain_rewards
CREATE OR REPLACE VIEW internal_domain_rewards
(
    Formula LowCardinality(String) COMMENT 'formula version',
    Domain LowCardinality(String) COMMENT 'empty: episodes without a domain',
    Episodes UInt64 COMMENT 'scored episodes; the figures below are NULL under five',
    SuccessRate Float64 COMMENT 'share whose outcome is success; where scores from outside are in use, whose score is high enough',
    Judged UInt64 COMMENT 'episodes with a score from outside',
    Mean Nullable(Float64) COMMENT 'mean of the reward in use',
    Median Nullable(Float64) COMMENT 'median reward',
    P90 Nullable(Float64) COMMENT '90th percentile',
    Deviation Nullable(Float64) COMMENT 'standard deviation',
    DecayedMean Nullable(Float64) COMMENT 'mean weighted by recency (half-life 30 days)'
)
AS SELECT
    r.Formula AS Formula, f.Domain AS Domain, count() AS Episodes,
    countIf(ifNull(r.Judged, f.Outcome = 'success')) / count() AS SuccessRate,
    countIf(r.ExternalReward IS NOT NULL) AS Judged,
    if(Episodes >= 5, toNullable(avg(r.Reward)), NULL) AS Mean,
    if(Episodes >= 5, toNullable(quantileExactInclusive(0.5)(r.Reward)), NULL) AS Median,
    if(Episodes >= 5, toNullable(quantileExactInclusive(0.9)(r.Reward)), NULL) AS P90,
    if(Episodes >= 5, toNullable(stddevPop(r.Reward)), NULL) AS Deviation,
    if(Episodes >= 5, toNullable(avgWeighted(r.Reward, exp2(-greatest(0, dateDiff('second', f.StartTime, now64(9))) / 2592000))), NULL)
        AS DecayedMean
FROM internal_scores AS r
INNER JOIN (SELECT EpisodeId, Domain, Outcome, StartTime FROM internal_facts FINAL) AS f ON f.EpisodeId = r.EpisodeId
GROUP BY r.Formula, f.Domain;
