-- What log records say of spans: evaluation results and exceptions, which the conventions have as events of their own. Either
-- may arrive first, record or span, so each of them looks for the other.

-- name: internal_evaluations_logs_mv
-- Of the episode it names, else of the one its trace belongs to, else of the one in which a model gave that answer.
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_evaluations_logs_mv TO internal_evaluations
AS WITH
    of_id AS
    (
        SELECT EpisodeId AS Id, argMin(TraceId, Segment) AS Trace, max(Tenant) AS Owner
        FROM internal_roots WHERE EpisodeId IN (SELECT EpisodeId FROM internal_log_events WHERE EpisodeId != '') GROUP BY Id
    ),
    of_trace AS
    (
        SELECT TraceId AS Trace, any(EpisodeId) AS Id, max(Tenant) AS Owner
        FROM internal_roots WHERE TraceId IN (SELECT TraceId FROM internal_log_events WHERE EpisodeId = '') GROUP BY Trace
    ),
    of_answer AS
    (
        SELECT ResponseId AS Response, any(EpisodeId) AS Id, any(TraceId) AS Trace, any(SpanId) AS Span, any(Tenant) AS Owner
        FROM internal_agent_spans
        WHERE Role = 'model' AND ResponseId IN (SELECT ResponseId FROM internal_log_events WHERE TraceId = '' AND ResponseId != '')
        GROUP BY Response
    )
SELECT
    multiIf(e.EpisodeId != '', e.EpisodeId, of_trace.Id != '', of_trace.Id, e.TraceId != '', e.TraceId, of_answer.Id) AS EpisodeId,
    multiIf(of_id.Trace != '', of_id.Trace, e.TraceId != '', e.TraceId, of_answer.Trace) AS TraceId,
    if(e.SpanId = '', of_answer.Span, e.SpanId) AS SpanId,
    e.Time AS Time, e.Name AS Name, ifNull(e.Score, 0) AS Score, e.Score IS NOT NULL AS Scored,
    e.Label AS Label, e.Explanation AS Explanation, now64(6) AS InsertedAt,
    multiIf(e.Tenant != '', e.Tenant, of_id.Owner != '', of_id.Owner, of_trace.Owner != '', of_trace.Owner, of_answer.Owner) AS Tenant
FROM internal_log_events AS e
LEFT ANY JOIN of_id ON of_id.Id = e.EpisodeId
LEFT ANY JOIN of_trace ON of_trace.Trace = e.TraceId
LEFT ANY JOIN of_answer ON of_answer.Response = e.ResponseId
WHERE e.Event = 'evaluation' AND EpisodeId != '' AND TraceId != '';

-- name: internal_evaluations_answers_mv
-- A record about an answer that arrives before the span of the model that gave it.
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_evaluations_answers_mv TO internal_evaluations
AS WITH
    waiting AS
    (
        SELECT ResponseId, Time, Name, Score, Label, Explanation
        FROM internal_log_events
        WHERE TraceId = '' AND EpisodeId = '' AND Event = 'evaluation'
            AND ResponseId IN (SELECT ResponseId FROM internal_agent_spans WHERE Role = 'model' AND ResponseId != '')
    )
SELECT
    a.EpisodeId AS EpisodeId, a.TraceId AS TraceId, a.SpanId AS SpanId, w.Time AS Time, w.Name AS Name, ifNull(w.Score, 0) AS Score,
    w.Score IS NOT NULL AS Scored, w.Label AS Label, w.Explanation AS Explanation, now64(6) AS InsertedAt, a.Tenant AS Tenant
FROM internal_agent_spans AS a
INNER JOIN waiting AS w ON w.ResponseId = a.ResponseId
WHERE a.Role = 'model';

-- name: internal_agent_spans_logs_mv
-- An exception that arrives after its span: the span once more, with it.
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_agent_spans_logs_mv TO internal_agent_spans
AS WITH
    failed AS
    (
        SELECT * EXCEPT InsertedAt
        FROM internal_agent_spans FINAL
        WHERE EpisodeId IN (SELECT TraceId FROM internal_log_events WHERE Event = 'exception') AND Success = false
            AND ErrorMessage = ''
    )
SELECT * EXCEPT (Type, Said) REPLACE (
    if(ErrorType = '', Type, ErrorType) AS ErrorType, Said AS ErrorMessage,
    if(Observation = '' AND Role IN ('tool', 'step'), Said, Observation) AS Observation)
FROM
(
    SELECT TraceId, SpanId, ErrorType AS Type, ErrorMessage AS Said
    FROM internal_log_events
    WHERE Event = 'exception' AND ErrorMessage != ''
) AS said
INNER JOIN failed USING (TraceId, SpanId);
