-- What is learned from episodes. `otel-episodes jobs run --full` rebuilds every table here but three, which are filled
-- on insert: internal_changes, internal_decisions and internal_evaluations know only what arrived after them.
-- Rows are replaced, never updated: read with FINAL, or through the views of sql/views.

-- name: internal_changes
CREATE TABLE IF NOT EXISTS internal_changes
(
    EpisodeId String COMMENT 'an episode of which something arrived',
    InsertedAt DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'when, by the clock of the server'
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(InsertedAt)
ORDER BY InsertedAt
TTL toDateTime(InsertedAt) + INTERVAL 90 DAY
COMMENT 'which episodes changed when, in order of arrival: what an incremental job reads';

-- name: internal_changes_steps_mv
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_changes_steps_mv TO internal_changes
AS SELECT EpisodeId FROM internal_steps WHERE EpisodeId != '' AND Convention = '' GROUP BY EpisodeId;

-- name: internal_changes_roots_mv
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_changes_roots_mv TO internal_changes
AS SELECT EpisodeId FROM internal_roots WHERE EpisodeId != '' GROUP BY EpisodeId;

-- name: internal_changes_agents_mv
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_changes_agents_mv TO internal_changes
AS SELECT EpisodeId FROM internal_agent_spans GROUP BY EpisodeId;

-- name: internal_decisions
CREATE TABLE IF NOT EXISTS internal_decisions
(
    EpisodeId String COMMENT 'the episode',
    TraceId String COMMENT 'trace of its first segment',
    SpanId String COMMENT 'the span it was read from',
    Segment UInt16 COMMENT 'segment of the episode',
    StartTime DateTime64(9, 'UTC') COMMENT 'when it started',
    Question String COMMENT 'the action of the step, with numbers, paths, ids and quoted text replaced',
    Choice String COMMENT 'what was chosen; of a step that checks or verifies, passed or failed',
    Tenant LowCardinality(String) COMMENT 'tenant.id of the resource; empty: none',
    INDEX by_episode EpisodeId TYPE bloom_filter(0.00001) GRANULARITY 64
)
ENGINE = ReplacingMergeTree
ORDER BY (EpisodeId, Tenant, TraceId, SpanId)
COMMENT 'decision steps, and steps whose action checks, verifies, validates or decides';

-- name: internal_decisions_mv
-- The cheap search comes first: and() does not evaluate the regular expression where that fails.
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_decisions_mv TO internal_decisions
AS SELECT
    EpisodeId, TraceId, SpanId, Segment, StartTime,
    substringUTF8(trim(replaceRegexpAll(replaceRegexpAll(replaceRegexpAll(replaceRegexpAll(replaceRegexpAll(
        lowerUTF8(if(Action = '', Tool, Action)),
        '["`][^"`]*["`]|''[^'']*''', '<text>'),
        '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{13,}|0x[0-9a-f]+|\\b[0-9a-f]{12,}\\b', '<id>'),
        '(?:[a-z]:)?(?:[\\w.~-]*[/\\\\])+[\\w.~-]*', '<path>'),
        '[0-9]+(?:[.,][0-9]+)*', '<n>'),
        '[\\s[:cntrl:]]+', ' ')), 1, 160) AS Question,
    if(Kind = 'decision_point',
       substringUTF8(replaceRegexpAll(splitByString(': ', Observation)[1], '[[:cntrl:]]+', ' '), 1, 120),
       if(Success, 'passed', 'failed')) AS Choice,
    Tenant
FROM internal_steps
WHERE EpisodeId != '' AND Convention = '' AND (Kind = 'decision_point'
    OR (Success IS NOT NULL AND multiSearchAnyCaseInsensitive(Action, ['check', 'verif', 'validat', 'decid'])
        AND match(Action, '(?i)\\b(check(s|ed|ing)?|verif(y|ies|ied|ying)|validat(e|es|ed|ing)|decid(e|es|ed|ing))\\b')));

-- name: internal_evaluations
CREATE TABLE IF NOT EXISTS internal_evaluations
(
    EpisodeId String COMMENT 'the episode',
    TraceId String COMMENT 'trace of its first segment',
    SpanId String COMMENT 'the span it was read from',
    Time DateTime64(9, 'UTC') COMMENT 'when it was said',
    Name String COMMENT 'gen_ai.evaluation.name',
    Score Float64 COMMENT 'gen_ai.evaluation.score.value',
    Scored Bool DEFAULT true COMMENT 'false: it has a label or an explanation, and no score',
    Label LowCardinality(String) COMMENT 'gen_ai.evaluation.score.label',
    Explanation String COMMENT 'gen_ai.evaluation.explanation, at most 1024 characters',
    InsertedAt DateTime64(6, 'UTC') DEFAULT 0 COMMENT 'when it was stored, by the clock of the server; 1970: by an earlier version',
    Tenant LowCardinality(String) COMMENT 'tenant.id of the resource; empty: none',
    INDEX by_episode EpisodeId TYPE bloom_filter(0.00001) GRANULARITY 64
)
ENGINE = ReplacingMergeTree
ORDER BY (EpisodeId, Tenant, TraceId, SpanId, Name, Time)
COMMENT 'gen_ai.evaluation.result, as events on spans of an episode and as log records';

-- name: internal_evaluations_mv
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_evaluations_mv TO internal_evaluations
AS SELECT
    if(SpanAttributes['episode.id'] != '', SpanAttributes['episode.id'], TraceId) AS EpisodeId,
    TraceId,
    SpanId,
    event.1 AS Time,
    event.3['gen_ai.evaluation.name'] AS Name,
    ifNull(toFloat64OrNull(event.3['gen_ai.evaluation.score.value']), 0) AS Score,
    event.3['gen_ai.evaluation.score.value'] != '' AS Scored,
    event.3['gen_ai.evaluation.score.label'] AS Label,
    substringUTF8(event.3['gen_ai.evaluation.explanation'], 1, 1024) AS Explanation,
    now64(6) AS InsertedAt,
    ResourceAttributes['tenant.id'] AS Tenant
FROM otel_traces
ARRAY JOIN arrayZip(Events.Timestamp, Events.Name, Events.Attributes) AS event
WHERE has(Events.Name, 'gen_ai.evaluation.result') AND event.2 = 'gen_ai.evaluation.result' AND EpisodeId != ''
    AND (isFinite(toFloat64OrNull(event.3['gen_ai.evaluation.score.value']))
        OR (event.3['gen_ai.evaluation.score.value'] = '' AND (Label != '' OR Explanation != '')))
    AND TraceId NOT IN (SELECT TraceId FROM internal_forgotten);

-- name: internal_job_runs
CREATE TABLE IF NOT EXISTS internal_job_runs
(
    RunId String COMMENT 'one call of `jobs run`',
    Job LowCardinality(String) COMMENT 'facts, sequences, rewards, reflections, observations or patterns',
    Formula LowCardinality(String) COMMENT 'the reward formula the job used; empty where none matters',
    State LowCardinality(String) COMMENT 'running, done or failed',
    Full Bool COMMENT 'read everything, not only what changed',
    Since DateTime64(6, 'UTC') COMMENT 'read what changed from here on',
    SnapshotAt DateTime64(6, 'UTC') COMMENT 'when the job began to read, by the clock of the server: where the next one starts',
    FinishedAt DateTime64(6, 'UTC') COMMENT '1970 while it runs',
    Seen UInt64 COMMENT 'episodes looked at (patterns: weeks)',
    Written UInt64 COMMENT 'rows that were new or different',
    Message String COMMENT 'why it failed',
    Version DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'SnapshotAt of the job that wrote the row; the latest row of a key counts'
)
ENGINE = ReplacingMergeTree(Version)
ORDER BY (Job, Formula, SnapshotAt, RunId)
COMMENT 'every run of every job';

-- name: internal_job_worklist
-- derived: by the jobs.
CREATE TABLE IF NOT EXISTS internal_job_worklist
(
    RunId String COMMENT 'one call of `jobs run`; refresh: the refreshable views',
    Job LowCardinality(String) COMMENT 'the job whose worklist it is',
    Batch UInt32 COMMENT 'episodes are looked at in batches',
    EpisodeId String COMMENT 'the episode',
    CreatedAt DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'when it was listed'
)
ENGINE = MergeTree
PARTITION BY toDate(CreatedAt)
ORDER BY (RunId, Job, Batch, EpisodeId)
TTL toDateTime(CreatedAt) + INTERVAL 1 DAY
COMMENT 'the episodes a running job looks at, in batches';

-- name: internal_facts
-- derived: by the jobs.
CREATE TABLE IF NOT EXISTS internal_facts
(
    EpisodeId String COMMENT 'the episode',
    TraceId String COMMENT 'of the first segment',
    Outcome LowCardinality(String) COMMENT 'success, partial, failure, abstained; running, abandoned (silent for a day); empty: ended without saying',
    OutcomeSource LowCardinality(String) COMMENT 'who said so: told, score, exception, rule or default; empty: not recorded',
    Ended Bool COMMENT 'the last segment has an end',
    Task String COMMENT 'the task, word for word',
    TaskType LowCardinality(String) COMMENT 'episode.task_type',
    Domain LowCardinality(String) COMMENT 'episode.domain; empty: none',
    Language LowCardinality(String) COMMENT 'episode.language',
    Framework LowCardinality(String) COMMENT 'episode.framework',
    Complexity LowCardinality(String) COMMENT 'episode.complexity',
    Tags Array(String) COMMENT 'episode.tags',
    AgentName LowCardinality(String) COMMENT 'gen_ai.agent.name',
    Tenant LowCardinality(String) COMMENT 'tenant.id of the resource; empty: none',
    StartTime DateTime64(9, 'UTC') COMMENT 'start of the episode span; a step with an earlier clock does not move it',
    LastTime DateTime64(9, 'UTC') COMMENT 'the latest end of anything in it',
    DurationNs UInt64 COMMENT 'time worked: the sum over segments; 0 while nothing has ended',
    Steps UInt32 COMMENT 'number of steps',
    FailedSteps UInt32 COMMENT 'of these, how many failed',
    DistinctTools UInt32 COMMENT 'number of different tools',
    Recovered Bool COMMENT 'some failed step is directly followed by one that succeeded',
    Completed UInt32 COMMENT 'of a partial outcome: parts done',
    Failed UInt32 COMMENT 'of a partial outcome: parts not done',
    StoppedAtStep UInt32 COMMENT 'of an abstained outcome: after how many steps',
    Artifacts Array(String) COMMENT 'episode.artifacts',
    TestCoverage Nullable(Float64) COMMENT 'episode.test_coverage, percent',
    ClippyWarnings String COMMENT 'episode.clippy_warnings',
    PatternsApplied UInt32 COMMENT 'episode.patterns_applied: a number, or the length of a list',
    ExternalReward Nullable(Float64) COMMENT 'episode.reward, else the mean of the latest gen_ai.evaluation.result of each name',
    InputTokens UInt64 COMMENT 'tokens in',
    OutputTokens UInt64 COMMENT 'tokens out',
    Cost Nullable(Float64) COMMENT 'of its model calls, US dollars; NULL: some or all of them are not priced',
    Fingerprint UInt64 COMMENT 'hash of all the above: equal means nothing changed',
    Version DateTime64(6, 'UTC') COMMENT 'SnapshotAt of the job that wrote it',
    WrittenAt DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'when it was written, by the clock of the server',
    INDEX by_episode EpisodeId TYPE bloom_filter(0.00001) GRANULARITY 64
)
ENGINE = ReplacingMergeTree(Version)
ORDER BY EpisodeId
-- Few rows at a time are looked up by id.
SETTINGS index_granularity = 1024
COMMENT 'one row per episode: what it was and its counts, all that the built-in rewards read';

-- name: internal_sequences
-- derived: by the jobs. A second table, since the arrays cost more than all the rest, and its facts once more, since joining them
-- each time would cost more than keeping them.
CREATE TABLE IF NOT EXISTS internal_sequences
(
    EpisodeId String COMMENT 'the episode',
    TraceId String COMMENT 'of the first segment',
    Outcome LowCardinality(String) COMMENT 'success, partial, failure, abstained; running, abandoned (silent for a day); empty: ended without saying',
    OutcomeSource LowCardinality(String) COMMENT 'who said so: told, score, exception, rule or default; empty: not recorded',
    Ended Bool COMMENT 'the last segment has an end',
    Task String COMMENT 'the task, word for word',
    TaskType LowCardinality(String) COMMENT 'episode.task_type',
    Domain LowCardinality(String) COMMENT 'episode.domain; empty: none',
    Language LowCardinality(String) COMMENT 'episode.language',
    Framework LowCardinality(String) COMMENT 'episode.framework',
    Complexity LowCardinality(String) COMMENT 'episode.complexity',
    Tags Array(String) COMMENT 'episode.tags',
    AgentName LowCardinality(String) COMMENT 'gen_ai.agent.name',
    Tenant LowCardinality(String) COMMENT 'tenant.id of the resource; empty: none',
    StartTime DateTime64(9, 'UTC') COMMENT 'start of the episode span; a step with an earlier clock does not move it',
    LastTime DateTime64(9, 'UTC') COMMENT 'the latest end of anything in it',
    DurationNs UInt64 COMMENT 'time worked: the sum over segments; 0 while nothing has ended',
    Steps UInt32 COMMENT 'number of steps',
    FailedSteps UInt32 COMMENT 'of these, how many failed',
    DistinctTools UInt32 COMMENT 'number of different tools',
    Recovered Bool COMMENT 'some failed step is directly followed by one that succeeded',
    Completed UInt32 COMMENT 'of a partial outcome: parts done',
    Failed UInt32 COMMENT 'of a partial outcome: parts not done',
    StoppedAtStep UInt32 COMMENT 'of an abstained outcome: after how many steps',
    Artifacts Array(String) COMMENT 'episode.artifacts',
    TestCoverage Nullable(Float64) COMMENT 'episode.test_coverage, percent',
    ClippyWarnings String COMMENT 'episode.clippy_warnings',
    PatternsApplied UInt32 COMMENT 'episode.patterns_applied: a number, or the length of a list',
    ExternalReward Nullable(Float64) COMMENT 'episode.reward, else the mean of the latest gen_ai.evaluation.result of each name',
    InputTokens UInt64 COMMENT 'tokens in',
    OutputTokens UInt64 COMMENT 'tokens out',
    Cost Nullable(Float64) COMMENT 'of its model calls, US dollars; NULL: some or all of them are not priced',
    StepTools Array(LowCardinality(String)) COMMENT 'the steps in order, one element each; so the arrays below',
    StepOk Array(Bool) COMMENT 'whether each succeeded',
    StepNs Array(UInt64) COMMENT 'how long each took, nanoseconds',
    StepTokens Array(UInt64) COMMENT 'tokens in and out of each',
    StepTemplates Array(String) COMMENT 'the template of each: its arguments by where their values came from; empty: none was recorded',
    StepErrors Array(String) COMMENT 'error text with numbers, paths, ids, hex and quoted text replaced; empty on a step that succeeded',
    Decisions Array(Tuple(Question String, Choice String)) COMMENT 'what was asked and chosen, in order',
    Fingerprint UInt64 COMMENT 'hash of all the above: equal means nothing changed',
    Version DateTime64(6, 'UTC') COMMENT 'SnapshotAt of the job that wrote it',
    WrittenAt DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'when it was written, by the clock of the server',
    INDEX by_episode EpisodeId TYPE bloom_filter(0.00001) GRANULARITY 64
)
ENGINE = ReplacingMergeTree(Version)
ORDER BY EpisodeId
-- Its rows are wide, and few of them at a time are looked up by id.
SETTINGS index_granularity = 1024
COMMENT 'internal_facts with the steps in order: what reflections, patterns and formulas of your own read';

-- name: internal_domain_scales
-- derived: by the jobs.
CREATE TABLE IF NOT EXISTS internal_domain_scales
(
    Domain String COMMENT 'episode.domain; empty: none',
    Seconds Float64 COMMENT 'median duration of ended episodes, as a power of the square root of 2',
    Steps Float64 COMMENT 'median number of steps, likewise',
    Tokens Float64 COMMENT 'median tokens, likewise; 0 when the domain counts none',
    Cost Float64 COMMENT 'median cost, US dollars, likewise; 0 when fewer than five are priced',
    Version DateTime64(6, 'UTC') COMMENT 'SnapshotAt of the job that wrote the row; the latest row of a key counts',
    WrittenAt DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'when it was written, by the clock of the server'
)
ENGINE = ReplacingMergeTree(Version)
ORDER BY Domain
COMMENT 'what is usual in a domain, once it has five ended episodes; rounded so that one more episode rarely moves it';

-- name: internal_rewards
-- derived: by the jobs.
CREATE TABLE IF NOT EXISTS internal_rewards
(
    EpisodeId String COMMENT 'the episode',
    Formula LowCardinality(String) COMMENT 'parity-1, v2, or <name>@<hash> of a formula of your own',
    Total Float64 COMMENT 'greatest(0, Base + Abstention) * Efficiency * ComplexityBonus * Quality + LearningBonus, unless the formula says otherwise',
    Base Float64 COMMENT 'for the outcome',
    Abstention Float64 COMMENT 'for giving up early, or late',
    Efficiency Float64 COMMENT 'factor for time, steps and tokens',
    ComplexityBonus Float64 COMMENT 'factor for the complexity of the task',
    Quality Float64 COMMENT 'factor for tests, coverage and failed steps',
    LearningBonus Float64 COMMENT 'for what was learned on the way',
    ExternalReward Nullable(Float64) COMMENT 'a score from outside, kept beside the computed one',
    Version DateTime64(6, 'UTC') COMMENT 'SnapshotAt of the job that wrote the row; the latest row of a key counts',
    WrittenAt DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'when it was written, by the clock of the server',
    IsDeleted UInt8 COMMENT '1: the episode has no reward any more (it was resumed and runs)',
    INDEX by_episode EpisodeId TYPE bloom_filter(0.00001) GRANULARITY 64
)
ENGINE = ReplacingMergeTree(Version, IsDeleted)
ORDER BY (Formula, EpisodeId)
COMMENT 'the reward of every ended or abandoned episode, per formula version';

-- name: internal_reflections
-- derived: by the jobs.
CREATE TABLE IF NOT EXISTS internal_reflections
(
    EpisodeId String COMMENT 'the episode',
    Successes Array(String) COMMENT 'what to keep doing, the most telling first, at most five',
    Improvements Array(String) COMMENT 'what to do otherwise, at most five',
    Insights Array(String) COMMENT 'what to know, at most five',
    Version DateTime64(6, 'UTC') COMMENT 'SnapshotAt of the job that wrote the row; the latest row of a key counts',
    WrittenAt DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'when it was written, by the clock of the server',
    IsDeleted UInt8 COMMENT '1: taken back',
    INDEX by_episode EpisodeId TYPE bloom_filter(0.00001) GRANULARITY 64
)
ENGINE = ReplacingMergeTree(Version, IsDeleted)
ORDER BY EpisodeId
COMMENT 'what one episode teaches';

-- name: internal_pattern_observations
-- derived: by the jobs.
CREATE TABLE IF NOT EXISTS internal_pattern_observations
(
    Week Date COMMENT 'Monday of the week in which the episode started, UTC',
    EpisodeId String COMMENT 'the episode',
    TraceId String COMMENT 'trace of its first segment',
    Domain LowCardinality(String) COMMENT 'episode.domain; empty: none',
    Task String COMMENT 'the task, word for word',
    StartTime DateTime64(9, 'UTC') COMMENT 'when it started',
    Success Bool COMMENT 'the outcome is success; where a score from outside is in use, that it is high enough',
    RewardMicros Int64 COMMENT 'the reward in use in millionths, from -10^12 to 10^12: whole numbers add up to the same sum in any order',
    DurationNs UInt64 COMMENT 'nanoseconds worked',
    Tokens UInt64 COMMENT 'tokens in and out',
    Weight UInt32 COMMENT '2^20 at the start of the week, doubling every 30 days: recency, in whole numbers',
    PatternIds Array(UInt64) COMMENT 'what it shows, each once',
    Tools Array(LowCardinality(String)) COMMENT 'the tools in order, for what follows what; at most 10,000',
    Oks Array(Bool) COMMENT 'whether each succeeded',
    Templates Array(String) COMMENT 'the template of each; empty: none was recorded',
    Tenant LowCardinality(String) COMMENT 'tenant.id of the resource; empty: none',
    Told Bool COMMENT 'the outcome was told, or scored; else it is a default',
    Value Int32 COMMENT 'what the run earned, from 0 to 1, in millionths; -1: nobody judged it',
    Fingerprint UInt64 COMMENT 'hash of the row: equal means nothing changed',
    Version DateTime64(6, 'UTC') COMMENT 'SnapshotAt of the job that wrote the row; the latest row of a key counts',
    WrittenAt DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'when it was written, by the clock of the server',
    IsDeleted UInt8 COMMENT '1: taken back',
    INDEX by_episode EpisodeId TYPE bloom_filter(0.00001) GRANULARITY 64
)
ENGINE = ReplacingMergeTree(Version, IsDeleted)
ORDER BY (Week, EpisodeId)
COMMENT 'which patterns each ended or abandoned episode shows';

-- name: internal_pattern_buckets
-- derived: by the jobs.
CREATE TABLE IF NOT EXISTS internal_pattern_buckets
(
    PatternId UInt64 COMMENT 'the pattern, see internal_pattern_keys',
    Week Date COMMENT 'Monday of the week, UTC',
    Support UInt64 COMMENT 'distinct episodes of that week that show it; 0: none any more',
    Successes UInt64 COMMENT 'of these, how many succeeded',
    RewardMicros Int64 COMMENT 'sum of rewards, in millionths',
    DurationNs UInt64 COMMENT 'sum of durations',
    Tokens UInt64 COMMENT 'sum of tokens',
    Weight UInt64 COMMENT 'sum of recency weights, see internal_pattern_observations',
    SuccessWeight UInt64 COMMENT 'sum of recency weights of those that succeeded',
    FirstSeen DateTime('UTC') COMMENT 'start of the earliest of these episodes',
    LastSeen DateTime('UTC') COMMENT 'start of the latest',
    Episodes UInt64 COMMENT 'sum of hashes of these episodes: others give another number',
    Version DateTime64(6, 'UTC') COMMENT 'SnapshotAt of the job that wrote the row; the latest row of a key counts',
    WrittenAt DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'when it was written, by the clock of the server'
)
ENGINE = ReplacingMergeTree(Version)
PARTITION BY toYYYYMM(Week)
ORDER BY (PatternId, Week)
COMMENT 'sums per pattern and week; a week is always added up as a whole, and what differs is written';

-- name: internal_pattern_totals
-- derived: by the jobs.
CREATE TABLE IF NOT EXISTS internal_pattern_totals
(
    PatternId UInt64 COMMENT 'the pattern, see internal_pattern_keys',
    Support UInt64 COMMENT 'distinct episodes that show it; 0: none any more',
    Successes UInt64 COMMENT 'of these, how many succeeded',
    RewardMicros Int64 COMMENT 'sum of rewards, in millionths',
    DurationNs UInt64 COMMENT 'sum of durations',
    Tokens UInt64 COMMENT 'sum of tokens',
    RecentSupport Float64 COMMENT 'Support weighted by 2 to the power of (start - 2020-01-01) / 30 days',
    RecentSuccesses Float64 COMMENT 'Successes weighted likewise',
    FirstSeen DateTime('UTC') COMMENT 'start of the earliest of these episodes',
    LastSeen DateTime('UTC') COMMENT 'start of the latest',
    LastWeek Date COMMENT 'Monday of the latest week that shows it, UTC',
    Latest Tuple(Support UInt64, Successes UInt64, RewardMicros Int64, DurationNs UInt64, Tokens UInt64, Weight UInt64, SuccessWeight UInt64) COMMENT 'what of these sums is of that week, as in internal_pattern_buckets: the next run takes it off and adds what the week then says',
    Version DateTime64(6, 'UTC') COMMENT 'SnapshotAt of the job that wrote the row; the latest row of a key counts'
)
ENGINE = ReplacingMergeTree(Version)
ORDER BY PatternId
-- A run looks for some of its rows, all over the table.
SETTINGS index_granularity = 1024
COMMENT 'sums per pattern: what the patterns view, the outlook and the next steps read';

-- name: internal_pattern_evidence
-- derived: by the jobs.
CREATE TABLE IF NOT EXISTS internal_pattern_evidence
(
    PatternId UInt64 COMMENT 'the pattern, see internal_pattern_keys',
    Traces Array(String) COMMENT 'trace ids of the latest episodes of the latest week that shows it, at most five',
    Version DateTime64(6, 'UTC') COMMENT 'SnapshotAt of the job that wrote the row; the latest row of a key counts'
)
ENGINE = ReplacingMergeTree(Version)
ORDER BY PatternId
COMMENT 'episodes behind every pattern that at least two show';

-- name: internal_pattern_keys
-- derived: by the jobs.
CREATE TABLE IF NOT EXISTS internal_pattern_keys
(
    PatternId UInt64 COMMENT 'a hash of type, domain and key',
    Type LowCardinality(String) COMMENT 'what kind of pattern',
    Domain LowCardinality(String) COMMENT 'episode.domain; empty: none',
    Key Array(String) COMMENT 'what it is, see docs/explanation/patterns.md'
)
ENGINE = ReplacingMergeTree
ORDER BY PatternId
COMMENT 'what a pattern id means, once two episodes show it; besides the five types also counts that models need: episode, task, length, variety, tool, start, condition';

-- name: internal_values
-- derived: by the jobs.
CREATE TABLE IF NOT EXISTS internal_values
(
    Domain LowCardinality(String) COMMENT 'episode.domain; empty: none',
    Tenant LowCardinality(String) COMMENT 'tenant.id of the resource; empty: none',
    ContextId UInt64 COMMENT 'a hash of domain, tenant, task (or none) and the last calls (0 to 3)',
    StepId UInt64 COMMENT 'a hash of domain, tenant, week, Told and CallId',
    Week Date COMMENT 'Monday of the week, UTC',
    Told Bool COMMENT 'the outcome of these runs was told, or scored; else it is a default',
    CallId UInt64 COMMENT 'a hash of tool and template',
    Tool LowCardinality(String) COMMENT 'the tool of the step that followed',
    Template String COMMENT 'its template, with a star for each literal or with the literals; empty: whatever the template',
    Seen UInt64 COMMENT 'how often; 0: not any more',
    Counted UInt64 COMMENT 'of these, how often in a run that was judged',
    GainMicros Int64 COMMENT 'what these runs earned, in millionths, 5 % less for each step between this one and the end',
    Runs UInt64 COMMENT 'in how many runs that were judged',
    Won UInt64 COMMENT 'of these, how many earned a half or more',
    Version DateTime64(6, 'UTC') COMMENT 'SnapshotAt of the job that wrote the row; the latest row of a key counts',
    WrittenAt DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'when it was written, by the clock of the server'
)
ENGINE = ReplacingMergeTree(Version)
PARTITION BY toYYYYMM(Week)
ORDER BY (Domain, Tenant, ContextId, StepId)
COMMENT 'what runs earned after a call, in the context in which it was made: what next steps are ranked by';

-- name: internal_mishaps
-- derived: by the jobs.
CREATE TABLE IF NOT EXISTS internal_mishaps
(
    Domain LowCardinality(String) COMMENT 'episode.domain; empty: none',
    Tenant LowCardinality(String) COMMENT 'tenant.id of the resource; empty: none',
    Kind LowCardinality(String) COMMENT 'call: it was made; failure: it failed; recovery: what put it right; week: all rows of the week are there',
    Tool LowCardinality(String) COMMENT 'what was called',
    Template String COMMENT 'of a call: its template, with a star for each literal; empty: whatever the template',
    Error String COMMENT 'of a failure and a recovery: the error with numbers, paths, ids and quoted text replaced; empty: whatever the error',
    Then Array(String) COMMENT 'of a recovery: the tools up to the one that put it right',
    Week Date COMMENT 'Monday of the week, UTC',
    Runs UInt64 COMMENT 'in how many runs',
    Bad UInt64 COMMENT 'of these: a call failed in; a failure was not put right in',
    Evidence Array(String) COMMENT 'ids of the latest of these episodes, at most three; of a call, of those it failed in',
    LastSeen DateTime('UTC') COMMENT 'start of the latest',
    Version DateTime64(6, 'UTC') COMMENT 'SnapshotAt of the job that wrote the row; rows of an earlier one than the latest of the week are gone',
    WrittenAt DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'when it was written, by the clock of the server'
)
ENGINE = ReplacingMergeTree(Version)
ORDER BY (Domain, Tenant, Kind, Tool, Template, Error, Then, Week)
COMMENT 'which calls fail, and what puts it right: what warnings and recoveries are made of';
