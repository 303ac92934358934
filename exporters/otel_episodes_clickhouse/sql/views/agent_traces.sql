-- What the spans of other instrumentations add up to, per trace, and from there the roots and steps of all episodes.
-- A filter on EpisodeId reaches the primary keys of the tables below.

-- name: internal_priced_spans
-- Spans of other instrumentations with what a call of a model cost. Of what is cached or spent on reasoning only that has a price
-- of its own which is not priced as any other token; counts that contradict each other are not priced.
CREATE OR REPLACE VIEW internal_priced_spans
AS WITH
    (prices, tokens) -> arrayLast(tier -> tier.Over = 0 OR tokens > tier.Over, prices).Price AS at,
    toUnixTimestamp(StartTime) AS made,
    Prices[greatest(1, arrayLastIndex(p -> p.Since <= made AND multiIf(
        p.FromSecond = p.ToSecond, true,
        p.FromSecond < p.ToSecond, made % 86400 >= p.FromSecond AND made % 86400 < p.ToSecond,
        made % 86400 >= p.FromSecond OR made % 86400 < p.ToSecond), Prices))] AS price,
    toInt64(InputTokens) - if(empty(price.CacheRead), 0, CacheReadTokens) - if(empty(price.CacheWrite), 0, CacheWriteTokens) AS plain,
    toInt64(OutputTokens) - if(empty(price.Reasoning), 0, ReasoningTokens) AS said
SELECT
    *,
    if(empty(Prices) OR InputTokens + OutputTokens = 0 OR plain < 0 OR said < 0, NULL, price.Request + (
        plain * at(price.Input, InputTokens) + CacheReadTokens * at(price.CacheRead, InputTokens)
        + CacheWriteTokens * at(price.CacheWrite, InputTokens) + said * at(price.Output, InputTokens)
        + ReasoningTokens * at(price.Reasoning, InputTokens)) / 1000000) AS Cost
FROM internal_agent_spans FINAL
LEFT ANY JOIN (SELECT Provider, Model, Prices FROM internal_prices FINAL) AS p USING (Provider, Model);

-- name: internal_plain_roots
-- Traces of which no span that is known is the root. The root is a span of something else then, a request or a job: it says when
-- the run ended, and where nothing inside of it does, how.
CREATE OR REPLACE VIEW internal_plain_roots
AS SELECT
    TraceId, SpanId, toString(SpanName) AS SpanName, toString(ServiceName) AS ServiceName, ResourceAttributes['tenant.id'] AS Tenant,
    StatusCode NOT IN ('Error', 'STATUS_CODE_ERROR') AS Success, StatusMessage, toDateTime64(Timestamp, 9, 'UTC') AS StartTime,
    if(Duration >= 9223372036854775808, 0, Duration) AS DurationNs
FROM otel_traces
WHERE ParentSpanId = '' AND SpanAttributes['episode.span'] = ''
    AND TraceId IN (SELECT TraceId FROM internal_agent_spans GROUP BY TraceId HAVING NOT max(ParentSpanId = '' OR Stamped));

-- name: internal_trace_spans
-- Spans of other instrumentations, with the steps and roots of ours among them. Ids as numbers, since they are looked for in
-- arrays. Who speaks for the trace: an agent that carries a name, else the root, else any agent or chain.
CREATE OR REPLACE VIEW internal_trace_spans
AS SELECT
    *, cityHash64(SpanId) AS Id, cityHash64(ParentSpanId) AS Parent, addNanoseconds(StartTime, DurationNs) AS EndTime,
    ifNull(Success, true) AS Ok, if(ErrorMessage = '', ErrorType, ErrorMessage) AS Why,
    Role IN ('own', 'step') AND Kind IN ('tool_use', 'error_handling') AS OwnTool,
    multiIf(Role = 'model', 1, Named OR (Role = 'agent' AND AgentName != ''), 2, Role = 'agent', 3, Role IN ('tool',
        'execution', 'own', 'step'), 4, 0) AS Sort,
    multiIf(Named, 3, Role NOT IN ('agent', 'tool', 'model', 'structure'), 0, ParentSpanId = '', 2, Role IN ('agent',
        'structure'), 1, 0) AS Rank,
    (Rank, -toUnixTimestamp64Nano(StartTime), DurationNs, SpanId) AS Outer,
    (Rank, toUnixTimestamp64Nano(EndTime), DurationNs, SpanId) AS Later
FROM
(
    SELECT
        EpisodeId, TraceId, SpanId, ParentSpanId, Role, Operation, Segment, Stamped, Remote, SpanName, Kind, Tool, Named, AgentName,
        Task, Arguments, Action, Observation, Success, ErrorType, ErrorMessage, StartTime, DurationNs, Provider, Model, ResponseId,
        FinishReason, InputTokens, OutputTokens, CacheReadTokens, CacheWriteTokens, ReasoningTokens, Cost, ConversationId, ServiceName,
        Tenant, Calls, Answers
    FROM internal_priced_spans
    UNION ALL
    SELECT
        EpisodeId, TraceId, SpanId, ParentSpanId, 'own', '', Segment, false, false, '', Kind, Tool, false, '',
        '', '', '', '', true, '', '', StartTime, DurationNs, '', '', '', '', 0, 0, 0, 0, 0, NULL, '', '', '', [], []
    FROM internal_steps FINAL
    WHERE Convention = '' AND EpisodeId IN (SELECT EpisodeId FROM internal_agent_spans)
    UNION ALL
    SELECT
        EpisodeId, TraceId, SpanId, '', 'root', '', Segment, false, false, '', '', '', false, '',
        '', '', '', '', true, '', '', StartTime, DurationNs, '', '', '', '', 0, 0, 0, 0, 0, NULL, '', '', '', [], []
    FROM internal_roots FINAL
    WHERE EpisodeId IN (SELECT EpisodeId FROM internal_agent_spans)
    UNION ALL
    SELECT
        TraceId, TraceId, SpanId, '', 'around', 'plain root', 0, false, false, SpanName, '', '', false, '',
        '', '', '', '', Success, '', StatusMessage, StartTime, DurationNs, '', '', '', '', 0, 0, 0, 0, 0, NULL, '', ServiceName, Tenant, [], []
    FROM internal_plain_roots
);

-- name: internal_trace_sums
-- One row per trace. What is looked up by place is in arrays of one order: Ids, Parents, SpanIds, Names, Sorts.
CREATE OR REPLACE VIEW internal_trace_sums
AS SELECT
    n.EpisodeId AS EpisodeId, n.TraceId AS TraceId,
    max(n.Role = 'root' OR n.Stamped) AS Own,
    max(n.Segment) AS Segment,
    max(n.Tenant) AS Tenant,
    max(n.Rank) AS Rank,
    max(n.Role = 'around') AS Around,
    countIf(n.Role = 'agent') AS Agents,
    countIf(n.Role = 'structure') AS Structures,
    countIf(n.Role = 'tool' OR n.Role = 'step') AS Calls,
    CAST(argMax((n.SpanId, n.SpanName, n.AgentName, n.Task, n.ConversationId, n.ServiceName, n.Operation, n.StartTime,
        n.InputTokens, n.OutputTokens), n.Outer),
        'Tuple(SpanId String, SpanName String, AgentName String, Task String, ConversationId String, ServiceName String,
            Operation String, StartTime DateTime64(9, \'UTC\'), Input UInt64, Output UInt64)') AS First,
    -- A later one of several side by side speaks for the whole: what failed before was made good, or not.
    CAST(argMax((n.Ok, n.Why, n.EndTime), n.Later),
        'Tuple(Ok Bool, Why String, EndTime DateTime64(9, \'UTC\'))') AS Last,
    argMinIf(n.Task, (n.StartTime, n.SpanId), n.Task != '') AS AnyTask,
    argMinIf(n.AgentName, (n.StartTime, n.SpanId), n.AgentName != '') AS AnyAgent,
    min(n.StartTime) AS Began,
    max(n.EndTime) AS LastTime,
    maxIf(n.EndTime, n.Role IN ('model', 'tool') AND n.Ok) AS LastOk,
    CAST(argMaxIf((n.EndTime, n.Why), n.EndTime, n.Role = 'model' AND NOT n.Ok),
        'Tuple(EndTime DateTime64(9, \'UTC\'), Why String)') AS Refused,
    CAST(maxIf((n.InputTokens, n.OutputTokens), n.Role IN ('agent', 'structure')), 'Tuple(Input UInt64, Output UInt64)') AS Most,
    groupArray(n.Id) AS Ids, groupArray(n.Parent) AS Parents, groupArray(n.SpanId) AS SpanIds, groupArray(n.AgentName) AS Names,
    groupArray(n.Sort) AS Sorts,
    CAST(groupArrayIf((n.StartTime, n.EndTime, n.Why), n.Role IN ('agent', 'structure', 'around') AND NOT n.Ok),
        'Array(Tuple(StartTime DateTime64(9, \'UTC\'), EndTime DateTime64(9, \'UTC\'), Why String))') AS Broke,
    CAST(groupArrayIf((n.Id, n.Parent, n.SpanId, n.StartTime, n.DurationNs, n.Provider, n.Model, n.ResponseId, n.FinishReason,
        n.InputTokens, n.CacheReadTokens, n.CacheWriteTokens, n.OutputTokens, n.ReasoningTokens, n.Cost, n.Success, n.AgentName),
        n.Role = 'model'),
        'Array(Tuple(Id UInt64, Parent UInt64, SpanId String, StartTime DateTime64(9, \'UTC\'), DurationNs UInt64,
            Provider String, Model String, Response String, Finish String, Input UInt64, CacheRead UInt64, CacheWrite UInt64,
            Output UInt64, Reasoning UInt64, Cost Nullable(Float64), Success Nullable(Bool), AgentName String))') AS Models,
    CAST(groupArrayIf((n.Id, n.SpanId, n.StartTime, n.EndTime, n.FinishReason, n.Calls, n.Answers), notEmpty(n.Calls) OR notEmpty(n.Answers)),
        'Array(Tuple(Id UInt64, SpanId String, StartTime DateTime64(9, \'UTC\'), EndTime DateTime64(9, \'UTC\'), Finish String,
            Calls Array(Tuple(Id String, Tool String, Arguments String, Earlier Bool)),
            Answers Array(Tuple(Id String, Said String, Failed Bool))))') AS Said,
    CAST(groupArrayIf((n.Id, n.Parent, n.Tool), n.OwnTool), 'Array(Tuple(Id UInt64, Parent UInt64, Tool String))') AS OwnTools,
    CAST(groupArrayIf((n.Id, n.Parent, n.Ok), n.Role = 'execution'), 'Array(Tuple(Id UInt64, Parent UInt64, Ok Bool))') AS Executions,
    CAST(groupArrayIf((n.Id, n.Parent, n.Tool, n.Remote AND n.ParentSpanId != '', n.StartTime, n.EndTime, n.Ok, n.DurationNs),
        n.Role = 'tool'),
        'Array(Tuple(Id UInt64, Parent UInt64, Tool String, Remote Bool, StartTime DateTime64(9, \'UTC\'),
            EndTime DateTime64(9, \'UTC\'), Ok Bool, DurationNs UInt64))') AS Tools,
    CAST(groupArrayIf((n.StartTime, n.SpanId, n.Id, n.Parent, n.Role = 'step', n.Success, n.Tool, n.DurationNs, n.ParentSpanId,
        n.Kind, n.Arguments, n.Action, n.Observation, n.ErrorType, n.ErrorMessage, n.InputTokens, n.OutputTokens, n.AgentName,
        n.ServiceName, n.Operation), n.Role IN ('tool', 'step')),
        'Array(Tuple(StartTime DateTime64(9, \'UTC\'), SpanId String, Id UInt64, Parent UInt64, IsOurs Bool,
            Success Nullable(Bool), Tool String, DurationNs UInt64, ParentSpanId String, Kind String, Arguments String,
            Action String, Observation String, ErrorType String, ErrorMessage String, Input UInt64, Output UInt64,
            AgentName String, ServiceName String, Operation String))') AS Candidates
FROM internal_trace_spans AS n
GROUP BY n.EpisodeId, n.TraceId;

-- name: internal_trace_calls
-- Calls of models, each once: spans inside one another, or with one response id, are one call, of which the span that counts
-- tokens speaks. One that counts none beside one that does, or that failed meanwhile or right after, under the same parent, is the same call told by halves.
-- A level a name: the engine would put the text of an alias wherever it is used.
CREATE OR REPLACE VIEW internal_trace_calls
AS SELECT
    * EXCEPT (Tops, Keys, Spoken, Under, Telling),
    arrayFilter((c, tells, parent) -> tells OR NOT arrayExists(
        (other, t, p) -> t AND p = parent AND (other.Input + other.Output > 0 OR (other.StartTime < addNanoseconds(c.StartTime,
            c.DurationNs + 5000000) AND addNanoseconds(other.StartTime, other.DurationNs) > c.StartTime)), Spoken, Telling, Under),
        Spoken, Telling, Under) AS ModelSpans
FROM
(
    SELECT
        *, arrayMap(c -> Parents[Tops[indexOf(Models.Id, c.Id)]], Spoken) AS Under,
        arrayMap(c -> c.Input + c.Output > 0 OR ifNull(c.Success, true) = false, Spoken) AS Telling
    FROM
    (
        SELECT
            *, arrayMap(key -> arrayReverseSort(
                m -> (m.Input + m.Output, ifNull(m.Success, true) = false, m.Response != '', m.Model != '', -toUnixTimestamp64Nano(m.StartTime)),
                arrayFilter((m, k) -> k = key, Models, Keys))[1], arrayDistinct(Keys)) AS Spoken
        FROM
        (
            -- A response id of any of them stands for all that are inside one another.
            SELECT
                *, arrayMap(top -> if(
                    arrayExists((said, t) -> t = top AND said != '', Models.Response, Tops),
                    cityHash64(arrayFirst((said, t) -> t = top AND said != '', Models.Response, Tops)), toUInt64(top)), Tops) AS Keys
            FROM
            (
                -- The outermost model span of each, past structure between them.
                SELECT
                    *, arrayMap(id -> arrayFold(
                        (at, step) -> (if(at.1 = 0 OR Sorts[at.1] > 1, 0, Up[at.1]), if(at.1 != 0 AND Sorts[at.1] = 1, at.1, at.2)),
                        range(12), (Up[indexOf(Ids, id)], indexOf(Ids, id))).2, Models.Id) AS Tops
                FROM (SELECT *, arrayMap(parent -> indexOf(Ids, parent), Parents) AS Up FROM internal_trace_sums)
            )
        )
    )
);

-- name: internal_trace_tools
-- Which of the tool spans are the same step as another. A tool inside a tool is, unless the outer one asks a model: then it is an
-- agent at work.
CREATE OR REPLACE VIEW internal_trace_tools
AS SELECT *, arrayConcat(Inner.Id, Executions.Id) AS InnerIds, arrayConcat(Inner.Parent, Executions.Parent) AS InnerParents
FROM
(
    SELECT
        *,
        arrayFilter(t ->
            (has(ToolIds, t.Parent) AND NOT has(Models.Parent, t.Parent))
            -- The answering side of a call whose caller is known by another way than the parent: a span between that is not ours.
            OR (t.Remote AND NOT has(Ids, t.Parent) AND arrayExists(
                u -> u.Tool = t.Tool AND u.Id != t.Id AND u.StartTime <= t.StartTime AND u.EndTime >= t.EndTime, Tools))
            -- Told once more: a failure of no length right after the one of the same tool.
            OR (NOT t.Ok AND t.DurationNs < 1000000 AND arrayExists(
                u -> u.Tool = t.Tool AND u.Id != t.Id AND u.Parent = t.Parent AND NOT u.Ok AND u.DurationNs > t.DurationNs
                    AND u.StartTime <= t.StartTime AND dateDiff('microsecond', u.EndTime, t.StartTime) < 5000, Tools)), Tools) AS Inner
    FROM (SELECT *, arrayConcat(Tools.Id, OwnTools.Id, Executions.Id) AS ToolIds FROM internal_trace_calls)
);

-- name: internal_trace_asked
-- Steps that only the messages of models tell of, where no span is a tool's: begun when the answer that asks for it is there, over
-- when a model is first told what came of it. What nobody answered is a step too, unless the model stopped with it: then it was
-- the form of the answer.
CREATE OR REPLACE VIEW internal_trace_asked
AS SELECT
    * EXCEPT (Said, Candidates, Asks, Replies),
    arrayConcat(Candidates, CAST(arrayMap(ask -> (
        -- Those asked for at once in the order in which they were.
        fromUnixTimestamp64Nano(ask.Time + ask.Place - 1, 'UTC'), lower(hex(cityHash64(TraceId, ask.Id))), ask.Model, 0, false,
        if(has(Replies.Id, ask.Id), NOT Replies.Failed[indexOf(Replies.Id, ask.Id)], NULL), ask.Tool,
        if(has(Replies.Id, ask.Id), greatest(0, Replies.Time[indexOf(Replies.Id, ask.Id)] - ask.Time), 0), ask.SpanId,
        'tool_use', ask.Arguments, substringUTF8(ask.Arguments, 1, 256), Replies.Said[indexOf(Replies.Id, ask.Id)], '',
        if(Replies.Failed[indexOf(Replies.Id, ask.Id)], substringUTF8(splitByChar('\n', Replies.Said[indexOf(Replies.Id,
            ask.Id)])[1], 1, 256), ''), 0, 0, Names[indexOf(Ids, ask.Model)], First.ServiceName, 'tool call in a message'),
        arrayFilter(ask -> NOT Own AND empty(Candidates) AND (has(Replies.Id, ask.Id) OR NOT ask.Final), Asks)),
        'Array(Tuple(StartTime DateTime64(9, \'UTC\'), SpanId String, Id UInt64, Parent UInt64, IsOurs Bool,
            Success Nullable(Bool), Tool String, DurationNs UInt64, ParentSpanId String, Kind String, Arguments String,
            Action String, Observation String, ErrorType String, ErrorMessage String, Input UInt64, Output UInt64,
            AgentName String, ServiceName String, Operation String))')) AS Candidates
FROM
(
    SELECT
        * EXCEPT (Asked, Replied),
        -- Some write another id into the answer than the one that is answered.
        arrayFilter((ask, number) -> number = 1 AND (has(Replied.Id, ask.Id) OR NOT arrayExists(
            other -> other.Tool = ask.Tool AND other.Arguments = ask.Arguments AND has(Replied.Id, other.Id), Asked)),
            Asked, arrayEnumerateUniq(Asked.Id)) AS Asks,
        arrayFilter((reply, number) -> number = 1, Replied, arrayEnumerateUniq(Replied.Id)) AS Replies
    FROM
    (
        SELECT
            *,
            CAST(arraySort(arrayFlatten(arrayMap(s -> arrayMap((call, place) -> (
                toUnixTimestamp64Nano(if(call.Earlier, s.StartTime, s.EndTime)), place, call.Id, call.Tool, call.Arguments,
                s.SpanId, s.Id, s.Finish IN ('stop', 'end_turn', 'STOP')), s.Calls, arrayEnumerate(s.Calls)), Said))),
                'Array(Tuple(Time Int64, Place UInt32, Id String, Tool String, Arguments String, SpanId String, Model UInt64,
                    Final Bool))') AS Asked,
            CAST(arraySort(arrayFlatten(arrayMap(s -> arrayMap(answer -> (
                toUnixTimestamp64Nano(s.StartTime), NOT answer.Failed, answer.Id, answer.Said, answer.Failed), s.Answers), Said))),
                'Array(Tuple(Time Int64, Good Bool, Id String, Said String, Failed Bool))') AS Replied
        FROM internal_trace_tools
    )
);

-- name: internal_trace_steps
-- Our step on the function that a framework calls as its tool stands for both: of the same name, or alone in there. What fails
-- inside of a step fails the step. A step without a name of its agent is of the nearest agent above that has one.
CREATE OR REPLACE VIEW internal_trace_steps
AS SELECT
    *,
    arrayMap(id -> Names[arrayFold((at, i) -> if(at = 0 OR Sorts[at] = 2, at, Up[at]), range(16), Up[indexOf(Ids, id)])], Kept.Id) AS Whose
FROM
(
    SELECT
        *,
        arrayConcat(arrayFilter(e -> NOT e.Ok, Executions).Parent, arrayMap(
            p -> arrayFold((at, i) -> if(has(InnerIds, at), InnerParents[indexOf(InnerIds, at)], at), [1, 2, 3], p),
            arrayFilter(t -> NOT t.Ok AND has(ToolIds, t.Parent), Inner).Parent)) AS Broken,
        arraySort(c -> (c.StartTime, c.SpanId), arrayFilter(c -> NOT has(Dropped, c.Id), Candidates)) AS Kept
    FROM
    (
        SELECT
            *,
            arrayConcat(Inner.Id, arrayFilter(t ->
                arrayExists((p, name) -> p = t.Id AND name = t.Tool, Above, OwnTools.Tool)
                OR (countEqual(Above, t.Id) = 1 AND NOT has(Models.Parent, t.Id)), Tools).Id) AS Dropped
        FROM
        (
            -- Past what is the same step; three levels of that are more than were ever seen.
            SELECT
                *,
                arrayMap(p -> arrayFold((above, i) -> if(has(InnerIds, above), InnerParents[indexOf(InnerIds, above)], above),
                    [1, 2, 3], p), OwnTools.Parent) AS Above
            FROM internal_trace_asked
        )
    )
);

-- name: internal_agent_traces
CREATE OR REPLACE VIEW internal_agent_traces
AS WITH
    -- How many model calls in one trace are a run where no agent and no tool says so (0: never), and after how long a silence one
    -- without an agent's end has ended.
    (SELECT toUInt32OrDefault(argMax(Value, UpdatedAt), toUInt32(2)) FROM internal_settings
     WHERE Name = 'model_calls_of_a_run') AS calls_of_a_run,
    (SELECT toUInt32OrDefault(argMax(Value, UpdatedAt), toUInt32(600)) FROM internal_settings
     WHERE Name = 'ended_after_seconds') AS ended_after
SELECT
    EpisodeId, TraceId, Own,
    NOT Own AND (Agents > 0 OR (Calls > 0 AND ModelCalls > 0) OR (Structures > 0 AND (Calls > 0 OR ModelCalls > 0))
        OR (assumeNotNull(calls_of_a_run) > 0 AND ModelCalls >= assumeNotNull(calls_of_a_run))) AS IsEpisode,
    Segment, Tenant,
    Rank > 0 OR Around OR LastTime < now64(9) - toIntervalSecond(assumeNotNull(ended_after)) AS Ended,
    First.SpanId AS SpanId,
    multiIf(First.Task != '', First.Task, AnyTask != '', AnyTask, First.SpanName) AS Task,
    if(First.AgentName != '', First.AgentName, AnyAgent) AS AgentName,
    -- Where neither an agent nor the root has arrived, silence is no success.
    multiIf(NOT Ended, '', NOT Fate.1, 'failure', Rank = 0 AND NOT Around, 'unknown', 'success') AS Outcome,
    if(Ended, Fate.2, '') AS Verdict,
    if(Rank = 0, Began, First.StartTime) AS StartTime,
    if(Rank = 0, LastTime, Last.EndTime) AS EndTime,
    ModelCalls,
    -- A call that is not priced is not free.
    arrayExists(c -> isNull(c.Cost) AND c.Input + c.Output > 0, ModelSpans) AS Unpriced,
    if(Unpriced OR arrayAll(c -> isNull(c.Cost), ModelSpans), NULL, arraySum(c -> ifNull(c.Cost, 0), ModelSpans)) AS Cost,
    -- What an agent says it used is the sum of what its model calls say: one or the other, never both.
    multiIf(ByModels, Counted.1, First.Input + First.Output > 0, First.Input, Most.Input) AS InputTokens,
    multiIf(ByModels, Counted.2, First.Input + First.Output > 0, First.Output, Most.Output) AS OutputTokens,
    First.ConversationId AS ConversationId, First.ServiceName AS ServiceName, First.Operation AS Convention,
    Broken, Kept, Whose, ModelSpans, Up, Ids, SpanIds, Names, Sorts,
    length(Kept) AS Steps,
    arrayCount(k -> ifNull(k.Success, true) = false OR has(Broken, k.Id), Kept) AS FailedSteps,
    arrayDistinct(Kept.Tool) AS Tools
FROM
(
    SELECT
        * EXCEPT (Tools),
        length(ModelSpans) AS ModelCalls,
        (arraySum(ModelSpans.Input), arraySum(ModelSpans.Output)) AS Counted,
        -- A span of a model in which tools ran stands for several calls, and tells of the last.
        Counted.1 + Counted.2 > 0 AND (Counted.1 + Counted.2 >= First.Input + First.Output OR NOT arrayExists(
            call -> arrayExists(t -> t.StartTime > call.StartTime AND t.EndTime < addNanoseconds(call.StartTime, call.DurationNs),
                Tools), ModelSpans)) AS ByModels,
        -- An error around the agent that speaks, or a model that refused and was not asked again, fails the run.
        multiIf(
            (Rank > 0 OR Around) AND NOT Last.Ok, (false, Last.Why),
            arrayExists(b -> b.StartTime <= First.StartTime AND b.EndTime >= Last.EndTime, Broke),
            (false, arrayFirst(b -> b.StartTime <= First.StartTime AND b.EndTime >= Last.EndTime, Broke).Why),
            Refused.EndTime > LastOk AND Refused.EndTime > toDateTime64(0, 9, 'UTC'), (false, Refused.Why),
            (true, '')) AS Fate
    FROM internal_trace_steps
);

-- name: internal_own_roots
-- Roots of our own. A view for itself, as are our own steps: where no other instrumentation records anything, the jobs plan no more.
CREATE OR REPLACE VIEW internal_own_roots
AS SELECT
    EpisodeId, TraceId, SpanId, Ended, Segment, Task, TaskType, Domain, Language, Framework, Complexity, Tags,
    if(Ended AND Outcome = '', 'unknown', Outcome) AS Outcome, OutcomeSource, EndedHow, Verdict, Artifacts, Completed, Failed,
        StoppedAtStep, ExternalReward, StartTime, EndTime, DurationNs, InputTokens, OutputTokens,
    ParentEpisodeId, AgentName, ConversationId, ServiceName, Attributes, Tenant
FROM internal_roots FINAL
WHERE EpisodeId != ''
-- The same span always has the same start, so its copies are in one partition; likewise below.
SETTINGS do_not_merge_across_partitions_select_final = 1;

-- name: internal_roots_of_episodes
CREATE OR REPLACE VIEW internal_roots_of_episodes
AS SELECT * FROM internal_own_roots
UNION ALL
SELECT
    EpisodeId, TraceId, SpanId, Ended, 0, Task, '', '', '', '', '', [], Outcome, if(Ended AND Outcome != 'unknown', 'rule', ''), '', Verdict,
    [], 0, 0, 0, NULL, StartTime, EndTime, toUInt64(greatest(0, dateDiff('nanosecond', StartTime, EndTime))), InputTokens,
        OutputTokens,
    '', AgentName, ConversationId, ServiceName, map('episode.convention', Convention), Tenant
FROM internal_agent_traces
WHERE IsEpisode;

-- name: internal_own_steps
CREATE OR REPLACE VIEW internal_own_steps
AS SELECT
    EpisodeId, TraceId, SpanId, ParentSpanId, Segment, StepIndex, Kind, Tool, Arguments, Template, Action, Observation, Success,
    ErrorType, ErrorMessage, StartTime, DurationNs, InputTokens, OutputTokens, BatchCount, BatchErrors, AgentName, ServiceName,
    Convention, Tenant
FROM internal_steps FINAL
WHERE EpisodeId != '' AND Convention = ''
SETTINGS do_not_merge_across_partitions_select_final = 1;

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
AS SELECT * FROM internal_own_steps
UNION ALL
SELECT
    EpisodeId, TraceId, step.SpanId, step.ParentSpanId, Segment, 0, step.Kind, step.Tool, step.Arguments, '', step.Action,
    step.Observation, if(has(Broken, step.Id), false, step.Success), step.ErrorType, step.ErrorMessage, step.StartTime,
    step.DurationNs, step.Input, step.Output, 0, 0, multiIf(step.AgentName != '', step.AgentName, whose != '', whose, AgentName),
    step.ServiceName, if(step.IsOurs, '', step.Operation), Tenant
FROM internal_agent_traces
ARRAY JOIN Kept AS step, Whose AS whose
WHERE Own OR IsEpisode;
