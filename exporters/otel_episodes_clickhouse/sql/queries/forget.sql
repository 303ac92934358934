-- Forgetting an episode: its tombstone, then each relation that holds anything of it. `ids` are the episode and those that
-- its steps started, of one tenant; `traces` are theirs. What is added up over many is made again by the jobs.

-- name: forget_family
-- The episode and the episodes it started, and theirs; five deep.
WITH RECURSIVE family AS
(
    SELECT {id:String} AS EpisodeId, 0 AS Depth
    UNION ALL
    SELECT r.EpisodeId AS EpisodeId, f.Depth + 1 AS Depth
    FROM internal_roots AS r INNER JOIN family AS f ON r.ParentEpisodeId = f.EpisodeId
    WHERE r.Tenant = {tenant:String} AND f.Depth < 5
)
SELECT DISTINCT EpisodeId FROM family;

-- name: forget_traces
SELECT DISTINCT EpisodeId, TraceId
FROM
(
    SELECT EpisodeId, TraceId FROM internal_roots WHERE EpisodeId IN {ids:Array(String)} AND Tenant = {tenant:String}
    UNION DISTINCT
    SELECT EpisodeId, TraceId FROM internal_steps WHERE EpisodeId IN {ids:Array(String)} AND Tenant = {tenant:String}
    UNION DISTINCT
    SELECT if(EpisodeId = '', TraceId, EpisodeId) AS EpisodeId, TraceId
    FROM internal_agent_spans
    WHERE (EpisodeId IN {ids:Array(String)} OR TraceId IN {ids:Array(String)}) AND Tenant = {tenant:String}
);

-- name: forget_write
INSERT INTO internal_forgotten (EpisodeId, Tenant, TraceId, Reason)
SELECT pair.1, {tenant:String}, pair.2, {reason:String}
FROM (SELECT arrayJoin(arrayZip({of:Array(String)}, {traces:Array(String)})) AS pair);

-- name: forgotten_traces
SELECT DISTINCT TraceId FROM internal_forgotten;

-- name: forgotten_spans
-- What arrived of forgotten episodes after all.
SELECT DISTINCT TraceId
FROM otel_traces
WHERE TraceId IN (SELECT TraceId FROM internal_forgotten)
LIMIT 1000;

-- name: forgotten_resumed
-- Traces in which they were resumed, which is now; older spans came before they were forgotten.
SELECT DISTINCT SpanAttributes['episode.id'] AS EpisodeId, ResourceAttributes['tenant.id'] AS Tenant, TraceId
FROM otel_traces
WHERE Timestamp > now() - INTERVAL 2 DAY
    AND (EpisodeId, Tenant) IN (SELECT EpisodeId, Tenant FROM internal_forgotten)
    AND TraceId NOT IN (SELECT TraceId FROM internal_forgotten)
LIMIT 1000;

-- name: forgotten_episodes
SELECT uniqExact(EpisodeId, Tenant) AS Episodes FROM internal_forgotten;

-- name: forget_otel_traces
DELETE FROM otel_traces WHERE TraceId IN {traces:Array(String)};

-- name: forget_otel_traces_trace_id_ts
DELETE FROM otel_traces_trace_id_ts WHERE TraceId IN {traces:Array(String)};

-- name: forget_internal_roots
DELETE FROM internal_roots
WHERE (EpisodeId IN {ids:Array(String)} AND Tenant = {tenant:String}) OR TraceId IN {traces:Array(String)};

-- name: forget_internal_steps
DELETE FROM internal_steps
WHERE (EpisodeId IN {ids:Array(String)} AND Tenant = {tenant:String}) OR TraceId IN {traces:Array(String)};

-- name: forget_otel_logs
DELETE FROM otel_logs
WHERE TraceId IN {traces:Array(String)} OR LogAttributes['episode.id'] IN {ids:Array(String)};

-- name: forget_internal_log_events
-- Before the answers it may be about are gone.
DELETE FROM internal_log_events
WHERE TraceId IN {traces:Array(String)} OR (EpisodeId IN {ids:Array(String)} AND Tenant = {tenant:String}) OR ResponseId IN
    (SELECT ResponseId FROM internal_agent_spans WHERE TraceId IN {traces:Array(String)} AND ResponseId != '')
SETTINGS allow_nondeterministic_mutations = 1;

-- name: forget_internal_agent_spans
DELETE FROM internal_agent_spans WHERE TraceId IN {traces:Array(String)};

-- name: forget_internal_decisions
DELETE FROM internal_decisions
WHERE (EpisodeId IN {ids:Array(String)} AND Tenant = {tenant:String}) OR TraceId IN {traces:Array(String)};

-- name: forget_internal_evaluations
DELETE FROM internal_evaluations
WHERE (EpisodeId IN {ids:Array(String)} AND Tenant = {tenant:String}) OR TraceId IN {traces:Array(String)};

-- name: forget_internal_changes
DELETE FROM internal_changes WHERE EpisodeId IN {ids:Array(String)} OR EpisodeId IN {traces:Array(String)};

-- name: forget_marks_in_otel_traces
-- Spans of other episodes that say what they are to it; by their traces, which the index knows.
DELETE FROM otel_traces
WHERE TraceId IN {related:Array(String)} AND SpanAttributes['episode.span'] = 'mark'
    AND SpanAttributes['episode.mark.kind'] IN ('follows', 'retries', 'part_of')
    AND SpanAttributes['episode.mark.value'] IN {ids:Array(String)};

-- name: marks_that_name
SELECT DISTINCT TraceId
FROM internal_marks
WHERE Kind IN ('follows', 'retries', 'part_of') AND Value IN {ids:Array(String)} AND Tenant = {tenant:String};

-- name: forget_internal_marks
-- What others are said to be to it, too.
DELETE FROM internal_marks
WHERE (EpisodeId IN {ids:Array(String)} AND Tenant = {tenant:String}) OR TraceId IN {traces:Array(String)}
    OR (Kind IN ('follows', 'retries', 'part_of') AND Value IN {ids:Array(String)} AND Tenant = {tenant:String});

-- name: forget_internal_skills
ALTER TABLE internal_skills
    UPDATE Evidence = arrayFilter(each -> NOT has(arrayConcat({ids:Array(String)}, {traces:Array(String)}), each), Evidence)
    WHERE hasAny(Evidence, arrayConcat({ids:Array(String)}, {traces:Array(String)}))
SETTINGS mutations_sync = 2;

-- name: forget_internal_advice
DELETE FROM internal_advice
WHERE (EpisodeId IN {ids:Array(String)} AND Tenant = {tenant:String}) OR TraceId IN {traces:Array(String)};

-- name: forget_internal_facts
DELETE FROM internal_facts WHERE EpisodeId IN {ids:Array(String)} AND Tenant = {tenant:String};

-- name: forget_internal_sequences
DELETE FROM internal_sequences WHERE EpisodeId IN {ids:Array(String)} AND Tenant = {tenant:String};

-- name: forget_internal_rewards
DELETE FROM internal_rewards WHERE EpisodeId IN {ids:Array(String)};

-- name: forget_internal_reflections
DELETE FROM internal_reflections WHERE EpisodeId IN {ids:Array(String)};

-- name: forget_internal_job_worklist
DELETE FROM internal_job_worklist WHERE EpisodeId IN {ids:Array(String)} OR EpisodeId IN {traces:Array(String)};

-- name: forget_take_back
-- So that the jobs see that its week is another one now.
INSERT INTO internal_pattern_observations (Week, EpisodeId, IsDeleted, Version)
SELECT DISTINCT Week, EpisodeId, 1, {snapshot:DateTime64(6, 'UTC')}
FROM internal_pattern_observations
WHERE EpisodeId IN {ids:Array(String)};

-- name: forget_internal_pattern_observations
DELETE FROM internal_pattern_observations WHERE EpisodeId IN {ids:Array(String)};

-- name: forget_internal_pattern_evidence
-- What nothing supports any more is not added up again, and would keep its list.
ALTER TABLE internal_pattern_evidence
    UPDATE Traces = arrayFilter(trace -> NOT has({traces:Array(String)}, trace), Traces)
    WHERE hasAny(Traces, {traces:Array(String)})
SETTINGS mutations_sync = 2;

-- name: advice_that_names
-- What other runs were told names episodes by their ids.
SELECT DISTINCT TraceId FROM internal_advice WHERE multiSearchAny(Text, {ids:Array(String)});

-- name: forget_said_in_internal_advice
ALTER TABLE internal_advice
    UPDATE Text = arrayFold((text, id) -> replaceAll(text, id, 'forgotten'), {ids:Array(String)}, Text)
    WHERE TraceId IN {advised:Array(String)}
SETTINGS mutations_sync = 2;

-- name: forget_said_in_otel_traces
ALTER TABLE otel_traces
    UPDATE SpanAttributes = mapApply((key, value) -> (key, if(key = 'episode.advice.text',
        arrayFold((text, id) -> replaceAll(text, id, 'forgotten'), {ids:Array(String)}, value), value)), SpanAttributes)
    WHERE TraceId IN {advised:Array(String)} AND SpanAttributes['episode.span'] = 'advice'
SETTINGS mutations_sync = 2;

-- name: set_episodes_kept
INSERT INTO internal_settings (Name, Value) SELECT 'keep_episodes_days', {days:String};

-- name: episodes_kept
SELECT toUInt32OrZero(argMax(Value, UpdatedAt)) AS Days FROM internal_settings WHERE Name = 'keep_episodes_days';

-- name: episodes_expired
-- That ended so long ago, as the jobs know them; one that still runs is not there.
SELECT EpisodeId, Tenant
FROM internal_facts FINAL
WHERE LastTime < now() - toIntervalDay({days:UInt32})
ORDER BY EpisodeId
LIMIT {limit:UInt32};

-- name: forget_internal_pattern_keys
-- A key holds tasks and templates, word for word.
DELETE FROM internal_pattern_keys
WHERE PatternId IN (SELECT PatternId FROM internal_pattern_totals FINAL WHERE Support = 0)
SETTINGS allow_nondeterministic_mutations = 1;

-- name: forget_internal_values
-- So does a template; the older rows of one too, which only a merge would remove.
DELETE FROM internal_values
WHERE (Domain, Tenant, ContextId, StepId) IN (SELECT Domain, Tenant, ContextId, StepId FROM internal_values FINAL WHERE Seen = 0)
SETTINGS allow_nondeterministic_mutations = 1;

-- name: forget_internal_mishaps
-- A week is written again as a whole; its earlier versions hold errors, and ids as evidence.
DELETE FROM internal_mishaps
WHERE (Week, Version) NOT IN (SELECT Week, max(Version) FROM internal_mishaps WHERE Kind = 'week' GROUP BY Week)
SETTINGS allow_nondeterministic_mutations = 1;
