-- How long raw spans and log records are kept. Episodes, steps and what is learned from them are small, and stay.
-- Parts are dropped whole, by the day (ttl_only_drop_parts), as the collector's own TTL does it.

-- name: keep_traces
ALTER TABLE otel_traces MODIFY TTL toDateTime(Timestamp) + toIntervalDay({days:UInt32});

-- name: keep_trace_ids
ALTER TABLE otel_traces_trace_id_ts MODIFY TTL toDateTime(Start) + toIntervalDay({days:UInt32});

-- name: keep_logs
ALTER TABLE otel_logs MODIFY TTL toDateTime(Timestamp) + toIntervalDay({days:UInt32});

-- name: keep_traces_for_ever
ALTER TABLE otel_traces REMOVE TTL;

-- name: keep_trace_ids_for_ever
ALTER TABLE otel_traces_trace_id_ts REMOVE TTL;

-- name: keep_logs_for_ever
ALTER TABLE otel_logs REMOVE TTL;

-- name: tables_with_ttl
SELECT name AS Name FROM system.tables
WHERE database = currentDatabase() AND name IN {names:Array(String)}
  AND create_table_query LIKE '% TTL %';
