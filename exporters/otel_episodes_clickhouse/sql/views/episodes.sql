-- One row per episode: its state, counts, durations, tokens and outcome.
-- A filter on EpisodeId reaches the primary keys below; a filter on anything else reads all episodes.

-- name: internal_episode_rows
-- All that is known of episodes: their roots, their steps, and what other instrumentations recorded.
CREATE OR REPLACE VIEW internal_episode_rows
AS SELECT
    EpisodeId, TraceId, Segment, true AS IsRoot, Ended, Task, TaskType, Domain, Language, Framework, Complexity,
    Tags, if(Ended AND Outcome = '', 'unknown', Outcome) AS Outcome, OutcomeSource, EndedHow, Verdict, Artifacts, Completed,
    Failed, StoppedAtStep, ExternalReward, ParentEpisodeId,
    AgentName, ConversationId, ServiceName, Attributes, StartTime, EndTime, InputTokens, OutputTokens,
    '' AS Tool, 0 AS Steps, 0 AS FailedSteps, 0 AS ModelCalls, CAST(NULL, 'Nullable(Float64)') AS Cost, false AS Unpriced, [] AS Tools, CAST(NULL, 'Nullable(Float64)') AS Judged, Tenant
FROM internal_roots FINAL
WHERE EpisodeId != ''
UNION ALL
SELECT
    EpisodeId, TraceId, Segment, false, false, '', '', '', '', '', '',
    [], '', '', '', '', [], 0, 0, 0, NULL, '',
    AgentName, '', ServiceName, map(), StartTime, addNanoseconds(StartTime, DurationNs), InputTokens, OutputTokens,
    Tool, 1, ifNull(NOT Success, false), 0, NULL, false, [], NULL, Tenant
FROM internal_steps FINAL
WHERE EpisodeId != '' AND Convention = ''
UNION ALL
-- What other instrumentations recorded: in a trace of its own the whole episode, in one of ours a part of it.
SELECT
    EpisodeId, TraceId, Segment, IsEpisode, IsEpisode AND Ended, if(IsEpisode, Task, ''), '', '', '', '', '',
    [], Outcome, if(Ended, 'rule', ''), '', Verdict, [], 0, 0, 0, NULL, '',
    if(IsEpisode, AgentName, ''), ConversationId, ServiceName, map('episode.convention', Convention), StartTime, EndTime,
    if(IsEpisode, InputTokens, 0), if(IsEpisode, OutputTokens, 0),
    '', Steps, FailedSteps, ModelCalls, Cost, Unpriced, Tools, NULL, Tenant
FROM internal_agent_traces
WHERE Own OR IsEpisode
UNION ALL
-- What people and judges think of it.
SELECT
    EpisodeId, TraceId, 0, false, false, '', '', '', '', '', '',
    [], '', '', '', '', [], 0, 0, 0, NULL, '',
    '', '', '', map(), Time, Time, 0, 0,
    '', 0, 0, 0, NULL, false, [], Score, Tenant
FROM internal_evaluations FINAL
WHERE Scored;

-- name: internal_episode_traces
-- One row per trace. Its end speaks for it; where the end is silent (it was written by a process that only
-- had the handle), the start marker does; and a step whose root has not arrived yet shows its episode all the same.
CREATE OR REPLACE VIEW internal_episode_traces
AS SELECT
    r.EpisodeId AS EpisodeId,
    r.TraceId AS TraceId,
    max(r.Segment) AS Segment,
    max(r.Ended) AS Ended,
    argMax(r.Task, (r.Task != '', r.IsRoot, r.Ended, r.EndTime)) AS Task,
    argMax(r.TaskType, (r.TaskType != '', r.IsRoot, r.Ended, r.EndTime)) AS TaskType,
    argMax(r.Domain, (r.Domain != '', r.IsRoot, r.Ended, r.EndTime)) AS Domain,
    argMax(r.Language, (r.Language != '', r.IsRoot, r.Ended, r.EndTime)) AS Language,
    argMax(r.Framework, (r.Framework != '', r.IsRoot, r.Ended, r.EndTime)) AS Framework,
    argMax(r.Complexity, (r.Complexity != '', r.IsRoot, r.Ended, r.EndTime)) AS Complexity,
    argMax(r.ParentEpisodeId, (r.ParentEpisodeId != '', r.IsRoot, r.Ended, r.EndTime)) AS ParentEpisodeId,
    argMax(r.AgentName, (r.AgentName != '', r.IsRoot, r.Ended, r.EndTime)) AS AgentName,
    argMax(r.ConversationId, (r.ConversationId != '', r.IsRoot, r.Ended, r.EndTime)) AS ConversationId,
    argMax(r.ServiceName, (r.ServiceName != '', r.IsRoot, r.Ended, r.EndTime)) AS ServiceName,
    argMax(r.Tenant, (r.Tenant != '', r.IsRoot, r.Ended, r.EndTime)) AS Tenant,
    argMax(r.Tags, (notEmpty(r.Tags), r.Ended, r.EndTime)) AS Tags,
    argMax(r.Outcome, (r.Ended, r.EndTime)) AS Outcome,
    argMax(r.OutcomeSource, (r.Ended, r.EndTime)) AS OutcomeSource,
    argMax(r.EndedHow, (r.Ended, r.EndTime)) AS EndedHow,
    argMax(r.Verdict, (r.Ended, r.EndTime)) AS Verdict,
    argMax(r.Artifacts, (r.Ended, r.EndTime)) AS Artifacts,
    argMax(r.Completed, (r.Ended, r.EndTime)) AS Completed,
    argMax(r.Failed, (r.Ended, r.EndTime)) AS Failed,
    argMax(r.StoppedAtStep, (r.Ended, r.EndTime)) AS StoppedAtStep,
    argMax(tuple(r.ExternalReward), (r.ExternalReward IS NOT NULL, r.Ended, r.EndTime)).1 AS ExternalReward,
    argMaxIf(tuple(r.Judged), r.EndTime, r.Judged IS NOT NULL).1 AS Judged,
    argMax(r.Attributes, (r.IsRoot, r.Ended, r.EndTime)) AS Attributes,
    sum(r.Steps) AS Steps,
    sum(r.FailedSteps) AS FailedSteps,
    sum(r.ModelCalls) AS ModelCalls,
    sum(r.Cost) AS Cost,
    max(r.Unpriced) AS Unpriced,
    arrayConcat(groupUniqArrayIf(r.Tool, r.Tool != ''), groupUniqArrayArray(r.Tools)) AS Tools,
    if(max(r.IsRoot), minIf(r.StartTime, r.IsRoot), min(r.StartTime)) AS StartTime,
    if(max(r.Ended), maxIf(r.EndTime, r.Ended), max(r.EndTime)) AS EndTime,
    -- The root's total counts model calls outside any step too; steps added by handle it does not know.
    greatest(maxIf(r.InputTokens, r.IsRoot), sumIf(r.InputTokens, NOT r.IsRoot)) AS InputTokens,
    greatest(maxIf(r.OutputTokens, r.IsRoot), sumIf(r.OutputTokens, NOT r.IsRoot)) AS OutputTokens
FROM internal_episode_rows AS r
GROUP BY r.EpisodeId, r.TraceId
-- A score alone makes no episode: what is scored may be any trace.
HAVING countIf(r.Judged IS NULL) > 0;

-- name: internal_whole_episodes
-- The first trace of an episode says what it was, the last how it ended. The same id of two tenants is two episodes.
CREATE OR REPLACE VIEW internal_whole_episodes
AS WITH
    (SELECT toUInt32OrDefault(anyLast(Value), toUInt32(86400)) FROM internal_settings FINAL
     WHERE Name = 'abandoned_after_seconds') AS abandoned_after
SELECT
    t.EpisodeId AS EpisodeId,
    argMin(t.TraceId, t.Segment) AS TraceId,
    max(t.Segment) + 1 AS Segments,
    argMin(t.Task, t.Segment) AS Task,
    argMin(t.TaskType, t.Segment) AS TaskType,
    argMin(t.Domain, t.Segment) AS Domain,
    argMin(t.Language, t.Segment) AS Language,
    argMin(t.Framework, t.Segment) AS Framework,
    argMin(t.Complexity, t.Segment) AS Complexity,
    argMin(t.Tags, t.Segment) AS Tags,
    argMin(t.AgentName, t.Segment) AS AgentName,
    argMin(t.ServiceName, t.Segment) AS ServiceName,
    argMin(t.ConversationId, t.Segment) AS ConversationId,
    argMin(t.ParentEpisodeId, t.Segment) AS ParentId,
    argMaxIf(tuple(t.Judged), t.Segment, t.Judged IS NOT NULL).1 AS Judged,
    argMax(t.Ended, t.Segment) AND argMax(t.Outcome, t.Segment) = 'unknown' AND Judged IS NOT NULL AS ByScore,
    multiIf(
        ByScore, if(Judged >= 0.5, 'success', 'failure'),
        argMax(t.Ended, t.Segment), argMax(t.Outcome, t.Segment),
        max(t.EndTime) < now64(9) - toIntervalSecond(any(abandoned_after)), 'abandoned',
        'running') AS Outcome,
    multiIf(ByScore, 'score', Outcome IN ('running', 'abandoned'), '', argMax(t.OutcomeSource, t.Segment)) AS OutcomeSource,
    multiIf(
        Outcome IN ('running', 'abandoned'), Outcome,
        argMax(t.EndedHow, t.Segment) != '', argMax(t.EndedHow, t.Segment),
        OutcomeSource = 'exception', 'exception',
        'end') AS EndedHow,
    argMax(t.Verdict, t.Segment) AS Verdict,
    argMax(t.Artifacts, t.Segment) AS Artifacts,
    argMax(t.Completed, t.Segment) AS Completed,
    argMax(t.Failed, t.Segment) AS Failed,
    argMax(t.StoppedAtStep, t.Segment) AS StoppedAtStep,
    ifNull(argMax(tuple(t.ExternalReward), t.Segment).1, Judged) AS ExternalReward,
    sum(t.Steps) AS Steps,
    sum(t.FailedSteps) AS FailedSteps,
    arraySort(groupUniqArrayArray(t.Tools)) AS Tools,
    min(t.StartTime) AS StartTime,
    max(t.EndTime) AS EndTime,
    -- The time worked: a segment resumed a week later does not add the week.
    sum(toUInt64(greatest(toInt64(0), dateDiff('nanosecond', t.StartTime, t.EndTime)))) AS DurationNs,
    sum(t.InputTokens) AS InputTokens,
    sum(t.OutputTokens) AS OutputTokens,
    sum(t.ModelCalls) AS ModelCalls,
    if(max(t.Unpriced), NULL, sum(t.Cost)) AS Cost,
    argMin(t.Attributes, t.Segment) AS Attributes,
    t.Tenant AS Tenant
FROM internal_episode_traces AS t
GROUP BY t.EpisodeId, t.Tenant;

-- name: internal_tags
-- Tags that were added and not taken away since, and those that were taken away last.
CREATE OR REPLACE VIEW internal_tags
AS SELECT
    EpisodeId, Tenant,
    groupArrayIf(Tag, Latest = 'tag') AS Added,
    groupArrayIf(Tag, Latest = 'untag') AS Removed
FROM
(
    SELECT EpisodeId, Tenant, Value AS Tag, argMax(Kind, (Time, SpanId)) AS Latest
    FROM internal_marks
    WHERE Kind IN ('tag', 'untag')
    GROUP BY EpisodeId, Tenant, Value
)
GROUP BY EpisodeId, Tenant;

-- name: episodes
CREATE OR REPLACE VIEW episodes
(
    EpisodeId String COMMENT 'episode.id; of what another instrumentation recorded, its trace',
    TraceId String COMMENT 'of the first segment',
    Segments UInt32 COMMENT 'traces: one more each time it was resumed',
    AgentName LowCardinality(String) COMMENT 'gen_ai.agent.name',
    ServiceName LowCardinality(String) COMMENT 'service.name of the resource',
    Task String COMMENT 'the task, word for word',
    TaskType LowCardinality(String) COMMENT 'episode.task_type',
    Domain LowCardinality(String) COMMENT 'episode.domain; empty: none',
    Language LowCardinality(String) COMMENT 'episode.language',
    Framework LowCardinality(String) COMMENT 'episode.framework',
    Complexity LowCardinality(String) COMMENT 'episode.complexity',
    Tags Array(String) COMMENT 'episode.tags, with those added since, without those taken away',
    Outcome LowCardinality(String) COMMENT 'success, partial, failure, abstained; running, abandoned (silent for a day); unknown: it ended, and nobody said how',
    OutcomeSource LowCardinality(String) COMMENT 'who said so: told, score, exception, default (a clean end without a word), rule (read from the spans of another instrumentation); empty: not recorded',
    EndedHow LowCardinality(String) COMMENT 'end, exception, running, abandoned, or the words of who recorded it (episode.ended_how)',
    Verdict String COMMENT 'why, in a sentence',
    Artifacts Array(String) COMMENT 'episode.artifacts',
    Completed UInt32 COMMENT 'of a partial outcome: parts done',
    Failed UInt32 COMMENT 'of a partial outcome: parts not done',
    StoppedAtStep UInt32 COMMENT 'of an abstained outcome: after how many steps',
    StartTime DateTime64(9, 'UTC') COMMENT 'when it began',
    EndTime DateTime64(9, 'UTC') COMMENT 'when it ended; of one that has not, the latest sign of it',
    DurationNs UInt64 COMMENT 'time worked: an episode resumed a week later does not have a week in it',
    Steps UInt64 COMMENT 'number of steps',
    FailedSteps UInt64 COMMENT 'of these, how many failed; one of which nobody knows is not among them',
    Tools Array(String) COMMENT 'the tools used, each once',
    ModelCalls UInt64 COMMENT 'calls of models, each once',
    InputTokens UInt64 COMMENT 'tokens in, cached ones included',
    OutputTokens UInt64 COMMENT 'tokens out',
    Cost Nullable(Float64) COMMENT 'of its model calls, US dollars; NULL: some or all of them are not priced',
    ExternalReward Nullable(Float64) COMMENT 'episode.reward, a score from outside; else the latest gen_ai.evaluation.result',
    ParentId String COMMENT 'the episode whose step started this one',
    ConversationId String COMMENT 'gen_ai.conversation.id',
    Attributes Map(String, String) COMMENT 'what else was set on its span under episode.*',
    Tenant LowCardinality(String) COMMENT 'tenant.id of the resource; empty: none'
)
AS SELECT
    e.EpisodeId AS EpisodeId, TraceId, Segments, AgentName, ServiceName, Task, TaskType, Domain, Language, Framework, Complexity,
    arrayDistinct(arrayConcat(arrayFilter(tag -> NOT has(g.Removed, tag), e.Tags), g.Added)) AS Tags, Outcome, OutcomeSource, EndedHow, Verdict, Artifacts, Completed, Failed, StoppedAtStep, StartTime, EndTime, DurationNs, Steps,
    FailedSteps, Tools, ModelCalls, InputTokens, OutputTokens, Cost, ExternalReward, ParentId,
    ConversationId, Attributes, e.Tenant AS Tenant
FROM internal_whole_episodes AS e
LEFT ANY JOIN internal_tags AS g ON g.EpisodeId = e.EpisodeId AND g.Tenant = e.Tenant;
