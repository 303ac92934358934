-- What the spans of other instrumentations add up to, per trace, and from there the roots and steps of all episodes.
-- A filter on EpisodeId reaches the primary keys of the tables below.

-- name: internal_agent_traces
CREATE OR REPLACE VIEW internal_agent_traces
AS WITH
    spans AS
    (
        SELECT
            EpisodeId, TraceId, SpanId, ParentSpanId, Role, Operation, Segment, Stamped, Remote, SpanName, Kind, Tool, Named,
            AgentName, Task, Arguments, Action, Observation, Success, ErrorType, ErrorMessage, StartTime, DurationNs, InputTokens,
            OutputTokens, ConversationId, ServiceName, Tenant
        FROM internal_agent_spans FINAL
        UNION ALL
        -- Steps and roots of ours among them.
        SELECT
            EpisodeId, TraceId, SpanId, ParentSpanId, 'own', '', Segment, false, false, '', Kind, Tool, false,
            '', '', '', '', '', true, '', '', StartTime, DurationNs, 0, 0, '', '', ''
        FROM internal_steps FINAL
        WHERE Convention = '' AND EpisodeId IN (SELECT EpisodeId FROM internal_agent_spans)
        UNION ALL
        SELECT
            EpisodeId, TraceId, SpanId, '', 'root', '', Segment, false, false, '', '', '', false,
            '', '', '', '', '', true, '', '', StartTime, DurationNs, 0, 0, '', '', ''
        FROM internal_roots FINAL
        WHERE EpisodeId IN (SELECT EpisodeId FROM internal_agent_spans)
    ),
    -- Ids as numbers, since they are looked for in arrays. Who speaks for the trace: an agent that carries a name, else the
    -- root, else any agent or chain; of several the first to begin, which is the outermost.
    numbered AS
    (
        SELECT
            *, cityHash64(SpanId) AS Id, cityHash64(ParentSpanId) AS Parent, addNanoseconds(StartTime, DurationNs) AS EndTime,
            Role IN ('own', 'step') AND Kind IN ('tool_use', 'error_handling') AS OwnTool,
            multiIf(Named, 3, Role NOT IN ('agent', 'tool', 'model', 'structure'), 0, ParentSpanId = '', 2, Role IN ('agent', 'structure'), 1, 0) AS Rank,
            (Rank, -toUnixTimestamp64Nano(StartTime), DurationNs, SpanId) AS Outer,
            (Rank, toUnixTimestamp64Nano(EndTime), DurationNs, SpanId) AS Later
        FROM spans
    ),
    traces AS
    (
        SELECT
            n.EpisodeId AS EpisodeId,
            n.TraceId AS TraceId,
            max(n.Role = 'root' OR n.Stamped) AS Own,
            max(n.Segment) AS Segment,
            max(n.Tenant) AS Tenant,
            max(n.Rank) AS Rank,
            countIf(n.Role = 'agent') AS Agents,
            countIf(n.Role = 'structure') AS Structures,
            countIf(n.Role = 'tool' OR n.Role = 'step') AS Calls,
            argMax((n.SpanId, n.SpanName, n.AgentName, n.Task, n.ConversationId, n.ServiceName, n.Operation, n.StartTime, n.InputTokens, n.OutputTokens), n.Outer) AS First,
            -- A later one of several side by side speaks for the whole: what failed before was made good, or not.
            argMax((ifNull(n.Success, true), if(n.ErrorMessage = '', n.ErrorType, n.ErrorMessage), n.EndTime), n.Later) AS Last,
            argMinIf(n.Task, (n.StartTime, n.SpanId), n.Task != '') AS AnyTask,
            argMinIf(n.AgentName, (n.StartTime, n.SpanId), n.AgentName != '') AS AnyAgent,
            min(n.StartTime) AS Began,
            max(n.EndTime) AS LastTime,
            maxIf((n.InputTokens, n.OutputTokens), n.Role IN ('agent', 'structure')) AS Most,
            groupArray(n.Id) AS Ids,
            groupArrayIf((n.Id, n.Parent, n.InputTokens, n.OutputTokens), n.Role = 'model') AS Models,
            groupArrayIf((n.Id, n.Parent, n.Tool), n.OwnTool) AS OwnTools,
            groupArrayIf((n.Id, n.Parent, ifNull(n.Success, true)), n.Role = 'execution') AS Executions,
            groupArrayIf((n.Id, n.Parent, n.Tool, n.Remote AND n.ParentSpanId != '', n.StartTime, n.EndTime), n.Role = 'tool') AS Tools,
            groupArrayIf((n.StartTime, n.SpanId, n.Id, n.Role = 'step', n.Success, n.Tool, n.DurationNs), n.Role = 'tool' OR n.Role = 'step') AS Candidates,
            groupArrayIf((n.ParentSpanId, n.Kind, n.Action, n.Observation, n.ErrorType, n.ErrorMessage, n.InputTokens, n.OutputTokens, n.AgentName, n.ServiceName, n.Operation, n.Arguments),
                n.Role = 'tool' OR n.Role = 'step') AS Details
        FROM numbered AS n
        GROUP BY n.EpisodeId, n.TraceId
    ),
    -- A tool inside a tool is the same step, unless the outer one asks a model: then it is an agent at work.
    nested AS
    (
        SELECT
            *,
            arrayFilter(t ->
                (has(ToolIds, t.2) AND NOT has(ModelParents, t.2))
                -- The answering side of a call whose caller is known by another way than the parent: a span between that is not ours.
                OR (t.4 AND NOT has(Ids, t.2) AND arrayExists(u -> u.3 = t.3 AND u.1 != t.1 AND u.5 <= t.5 AND u.6 >= t.6, Tools)), Tools) AS Inner
        FROM
        (
            SELECT
                *, Models.2 AS ModelParents, arrayConcat(Tools.1, OwnTools.1, Executions.1) AS ToolIds,
                arrayFilter(m -> m.3 + m.4 > 0, Models).1 AS Counted
            FROM traces
        )
    ),
    -- Our step on the function that a framework calls as its tool stands for both: of the same name, or alone in there.
    replaced AS
    (
        SELECT
            *,
            arrayConcat(Inner.1, arrayFilter(t ->
                arrayExists((p, name) -> p = t.1 AND name = t.3, Above, OwnTools.3)
                OR (countEqual(Above, t.1) = 1 AND NOT has(ModelParents, t.1)), Tools).1) AS Dropped
        FROM
        (
            SELECT
                *,
                -- Past what is the same step; three levels of that are more than were ever seen.
                arrayMap(p -> arrayFold((above, i) -> if(has(InnerIds, above), InnerParents[indexOf(InnerIds, above)], above), [1, 2, 3], p), OwnTools.2) AS Above
            FROM (SELECT *, arrayConcat(Inner.1, Executions.1) AS InnerIds, arrayConcat(Inner.2, Executions.2) AS InnerParents FROM nested)
        )
    ),
    resolved AS
    (
        SELECT
            *,
            NOT Own AND (Agents > 0 OR (Calls > 0 AND notEmpty(Models)) OR (Structures > 0 AND (Calls > 0 OR notEmpty(Models)))) AS IsEpisode,
            arrayFilter(m -> NOT has(Counted, m.2), Models) AS Asked,
            arrayFilter(e -> NOT e.3, Executions).2 AS Broken,
            arraySort(arrayFilter(c -> NOT has(Dropped, c.1.3), arrayZip(Candidates, Details))) AS Kept
        FROM replaced
    )
SELECT
    EpisodeId, TraceId, Own, IsEpisode, Segment, Tenant,
    Rank > 0 AS Ended,
    First.1 AS SpanId,
    multiIf(First.4 != '', First.4, AnyTask != '', AnyTask, First.2) AS Task,
    if(First.3 != '', First.3, AnyAgent) AS AgentName,
    multiIf(Rank = 0, '', Last.1, 'success', 'failure') AS Outcome,
    if(Rank = 0 OR Last.1, '', Last.2) AS Verdict,
    if(Rank = 0, Began, First.8) AS StartTime,
    if(Rank = 0, LastTime, Last.3) AS EndTime,
    length(Asked) AS ModelCalls,
    -- What an agent says it used is the sum of what its model calls say: one or the other, never both.
    arraySum(Asked.3) + arraySum(Asked.4) > 0 AS Counts,
    multiIf(Counts, arraySum(Asked.3), First.9 + First.10 > 0, First.9, Most.1) AS InputTokens,
    multiIf(Counts, arraySum(Asked.4), First.9 + First.10 > 0, First.10, Most.2) AS OutputTokens,
    First.5 AS ConversationId,
    First.6 AS ServiceName,
    First.7 AS Convention,
    Broken,
    Kept,
    length(Kept) AS Steps,
    arrayCount(k -> ifNull(NOT k.1.5, false) OR has(Broken, k.1.3), Kept) AS FailedSteps,
    arrayDistinct(arrayMap(k -> toString(k.1.6), Kept)) AS Tools
FROM resolved;

-- name: internal_roots_of_episodes
CREATE OR REPLACE VIEW internal_roots_of_episodes
AS SELECT
    EpisodeId, TraceId, SpanId, Ended, Segment, Task, TaskType, Domain, Language, Framework, Complexity, Tags,
    if(Ended AND Outcome = '', 'unknown', Outcome) AS Outcome, OutcomeSource, EndedHow, Verdict, Artifacts, Completed, Failed, StoppedAtStep, ExternalReward, StartTime, EndTime, DurationNs, InputTokens, OutputTokens,
    ParentEpisodeId, AgentName, ConversationId, ServiceName, Attributes, Tenant
FROM internal_roots FINAL
WHERE EpisodeId != ''
-- The same span always has the same start, so its copies are in one partition; likewise below.
SETTINGS do_not_merge_across_partitions_select_final = 1
UNION ALL
SELECT
    EpisodeId, TraceId, SpanId, Ended, 0, Task, '', '', '', '', '', [], Outcome, if(Ended, 'rule', ''), '', Verdict,
    [], 0, 0, 0, NULL, StartTime, EndTime, toUInt64(greatest(0, dateDiff('nanosecond', StartTime, EndTime))), InputTokens, OutputTokens,
    '', AgentName, ConversationId, ServiceName, map('episode.convention', Convention), Tenant
FROM internal_agent_traces
WHERE IsEpisode;

-- name: steps
-- Every step of an episode once, no matter which instrumentation recorded it.
CREATE OR REPLACE VIEW steps
(
    EpisodeId String COMMENT 'the episode',
    TraceId String COMMENT 'the trace, lower-case hex',
    SpanId String COMMENT 'the span, lower-case hex',
    ParentSpanId String COMMENT 'the span above it',
    Segment UInt16 COMMENT '0 for the first trace of an episode, one more each time it was resumed',
    StepIndex UInt32 COMMENT 'position in the episode from 1; 0 where nobody counted: order by StartTime then',
    Kind LowCardinality(String) COMMENT 'tool_use, decision_point, error_handling or milestone',
    Tool LowCardinality(String) COMMENT 'what was called',
    Arguments String COMMENT 'with what, JSON',
    Template String COMMENT 'the action without what differs from run to run',
    Action String COMMENT 'what was done, for people',
    Observation String COMMENT 'what came of it',
    Success Nullable(Bool) COMMENT 'NULL: nobody can tell, the call was not answered',
    ErrorType LowCardinality(String) COMMENT 'the exception or error.type',
    ErrorMessage String COMMENT 'one line',
    StartTime DateTime64(9, 'UTC') COMMENT 'when it began',
    DurationNs UInt64 COMMENT 'how long it took, nanoseconds',
    InputTokens UInt64 COMMENT 'tokens in, cached ones included',
    OutputTokens UInt64 COMMENT 'tokens out',
    BatchCount UInt32 COMMENT 'a burst recorded as one step: how many actions it stands for; 0 for an ordinary step',
    BatchErrors UInt32 COMMENT 'of these, how many failed',
    AgentName LowCardinality(String) COMMENT 'whose step it is',
    ServiceName LowCardinality(String) COMMENT 'service.name of the resource',
    Convention LowCardinality(String) COMMENT 'empty: recorded by otel-episodes; else attribute=value by which it was recognised',
    Tenant LowCardinality(String) COMMENT 'tenant.id of the resource; empty: none'
)
AS SELECT
    EpisodeId, TraceId, SpanId, ParentSpanId, Segment, StepIndex, Kind, Tool, Arguments, Template, Action, Observation, Success,
    ErrorType, ErrorMessage, StartTime, DurationNs, InputTokens, OutputTokens, BatchCount, BatchErrors, AgentName, ServiceName,
    Convention, Tenant
FROM internal_steps FINAL
WHERE EpisodeId != '' AND Convention = ''
SETTINGS do_not_merge_across_partitions_select_final = 1
UNION ALL
SELECT
    EpisodeId, TraceId, step.2, detail.1, Segment, 0, detail.2, step.6, detail.12, '', detail.3, detail.4,
    if(has(Broken, step.3), false, step.5), detail.5, detail.6, step.1, step.7, detail.7, detail.8, 0, 0,
    if(detail.9 = '', AgentName, detail.9), detail.10, if(step.4, '', detail.11), Tenant
FROM internal_agent_traces
ARRAY JOIN Kept.1 AS step, Kept.2 AS detail
WHERE Own OR IsEpisode;
