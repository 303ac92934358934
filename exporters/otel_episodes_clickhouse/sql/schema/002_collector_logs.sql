-- The collector's own table of log records, name for name (clickhouseexporter 0.161, Map columns). An older collector's has
-- one column more and another order; all take the same INSERT. Of what is in it only evaluation results and exceptions are read.

-- name: otel_logs
-- shared: the collector's own.
CREATE TABLE IF NOT EXISTS otel_logs
(
    Timestamp DateTime64(9) CODEC(Delta(8), ZSTD(1)),
    TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(1)),
    TraceFlags UInt8,
    SeverityText LowCardinality(String) CODEC(ZSTD(1)),
    SeverityNumber UInt8,
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    Body String CODEC(ZSTD(1)),
    ResourceSchemaUrl LowCardinality(String) CODEC(ZSTD(1)),
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeSchemaUrl LowCardinality(String) CODEC(ZSTD(1)),
    ScopeName String CODEC(ZSTD(1)),
    ScopeVersion LowCardinality(String) CODEC(ZSTD(1)),
    ScopeAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    LogAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    EventName String CODEC(ZSTD(1)),
    INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX idx_res_attr_key mapKeys(ResourceAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_res_attr_value mapValues(ResourceAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_scope_attr_key mapKeys(ScopeAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_scope_attr_value mapValues(ScopeAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_log_attr_key mapKeys(LogAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_log_attr_value mapValues(LogAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_lower_body lower(Body) TYPE tokenbf_v1(32768, 3, 0) GRANULARITY 8
)
ENGINE = MergeTree
PARTITION BY toDate(Timestamp)
ORDER BY (toStartOfFiveMinutes(Timestamp), ServiceName, Timestamp)
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1;

-- name: otel_logs_deduplication
-- As for otel_traces.
-- optional: a collector may have made the table with an engine that has no such setting.
ALTER TABLE otel_logs MODIFY SETTING non_replicated_deduplication_window = 10000;

-- name: internal_log_events
CREATE TABLE IF NOT EXISTS internal_log_events
(
    EpisodeId String COMMENT 'episode.id, where the record has it',
    TraceId String COMMENT 'of the span the record belongs to; empty: none',
    SpanId String,
    ResponseId String COMMENT 'gen_ai.response.id: of which answer of a model it speaks',
    Event LowCardinality(String) COMMENT 'evaluation or exception',
    Time DateTime64(9, 'UTC'),
    Name String COMMENT 'gen_ai.evaluation.name',
    Score Nullable(Float64) COMMENT 'gen_ai.evaluation.score.value',
    Label LowCardinality(String) COMMENT 'gen_ai.evaluation.score.label',
    Explanation String COMMENT 'gen_ai.evaluation.explanation, at most 1024 characters',
    ErrorType LowCardinality(String) COMMENT 'exception.type',
    ErrorMessage String COMMENT 'exception.message: one line, at most 256 characters',
    Tenant LowCardinality(String) COMMENT 'tenant.id of the resource; empty: none'
)
ENGINE = ReplacingMergeTree
ORDER BY (TraceId, ResponseId, SpanId, Event, Name, Time)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'evaluation results and exceptions of otel_logs';

-- name: internal_log_events_mv
-- Older SDKs have the name of an event in an attribute. Any record about an exception is one, whatever its name.
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_log_events_mv TO internal_log_events
AS WITH
    if(EventName = '', LogAttributes['event.name'], EventName) AS event
SELECT
    LogAttributes['episode.id'] AS EpisodeId,
    TraceId, SpanId,
    LogAttributes['gen_ai.response.id'] AS ResponseId,
    if(event = 'gen_ai.evaluation.result', 'evaluation', 'exception') AS Event,
    Timestamp AS Time,
    LogAttributes['gen_ai.evaluation.name'] AS Name,
    if(isFinite(toFloat64OrNull(LogAttributes['gen_ai.evaluation.score.value'])),
        toFloat64OrNull(LogAttributes['gen_ai.evaluation.score.value']), NULL) AS Score,
    LogAttributes['gen_ai.evaluation.score.label'] AS Label,
    substringUTF8(LogAttributes['gen_ai.evaluation.explanation'], 1, 1024) AS Explanation,
    LogAttributes['exception.type'] AS ErrorType,
    substringUTF8(trimBoth(splitByRegexp('\\n|Traceback \\(most recent', LogAttributes['exception.message'])[1]), 1, 256)
        AS ErrorMessage,
    ResourceAttributes['tenant.id'] AS Tenant
FROM otel_logs
WHERE ((event = 'gen_ai.evaluation.result' AND (TraceId != '' OR ResponseId != '' OR EpisodeId != ''))
    OR ((ErrorType != '' OR ErrorMessage != '') AND TraceId != '' AND SpanId != ''))
    AND TraceId NOT IN (SELECT TraceId FROM internal_forgotten)
    AND (EpisodeId, Tenant) NOT IN (SELECT EpisodeId, Tenant FROM internal_forgotten);
