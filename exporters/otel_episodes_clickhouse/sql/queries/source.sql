-- A table of spans that is not ours, which a materialized view of ours reads: attributes as JSON, another name, fewer
-- columns, or an engine that keeps nothing.

-- name: source_columns
-- One that is there while a row is inserted alone cannot be read.
SELECT name AS Name, type AS Type
FROM system.columns
WHERE database = if({database:String} = '', currentDatabase(), {database:String}) AND table = {table:String}
    AND default_kind != 'EPHEMERAL';

-- name: source_engine
SELECT database AS Database, engine AS Engine
FROM system.tables
WHERE database = if({database:String} = '', currentDatabase(), {database:String}) AND name = {table:String};

-- name: count_spans
SELECT count() AS Spans FROM otel_traces;
