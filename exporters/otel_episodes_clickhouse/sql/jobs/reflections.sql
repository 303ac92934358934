-- Say what each episode teaches.

-- name: reflections_worklist
INSERT INTO internal_job_worklist (RunId, Job, Batch, EpisodeId)
SELECT {run:String}, 'reflections', toUInt32(intDiv(rowNumberInAllBlocks(), {size:UInt32})), EpisodeId
FROM
(
    SELECT DISTINCT EpisodeId
    FROM internal_sequences
    WHERE WrittenAt >= {since:DateTime64(6, 'UTC')}
        OR Domain IN (SELECT Domain FROM internal_domain_scales WHERE WrittenAt >= {since:DateTime64(6, 'UTC')})
    ORDER BY EpisodeId
    SETTINGS max_threads = 1
)
SETTINGS max_insert_threads = 1;

-- name: reflections_write
INSERT INTO internal_reflections (EpisodeId, Successes, Improvements, Insights, Version, IsDeleted)
WITH work AS
(
    SELECT EpisodeId FROM internal_job_worklist WHERE RunId = {run:String} AND Job = 'reflections' AND Batch = {batch:UInt32}
)
SELECT EpisodeId, Successes, Improvements, Insights, {snapshot:DateTime64(6, 'UTC')}, 0
FROM internal_reflections_of(run = {run:String}, batch = {batch:UInt32}, full = {full:Bool}, low = {low:String}, high = {high:String})
WHERE (EpisodeId, cityHash64(Successes, Improvements, Insights)) NOT IN
(
    SELECT EpisodeId, cityHash64(Successes, Improvements, Insights) FROM internal_reflections FINAL
    WHERE EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
)
SETTINGS optimize_move_to_prewhere_if_final = 1, max_insert_threads = 2, optimize_on_insert = 0;

-- name: reflections_forget
INSERT INTO internal_reflections (EpisodeId, Version, IsDeleted)
WITH work AS
(
    SELECT EpisodeId FROM internal_job_worklist WHERE RunId = {run:String} AND Job = 'reflections' AND Batch = {batch:UInt32}
)
SELECT EpisodeId, {snapshot:DateTime64(6, 'UTC')}, 1
FROM internal_reflections FINAL
WHERE EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
    AND EpisodeId NOT IN (SELECT EpisodeId FROM internal_reward_inputs WHERE EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work));

-- name: reflection_of
SELECT Successes, Improvements, Insights
FROM internal_reflections FINAL
WHERE EpisodeId = {episode:String};

-- name: reflection_peers
-- What successful episodes of its kind did that it did not, as of now: this one follows from all the others, so it is
-- looked up, not kept. Successful as internal_reflections_of has it.
WITH
    (SELECT External FROM internal_reward_settings) AS external,
    (SELECT SuccessAt FROM internal_reward_settings) AS success_at,
    ifNull(if(external, ExternalReward >= success_at, NULL), Outcome = 'success') AS Won,
    (SELECT (any(Domain), any(TaskType), any(StepTools), any(Won)) FROM internal_sequences FINAL WHERE EpisodeId = {episode:String}) AS mine
SELECT Tool, Winners, Share, OthersShare
FROM
(
    SELECT
        toString(Tool) AS Tool,
        uniqExactIf(EpisodeId, IsWon) AS With,
        any(WinnersAll) AS Winners,
        With / Winners AS Share,
        if(any(LosersAll) = 0, 0, uniqExactIf(EpisodeId, NOT IsWon) / any(LosersAll)) AS OthersShare
    FROM
    (
        SELECT EpisodeId, Won AS IsWon, arrayDistinct(StepTools) AS Tools,
            countIf(IsWon) OVER () AS WinnersAll, countIf(NOT IsWon) OVER () AS LosersAll
        FROM internal_sequences FINAL
        WHERE Domain = mine.1 AND TaskType = mine.2 AND Outcome IN ('success', 'partial', 'failure', 'abstained')
            AND EpisodeId != {episode:String}
    )
    ARRAY JOIN Tools AS Tool
    WHERE Tool != '' AND NOT has(mine.3, Tool)
    GROUP BY Tool
)
WHERE NOT mine.4 AND Winners >= 2 AND Share >= 0.5 AND Share > OthersShare + 0.1
ORDER BY Share - OthersShare DESC, Tool
LIMIT 2;
