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
    EpisodeId, TraceId, SpanId, '' AS StepSpanId, Provider, Model, StartTime, DurationNs, InputTokens, CacheReadTokens,
    CacheWriteTokens, OutputTokens, ReasoningTokens, CAST(NULL, 'Nullable(Float64)') AS Cost, FinishReason, Success, AgentName, Tenant
FROM internal_agent_spans FINAL
WHERE Role = 'model'
SETTINGS do_not_merge_across_partitions_select_final = 1;
