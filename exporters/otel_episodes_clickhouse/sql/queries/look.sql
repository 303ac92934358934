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
WHERE NOT Known
GROUP BY Operation
ORDER BY Spans DESC, Operation
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
