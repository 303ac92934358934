-- What a job computes for its episodes: those of a batch of its worklist or, where it reads everything, all from one id up to
-- another, which are read in the order of the primary key. Given as parameters, so that `jobs run` and the refreshable views of
-- `jobs install` select from the same text: <table>_changed has the rows that are not in the table yet, <table>_gone the keys of
-- those that should not be there any more.

-- name: internal_known_episodes
-- Every episode of which there is a root, or a span that may be one: what a run that reads everything goes through.
CREATE OR REPLACE VIEW internal_known_episodes
AS SELECT EpisodeId FROM internal_roots WHERE EpisodeId != ''
UNION ALL
SELECT EpisodeId FROM internal_agent_spans WHERE EpisodeId != '';

-- name: internal_work
-- The episodes that a batch of a job takes. The refreshable views have one worklist, of which the latest entries count.
CREATE OR REPLACE VIEW internal_work
AS SELECT EpisodeId
FROM internal_job_worklist
WHERE RunId = {run:String} AND Job = {job:String} AND Batch = {batch:UInt32}
    AND ({run:String} != 'refresh' OR CreatedAt >= now64(6) - toIntervalMinute(10));

-- name: internal_work_since
-- The episodes that a job has to look at, given what was written since then; those of all jobs where none is named.
CREATE OR REPLACE VIEW internal_work_since
AS WITH moved_domains AS (SELECT Domain FROM internal_domain_scales WHERE WrittenAt >= {since:DateTime64(6, 'UTC')})
SELECT DISTINCT EpisodeId
FROM
(
    -- Also sequences: a span that was sent again may say something else of a step where the facts are what they were.
    SELECT EpisodeId FROM internal_changes
    WHERE InsertedAt >= {since:DateTime64(6, 'UTC')} AND {job:String} IN ('facts', 'sequences', '')
    UNION ALL
    SELECT EpisodeId FROM internal_evaluations WHERE InsertedAt >= {since:DateTime64(6, 'UTC')} AND {job:String} IN ('facts', '')
    UNION ALL
    SELECT EpisodeId FROM internal_agent_spans
    WHERE Role = 'model' AND {job:String} IN ('facts', '')
        AND (Provider, Model) IN (SELECT Provider, Model FROM internal_prices WHERE WrittenAt >= {since:DateTime64(6, 'UTC')})
    UNION ALL
    -- Silence is a change too: an episode that runs may have become an abandoned one.
    SELECT EpisodeId FROM internal_facts WHERE Outcome = 'running' AND {job:String} IN ('facts', '')
    UNION ALL
    SELECT EpisodeId FROM internal_facts
    WHERE WrittenAt >= {since:DateTime64(6, 'UTC')} AND {job:String} IN ('sequences', 'rewards', '')
    UNION ALL
    SELECT EpisodeId FROM internal_sequences
    WHERE WrittenAt >= {since:DateTime64(6, 'UTC')} AND {job:String} IN ('rewards', 'reflections', 'observations')
    UNION ALL
    -- What is usual in its domain has changed.
    SELECT EpisodeId FROM internal_facts WHERE {job:String} IN ('rewards', 'reflections', '') AND Domain IN moved_domains
    UNION ALL
    SELECT EpisodeId FROM internal_rewards
    WHERE Formula = {formula:String} AND WrittenAt >= {since:DateTime64(6, 'UTC')} AND {job:String} = 'observations'
);

-- name: internal_steps_placed
-- Steps with a number to put them in order: segment, index, start, a hash of the span's id, each the higher part of it; its
-- lowest bit is whether the step succeeded. Sorting numbers takes a third of the time that sorting tuples does. The order
-- is the one the recording process counted; where some step of an episode could not be counted it is that of the clock,
-- which is the number without the index (bits 80 to 111).
CREATE OR REPLACE VIEW internal_steps_placed
AS SELECT
    -- A step of which nobody can tell is not a failed one.
    * REPLACE (ifNull(Success, true) AS Success),
    bitShiftLeft(toUInt128(bitShiftLeft(toUInt64(Segment), 32) + StepIndex), 80)
        + bitShiftLeft(toUInt128(toUnixTimestamp64Nano(StartTime)), 17)
        + bitAnd(cityHash64(SpanId), 131070) + ifNull(Success, true) AS Position,
    bitAnd(Position, bitNot(bitShiftLeft(toUInt128(4294967295), 80))) AS PositionByClock
FROM merge(currentDatabase(), if({foreign:Bool}, '^steps$', '^internal_own_steps$'));

-- name: internal_placed_steps
CREATE OR REPLACE VIEW internal_placed_steps
AS SELECT * FROM internal_steps_placed(foreign = true);

-- name: internal_trace_costs
-- What the calls of models in a trace cost.
CREATE OR REPLACE VIEW internal_trace_costs
AS SELECT EpisodeId, Unpriced, Cost
FROM internal_agent_traces
WHERE (Own OR IsEpisode) AND ModelCalls > 0;

-- name: internal_no_costs
CREATE OR REPLACE VIEW internal_no_costs
AS SELECT '' AS EpisodeId, false AS Unpriced, CAST(NULL, 'Nullable(Float64)') AS Cost WHERE false;

-- name: internal_headers_of
-- What the roots of an episode have. An end outranks its start marker, the first segment the later ones: one number, since
-- comparing tuples is slow.
CREATE OR REPLACE VIEW internal_headers_of
AS WITH
    work AS (SELECT EpisodeId FROM internal_work(run = {run:String}, job = 'facts', batch = {batch:UInt32})),
    roots AS
    (
        SELECT
            *,
            intDiv(toUInt64(toUnixTimestamp64Nano(EndTime)), 8000) AS EndedAt,
            bitShiftLeft(toUInt64(4095 - least(Segment, 4095)), 52) + bitShiftLeft(toUInt64(Ended), 51) + EndedAt AS Rank,
            bitShiftLeft(toUInt64(least(Segment, 4095)), 52) + EndedAt AS Latest,
            bitShiftLeft(toUInt128(Completed), 64) + bitShiftLeft(toUInt64(Failed), 32) + StoppedAtStep AS Counts
        FROM merge(currentDatabase(), if({foreign:Bool}, '^internal_roots_of_episodes$', '^internal_own_roots$'))
        WHERE ({low:String} = '' OR EpisodeId >= {low:String}) AND ({high:String} = '' OR EpisodeId < {high:String})
            AND ({full:Bool} OR EpisodeId IN work)
    )
SELECT
    r.EpisodeId AS EpisodeId,
    argMax(r.TraceId, r.Rank) AS TraceId,
    max(r.Ended) AND max(r.Segment) = maxIf(r.Segment, r.Ended) AS Ended,
    argMaxIf(r.Outcome, r.Latest, r.Ended) AS EndedOutcome,
    argMaxIf(r.OutcomeSource, r.Latest, r.Ended) AS EndedSource,
    argMaxIf(r.Counts, r.Latest, r.Ended) AS Counts,
    -- Aggregates of arrays and of what can be NULL are slow: the first takes only those that are not empty, and counts if
    -- none is later.
    if(maxIf(r.Latest, r.Ended AND notEmpty(r.Artifacts)) = maxIf(r.Latest, r.Ended),
       argMaxIf(r.Artifacts, r.Latest, r.Ended AND notEmpty(r.Artifacts)), []) AS Artifacts,
    max(isFinite(ifNull(r.ExternalReward, nan))) AS Rewarded,
    argMaxIf(assumeNotNull(r.ExternalReward), r.Latest, isFinite(ifNull(r.ExternalReward, nan))) AS Reward,
    argMaxIf(r.Task, r.Rank, r.Task != '') AS Task,
    argMaxIf(r.TaskType, r.Rank, r.TaskType != '') AS TaskType,
    argMaxIf(r.Domain, r.Rank, r.Domain != '') AS Domain,
    argMaxIf(r.Language, r.Rank, r.Language != '') AS Language,
    argMaxIf(r.Framework, r.Rank, r.Framework != '') AS Framework,
    argMaxIf(r.Complexity, r.Rank, r.Complexity != '') AS Complexity,
    argMaxIf(r.AgentName, r.Rank, r.AgentName != '') AS AgentName,
    argMaxIf(r.Tenant, r.Rank, r.Tenant != '') AS Tenant,
    argMaxIf(r.Tags, r.Rank, notEmpty(r.Tags)) AS Tags,
    argMaxIf(r.Attributes['episode.test_coverage'], r.Rank, r.Attributes['episode.test_coverage'] != '') AS TestCoverage,
    argMaxIf(r.Attributes['episode.clippy_warnings'], r.Rank, r.Attributes['episode.clippy_warnings'] != '') AS ClippyWarnings,
    argMaxIf(r.Attributes['episode.patterns_applied'], r.Rank, r.Attributes['episode.patterns_applied'] != '') AS PatternsApplied,
    min(r.StartTime) AS StartTime,
    max(r.EndTime) AS LastTime,
    sumIf(r.DurationNs, r.Ended) AS DurationNs,
    sum(r.InputTokens) AS InputTokens,
    sum(r.OutputTokens) AS OutputTokens
FROM roots AS r
GROUP BY r.EpisodeId;

-- name: internal_step_counts_of
CREATE OR REPLACE VIEW internal_step_counts_of
AS WITH
    work AS (SELECT EpisodeId FROM internal_work(run = {run:String}, job = 'facts', batch = {batch:UInt32}))
SELECT
    EpisodeId,
    count() AS Steps,
    countIf(NOT Success) AS Failures,
    uniqExactIf(cityHash64(Tool), Tool != '') AS Tools,
    max(EndTime) AS LastTime,
    sum(InputTokens) AS InputTokens,
    sum(OutputTokens) AS OutputTokens,
    -- Somewhere a success follows directly where any failed step comes before any that succeeded.
    Failures BETWEEN 1 AND Steps - 1 AND if(min(StepIndex) > 0, minIf(Position, NOT Success) < maxIf(Position, Success),
        minIf(PositionByClock, NOT Success) < maxIf(PositionByClock, Success)) AS Recovered
FROM
(
    SELECT
        EpisodeId, StepIndex, Tool, Success, InputTokens, OutputTokens, Position, PositionByClock,
        addNanoseconds(StartTime, DurationNs) AS EndTime
    FROM internal_steps_placed(foreign = {foreign:Bool})
    WHERE ({low:String} = '' OR EpisodeId >= {low:String}) AND ({high:String} = '' OR EpisodeId < {high:String})
        AND ({full:Bool} OR EpisodeId IN work)
)
GROUP BY EpisodeId;

-- name: internal_costs_of
CREATE OR REPLACE VIEW internal_costs_of
AS WITH
    work AS (SELECT EpisodeId FROM internal_work(run = {run:String}, job = 'facts', batch = {batch:UInt32}))
SELECT EpisodeId, if(max(Unpriced), NULL, sum(Cost)) AS Cost
FROM merge(currentDatabase(), if({foreign:Bool}, '^internal_trace_costs$', '^internal_no_costs$'))
WHERE ({low:String} = '' OR EpisodeId >= {low:String}) AND ({high:String} = '' OR EpisodeId < {high:String})
    AND ({full:Bool} OR EpisodeId IN work)
GROUP BY EpisodeId;

-- name: internal_judgements_of
-- Scores that came as evaluation results: of each name the latest counts.
CREATE OR REPLACE VIEW internal_judgements_of
AS WITH
    work AS (SELECT EpisodeId FROM internal_work(run = {run:String}, job = 'facts', batch = {batch:UInt32}))
SELECT EpisodeId, avg(Latest) AS Score
FROM
(
    SELECT EpisodeId, Name, argMax(Score, Time) AS Latest
    FROM internal_evaluations FINAL
    WHERE ({low:String} = '' OR EpisodeId >= {low:String}) AND ({high:String} = '' OR EpisodeId < {high:String})
        AND ({full:Bool} OR EpisodeId IN work) AND Scored
    GROUP BY EpisodeId, Name
)
GROUP BY EpisodeId;

-- name: internal_facts_of
CREATE OR REPLACE VIEW internal_facts_of
AS WITH
    (SELECT toUInt32OrDefault(anyLast(Value), toUInt32(86400)) FROM internal_settings FINAL
     WHERE Name = 'abandoned_after_seconds') AS abandoned_after,
    facts AS
    (
        SELECT
            h.EpisodeId AS EpisodeId, h.TraceId AS TraceId,
            multiIf(h.Ended AND h.EndedOutcome IN ('', 'unknown') AND e.EpisodeId != '', if(e.Score >= 0.5, 'success', 'failure'),
                    h.Ended, h.EndedOutcome,
                    LastTime < now64(9) - toIntervalSecond(abandoned_after), 'abandoned', 'running') AS Outcome,
            if(h.Ended, h.EndedSource, '') AS OutcomeSource,
            h.Ended AS Ended, h.Task AS Task, h.TaskType AS TaskType, h.Domain AS Domain, h.Language AS Language,
            h.Framework AS Framework, h.Complexity AS Complexity, h.Tags AS Tags, h.AgentName AS AgentName,
            h.Tenant AS Tenant, h.StartTime AS StartTime, greatest(h.LastTime, s.LastTime) AS LastTime, h.DurationNs AS DurationNs,
            toUInt32(s.Steps) AS Steps, toUInt32(s.Failures) AS FailedSteps, toUInt32(s.Tools) AS DistinctTools,
            s.Recovered AS Recovered,
            toUInt32(bitShiftRight(h.Counts, 64)) AS Completed,
            toUInt32(bitAnd(bitShiftRight(h.Counts, 32), 4294967295)) AS Failed,
            toUInt32(bitAnd(h.Counts, 4294967295)) AS StoppedAtStep,
            h.Artifacts AS Artifacts,
            if(isFinite(toFloat64OrNull(h.TestCoverage)), toFloat64OrNull(h.TestCoverage), NULL) AS TestCoverage,
            h.ClippyWarnings AS ClippyWarnings,
            multiIf(startsWith(h.PatternsApplied, '['), toUInt32(JSONLength(h.PatternsApplied)),
                    startsWith(h.PatternsApplied, '{'), toUInt32(JSONLength(h.PatternsApplied, 'values')),
                    toUInt32OrZero(h.PatternsApplied)) AS PatternsApplied,
            multiIf(h.Rewarded, toNullable(h.Reward), e.EpisodeId != '', toNullable(e.Score), NULL) AS ExternalReward,
            if(h.InputTokens > 0, h.InputTokens, s.InputTokens) AS InputTokens,
            if(h.OutputTokens > 0, h.OutputTokens, s.OutputTokens) AS OutputTokens,
            c.Cost AS Cost
        FROM internal_headers_of(run = {run:String}, batch = {batch:UInt32}, full = {full:Bool},
            low = {low:String}, high = {high:String}, foreign = {foreign:Bool}) AS h
        LEFT JOIN internal_step_counts_of(run = {run:String}, batch = {batch:UInt32}, full = {full:Bool},
            low = {low:String}, high = {high:String}, foreign = {foreign:Bool}) AS s
            ON s.EpisodeId = h.EpisodeId
        LEFT JOIN internal_judgements_of(run = {run:String}, batch = {batch:UInt32}, full = {full:Bool},
            low = {low:String}, high = {high:String}) AS e
            ON e.EpisodeId = h.EpisodeId
        LEFT JOIN internal_costs_of(run = {run:String}, batch = {batch:UInt32}, full = {full:Bool},
            low = {low:String}, high = {high:String}, foreign = {foreign:Bool}) AS c
            ON c.EpisodeId = h.EpisodeId
    )
SELECT
    *,
    cityHash64(* EXCEPT (EpisodeId, TestCoverage, ExternalReward, Cost), ifNull(TestCoverage, -1),
               ExternalReward IS NULL, ifNull(ExternalReward, 0), ifNull(Cost, -1)) AS Fingerprint
FROM facts;

-- name: internal_facts_changed
CREATE OR REPLACE VIEW internal_facts_changed
AS WITH
    work AS (SELECT EpisodeId FROM internal_work(run = {run:String}, job = 'facts', batch = {batch:UInt32}))
SELECT *
FROM internal_facts_of(run = {run:String}, batch = {batch:UInt32}, full = {full:Bool},
    low = {low:String}, high = {high:String}, foreign = {foreign:Bool})
-- One number of 128 bits is looked up in half the time that an id and another take.
WHERE sipHash128(EpisodeId, Fingerprint) NOT IN
(
    SELECT sipHash128(EpisodeId, argMax(Fingerprint, Version)) FROM internal_facts
    WHERE EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
    GROUP BY EpisodeId
);

-- name: internal_ordered_steps_of
-- The steps in their order. What an error says is compared by its shape: each text once, since texts repeat.
CREATE OR REPLACE VIEW internal_ordered_steps_of
AS WITH
    work AS (SELECT EpisodeId FROM internal_work(run = {run:String}, job = 'sequences', batch = {batch:UInt32})),
    steps AS
    (
        SELECT
            EpisodeId, StepIndex, Tool, Success, DurationNs, InputTokens + OutputTokens AS Spent, Position, PositionByClock,
            cityHash64(EpisodeId, SpanId) AS StepId, Template,
            lowerUTF8(toLowCardinality(
                multiIf(Success, '', ErrorMessage != '', ErrorMessage, ErrorType != '', ErrorType, 'failed'))) AS Text,
            substringUTF8(trim(replaceRegexpAll(replaceRegexpAll(replaceRegexpAll(replaceRegexpAll(replaceRegexpAll(
                Text,
                '["`][^"`]*["`]|''[^'']*''', '<text>'),
                '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{13,}|0x[0-9a-f]+|\\b[0-9a-f]{12,}\\b', '<id>'),
                '(?:[a-z]:)?(?:[\\w.~-]*[/\\\\])+[\\w.~-]*', '<path>'),
                '[0-9]+(?:[.,][0-9]+)*', '<n>'),
                '[\\s[:cntrl:]]+', ' ')), 1, 160) AS Error
        FROM internal_steps_placed(foreign = {foreign:Bool})
        WHERE EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
    ),
    templates AS
    (
        SELECT StepId AS StepOf, Made
        FROM internal_templates_of(run = {run:String}, batch = {batch:UInt32}, full = {full:Bool},
            low = {low:String}, high = {high:String}, foreign = {foreign:Bool})
    ),
    gathered AS
    (
        SELECT
            EpisodeId,
            if(min(StepIndex) > 0, groupArray(Position), groupArray(PositionByClock)) AS Positions,
            -- Rows come to each array in the same order; one array of tuples takes longer than six.
            arrayZip(groupArray(Tool), groupArray(Success), groupArray(DurationNs), groupArray(Spent),
                     groupArray(if(Template = '', Made, Template)),
                     groupArray(Error)) AS Steps
        FROM steps
        LEFT JOIN templates ON StepOf = StepId
        GROUP BY EpisodeId
    )
SELECT
    EpisodeId,
    CAST(arraySort((step, position) -> position, Steps, Positions),
         'Array(Tuple(Tool LowCardinality(String), Ok Bool, Ns UInt64, Tokens UInt64, Template String, Error String))') AS Steps
FROM gathered;

-- name: internal_sequences_of
-- Facts with the steps and the decisions in their order.
CREATE OR REPLACE VIEW internal_sequences_of
AS WITH
    work AS (SELECT EpisodeId FROM internal_work(run = {run:String}, job = 'sequences', batch = {batch:UInt32})),
    facts AS
    (
        SELECT * EXCEPT (Version, WrittenAt) FROM internal_facts FINAL
        WHERE EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
    ),
    steps AS
    (
        SELECT EpisodeId AS StepsOf, Steps AS InOrder
        FROM internal_ordered_steps_of(run = {run:String}, batch = {batch:UInt32}, full = {full:Bool},
            low = {low:String}, high = {high:String}, foreign = {foreign:Bool})
    ),
    decisions AS
    (
        SELECT EpisodeId AS DecisionsOf, arraySort(groupArray((Segment, StartTime, SpanId, Question, Choice))) AS Sorted
        FROM internal_decisions FINAL
        WHERE EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
        GROUP BY EpisodeId
    ),
    sequences AS
    (
        SELECT
            f.*,
            tupleElement(s.InOrder, 'Tool') AS StepTools, tupleElement(s.InOrder, 'Ok') AS StepOk, tupleElement(s.InOrder, 'Ns') AS StepNs,
            tupleElement(s.InOrder, 'Tokens') AS StepTokens, tupleElement(s.InOrder, 'Template') AS StepTemplates,
            tupleElement(s.InOrder, 'Error') AS StepErrors,
            arrayMap((segment, start, span, question, choice) -> (question, choice), d.Sorted) AS Decisions
        FROM facts AS f
        LEFT JOIN steps AS s ON s.StepsOf = f.EpisodeId
        LEFT JOIN decisions AS d ON d.DecisionsOf = f.EpisodeId
    )
SELECT
    * EXCEPT Fingerprint,
    cityHash64(Fingerprint, StepTools, StepOk, StepNs, StepTokens, StepTemplates, StepErrors, Decisions) AS Fingerprint
FROM sequences;

-- name: internal_sequences_changed
CREATE OR REPLACE VIEW internal_sequences_changed
AS WITH
    work AS (SELECT EpisodeId FROM internal_work(run = {run:String}, job = 'sequences', batch = {batch:UInt32}))
SELECT *
FROM internal_sequences_of(run = {run:String}, batch = {batch:UInt32}, full = {full:Bool},
    low = {low:String}, high = {high:String}, foreign = {foreign:Bool})
WHERE sipHash128(EpisodeId, Fingerprint) NOT IN
(
    SELECT sipHash128(EpisodeId, argMax(Fingerprint, Version)) FROM internal_sequences
    WHERE EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
    GROUP BY EpisodeId
);
