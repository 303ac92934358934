-- After an insert whose end nobody saw: what of it is in the store?
-- A plain MergeTree notes the token of an insert before it keeps the rows, so that an engine killed between the two
-- ignores the repetition and has not the rows. A replicated table does both in one transaction.

-- name: tokens_may_lie
SELECT count() AS Tables
FROM system.tables
WHERE database = currentDatabase() AND name = 'otel_traces' AND endsWith(engine, 'MergeTree')
  AND NOT startsWith(engine, 'Replicated') AND NOT startsWith(engine, 'Shared');

-- name: stored_spans
SELECT TraceId, SpanId
FROM otel_traces
WHERE Timestamp >= fromUnixTimestamp64Nano({first:Int64}) AND Timestamp <= fromUnixTimestamp64Nano({last:Int64})
  AND TraceId IN {traces:Array(String)};

-- The tables that views fill forget their tokens, so that a repeated insert reaches them once more: by key they keep
-- one row of each. Only where nobody else inserts.

-- name: forget_tokens_trace_ids
ALTER TABLE otel_traces_trace_id_ts MODIFY SETTING non_replicated_deduplication_window = 0;

-- name: forget_tokens_steps
ALTER TABLE internal_steps MODIFY SETTING non_replicated_deduplication_window = 0;

-- name: forget_tokens_roots
ALTER TABLE internal_roots MODIFY SETTING non_replicated_deduplication_window = 0;

-- name: keep_tokens_trace_ids
ALTER TABLE otel_traces_trace_id_ts MODIFY SETTING non_replicated_deduplication_window = 10000;

-- name: keep_tokens_steps
ALTER TABLE internal_steps MODIFY SETTING non_replicated_deduplication_window = 10000;

-- name: keep_tokens_roots
ALTER TABLE internal_roots MODIFY SETTING non_replicated_deduplication_window = 10000;
