-- What an import asks.

-- name: completely_stored_spans
-- Where a span is and what it holds. An episode's span counts only if the table filled from it has it too.
-- The digest is that of importers/load.py; a span that is there twice has none, so that it is replaced.
SELECT
    TraceId,
    SpanId,
    min(toUnixTimestamp64Nano(Timestamp)) AS Start,
    max(toUnixTimestamp64Nano(Timestamp) + toInt64(Duration)) AS End,
    any(SpanAttributes['episode.outcome']) AS Outcome,
    any(SpanAttributes['episode.ended_how']) AS EndedHow,
    if(count() > 1, '', any(lower(hex(MD5(arrayStringConcat([
        toString(toUnixTimestamp64Nano(Timestamp)), toString(Duration), ParentSpanId, SpanName, StatusCode, StatusMessage,
        arrayStringConcat(arrayMap((key, value) -> concat(key, '=', value), mapKeys(SpanAttributes), mapValues(SpanAttributes)), '\0'),
        arrayStringConcat(Links.SpanId, '\0'),
        arrayStringConcat(arrayMap(event -> event['episode.prompt.text'], Events.Attributes), '\0')], '\x01')))))) AS Digest
FROM otel_traces
WHERE TraceId IN {trace_ids:Array(String)}
  AND multiIf(
      SpanAttributes['episode.span'] = 'step',
      (TraceId, SpanId) IN (SELECT TraceId, SpanId FROM internal_steps WHERE TraceId IN {trace_ids:Array(String)}),
      SpanAttributes['episode.span'] IN ('episode', 'start'),
      (TraceId, SpanId) IN (SELECT TraceId, SpanId FROM internal_roots WHERE TraceId IN {trace_ids:Array(String)}),
      true)
GROUP BY TraceId, SpanId;

-- name: remove_spans
-- Before they are written again: a run that has grown, whose root ends later and whose last call has been answered.
DELETE FROM otel_traces
WHERE Timestamp BETWEEN fromUnixTimestamp64Nano({first:Int64}) AND fromUnixTimestamp64Nano({last:Int64})
  AND TraceId IN {traces:Array(String)} AND SpanId IN {spans:Array(String)};

-- name: divided_sessions
-- Sessions of which each prompt is an episode: imported again, they are divided again.
SELECT DISTINCT TraceId
FROM internal_roots
WHERE Attributes['episode.source.divided'] = 'prompt';

-- name: root_of_trace
SELECT EpisodeId
FROM internal_roots
WHERE TraceId = {trace:String}
LIMIT 1;

-- name: traces_of_episodes
SELECT EpisodeId, argMin(TraceId, Segment) AS TraceId
FROM internal_roots
WHERE EpisodeId IN {ids:Array(String)}
GROUP BY EpisodeId;
