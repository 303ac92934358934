-- From 0.1: relations of our own are called internal_*, and what they hold is read through the views episodes, steps,
-- rewards, reflections and patterns. The new tables and their views are there already, so no insert passes by: old and new are
-- both filled until the old views go. The tenant is in the keys of the new ones.

-- name: 002_old_views
-- Those that fill tables, then those that only read.
DROP VIEW IF EXISTS
    episode_steps_mv, episode_roots_mv, agent_spans_seen_mv, agent_spans_mv, episode_steps_foreign_mv,
    episode_changes_steps_mv, episode_changes_roots_mv, episode_changes_agents_mv, episode_decisions_mv,
    episode_evaluations_mv, known_episodes, placed_steps, facts_of, sequences_of, domain_scales_now, reward_facts,
    reward_inputs, reward_parity_1, reward_v2, reward_settings, episode_scores, domain_rewards, reflections_of,
    observations_of, pattern_texts, latest_weeks, split_runs, episode_shapes, outlook_model, outlook_of, roots_of_episodes,
    steps_of_episodes, agent_traces;

-- name: 002_columns_of_0_1
-- when: episode_steps
-- What tables of 0.1 may lack, so that the same SELECT reads all of them.
ALTER TABLE episode_steps
    ADD COLUMN IF NOT EXISTS Convention LowCardinality(String),
    ADD COLUMN IF NOT EXISTS Tenant LowCardinality(String);

-- name: 002_columns_of_roots_0_1
-- when: episode_roots
ALTER TABLE episode_roots ADD COLUMN IF NOT EXISTS Tenant LowCardinality(String);

-- name: 002_settings
-- when: episode_settings
INSERT INTO internal_settings (Name, Value, UpdatedAt)
SELECT Name, Value, UpdatedAt
FROM episode_settings FINAL
WHERE (NOT startsWith(Name, 'schema_') OR Name = 'schema_layout') AND Name NOT IN (SELECT Name FROM internal_settings);

-- name: 002_roots
-- when: episode_roots
-- What was inserted since the new tables are there is in both; likewise below.
INSERT INTO internal_roots
(
    EpisodeId, TraceId, SpanId, Ended, Segment, Task, TaskType, Domain, Language, Framework, Complexity, Tags,
    Outcome, Verdict, Artifacts, Completed, Failed, StoppedAtStep, ExternalReward, StartTime, DurationNs,
    InputTokens, OutputTokens, ParentEpisodeId, AgentName, ConversationId, ServiceName, Attributes, InsertedAt,
    Tenant
)
SELECT
    EpisodeId, TraceId, SpanId, Ended, Segment, Task, TaskType, Domain, Language, Framework, Complexity, Tags,
    Outcome, Verdict, Artifacts, Completed, Failed, StoppedAtStep, ExternalReward, StartTime, DurationNs,
    InputTokens, OutputTokens, ParentEpisodeId, AgentName, ConversationId, ServiceName, Attributes, InsertedAt,
    Tenant
FROM episode_roots
WHERE (EpisodeId, TraceId, SpanId) NOT IN (SELECT EpisodeId, TraceId, SpanId FROM internal_roots);

-- name: 002_steps
-- when: episode_steps
INSERT INTO internal_steps
(
    EpisodeId, TraceId, SpanId, ParentSpanId, Segment, StepIndex, Kind, Tool, Action, Observation, Success,
    ErrorType, ErrorMessage, StartTime, DurationNs, InputTokens, OutputTokens, BatchCount, BatchErrors, AgentName,
    ServiceName, Convention, InsertedAt, Tenant
)
SELECT
    EpisodeId, TraceId, SpanId, ParentSpanId, Segment, StepIndex, Kind, Tool, Action, Observation, Success,
    ErrorType, ErrorMessage, StartTime, DurationNs, InputTokens, OutputTokens, BatchCount, BatchErrors, AgentName,
    ServiceName, Convention, InsertedAt, Tenant
FROM episode_steps
WHERE (EpisodeId, TraceId, SpanId) NOT IN (SELECT EpisodeId, TraceId, SpanId FROM internal_steps);

-- name: 002_agent_spans
-- when: agent_spans
INSERT INTO internal_agent_spans
(
    EpisodeId, TraceId, SpanId, ParentSpanId, Role, Operation, Known, Segment, Stamped, Remote, SpanName, Kind,
    Tool, Named, AgentName, Task, Action, Observation, Success, ErrorType, ErrorMessage, StartTime, DurationNs,
    InputTokens, OutputTokens, ConversationId, ServiceName, Tenant, InsertedAt
)
SELECT
    EpisodeId, TraceId, SpanId, ParentSpanId, Role, Operation, Known, Segment, Stamped, Remote, SpanName, Kind,
    Tool, Named, AgentName, Task, Action, Observation, Success, ErrorType, ErrorMessage, StartTime, DurationNs,
    InputTokens, OutputTokens, ConversationId, ServiceName, Tenant, InsertedAt
FROM agent_spans
WHERE (EpisodeId, TraceId, SpanId) NOT IN (SELECT EpisodeId, TraceId, SpanId FROM internal_agent_spans);

-- name: 002_evaluations
-- when: episode_evaluations
INSERT INTO internal_evaluations (EpisodeId, TraceId, SpanId, Time, Name, Score, Tenant)
SELECT EpisodeId, TraceId, SpanId, Time, Name, Score, Tenant
FROM episode_evaluations
LEFT ANY JOIN (SELECT TraceId, max(Tenant) AS Tenant FROM internal_roots GROUP BY TraceId) AS root USING TraceId
WHERE (EpisodeId, TraceId, SpanId) NOT IN (SELECT EpisodeId, TraceId, SpanId FROM internal_evaluations);

-- name: 002_old_tables
-- Decisions and changes were written again as the steps arrived; the rest the jobs write again.
DROP TABLE IF EXISTS
    episode_steps, episode_roots, agent_spans, agent_spans_seen, episode_evaluations, episode_decisions, episode_changes,
    episode_facts, episode_sequences, domain_scales, episode_rewards, episode_reflections, pattern_observations,
    pattern_buckets, pattern_totals, pattern_evidence, pattern_keys, step_transitions, job_runs, job_worklist, episode_settings;
