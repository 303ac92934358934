-- What an import asks.

-- name: completely_stored_spans
-- An episode's span counts only if the table filled from it has it too.
SELECT DISTINCT TraceId, SpanId
FROM otel_traces
WHERE TraceId IN {trace_ids:Array(String)}
  AND multiIf(
      SpanAttributes['episode.span'] = 'step',
      (TraceId, SpanId) IN (SELECT TraceId, SpanId FROM internal_steps WHERE TraceId IN {trace_ids:Array(String)}),
      SpanAttributes['episode.span'] IN ('episode', 'start'),
      (TraceId, SpanId) IN (SELECT TraceId, SpanId FROM internal_roots WHERE TraceId IN {trace_ids:Array(String)}),
      true);

-- name: traces_of_episodes
SELECT EpisodeId, argMin(TraceId, Segment) AS TraceId
FROM internal_roots
WHERE EpisodeId IN {ids:Array(String)}
GROUP BY EpisodeId;
