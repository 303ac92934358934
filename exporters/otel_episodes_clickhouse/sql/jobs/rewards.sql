-- Score what changed under one formula.

-- name: scales_write
INSERT INTO internal_domain_scales (Domain, Seconds, Steps, Tokens, Version)
SELECT Domain, Seconds, Steps, Tokens, {snapshot:DateTime64(6, 'UTC')}
FROM internal_domain_scales_now
WHERE (Domain, Seconds, Steps, Tokens) NOT IN (SELECT Domain, Seconds, Steps, Tokens FROM internal_domain_scales FINAL);

-- name: rewards_worklist
INSERT INTO internal_job_worklist (RunId, Job, Batch, EpisodeId)
SELECT {run:String}, 'rewards', toUInt32(intDiv(rowNumberInAllBlocks(), {size:UInt32})), EpisodeId
FROM
(
    SELECT DISTINCT EpisodeId
    FROM {inputs:Identifier}
    WHERE WrittenAt >= {since:DateTime64(6, 'UTC')}
        -- What is usual in its domain has changed, and with it the scale of v2.
        OR Domain IN (SELECT Domain FROM internal_domain_scales WHERE WrittenAt >= {since:DateTime64(6, 'UTC')})
    ORDER BY EpisodeId
    SETTINGS max_threads = 1
)
SETTINGS max_insert_threads = 1;

-- name: rewards_check
WITH work AS
(
    SELECT EpisodeId FROM internal_job_worklist WHERE RunId = {run:String} AND Job = 'rewards' AND Batch = {batch:UInt32}
)
SELECT
    countIf(Scored > 1) AS Repeated,
    anyIf(EpisodeId, Infinite > 0) AS Example,
    countIf(Infinite > 0) AS NotFinite,
    anyIf(EpisodeId, Scored = 0) AS LeftOut,
    anyIf(EpisodeId, NOT Known) AS Unknown
FROM
(
    SELECT EpisodeId, sum(IsScore) AS Scored, countIf(IsScore AND NOT isFinite(ifNull(Sum, nan))) AS Infinite, max(NOT IsScore) AS Known
    FROM
    (
        SELECT EpisodeId, true AS IsScore, toFloat64(Total) + toFloat64(Base) + toFloat64(Abstention) + toFloat64(Efficiency)
            + toFloat64(ComplexityBonus) + toFloat64(Quality) + toFloat64(LearningBonus) AS Sum
        FROM {formula_view:Identifier}
        WHERE EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
        UNION ALL
        SELECT EpisodeId, false, 0
        FROM internal_reward_inputs
        WHERE EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
    )
    GROUP BY EpisodeId
);

-- name: rewards_write
INSERT INTO internal_rewards (EpisodeId, Formula, Total, Base, Abstention, Efficiency, ComplexityBonus, Quality, LearningBonus,
    ExternalReward, Version, IsDeleted)
WITH work AS
(
    SELECT EpisodeId FROM internal_job_worklist WHERE RunId = {run:String} AND Job = 'rewards' AND Batch = {batch:UInt32}
)
SELECT n.EpisodeId, {formula:String}, n.Total, n.Base, n.Abstention, n.Efficiency, n.ComplexityBonus, n.Quality, n.LearningBonus,
    x.ExternalReward, {snapshot:DateTime64(6, 'UTC')}, 0
FROM
(
    SELECT EpisodeId, toFloat64(Total) AS Total, toFloat64(Base) AS Base, toFloat64(Abstention) AS Abstention,
        toFloat64(Efficiency) AS Efficiency, toFloat64(ComplexityBonus) AS ComplexityBonus, toFloat64(Quality) AS Quality,
        toFloat64(LearningBonus) AS LearningBonus
    FROM {formula_view:Identifier}
    WHERE EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
) AS n
LEFT JOIN (SELECT EpisodeId, ExternalReward FROM internal_facts FINAL WHERE ExternalReward IS NOT NULL AND EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)) AS x ON x.EpisodeId = n.EpisodeId
-- One number of 128 bits is looked up in half the time that an id and another take.
WHERE sipHash128(n.EpisodeId, n.Total, n.Base, n.Abstention, n.Efficiency, n.ComplexityBonus, n.Quality, n.LearningBonus,
                 ifNull(toString(x.ExternalReward), '')) NOT IN
(
    SELECT sipHash128(EpisodeId, Total, Base, Abstention, Efficiency, ComplexityBonus, Quality, LearningBonus,
                      ifNull(toString(ExternalReward), ''))
    FROM internal_rewards FINAL
    WHERE Formula = {formula:String} AND EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
)
SETTINGS optimize_move_to_prewhere_if_final = 1, max_insert_threads = 2, optimize_on_insert = 0;

-- name: rewards_forget
-- An episode that was resumed has no reward until it ends again.
INSERT INTO internal_rewards (EpisodeId, Formula, Version, IsDeleted)
WITH work AS
(
    SELECT EpisodeId FROM internal_job_worklist WHERE RunId = {run:String} AND Job = 'rewards' AND Batch = {batch:UInt32}
)
SELECT EpisodeId, {formula:String}, {snapshot:DateTime64(6, 'UTC')}, 1
FROM internal_rewards FINAL
WHERE Formula = {formula:String} AND EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
    AND sipHash128(EpisodeId) NOT IN (SELECT sipHash128(EpisodeId) FROM {formula_view:Identifier} WHERE EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work))
SETTINGS optimize_move_to_prewhere_if_final = 1;

-- name: formula_parses
-- One statement, and that alone: its places are those of the user's file.
SELECT formatQuery({text:String}) AS Text;

-- name: formula_view
-- A user's formula is a SELECT, which stands in place of SELECT 1: kept as a view so that every statement above can read it
-- by name. What it reads has names of its own, which stay when our relations change theirs.
CREATE OR REPLACE VIEW {formula_view:Identifier} AS
WITH
    reward_inputs AS (SELECT * FROM internal_reward_inputs),
    reward_facts AS (SELECT * FROM internal_reward_facts)
SELECT * FROM
(
SELECT 1
)
