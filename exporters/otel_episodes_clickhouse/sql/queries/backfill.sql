-- Spans that were in the store before the materialized views were. Nothing of the views is repeated here: the server
-- is asked for their definitions, and puts the statements together itself.

-- name: backfill_views
-- Every materialized view that keeps the ids of spans: what it reads, what it fills, and the statement that fills in
-- what is missing. Those that keep only ids of episodes are themselves fed by what this adds. What reads otel_traces
-- or otel_logs comes first: it feeds others, which then have less left to do.
WITH
    views AS (
        SELECT name, as_select, extract(create_table_query, ' TO (\\S+)') AS target
        FROM system.tables
        WHERE database = currentDatabase() AND engine = 'MaterializedView'),
    read AS (
        SELECT concat(database, '.', name) AS source, arrayJoin(dependencies_table) AS view
        FROM system.tables
        WHERE database = currentDatabase()),
    kept AS (
        SELECT table AS view, groupArray(name) AS names
        FROM (SELECT table, name FROM system.columns WHERE database = currentDatabase() ORDER BY table, position)
        GROUP BY table),
    times AS (
        SELECT concat(database, '.', table) AS source, min(name) AS time
        FROM system.columns
        WHERE database = currentDatabase() AND name IN ('Timestamp', 'StartTime', 'Time')
        GROUP BY source),
    -- A table that keeps nothing hands on to the view that reads it: what is missing is missing where the last one writes.
    through AS (
        SELECT read.source AS passed, any(views.target) AS target
        FROM read
        INNER JOIN views ON views.name = read.view
        WHERE read.source IN (SELECT concat(database, '.', name) FROM system.tables WHERE engine = 'Null')
        GROUP BY passed),
    (SELECT CAST((groupArray(passed), groupArray(target)), 'Map(String, String)') FROM through) AS next,
    -- What tells apart the rows of a span.
    arrayStringConcat(arrayFilter(name -> has(kept.names, name), ['TraceId', 'SpanId', 'Time', 'Name', 'ResponseId']), ', ') AS key
SELECT
    views.name AS Name,
    read.source AS Source,
    times.time AS Time,
    arrayFold((at, step) -> if(next[at] = '', at, next[at]), range(8), views.target) AS Target,
    concat(
        'INSERT INTO ', views.target, ' (', arrayStringConcat(kept.names, ', '), ') ',
        'SELECT ', arrayStringConcat(kept.names, ', '), ' FROM (', views.as_select, ') ',
        'WHERE (', key, ') NOT IN (SELECT ', key, ' FROM ', Target,
        ' WHERE TraceId IN (SELECT TraceId FROM ', read.source, ')) ',
        'SETTINGS additional_table_filters = {', 'filter:String}') AS Statement
FROM views
INNER JOIN read ON read.view = views.name
INNER JOIN kept ON kept.view = views.name
INNER JOIN times ON times.source = read.source
WHERE read.source NOT IN (SELECT passed FROM through) AND has(kept.names, 'TraceId') AND has(kept.names, 'SpanId')
ORDER BY read.source LIKE '%.otel\\_%' DESC, views.name;

-- name: backfill_days
-- A day is one partition of otel_traces; the filter is what makes the statement above read nothing else.
SELECT
    toString(toDate({time:Identifier})) AS Day,
    concat('{''', {source:String}, ''': ''toDate(', {time:String}, ') = toDate(\\''', Day, '\\'')''}') AS Filter
FROM {source_name:Identifier}
GROUP BY Day
ORDER BY Day;

-- name: backfill_rows
SELECT count() AS Rows FROM {table:Identifier};
