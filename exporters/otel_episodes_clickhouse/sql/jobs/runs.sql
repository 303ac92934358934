-- The job runner's own bookkeeping.

-- name: job_snapshot
-- Never at or before an earlier one, even if the clock was set back: versions are compared.
SELECT toString(greatest(now64(6, 'UTC'), addMicroseconds((SELECT max(SnapshotAt) FROM internal_job_runs), 1))) AS Snapshot;

-- name: job_last
SELECT
    toString(subtractSeconds(greatest(max(r.SnapshotAt), toDateTime64('1970-01-02 00:00:00', 6, 'UTC')), {overlap:UInt32})) AS Since,
    argMax(r.Formula, r.SnapshotAt) AS Formula,
    count() AS Runs,
    -- Whether other instrumentations record here: what reads their spans takes most of the time that planning takes.
    assumeNotNull((SELECT count() FROM internal_agent_spans)) > 0 AS Foreign
FROM internal_job_runs AS r FINAL
WHERE r.Job = {job:String} AND r.State = 'done' AND ({formula:String} = '' OR r.Formula = {formula:String});

-- name: job_record
INSERT INTO internal_job_runs (RunId, Job, Formula, State, Full, Since, SnapshotAt, FinishedAt, Seen, Written, Message)
SELECT {run:String}, {job:String}, {formula:String}, {state:String}, {full:Bool}, {since:DateTime64(6, 'UTC')},
    {snapshot:DateTime64(6, 'UTC')}, if({state:String} = 'running', toDateTime64(0, 6, 'UTC'), now64(6, 'UTC')),
    {seen:UInt64}, {written:UInt64}, {message:String};

-- name: job_history
SELECT RunId, Job, Formula, State, Full, SnapshotAt,
    if(State = 'running', 0, dateDiff('millisecond', SnapshotAt, FinishedAt)) AS Milliseconds, Seen, Written, Message
FROM internal_job_runs FINAL
ORDER BY SnapshotAt DESC, RunId
LIMIT {limit:UInt32};

-- name: job_states
SELECT
    r.Job AS Job,
    argMaxIf(r.Formula, r.SnapshotAt, r.State = 'done') AS Formula,
    maxIf(r.SnapshotAt, r.State = 'done') AS UpToDateAt,
    argMax(r.State, r.SnapshotAt) AS LastState,
    argMax(r.Message, r.SnapshotAt) AS Message,
    count() AS Runs
FROM internal_job_runs AS r FINAL
GROUP BY r.Job
ORDER BY r.Job;

-- name: job_pending
SELECT uniqExact(EpisodeId) AS Episodes
FROM internal_changes
WHERE InsertedAt > (SELECT max(SnapshotAt) FROM internal_job_runs FINAL WHERE Job = 'facts' AND State = 'done');

-- name: worklist_write
INSERT INTO internal_job_worklist (RunId, Job, Batch, EpisodeId)
SELECT {run:String}, {job:String}, toUInt32(intDiv(rowNumberInAllBlocks(), {size:UInt32})), EpisodeId
FROM
(
    SELECT EpisodeId
    FROM internal_work_since(job = {job:String}, since = {since:DateTime64(6, 'UTC')}, formula = {formula:String})
    ORDER BY EpisodeId
    SETTINGS max_threads = 1
)
SETTINGS max_insert_threads = 1;

-- name: worklist_batches
SELECT count() AS Episodes, if(count() = 0, 0, max(Batch) + 1) AS Batches
FROM internal_job_worklist
WHERE RunId = {run:String} AND Job = {job:String};

-- name: job_ranges
-- Where a job that reads everything begins each of its batches: at these ids. Of a large batch a thousandth is numbered.
WITH greatest(1, intDiv({size:UInt32}, 1000)) AS every
SELECT EpisodeId AS Low
FROM
(
    SELECT EpisodeId, row_number() OVER (ORDER BY EpisodeId) AS Place
    FROM (SELECT DISTINCT EpisodeId FROM {table:Identifier} WHERE cityHash64(EpisodeId) % every = 0)
)
WHERE (Place - 1) % intDiv({size:UInt32}, every) = 0
ORDER BY EpisodeId;

-- name: job_episodes
SELECT uniqExact(EpisodeId) AS Episodes FROM {table:Identifier};

-- name: foreign_spans
SELECT count() AS Spans FROM internal_agent_spans;

-- name: written_rows
SELECT count() AS Rows FROM {table:Identifier} WHERE Version = {snapshot:DateTime64(6, 'UTC')};

-- name: active_formula
SELECT argMax(Value, UpdatedAt) AS Formula FROM internal_settings WHERE Name = 'reward_formula';

-- name: reward_use
SELECT External, SuccessAt FROM internal_reward_settings;

-- name: rewards_judged
SELECT count() AS Episodes, countIf(ExternalReward IS NOT NULL) AS Judged FROM internal_facts FINAL;

-- name: set_reward_use
INSERT INTO internal_settings (Name, Value) SELECT 'reward_source', {reward:String} UNION ALL SELECT 'success_at', {success_at:String};

-- name: set_active_formula
INSERT INTO internal_settings (Name, Value) SELECT 'reward_formula', {formula:String};

-- name: user_formula_views
SELECT name AS Name, as_select AS Statement
FROM system.tables
WHERE database = currentDatabase() AND startsWith(name, {prefix:String})
ORDER BY name;
