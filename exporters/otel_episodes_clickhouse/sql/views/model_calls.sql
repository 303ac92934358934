-- Calls of models, each once, no matter how many spans report it.

-- name: model_calls
CREATE OR REPLACE VIEW model_calls
(
    EpisodeId String COMMENT 'the episode; of a call outside any, its trace',
    TraceId String COMMENT 'the trace, lower-case hex',
    SpanId String COMMENT 'the span, lower-case hex',
    StepSpanId String COMMENT 'the step it was made in; empty: none',
    Provider LowCardinality(String) COMMENT 'gen_ai.provider.name',
    Model LowCardinality(String) COMMENT 'the model that answered, else the one that was asked for',
    StartTime DateTime64(9, 'UTC') COMMENT 'when it was made',
    DurationNs UInt64 COMMENT 'how long it took, nanoseconds',
    InputTokens UInt64 COMMENT 'tokens in, cached ones included',
    CacheReadTokens UInt64 COMMENT 'of these, read from a cache',
    CacheWriteTokens UInt64 COMMENT 'of these, written to a cache',
    OutputTokens UInt64 COMMENT 'tokens out',
    ReasoningTokens UInt64 COMMENT 'of these, spent on reasoning',
    Cost Nullable(Float64) COMMENT 'US dollars; NULL: not priced',
    FinishReason LowCardinality(String) COMMENT 'why it stopped',
    Success Nullable(Bool) COMMENT 'NULL: nobody can tell',
    AgentName LowCardinality(String) COMMENT 'whose call it is',
    Tenant LowCardinality(String) COMMENT 'tenant.id of the resource; empty: none'
)
AS SELECT
    EpisodeId, TraceId, call.SpanId AS SpanId,
    -- The nearest step above it.
    SpanIds[arrayFold((at, i) -> if(at = 0 OR Sorts[at] = 4, at, Up[at]), range(16), Up[indexOf(Ids, call.Id)])] AS StepSpanId,
    call.Provider AS Provider, call.Model AS Model, call.StartTime AS StartTime, call.DurationNs AS DurationNs,
    call.Input AS InputTokens, call.CacheRead AS CacheReadTokens, call.CacheWrite AS CacheWriteTokens,
    call.Output AS OutputTokens, call.Reasoning AS ReasoningTokens, call.Cost AS Cost,
    call.Finish AS FinishReason, call.Success AS Success,
    arrayFirst(name -> name != '', [call.AgentName, Names[arrayFold(
        (at, i) -> if(at = 0 OR Sorts[at] = 2, at, Up[at]), range(16), Up[indexOf(Ids, call.Id)])], AgentName]) AS AgentName,
    Tenant
FROM
(
    SELECT EpisodeId, TraceId, ModelSpans, SpanIds, Sorts, Names, Up, Ids, AgentName, Tenant
    FROM internal_agent_traces
    WHERE Own OR IsEpisode
)
ARRAY JOIN ModelSpans AS call;
