-- A generated history: 12 steps an episode, 40 habits (scripts) of 12 tools with one step in ten out of habit,
-- 2,778 episodes a day (1 M steps are 30 days), in the columns of otel_traces.

-- name: generate
INSERT INTO {table:Identifier} (Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName, SpanAttributes, Duration, StatusCode, StatusMessage)
WITH
    ['grep', 'read', 'edit', 'build', 'test', 'lint', 'git', 'plan', 'fetch', 'query', 'think', 'deploy'] AS tools,
    ['web-api', 'cli', 'data', 'infra', 'docs'] AS domains,
    intDiv(number, 14) AS e,
    number % 14 AS k,
    cityHash64('script', e) % 40 AS script,
    cityHash64('noise', e, k) AS noise,
    tools[1 + if(noise % 10 = 0, cityHash64('tool', e, k), cityHash64('habit', script, k)) % 12] AS tool,
    noise % 100 >= 90 AS failed,
    cityHash64('outcome', e) % 100 < 20 + (cityHash64('merit', script) % 70) AS won,
    lower(hex(sipHash128('episode', e))) AS trace,
    toDateTime64('2025-06-01 00:00:00', 9, 'UTC') + toIntervalMillisecond(e * 31102) AS began,
    lower(hex(sipHash64('span', e, 13))) AS root
SELECT
    began + toIntervalMillisecond(if(k IN (0, 13), 0, k * 2000)) AS Timestamp,
    trace,
    if(k = 13, root, lower(hex(sipHash64('span', e, k)))),
    if(k = 13, '', root),
    multiIf(k = 13, 'invoke_agent coder', k = 0, 'episode.start', concat('execute_tool ', tool)),
    'Internal',
    'bench',
    multiIf(
        k = 0, map('episode.span', 'start', 'episode.id', trace, 'gen_ai.agent.name', 'coder',
            'episode.domain', domains[1 + script % 5], 'episode.task', concat('task ', toString(e % 500)),
            'episode.task_type', 'feature', 'episode.complexity', 'moderate'),
        k = 13, map('episode.span', 'episode', 'episode.id', trace, 'gen_ai.agent.name', 'coder',
            'episode.domain', domains[1 + script % 5], 'episode.task', concat('task ', toString(e % 500)),
            'episode.task_type', 'feature', 'episode.complexity', 'moderate', 'episode.language', 'rust',
            'episode.outcome', if(won, 'success', 'failure'), 'episode.tokens.input', toString(5000 + noise % 9000)),
        map('episode.span', 'step', 'episode.id', trace, 'gen_ai.agent.name', 'coder', 'gen_ai.tool.name', tool,
            'episode.step.kind', if(tool = 'plan', 'decision_point', 'tool_use'), 'episode.step.index', toString(k),
            'episode.step.action', concat(tool, ' src/', toString(noise % 1000)),
            'episode.step.observation', concat('observed ', toString(noise)),
            'episode.step.success', if(failed, 'false', 'true'),
            'error.type', if(failed, 'tool_error', ''))),
    if(k = 13, 26000000000, if(k = 0, 0, 100000000 + noise % 1900000000)),
    if(failed AND k NOT IN (0, 13), 'Error', 'Unset'),
    if(failed AND k NOT IN (0, 13), concat('cannot open /tmp/', toString(noise % 1000), ': error ', toString(noise % 4)), '')
FROM numbers({first:UInt64} * 14, {episodes:UInt64} * 14)
-- As the exporter inserts.
SETTINGS max_insert_threads = 1, max_partitions_per_insert_block = 0, optimize_on_insert = 0;

-- name: plain_table
CREATE TABLE IF NOT EXISTS plain_traces AS otel_traces;

-- name: drop_plain_table
DROP TABLE IF EXISTS plain_traces;

-- name: count_episodes
SELECT uniqExact(EpisodeId) AS Episodes FROM internal_roots;

-- name: latest_start
SELECT toUnixTimestamp(max(StartTime)) AS Seconds FROM internal_roots;

-- name: forget
TRUNCATE TABLE IF EXISTS {table:Identifier};
