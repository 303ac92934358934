-- What the spans of other instrumentations add up to, per trace, and from there the roots and steps of all episodes.
-- A filter on EpisodeId reaches the primary keys of the tables below.

-- name: agent_traces
CREATE OR REPLACE VIEW agent_traces
AS WITH
    spans AS
    (
        SELECT
            EpisodeId, TraceId, SpanId, ParentSpanId, Role, Operation, Segment, Stamped, Remote, SpanName, Kind, Tool, Named,
            AgentName, Task, Action, Observation, Success, ErrorType, ErrorMessage, StartTime, DurationNs, InputTokens,
            OutputTokens, ConversationId, ServiceName
        FROM agent_spans FINAL
        WHERE EpisodeId NOT IN (SELECT TraceId FROM episode_traces)
        UNION ALL
        -- In a trace of an episode that is not named after it.
        SELECT
            t.EpisodeId, TraceId, SpanId, ParentSpanId, Role, Operation, Segment, Stamped, Remote, SpanName, Kind, Tool, Named,
            AgentName, Task, Action, Observation, Success, ErrorType, ErrorMessage, StartTime, DurationNs, InputTokens,
            OutputTokens, ConversationId, ServiceName
        FROM (SELECT * FROM agent_spans FINAL WHERE EpisodeId IN (SELECT TraceId FROM episode_traces)) AS s
        INNER JOIN (SELECT TraceId AS Trace, min(EpisodeId) AS EpisodeId FROM episode_traces GROUP BY TraceId) AS t ON t.Trace = s.EpisodeId
        UNION ALL
        SELECT
            EpisodeId, TraceId, SpanId, ParentSpanId, 'own', '', Segment, false, false, '', Kind, Tool, false,
            AgentName, '', '', '', Success, '', '', StartTime, DurationNs, 0, 0, '', ServiceName
        FROM episode_steps FINAL
        WHERE Convention = '' AND EpisodeId IN
        (
            SELECT EpisodeId FROM agent_spans
            UNION ALL
            SELECT EpisodeId FROM episode_traces WHERE TraceId IN (SELECT EpisodeId FROM agent_spans)
        )
        UNION ALL
        SELECT
            EpisodeId, TraceId, SpanId, ParentSpanId, 'root', '', Segment, false, false, '', '', '', false,
            AgentName, '', '', '', true, '', '', StartTime, DurationNs, 0, 0, '', ServiceName
        FROM episode_roots FINAL
        WHERE EpisodeId IN
        (
            SELECT EpisodeId FROM agent_spans
            UNION ALL
            SELECT EpisodeId FROM episode_traces WHERE TraceId IN (SELECT EpisodeId FROM agent_spans)
        )
    ),
    -- Ids as numbers, since they are looked for in arrays.
    numbered AS
    (
        SELECT
            *, cityHash64(SpanId) AS Id, cityHash64(ParentSpanId) AS Parent, addNanoseconds(StartTime, DurationNs) AS EndTime,
            Role IN ('own', 'step') AND Kind IN ('tool_use', 'error_handling') AS OwnTool,
            Role IN ('agent', 'tool', 'model', 'structure') AS Foreign
        FROM spans
    ),
    traces AS
    (
        SELECT
            n.EpisodeId AS EpisodeId,
            n.TraceId AS TraceId,
            max(n.Role = 'root' OR n.Stamped) AS Own,
            max(n.Segment) AS Segment,
            countIf(n.Role = 'agent') AS Agents,
            countIf(n.Role = 'structure') AS Structures,
            countIf(n.Role = 'tool' OR n.Role = 'step') AS Calls,
            groupArray(n.Id) AS Ids,
            groupArrayIf((n.Id, n.Parent, n.InputTokens, n.OutputTokens), n.Role = 'model') AS Models,
            groupArrayIf((n.Id, n.Parent, n.Tool), n.OwnTool) AS OwnTools,
            groupArrayIf((n.Id, n.Parent, n.Success, n.ErrorType, n.ErrorMessage), n.Role = 'execution') AS Executions,
            groupArrayIf((n.Id, n.Parent, n.Tool, n.Remote AND n.ParentSpanId != '', n.StartTime, n.EndTime), n.Role = 'tool') AS Tools,
            groupArrayIf((
                n.StartTime, n.SpanId, n.ParentSpanId, n.Role, n.Kind, n.Tool, n.Action, n.Observation, n.Success, n.ErrorType,
                n.ErrorMessage, n.DurationNs, n.InputTokens, n.OutputTokens, n.AgentName, n.ServiceName, n.Operation, n.Id),
                n.Role = 'tool' OR n.Role = 'step') AS Candidates,
            groupArrayIf((
                n.StartTime, -toInt64(n.DurationNs), n.SpanId, n.EndTime, n.SpanName, n.AgentName, n.Task, n.Success, n.ErrorType,
                n.ErrorMessage, n.InputTokens, n.OutputTokens, n.ConversationId, n.ServiceName, n.Operation, n.Named, n.Parent,
                n.ParentSpanId = '', n.Role),
                n.Foreign) AS Speaking
        FROM numbered AS n
        GROUP BY n.EpisodeId, n.TraceId
    ),
    -- A tool inside a tool is the same step, unless the outer one asks a model: then it is an agent at work.
    nested AS
    (
        SELECT
            *,
            arrayMap(m -> m.2, Models) AS ModelParents,
            arrayConcat(arrayMap(t -> t.1, Tools), arrayMap(o -> o.1, OwnTools), arrayMap(e -> e.1, Executions)) AS ToolIds,
            arrayFilter(t ->
                (has(ToolIds, t.2) AND NOT has(ModelParents, t.2))
                -- The caller's side is known by another way than the parent: a span between the two that is not ours.
                OR (t.4 AND NOT has(Ids, t.2) AND arrayExists(u -> u.3 = t.3 AND u.1 != t.1 AND u.5 <= t.5 AND u.6 >= t.6, Tools)), Tools) AS Inner,
            arrayConcat(arrayMap(t -> t.1, Inner), arrayMap(e -> e.1, Executions)) AS InnerIds,
            arrayConcat(arrayMap(t -> t.2, Inner), arrayMap(e -> e.2, Executions)) AS InnerParents
        FROM traces
    ),
    -- Our step on the function that a framework calls as its tool stands for both: of the same name, or alone in there.
    replaced AS
    (
        SELECT
            *,
            arrayMap(o -> if(has(InnerIds, o.2), InnerParents[indexOf(InnerIds, o.2)], o.2), OwnTools) AS Above1,
            arrayMap(p -> if(has(InnerIds, p), InnerParents[indexOf(InnerIds, p)], p), Above1) AS Above2,
            arrayMap(p -> if(has(InnerIds, p), InnerParents[indexOf(InnerIds, p)], p), Above2) AS Above,
            arrayMap(o -> toString(o.3), OwnTools) AS OwnNames,
            arrayMap(t -> t.1, arrayFilter(t ->
                arrayExists((p, name) -> p = t.1 AND name = t.3, Above, OwnNames)
                OR (countEqual(Above, t.1) = 1 AND NOT has(ModelParents, t.1)), Tools)) AS Replaced,
            arrayFilter(e -> NOT e.3, Executions) AS Failures,
            arrayMap(m -> m.1, arrayFilter(m -> m.3 + m.4 > 0, Models)) AS Counted,
            arrayFilter(m -> NOT has(Counted, m.2), Models) AS Asked,
            -- The agents that carry a name; else the root; else what nothing known is above.
            arrayFilter(s -> s.16, Speaking) AS NamedAgents,
            arrayFilter(s -> s.18, Speaking) AS Roots,
            arraySort(multiIf(
                notEmpty(NamedAgents), NamedAgents,
                notEmpty(Roots), Roots,
                arrayFilter(s -> s.19 IN ('agent', 'structure') AND NOT has(Ids, s.17), Speaking))) AS Speakers,
            Speakers[1] AS First,
            -- A later one of several side by side speaks for the whole: what failed before was made good, or not.
            arraySort(s -> (s.4, -toUnixTimestamp64Nano(s.1), s.3), Speakers)[-1] AS Last
        FROM nested
    )
SELECT
    EpisodeId,
    TraceId,
    Own,
    Segment,
    NOT Own AND (Agents > 0 OR (Calls > 0 AND notEmpty(Models)) OR (Structures > 0 AND (Calls > 0 OR notEmpty(Models)))) AS IsEpisode,
    notEmpty(Speakers) AS Ended,
    First.3 AS SpanId,
    multiIf(First.7 != '', First.7, arraySort(arrayFilter(s -> s.7 != '', Speaking))[1].7 AS Earliest != '', Earliest, First.5) AS Task,
    if(First.6 != '', First.6, arraySort(arrayFilter(s -> s.6 != '', Speaking))[1].6) AS AgentName,
    multiIf(empty(Speakers), '', Last.8, 'success', 'failure') AS Outcome,
    if(Outcome = 'failure', if(Last.10 != '', Last.10, Last.9), '') AS Verdict,
    if(empty(Speakers), arrayMin(arrayMap(s -> s.1, Speaking)), First.1) AS StartTime,
    if(empty(Speakers), arrayMax(arrayMap(s -> s.4, Speaking)), Last.4) AS EndTime,
    length(Asked) AS ModelCalls,
    arraySum(m -> m.3, Asked) AS ModelInput,
    arraySum(m -> m.4, Asked) AS ModelOutput,
    -- What an agent says it used is the sum of what its model calls say: one or the other, never both.
    arrayMap(s -> (s.11, s.12), arrayFilter(s -> s.19 IN ('agent', 'structure'), Speaking)) AS Totals,
    multiIf(ModelInput + ModelOutput > 0, ModelInput, First.11 + First.12 > 0, First.11, arrayMax(t -> t.1, Totals)) AS InputTokens,
    multiIf(ModelInput + ModelOutput > 0, ModelOutput, First.11 + First.12 > 0, First.12, arrayMax(t -> t.2, Totals)) AS OutputTokens,
    arrayFirst(s -> s.13 != '', Speakers).13 AS ConversationId,
    arrayFirst(s -> s.14 != '', Speaking).14 AS ServiceName,
    First.15 AS Convention,
    arraySort(arrayFilter(c -> c.4 = 'step' OR NOT (has(InnerIds, c.18) OR has(Replaced, c.18)), Candidates)) AS Steps,
    arrayMap(f -> f.2, Failures) AS FailedIds,
    Failures
FROM replaced;

-- name: roots_of_episodes
CREATE OR REPLACE VIEW roots_of_episodes
AS SELECT
    EpisodeId, TraceId, SpanId, Ended, Segment, Task, TaskType, Domain, Language, Framework, Complexity, Tags, Outcome, Verdict,
    Artifacts, Completed, Failed, StoppedAtStep, ExternalReward, StartTime, EndTime, DurationNs, InputTokens, OutputTokens,
    ParentEpisodeId, AgentName, ConversationId, ServiceName, Attributes
FROM episode_roots FINAL
WHERE EpisodeId != ''
UNION ALL
SELECT
    EpisodeId, TraceId, SpanId, Ended, 0, Task, '', '', '', '', '', [], Outcome, Verdict,
    [], 0, 0, 0, NULL, StartTime, EndTime, toUInt64(greatest(0, dateDiff('nanosecond', StartTime, EndTime))), InputTokens, OutputTokens,
    '', AgentName, ConversationId, ServiceName, map('episode.convention', toString(Convention))
FROM agent_traces
WHERE IsEpisode;

-- name: steps_of_episodes
CREATE OR REPLACE VIEW steps_of_episodes
AS SELECT
    EpisodeId, TraceId, SpanId, ParentSpanId, Segment, StepIndex, Kind, Tool, Action, Observation, Success, ErrorType, ErrorMessage,
    StartTime, DurationNs, InputTokens, OutputTokens, BatchCount, BatchErrors, AgentName, ServiceName, Convention
FROM episode_steps FINAL
WHERE EpisodeId != '' AND Convention = ''
-- The same span always has the same start, so its copies are in one partition.
SETTINGS do_not_merge_across_partitions_select_final = 1
UNION ALL
SELECT
    EpisodeId, TraceId, step.2, step.3, Segment, 0, step.5, step.6, step.7, step.8, step.9 AND NOT has(FailedIds, step.18),
    if(has(FailedIds, step.18) AND step.10 = '', Failures[indexOf(FailedIds, step.18)].4, step.10),
    if(has(FailedIds, step.18) AND step.11 = '', Failures[indexOf(FailedIds, step.18)].5, step.11),
    step.1, step.12, step.13, step.14, 0, 0, step.15, step.16, if(step.4 = 'step', '', toString(step.17))
FROM agent_traces
ARRAY JOIN Steps AS step
WHERE Own OR IsEpisode;
