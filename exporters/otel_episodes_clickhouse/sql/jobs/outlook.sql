-- What an agent can ask in the middle of a run: each one query over the learned tables.

-- name: outlook
-- What sql/views/outlook.sql says of a run that has shown this, with the plain rates of its domain and its task beside it. The
-- run itself, where it is known already, says nothing of itself.
WITH
    sipHash64({domain:String}) AS domain_hash,
    sipHash64('episode', domain_hash) AS Whole,
    sipHash64('task', domain_hash, {task:String}) AS TaskId,
    sums AS
    (
        SELECT
            sumIf(Support, PatternId = Whole) AS Episodes,
            if(Episodes = 0, 0.5, sumIf(Successes, PatternId = Whole) / Episodes) AS DomainRate,
            sumIf(Support, PatternId = TaskId AND {task:String} != '') AS TaskEpisodes,
            if(TaskEpisodes = 0, DomainRate, sumIf(Successes, PatternId = TaskId) / TaskEpisodes) AS TaskRate
        FROM internal_pattern_totals FINAL
        WHERE PatternId IN ([Whole, TaskId])
    )
SELECT Probability, DomainRate, TaskRate, AlikeRate, Episodes, TaskEpisodes, FeaturesKnown
FROM sums
CROSS JOIN internal_outlook_of(domain = {domain:String}, split = '', folds = 1, fold = 0, seed = 0, before = 0,
                               before_id = {episode:String}, keep = 0,
                      pairs_only = false, task = {task:String}, tools = {tools:Array(String)}, ended = {ended:Bool});

-- name: plain_rates
-- The plain rates of a domain and of a task alone, at a tenth of the cost of the outlook.
WITH
    sipHash64({domain:String}) AS domain_hash,
    sipHash64('episode', domain_hash) AS Whole,
    sipHash64('task', domain_hash, {task:String}) AS TaskId
SELECT
    sumIf(Support, PatternId = Whole) AS Episodes,
    if(Episodes = 0, 0.5, sumIf(Successes, PatternId = Whole) / Episodes) AS DomainRate,
    sumIf(Support, PatternId = TaskId AND {task:String} != '') AS TaskEpisodes,
    if(TaskEpisodes = 0, DomainRate, sumIf(Successes, PatternId = TaskId) / TaskEpisodes) AS TaskRate,
    TaskRate AS Probability
FROM internal_pattern_totals FINAL
WHERE PatternId IN (Whole, TaskId);

-- name: plain_rates_of_tenant
-- The same of one tenant's runs: what others did is no business of theirs. Patterns are counted over all tenants, and so not asked.
WITH
    (SELECT External FROM internal_reward_settings) AS external,
    (SELECT SuccessAt FROM internal_reward_settings) AS success_at,
    ifNull(if(external, ExternalReward >= success_at, NULL), Outcome = 'success') AS Won
SELECT
    count() AS Episodes, if(Episodes = 0, 0.5, countIf(Won) / Episodes) AS DomainRate,
    countIf(Task = {task:String} AND Task != '') AS TaskEpisodes,
    if(TaskEpisodes = 0, DomainRate, countIf(Won AND Task = {task:String}) / TaskEpisodes) AS TaskRate,
    TaskRate AS Probability
FROM internal_facts FINAL
WHERE Domain = {domain:String} AND Tenant = {tenant:String} AND Outcome IN ('success', 'partial', 'failure', 'abandoned');

-- name: run_so_far
-- Of an episode as it is now, from its start marker and the steps there are, in the order in which they are learned
-- from; no row where it is not known at all.
SELECT
    argMax(r.Domain, (r.Domain != '', r.StartTime)) AS Domain,
    argMax(r.Task, (r.Task != '', r.StartTime)) AS Task,
    argMax(r.Tenant, (r.Tenant != '', r.StartTime)) AS Tenant,
    argMax(r.Ended, (r.Segment, r.Ended)) AS Ended,
    (
        -- By the clock where some step could not be counted, as internal_sequences_of has it.
        SELECT CAST(arraySort((step, position) -> position, groupArray((Tool, NOT Success)),
            if(min(StepIndex) > 0, groupArray(Position), groupArray(PositionByClock))), 'Array(Tuple(Tool String, Failed Bool))')
        FROM internal_placed_steps
        WHERE EpisodeId = {episode:String}
    ) AS StepsSoFar,
    tupleElement(StepsSoFar, 'Tool') AS Tools,
    tupleElement(StepsSoFar, 'Failed') AS Failed
FROM internal_roots_of_episodes AS r
WHERE r.EpisodeId = {episode:String}
HAVING count() > 0;
