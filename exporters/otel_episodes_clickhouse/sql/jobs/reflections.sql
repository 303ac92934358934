-- Say what each episode teaches.

-- name: reflections_write
INSERT INTO internal_reflections (* EXCEPT (Version, WrittenAt), Version)
SELECT *, {snapshot:DateTime64(6, 'UTC')}
FROM internal_reflections_changed(run = {run:String}, batch = {batch:UInt32}, full = {full:Bool}, low = {low:String}, high = {high:String})
SETTINGS optimize_move_to_prewhere_if_final = 1, max_insert_threads = 2, optimize_on_insert = 0;

-- name: reflections_forget
INSERT INTO internal_reflections (EpisodeId, IsDeleted, Version)
SELECT *, {snapshot:DateTime64(6, 'UTC')}
FROM internal_reflections_gone(run = {run:String}, batch = {batch:UInt32}, full = {full:Bool}, low = {low:String}, high = {high:String});

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
    (
        SELECT CAST((any(Domain), any(TaskType), any(StepTools), any(Won)),
            'Tuple(Domain String, TaskType String, Tools Array(String), Won Bool)')
        FROM internal_sequences FINAL
        WHERE EpisodeId = {episode:String}
    ) AS mine
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
        WHERE Domain = mine.Domain AND TaskType = mine.TaskType AND Outcome IN ('success', 'partial', 'failure', 'abstained')
            AND EpisodeId != {episode:String}
    )
    ARRAY JOIN Tools AS Tool
    WHERE Tool != '' AND NOT has(mine.Tools, Tool)
    GROUP BY Tool
)
WHERE NOT mine.Won AND Winners >= 2 AND Share >= 0.5 AND Share > OthersShare + 0.1
ORDER BY Share - OthersShare DESC, Tool
LIMIT 2;

-- name: reflection_alike
-- Of a run that did not succeed, the successful one of its domain that went most like it (the same task first, then the share of their
-- tools that both used), and the first step at which the two part.
WITH
    (SELECT External FROM internal_reward_settings) AS external,
    (SELECT SuccessAt FROM internal_reward_settings) AS success_at,
    ifNull(if(external, ExternalReward >= success_at, NULL), Outcome = 'success') AS Won,
    arrayFilter(tool -> tool != '', arrayMap(tool -> toString(tool), StepTools)) AS Tools,
    (
        SELECT CAST((any(Domain), any(Tenant), any(Task), any(Tools), any(Won)),
            'Tuple(Domain String, Tenant String, Task String, Tools Array(String), Won Bool)')
        FROM internal_sequences FINAL
        WHERE EpisodeId = {episode:String}
    ) AS mine,
    greatest(length(Tools), length(mine.Tools)) AS Longest
SELECT
    EpisodeId, Task = mine.Task AS SameTask,
    arrayFirstIndex((theirs, own) -> theirs != own, arrayResize(Tools, Longest, ''), arrayResize(mine.Tools, Longest, '')) AS PartsAt,
    Tools[PartsAt] AS TheirTool,
    mine.Tools[PartsAt] AS OwnTool
FROM internal_sequences FINAL
WHERE Domain = mine.Domain AND Tenant = mine.Tenant AND Won AND NOT mine.Won AND notEmpty(Tools) AND PartsAt > 0
ORDER BY SameTask DESC,
    length(arrayIntersect(Tools, mine.Tools)) / length(arrayDistinct(arrayConcat(Tools, mine.Tools))) DESC, StartTime DESC, EpisodeId
LIMIT 1;
