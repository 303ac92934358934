-- Tasks, each once, with what became of them.

-- name: tasks
CREATE OR REPLACE VIEW tasks
(
    Domain LowCardinality(String) COMMENT 'episode.domain; empty: none',
    Tenant LowCardinality(String) COMMENT 'tenant.id of the resource; empty: none',
    Task String COMMENT 'the task, word for word',
    Episodes UInt64 COMMENT 'episodes of it that ended or were abandoned, and of which somebody said how it went',
    Successes UInt64 COMMENT 'of these, how many succeeded',
    Best String COMMENT 'the successful episode with the fewest failed steps, then the fewest steps; empty: none',
    LastFailed String COMMENT 'the latest episode that did not succeed; empty: none',
    LastSeen DateTime64(9, 'UTC') COMMENT 'start of the latest of these episodes'
)
AS WITH
    (SELECT External FROM internal_reward_settings) AS external,
    (SELECT SuccessAt FROM internal_reward_settings) AS success_at,
    ifNull(if(external, ExternalReward >= success_at, NULL), Outcome = 'success') AS Won
SELECT
    Domain, Tenant, Task, count() AS Episodes, countIf(Won) AS Successes,
    argMinIf(EpisodeId, (FailedSteps, Steps, -toUnixTimestamp64Nano(StartTime)), Won) AS Best,
    argMaxIf(EpisodeId, (StartTime, EpisodeId), NOT Won) AS LastFailed,
    max(StartTime) AS LastSeen
FROM internal_facts FINAL
WHERE Task != '' AND (Outcome IN ('success', 'partial', 'failure', 'abandoned') OR (external AND ExternalReward IS NOT NULL))
GROUP BY Domain, Tenant, Task;
