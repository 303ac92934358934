-- Which models and tools were called, how they did, and what it cost.

-- name: models_used
-- Calls of unknown success are no failures. The domain is that of the episode; only ours have one.
SELECT
    Provider, Model, Part, count() AS Calls, countIf(Success = false) AS Failures, uniqExact(EpisodeId) AS Episodes,
    toUInt64(quantile(0.5)(DurationNs)) AS P50Ns, toUInt64(quantile(0.95)(DurationNs)) AS P95Ns,
    sum(u.InputTokens) AS InputTokens, sum(u.CacheReadTokens) AS CacheReadTokens, sum(u.OutputTokens) AS OutputTokens,
    sum(u.Cost) AS Cost, countIf(u.Cost IS NULL AND u.InputTokens + u.OutputTokens > 0) AS Unpriced
FROM
(
    SELECT
        c.EpisodeId AS EpisodeId, c.Provider AS Provider, c.Model AS Model, c.Success AS Success, c.DurationNs AS DurationNs,
        c.InputTokens AS InputTokens, c.CacheReadTokens AS CacheReadTokens, c.OutputTokens AS OutputTokens, c.Cost AS Cost,
        multiIf({by:String} = 'day', toString(toDate(c.StartTime)), {by:String} = 'agent', c.AgentName, {by:String} = 'domain', d.Domain,
            '') AS Part
    FROM model_calls AS c
    LEFT JOIN
    (
        SELECT EpisodeId, any(r.Domain) AS Domain FROM internal_roots AS r
        WHERE r.Domain != '' AND {by:String} = 'domain' GROUP BY EpisodeId
    ) AS d ON d.EpisodeId = c.EpisodeId
    WHERE {since:Int64} = 0 OR c.StartTime >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')
) AS u
GROUP BY Provider, Model, Part
ORDER BY Part DESC, Calls DESC, Model, Provider;

-- name: tools_used
-- Tokens are those counted in the step, else those of the calls of models in it.
SELECT
    Tool, Part, count() AS Calls, countIf(Success = false) AS Failures, uniqExact(EpisodeId) AS Episodes,
    toUInt64(quantile(0.5)(DurationNs)) AS P50Ns, toUInt64(quantile(0.95)(DurationNs)) AS P95Ns,
    sum(u.Tokens) AS Tokens, sum(u.Cost) AS Cost
FROM
(
    SELECT
        s.EpisodeId AS EpisodeId, s.Tool AS Tool, s.Success AS Success, s.DurationNs AS DurationNs,
        if(s.InputTokens + s.OutputTokens > 0, s.InputTokens + s.OutputTokens, m.Tokens) AS Tokens, m.Cost AS Cost,
        multiIf({by:String} = 'day', toString(toDate(s.StartTime)), {by:String} = 'agent', s.AgentName, {by:String} = 'domain', d.Domain,
            '') AS Part
    FROM steps AS s
    LEFT JOIN
    (
        SELECT TraceId, StepSpanId, sum(InputTokens + OutputTokens) AS Tokens, sum(c.Cost) AS Cost
        FROM model_calls AS c WHERE StepSpanId != '' GROUP BY TraceId, StepSpanId
    ) AS m ON m.TraceId = s.TraceId AND m.StepSpanId = s.SpanId
    LEFT JOIN
    (
        SELECT EpisodeId, any(r.Domain) AS Domain FROM internal_roots AS r
        WHERE r.Domain != '' AND {by:String} = 'domain' GROUP BY EpisodeId
    ) AS d ON d.EpisodeId = s.EpisodeId
    WHERE s.Tool != '' AND ({since:Int64} = 0 OR s.StartTime >= fromUnixTimestamp64Nano({since:Int64}, 'UTC'))
) AS u
GROUP BY Tool, Part
ORDER BY Part DESC, Calls DESC, Tool;
