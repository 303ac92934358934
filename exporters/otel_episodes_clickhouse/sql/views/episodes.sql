-- One row per episode: its state, counts, durations, tokens and outcome.
-- A filter on EpisodeId reaches the primary keys below; a filter on anything else reads all episodes.

-- name: episodes
CREATE OR REPLACE VIEW episodes
AS WITH
    (SELECT toUInt32OrDefault(anyLast(Value), toUInt32(86400)) FROM internal_settings FINAL
     WHERE Name = 'abandoned_after_seconds') AS abandoned_after,
    rows AS
    (
        SELECT
            EpisodeId, TraceId, Segment, true AS IsRoot, Ended, Task, TaskType, Domain, Language, Framework, Complexity,
            Tags, Outcome, Verdict, Artifacts, Completed, Failed, StoppedAtStep, ExternalReward, ParentEpisodeId,
            AgentName, ConversationId, ServiceName, Attributes, StartTime, EndTime, InputTokens, OutputTokens,
            '' AS Tool, 0 AS Steps, 0 AS FailedSteps, 0 AS ModelCalls, [] AS Tools, Tenant
        FROM internal_roots FINAL
        WHERE EpisodeId != ''
        UNION ALL
        SELECT
            EpisodeId, TraceId, Segment, false, false, '', '', '', '', '', '',
            [], '', '', [], 0, 0, 0, NULL, '',
            AgentName, '', ServiceName, map(), StartTime, addNanoseconds(StartTime, DurationNs), InputTokens, OutputTokens,
            Tool, 1, NOT Success, 0, [], Tenant
        FROM internal_steps FINAL
        WHERE EpisodeId != '' AND Convention = ''
        UNION ALL
        -- What other instrumentations recorded: in a trace of its own the whole episode, in one of ours a part of it.
        SELECT
            EpisodeId, TraceId, Segment, IsEpisode, IsEpisode AND Ended, if(IsEpisode, Task, ''), '', '', '', '', '',
            [], Outcome, Verdict, [], 0, 0, 0, NULL, '',
            if(IsEpisode, AgentName, ''), ConversationId, ServiceName, map('episode.convention', Convention), StartTime, EndTime,
            if(IsEpisode, InputTokens, 0), if(IsEpisode, OutputTokens, 0),
            '', Steps, FailedSteps, ModelCalls, Tools, Tenant
        FROM internal_agent_traces
        WHERE Own OR IsEpisode
    ),
    -- One row per trace. Its end speaks for it; where the end is silent (it was written by a process that only
    -- had the handle), the start marker does; and a step whose root has not arrived yet shows its episode all the same.
    traces AS
    (
        SELECT
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
            argMax(r.Verdict, (r.Ended, r.EndTime)) AS Verdict,
            argMax(r.Artifacts, (r.Ended, r.EndTime)) AS Artifacts,
            argMax(r.Completed, (r.Ended, r.EndTime)) AS Completed,
            argMax(r.Failed, (r.Ended, r.EndTime)) AS Failed,
            argMax(r.StoppedAtStep, (r.Ended, r.EndTime)) AS StoppedAtStep,
            argMax(tuple(r.ExternalReward), (r.ExternalReward IS NOT NULL, r.Ended, r.EndTime)).1 AS ExternalReward,
            argMax(r.Attributes, (r.IsRoot, r.Ended, r.EndTime)) AS Attributes,
            sum(r.Steps) AS Steps,
            sum(r.FailedSteps) AS FailedSteps,
            sum(r.ModelCalls) AS ModelCalls,
            arrayConcat(groupUniqArrayIf(r.Tool, r.Tool != ''), groupUniqArrayArray(r.Tools)) AS Tools,
            if(max(r.IsRoot), minIf(r.StartTime, r.IsRoot), min(r.StartTime)) AS StartTime,
            if(max(r.Ended), maxIf(r.EndTime, r.Ended), max(r.EndTime)) AS EndTime,
            -- The root's total counts model calls outside any step too; steps added by handle it does not know.
            greatest(maxIf(r.InputTokens, r.IsRoot), sumIf(r.InputTokens, NOT r.IsRoot)) AS InputTokens,
            greatest(maxIf(r.OutputTokens, r.IsRoot), sumIf(r.OutputTokens, NOT r.IsRoot)) AS OutputTokens
        FROM rows AS r
        GROUP BY r.EpisodeId, r.TraceId
    )
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
    argMin(t.ParentEpisodeId, t.Segment) AS ParentEpisodeId,
    multiIf(
        argMax(t.Ended, t.Segment), argMax(t.Outcome, t.Segment),
        max(t.EndTime) < now64(9) - toIntervalSecond(any(abandoned_after)), 'abandoned',
        'running') AS Outcome,
    argMax(t.Verdict, t.Segment) AS Verdict,
    argMax(t.Artifacts, t.Segment) AS Artifacts,
    argMax(t.Completed, t.Segment) AS Completed,
    argMax(t.Failed, t.Segment) AS Failed,
    argMax(t.StoppedAtStep, t.Segment) AS StoppedAtStep,
    argMax(tuple(t.ExternalReward), t.Segment).1 AS ExternalReward,
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
    argMin(t.Attributes, t.Segment) AS Attributes,
    argMin(t.Tenant, t.Segment) AS Tenant
FROM traces AS t
GROUP BY t.EpisodeId;
