-- Narrow, typed tables of episodes and steps, filled on insert into otel_traces.
-- (TraceId, SpanId) is the key of a span: whatever is sent twice collapses to one row (read with FINAL).
-- Ids of episodes are random, so that a primary key finds a thousand of them all over a table. An index by_episode says which
-- parts do not have any: of new episodes all but the newest. Its filters are large, since a part has all of them or none.
-- What a span of another instrumentation means depends on its trace, of which an insert sees only a part: 003_agent_spans.sql
-- keeps such spans as they come, and the views internal_roots_of_episodes and steps say what they add up to.

-- name: internal_steps
CREATE TABLE IF NOT EXISTS internal_steps
(
    EpisodeId String COMMENT 'episode.id; of another instrumentation''s span without one, its trace; empty for a step recorded outside any episode',
    TraceId String COMMENT 'lower-case hex, 32 characters',
    SpanId String COMMENT 'lower-case hex, 16 characters',
    ParentSpanId String,
    Segment UInt16 COMMENT '0 for the first trace of an episode, +1 for each time it was resumed after its end',
    StepIndex UInt32 COMMENT 'position in the episode from 1, as the recording process counted; 0 where it could not know (steps added by handle)',
    Kind LowCardinality(String) COMMENT 'tool_use, decision_point, error_handling or milestone',
    Tool LowCardinality(String),
    Arguments String COMMENT 'gen_ai.tool.call.arguments: what the tool was called with, JSON',
    Template String COMMENT 'episode.step.template: the action without what differs from run to run',
    Action String COMMENT 'what was done, for people: episode.step.action, else the arguments',
    Observation String COMMENT 'what came of it: episode.step.observation, else gen_ai.tool.call.result',
    Success Nullable(Bool) COMMENT 'episode.step.success, else by the span status: Error is a failure; NULL: nobody can tell, the call was not answered',
    ErrorType LowCardinality(String),
    ErrorMessage String COMMENT 'the status message: one line',
    StartTime DateTime64(9, 'UTC'),
    DurationNs UInt64,
    InputTokens UInt64,
    OutputTokens UInt64,
    BatchCount UInt32 COMMENT 'a burst recorded as one step: how many actions it stands for; 0 for an ordinary step',
    BatchErrors UInt32,
    AgentName LowCardinality(String),
    ServiceName LowCardinality(String),
    Convention LowCardinality(String) COMMENT 'empty: recorded by otel-episodes; else the attribute by which the span of another instrumentation was recognised',
    InsertedAt DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'when the row reached the server',
    Tenant LowCardinality(String) COMMENT 'tenant.id of the resource; empty: none',
    INDEX by_episode EpisodeId TYPE bloom_filter(0.00001) GRANULARITY 64
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(StartTime)
-- Lookups are by episode, so that it stands first; the same id of two tenants is two episodes.
ORDER BY (EpisodeId, Tenant, TraceId, SpanId)
SETTINGS non_replicated_deduplication_window = 10000;

-- name: internal_steps_mv
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_steps_mv TO internal_steps
AS SELECT
    SpanAttributes['episode.id'] AS EpisodeId,
    TraceId,
    SpanId,
    ParentSpanId,
    toUInt16OrZero(SpanAttributes['episode.segment']) AS Segment,
    toUInt32OrZero(SpanAttributes['episode.step.index']) AS StepIndex,
    if(SpanAttributes['episode.step.kind'] = '', 'tool_use', SpanAttributes['episode.step.kind']) AS Kind,
    SpanAttributes['gen_ai.tool.name'] AS Tool,
    SpanAttributes['gen_ai.tool.call.arguments'] AS Arguments,
    SpanAttributes['episode.step.template'] AS Template,
    multiIf(
        SpanAttributes['episode.step.action'] != '', SpanAttributes['episode.step.action'],
        -- Where only an action was given, it is the one argument.
        startsWith(Arguments, '{"action": "') AND JSONLength(Arguments) = 1, JSONExtractString(Arguments, 'action'),
        Arguments) AS Action,
    if(SpanAttributes['episode.step.observation'] = '',
       SpanAttributes['gen_ai.tool.call.result'],
       SpanAttributes['episode.step.observation']) AS Observation,
    multiIf(SpanAttributes['episode.step.success'] = 'unknown', NULL,
            SpanAttributes['episode.step.success'] != '', SpanAttributes['episode.step.success'] = 'true',
            StatusCode NOT IN ('Error', 'STATUS_CODE_ERROR')) AS Success,
    SpanAttributes['error.type'] AS ErrorType,
    StatusMessage AS ErrorMessage,
    Timestamp AS StartTime,
    -- A collector writes the end less the start even where a clock was set back between them.
    if(Duration >= 9223372036854775808, 0, Duration) AS DurationNs,
    toUInt64OrZero(SpanAttributes['episode.step.tokens.input']) AS InputTokens,
    toUInt64OrZero(SpanAttributes['episode.step.tokens.output']) AS OutputTokens,
    toUInt32OrZero(SpanAttributes['episode.step.batch.count']) AS BatchCount,
    toUInt32OrZero(SpanAttributes['episode.step.batch.errors']) AS BatchErrors,
    SpanAttributes['gen_ai.agent.name'] AS AgentName,
    ServiceName,
    ResourceAttributes['tenant.id'] AS Tenant
FROM otel_traces
WHERE SpanAttributes['episode.span'] = 'step'
    AND TraceId NOT IN (SELECT TraceId FROM internal_forgotten)
    AND (EpisodeId, Tenant) NOT IN (SELECT EpisodeId, Tenant FROM internal_forgotten);

-- name: internal_roots
CREATE TABLE IF NOT EXISTS internal_roots
(
    EpisodeId String,
    TraceId String,
    SpanId String COMMENT 'of the episode span; for a start marker, of the marker itself',
    Ended Bool COMMENT 'true: the episode span itself; false: the start marker, sent while the episode runs',
    Segment UInt16,
    Task String,
    TaskType LowCardinality(String),
    Domain LowCardinality(String),
    Language LowCardinality(String),
    Framework LowCardinality(String),
    Complexity LowCardinality(String),
    Tags Array(String),
    Outcome LowCardinality(String) COMMENT 'success, partial, failure, abstained or unknown (it ended, and nobody said how); empty on a start marker',
    OutcomeSource LowCardinality(String) COMMENT 'who said so: told, score, exception, rule or default; empty: not recorded',
    EndedHow LowCardinality(String) COMMENT 'episode.ended_how: how it came to its end, in the words of who recorded it',
    Verdict String,
    Artifacts Array(String),
    Completed UInt32 COMMENT 'of a partial outcome: how many parts were done',
    Failed UInt32 COMMENT 'of a partial outcome: how many parts were not',
    StoppedAtStep UInt32 COMMENT 'of an abstained outcome: after how many steps',
    ExternalReward Nullable(Float64) COMMENT 'episode.reward: a score from outside, a benchmark or a user',
    StartTime DateTime64(9, 'UTC'),
    DurationNs UInt64,
    InputTokens UInt64,
    OutputTokens UInt64,
    ParentEpisodeId String COMMENT 'the episode whose step started this one',
    AgentName LowCardinality(String),
    ConversationId String,
    ServiceName LowCardinality(String),
    Attributes Map(LowCardinality(String), String) COMMENT 'what else was set on the span under episode.*, for formulas of your own',
    InsertedAt DateTime64(3, 'UTC') DEFAULT now64(3),
    EndTime DateTime64(9, 'UTC') MATERIALIZED addNanoseconds(StartTime, DurationNs),
    Tenant LowCardinality(String) COMMENT 'tenant.id of the resource; empty: none',
    INDEX by_episode EpisodeId TYPE bloom_filter(0.00001) GRANULARITY 64
)
-- The span of an episode can be written twice (two processes complete the same handle): the later end stands.
ENGINE = ReplacingMergeTree(EndTime)
PARTITION BY toYYYYMM(StartTime)
ORDER BY (EpisodeId, Tenant, TraceId, SpanId)
SETTINGS non_replicated_deduplication_window = 10000;

-- name: internal_roots_mv
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_roots_mv TO internal_roots
AS SELECT
    SpanAttributes['episode.id'] AS EpisodeId,
    TraceId,
    SpanId,
    SpanAttributes['episode.span'] = 'episode' AS Ended,
    toUInt16OrZero(SpanAttributes['episode.segment']) AS Segment,
    SpanAttributes['episode.task'] AS Task,
    SpanAttributes['episode.task_type'] AS TaskType,
    SpanAttributes['episode.domain'] AS Domain,
    SpanAttributes['episode.language'] AS Language,
    SpanAttributes['episode.framework'] AS Framework,
    SpanAttributes['episode.complexity'] AS Complexity,
    -- rotel writes a list as OTLP-JSON: {"values":[{"stringValue":"a"}]}.
    if(startsWith(SpanAttributes['episode.tags'], '{'),
       arrayMap(item -> JSONExtractString(item, 'stringValue'), JSONExtractArrayRaw(SpanAttributes['episode.tags'], 'values')),
       JSONExtract(SpanAttributes['episode.tags'], 'Array(String)')) AS Tags,
    SpanAttributes['episode.outcome'] AS Outcome,
    SpanAttributes['episode.outcome.source'] AS OutcomeSource,
    SpanAttributes['episode.ended_how'] AS EndedHow,
    SpanAttributes['episode.verdict'] AS Verdict,
    if(startsWith(SpanAttributes['episode.artifacts'], '{'),
       arrayMap(item -> JSONExtractString(item, 'stringValue'), JSONExtractArrayRaw(SpanAttributes['episode.artifacts'], 'values')),
       JSONExtract(SpanAttributes['episode.artifacts'], 'Array(String)')) AS Artifacts,
    -- A list of what was done, in either form, or just how many.
    multiIf(startsWith(SpanAttributes['episode.completed'], '['), toUInt32(JSONLength(SpanAttributes['episode.completed'])),
            startsWith(SpanAttributes['episode.completed'], '{'), toUInt32(JSONLength(SpanAttributes['episode.completed'], 'values')),
            toUInt32OrZero(SpanAttributes['episode.completed'])) AS Completed,
    multiIf(startsWith(SpanAttributes['episode.failed'], '['), toUInt32(JSONLength(SpanAttributes['episode.failed'])),
            startsWith(SpanAttributes['episode.failed'], '{'), toUInt32(JSONLength(SpanAttributes['episode.failed'], 'values')),
            toUInt32OrZero(SpanAttributes['episode.failed'])) AS Failed,
    toUInt32OrZero(SpanAttributes['episode.stopped_at_step']) AS StoppedAtStep,
    toFloat64OrNull(SpanAttributes['episode.reward']) AS ExternalReward,
    Timestamp AS StartTime,
    if(Duration >= 9223372036854775808, 0, Duration) AS DurationNs,
    toUInt64OrZero(SpanAttributes['episode.tokens.input']) AS InputTokens,
    toUInt64OrZero(SpanAttributes['episode.tokens.output']) AS OutputTokens,
    SpanAttributes['episode.parent.id'] AS ParentEpisodeId,
    -- A start marker has names of its own for them.
    if(SpanAttributes['gen_ai.agent.name'] = '', SpanAttributes['episode.agent'], SpanAttributes['gen_ai.agent.name']) AS AgentName,
    if(SpanAttributes['gen_ai.conversation.id'] = '', SpanAttributes['episode.conversation'],
       SpanAttributes['gen_ai.conversation.id']) AS ConversationId,
    ServiceName,
    mapFilter((key, value) -> key NOT IN (
        'episode.id', 'episode.span', 'episode.segment', 'episode.task', 'episode.task_type', 'episode.domain',
        'episode.language', 'episode.framework', 'episode.complexity', 'episode.tags', 'episode.outcome',
        'episode.outcome.source', 'episode.ended_how', 'episode.verdict', 'episode.artifacts', 'episode.completed', 'episode.failed', 'episode.stopped_at_step',
        'episode.reward', 'episode.tokens.input', 'episode.tokens.output', 'episode.parent.id', 'gen_ai.agent.name',
        'gen_ai.conversation.id', 'gen_ai.operation.name', 'gen_ai.input.messages', 'gen_ai.output.messages', 'episode.agent',
        'episode.conversation'), SpanAttributes) AS Attributes,
    ResourceAttributes['tenant.id'] AS Tenant
FROM otel_traces
WHERE SpanAttributes['episode.span'] IN ('episode', 'start')
    AND TraceId NOT IN (SELECT TraceId FROM internal_forgotten)
    AND (EpisodeId, Tenant) NOT IN (SELECT EpisodeId, Tenant FROM internal_forgotten);

-- name: internal_settings
CREATE TABLE IF NOT EXISTS internal_settings
(
    Name LowCardinality(String),
    Value String,
    UpdatedAt DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(UpdatedAt)
ORDER BY Name
COMMENT 'what the views read: abandoned_after_seconds (86400), how long an episode without an end may be silent';
