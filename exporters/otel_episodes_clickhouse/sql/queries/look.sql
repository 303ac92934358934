-- What the command line shows. An empty string, or 0, in a parameter means: no such filter.

-- name: list_episodes
SELECT
    EpisodeId, TraceId, Task, TaskType, Domain, AgentName, Outcome, OutcomeSource, EndedHow, Verdict, Steps, FailedSteps, Tools, ModelCalls,
    StartTime, EndTime, DurationNs, InputTokens, OutputTokens, Cost, ExternalReward, Tenant
FROM episodes
WHERE ({outcome:String} = '' OR Outcome = {outcome:String})
  AND ({tag:String} = '' OR has(Tags, {tag:String}))
  AND ({tool:String} = '' OR has(Tools, {tool:String}))
  AND ({task:String} = '' OR positionCaseInsensitiveUTF8(Task, {task:String}) > 0)
  AND ({tenant:String} = '' OR Tenant = {tenant:String})
  AND ({since:Int64} = 0 OR StartTime >= fromUnixTimestamp64Nano({since:Int64}, 'UTC'))
  AND (empty({ids:Array(String)}) OR EpisodeId IN {ids:Array(String)} OR ParentId IN {ids:Array(String)})
ORDER BY StartTime DESC, EpisodeId
LIMIT {limit:UInt32};

-- name: count_episodes
SELECT count() AS Episodes, countIf(Outcome = 'abandoned') AS Abandoned, countIf(Outcome = 'running') AS Running
FROM episodes;

-- name: find_episodes
-- The whole id goes before others that begin with it.
SELECT *
FROM episodes
WHERE startsWith(EpisodeId, {prefix:String}) OR startsWith(TraceId, {prefix:String})
ORDER BY EpisodeId = {prefix:String} DESC, StartTime DESC
LIMIT 20;

-- name: steps_of_episode
SELECT
    TraceId, SpanId, ParentSpanId, Segment, StepIndex, Kind, Tool, Arguments, Action, Observation, Success, ErrorType, ErrorMessage,
    StartTime, DurationNs, InputTokens, OutputTokens, BatchCount, BatchErrors
FROM steps
WHERE EpisodeId = {id:String}
ORDER BY Segment, StartTime, StepIndex, SpanId
LIMIT {limit:UInt64} OFFSET {offset:UInt64};

-- name: calls_of_episode
SELECT
    TraceId, SpanId, StepSpanId, Provider, Model, StartTime, DurationNs, InputTokens, CacheReadTokens, CacheWriteTokens, OutputTokens,
    ReasoningTokens, Cost, FinishReason, Success, AgentName
FROM model_calls
WHERE EpisodeId = {id:String}
ORDER BY StartTime, SpanId;

-- name: episode_segments
-- One row per trace of the episode, its end where that is there, else its start marker.
SELECT
    Segment, TraceId, argMax(SpanId, Ended) AS SpanId, min(r.StartTime) AS StartTime, max(r.EndTime) AS EndTime
FROM internal_roots_of_episodes AS r
WHERE EpisodeId = {id:String}
GROUP BY Segment, TraceId
ORDER BY Segment, StartTime;

-- name: trace_spans
SELECT DISTINCT
    TraceId, SpanId, ParentSpanId, Links.TraceId AS LinkTraceIds,
    arrayMap(attributes -> attributes['episode.link.kind'], Links.Attributes) AS LinkKinds
FROM otel_traces
WHERE TraceId IN {trace_ids:Array(String)};

-- name: sub_agents
SELECT EpisodeId, TraceId, Task, AgentName, Outcome, Steps, FailedSteps, StartTime, DurationNs
FROM episodes
WHERE ParentId = {id:String}
ORDER BY StartTime, EpisodeId;

-- name: scores_of_episode
-- Of each name the latest counts; of others the label may say more.
SELECT Time, SpanId, Name, if(Scored, Score, NULL) AS Score, Label, Explanation
FROM internal_evaluations FINAL
WHERE EpisodeId = {id:String}
ORDER BY Time, Name;

-- name: unknown_operations
-- What other instrumentations say that nobody here has heard of: taken for structure.
SELECT Operation, count() AS Spans, max(StartTime) AS Latest
FROM internal_agent_spans FINAL
WHERE NOT Known AND Role != 'housekeeping'
GROUP BY Operation
ORDER BY Spans DESC, Operation
LIMIT 5;

-- name: unread_spans
-- Spans of the last week that look like those of agents, by a word in a kind or in a key, of which nobody here knows the
-- convention and whose trace is no episode; the row that would read them. What is to be repeated in a shell is plain text.
WITH
    'agent|assistant|crew' AS agents, 'tool|function' AS tools, 'llm|model|generation|chat|completion' AS models,
    text -> multiIf(match(text, agents), 'agent', match(text, tools), 'tool', match(text, models), 'model', '') AS role_of,
    lower(tupleElement(pair, 1)) AS key, lower(tupleElement(pair, 2)) AS said,
    match(key, '(kind|type|role|operation|op|category)$') AND length(said) <= 40 AND match(said, '^[\\w.:/ -]+$') AS IsKind
SELECT
    Scope, Attribute, Value, Role, count() AS Spans, uniqExact(TraceId) AS Traces,
    format('INSERT INTO internal_conventions (Attribute, Value, Role) VALUES (''{}'', ''{}'', ''{}'')', Attribute, Value, Role) AS Row
FROM
(
    SELECT
        ScopeName AS Scope, TraceId, tupleElement(pair, 1) AS Attribute, if(IsKind, said, '') AS Value,
        multiIf(IsKind, role_of(said), match(key, '(agent|tool|llm|model)[._-]?(name|id)$'), role_of(key), '') AS Role
    FROM
    (
        SELECT ScopeName, TraceId, SpanAttributes
        FROM otel_traces
        WHERE Timestamp >= now() - INTERVAL 7 DAY AND SpanAttributes['episode.span'] = ''
            AND arrayExists(name -> match(lower(name), 'agent|llm|gen_?ai|tool|model|kind|type'), mapKeys(SpanAttributes))
            AND (TraceId, SpanId) NOT IN (SELECT TraceId, SpanId FROM internal_agent_spans)
        LIMIT 100000
    )
    ARRAY JOIN CAST(SpanAttributes, 'Array(Tuple(String, String))') AS pair
    WHERE match(key, '^[\\w.:/-]{1,80}$') AND Role != ''
)
WHERE TraceId NOT IN (SELECT TraceId FROM internal_roots_of_episodes)
GROUP BY Scope, Attribute, Value, Role
ORDER BY Traces DESC, Spans DESC, Attribute, Value
LIMIT 5;

-- name: only_failures
-- Services of which other instrumentations recorded thirty runs or more in a week, of which nearly all failed.
SELECT ServiceName, count() AS Episodes, countIf(Outcome = 'failure') AS Failures
FROM episodes
WHERE OutcomeSource = 'rule' AND StartTime >= now() - INTERVAL 7 DAY
GROUP BY ServiceName
HAVING Episodes >= 30 AND Failures >= 0.95 * Episodes
ORDER BY Episodes DESC
LIMIT 5;

-- name: lost_contexts
-- Episodes of the last seven days whose block was left with another context current than it was entered in.
SELECT uniqExact(TraceId) AS Episodes
FROM otel_traces
WHERE Timestamp >= now() - INTERVAL 7 DAY
    AND has(mapKeys(SpanAttributes), 'episode.context_lost')
    AND SpanAttributes['episode.span'] = 'episode';

-- name: engine_version
SELECT version() AS Version;

-- name: disk_room
SELECT max(unreserved_space) AS Bytes FROM system.disks WHERE NOT is_read_only;

-- name: insert_nothing
-- Fails where rows cannot be written, and changes nothing where they can.
INSERT INTO internal_settings SELECT * FROM internal_settings WHERE false;
