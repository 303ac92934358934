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

-- name: source_unfed
-- The table that internal_source_mv was made to read, where it does not feed it: it was renamed, or made again.
SELECT Name
FROM
(
    SELECT replaceAll(extract(as_select, 'FROM (\\S+)\\s*$'), '`', '') AS Name
    FROM system.tables
    WHERE database = currentDatabase() AND name = 'internal_source_mv'
)
WHERE Name != '' AND Name NOT IN
(
    SELECT concat(database, '.', name) FROM system.tables WHERE has(dependencies_table, 'internal_source_mv')
);

-- name: count_spans
SELECT count() AS Spans FROM otel_traces;
