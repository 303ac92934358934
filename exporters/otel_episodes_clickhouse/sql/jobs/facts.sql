-- Keep internal_facts up to date, one row per episode, and internal_sequences, the same with the steps in order.

-- name: facts_worklist
INSERT INTO internal_job_worklist (RunId, Job, Batch, EpisodeId)
SELECT {run:String}, 'facts', toUInt32(intDiv(rowNumberInAllBlocks(), {size:UInt32})), EpisodeId
FROM
(
    SELECT DISTINCT EpisodeId
    FROM
    (
        SELECT EpisodeId FROM internal_changes WHERE InsertedAt >= {since:DateTime64(6, 'UTC')}
        UNION ALL
        -- Silence is a change too: an episode that runs may have become an abandoned one.
        SELECT EpisodeId FROM internal_facts WHERE Outcome = 'running'
    )
    ORDER BY EpisodeId
    SETTINGS max_threads = 1
)
SETTINGS max_insert_threads = 1;

-- name: facts_write
INSERT INTO internal_facts (EpisodeId, TraceId, Outcome, Ended, Task, TaskType, Domain, Language, Framework, Complexity, Tags,
    AgentName, StartTime, LastTime, DurationNs, Steps, FailedSteps, DistinctTools, Recovered, Completed, Failed, StoppedAtStep,
    Artifacts, TestCoverage, ClippyWarnings, PatternsApplied, ExternalReward, InputTokens, OutputTokens, Fingerprint,
    Version)
WITH work AS
(
    SELECT EpisodeId FROM internal_job_worklist WHERE RunId = {run:String} AND Job = 'facts' AND Batch = {batch:UInt32}
)
SELECT EpisodeId, TraceId, Outcome, Ended, Task, TaskType, Domain, Language, Framework, Complexity, Tags,
    AgentName, StartTime, LastTime, DurationNs, Steps, FailedSteps, DistinctTools, Recovered, Completed, Failed, StoppedAtStep,
    Artifacts, TestCoverage, ClippyWarnings, PatternsApplied, ExternalReward, InputTokens, OutputTokens, Fingerprint,
    {snapshot:DateTime64(6, 'UTC')}
FROM internal_facts_of(run = {run:String}, batch = {batch:UInt32}, full = {full:Bool}, low = {low:String}, high = {high:String})
-- One number of 128 bits is looked up in half the time that an id and another take.
WHERE sipHash128(EpisodeId, Fingerprint) NOT IN
(
    SELECT sipHash128(EpisodeId, argMax(Fingerprint, Version)) FROM internal_facts
    WHERE EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
    GROUP BY EpisodeId
)
SETTINGS optimize_move_to_prewhere_if_final = 1, max_insert_threads = 2, optimize_on_insert = 0;

-- name: sequences_worklist
-- Also where the facts are what they were: a span that was sent again may say something else of a step.
INSERT INTO internal_job_worklist (RunId, Job, Batch, EpisodeId)
SELECT {run:String}, 'sequences', toUInt32(intDiv(rowNumberInAllBlocks(), {size:UInt32})), EpisodeId
FROM
(
    SELECT DISTINCT EpisodeId
    FROM
    (
        SELECT EpisodeId FROM internal_changes WHERE InsertedAt >= {since:DateTime64(6, 'UTC')}
        UNION ALL
        SELECT EpisodeId FROM internal_facts WHERE WrittenAt >= {since:DateTime64(6, 'UTC')}
    )
    ORDER BY EpisodeId
    SETTINGS max_threads = 1
)
SETTINGS max_insert_threads = 1;

-- name: sequences_write
INSERT INTO internal_sequences (EpisodeId, TraceId, Outcome, Ended, Task, TaskType, Domain, Language, Framework, Complexity, Tags,
    AgentName, StartTime, LastTime, DurationNs, Steps, FailedSteps, DistinctTools, Recovered, Completed, Failed, StoppedAtStep,
    Artifacts, TestCoverage, ClippyWarnings, PatternsApplied, ExternalReward, InputTokens, OutputTokens, StepTools, StepOk,
    StepNs, StepTokens, StepErrors, Decisions, Fingerprint, Version)
WITH work AS
(
    SELECT EpisodeId FROM internal_job_worklist WHERE RunId = {run:String} AND Job = 'sequences' AND Batch = {batch:UInt32}
)
SELECT EpisodeId, TraceId, Outcome, Ended, Task, TaskType, Domain, Language, Framework, Complexity, Tags,
    AgentName, StartTime, LastTime, DurationNs, Steps, FailedSteps, DistinctTools, Recovered, Completed, Failed, StoppedAtStep,
    Artifacts, TestCoverage, ClippyWarnings, PatternsApplied, ExternalReward, InputTokens, OutputTokens, StepTools, StepOk,
    StepNs, StepTokens, StepErrors, Decisions, Fingerprint, {snapshot:DateTime64(6, 'UTC')}
FROM internal_sequences_of(run = {run:String}, batch = {batch:UInt32}, full = {full:Bool}, low = {low:String}, high = {high:String})
WHERE sipHash128(EpisodeId, Fingerprint) NOT IN
(
    SELECT sipHash128(EpisodeId, argMax(Fingerprint, Version)) FROM internal_sequences
    WHERE EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
    GROUP BY EpisodeId
)
SETTINGS optimize_move_to_prewhere_if_final = 1, max_insert_threads = 2, optimize_on_insert = 0;
