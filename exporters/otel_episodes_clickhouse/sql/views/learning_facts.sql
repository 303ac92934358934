-- What a job computes for its episodes: those of a batch of its worklist or, where it reads everything, all from one id up to
-- another, which are read in the order of the primary key. Given as parameters, so that the same text serves `jobs run` and
-- the refreshable views of `jobs install`.

-- name: internal_known_episodes
-- Every episode of which there is a root, or a span that may be one: what a run that reads everything goes through.
CREATE OR REPLACE VIEW internal_known_episodes
AS SELECT EpisodeId FROM internal_roots WHERE EpisodeId != ''
UNION ALL
SELECT EpisodeId FROM internal_agent_spans WHERE EpisodeId != '';

-- name: internal_placed_steps
-- Steps with a number to put them in order: segment, index, start, a hash of the span's id, each the higher part of it; its
-- lowest bit is whether the step succeeded. Sorting numbers takes a third of the time that sorting tuples does. The order
-- is the one the recording process counted; where some step of an episode could not be counted it is that of the clock,
-- which is the number without the index (bits 80 to 111).
CREATE OR REPLACE VIEW internal_placed_steps
AS SELECT
    *,
    bitShiftLeft(toUInt128(bitShiftLeft(toUInt64(Segment), 32) + StepIndex), 80)
        + bitShiftLeft(toUInt128(toUnixTimestamp64Nano(StartTime)), 17)
        + bitAnd(cityHash64(SpanId), 131070) + Success AS Position
FROM steps;

-- name: internal_facts_of
CREATE OR REPLACE VIEW internal_facts_of
AS WITH
    (SELECT toUInt32OrDefault(anyLast(Value), toUInt32(86400)) FROM internal_settings FINAL
     WHERE Name = 'abandoned_after_seconds') AS abandoned_after,
    work AS
    (
        SELECT EpisodeId FROM internal_job_worklist
        WHERE RunId = {run:String} AND Job = 'facts' AND Batch = {batch:UInt32}
            -- The refreshable views have one worklist, of which the latest entries count.
            AND ({run:String} != 'refresh' OR CreatedAt >= now64(6) - toIntervalMinute(10))
    ),
    -- Without the steps' places in their order.
    x -> bitAnd(x, bitNot(bitShiftLeft(toUInt128(4294967295), 80))) AS unindexed,
    -- An end outranks its start marker, the first segment the later ones: one number, since comparing tuples is slow.
    headers AS
    (
        SELECT
            r.EpisodeId AS EpisodeId,
            argMax(r.TraceId, r.Rank) AS TraceId,
            max(r.Ended) AND max(r.Segment) = maxIf(r.Segment, r.Ended) AS Ended,
            argMaxIf(r.Outcome, r.Latest, r.Ended) AS EndedOutcome,
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
            argMaxIf(r.Tags, r.Rank, notEmpty(r.Tags)) AS Tags,
            argMaxIf(r.Attributes['episode.test_coverage'], r.Rank, r.Attributes['episode.test_coverage'] != '') AS TestCoverage,
            argMaxIf(r.Attributes['episode.clippy_warnings'], r.Rank, r.Attributes['episode.clippy_warnings'] != '') AS ClippyWarnings,
            argMaxIf(r.Attributes['episode.patterns_applied'], r.Rank, r.Attributes['episode.patterns_applied'] != '') AS PatternsApplied,
            min(r.StartTime) AS StartTime,
            max(r.EndTime) AS LastTime,
            sumIf(r.DurationNs, r.Ended) AS DurationNs,
            sum(r.InputTokens) AS InputTokens,
            sum(r.OutputTokens) AS OutputTokens
        FROM
        (
            SELECT
                *,
                bitShiftLeft(toUInt64(4095 - least(Segment, 4095)), 52) + bitShiftLeft(toUInt64(Ended), 51)
                    + intDiv(toUInt64(toUnixTimestamp64Nano(EndTime)), 8000) AS Rank,
                bitShiftLeft(toUInt64(least(Segment, 4095)), 52) + intDiv(toUInt64(toUnixTimestamp64Nano(EndTime)), 8000) AS Latest,
                bitShiftLeft(toUInt128(Completed), 64) + bitShiftLeft(toUInt64(Failed), 32) + StoppedAtStep AS Counts
            FROM internal_roots_of_episodes
            WHERE ({low:String} = '' OR EpisodeId >= {low:String}) AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
        ) AS r
        GROUP BY r.EpisodeId
    ),
    steps AS
    (
        SELECT
            EpisodeId,
            count() AS Steps,
            countIf(NOT Success) AS Failures,
            uniqExactIf(cityHash64(Tool), Tool != '') AS Tools,
            max(End) AS LastTime,
            sum(Input) AS InputTokens,
            sum(Output) AS OutputTokens,
            min(StepIndex) > 0 AS Counted,
            minIf(Position, NOT Success) AS FirstFailed,
            maxIf(Position, Success) AS LastOk,
            minIf(unindexed(Position), NOT Success) AS FirstFailedByClock,
            maxIf(unindexed(Position), Success) AS LastOkByClock
        FROM
        (
            SELECT
                EpisodeId, StepIndex, Tool, Success, InputTokens AS Input, OutputTokens AS Output, Position,
                addNanoseconds(StartTime, DurationNs) AS End
            FROM internal_placed_steps
            WHERE ({low:String} = '' OR EpisodeId >= {low:String}) AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
        )
        GROUP BY EpisodeId
    ),
    evaluations AS
    (
        SELECT EpisodeId, avg(Latest) AS Score
        FROM
        (
            SELECT EpisodeId, Name, argMax(Score, Time) AS Latest
            FROM internal_evaluations FINAL
            WHERE ({low:String} = '' OR EpisodeId >= {low:String}) AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
            GROUP BY EpisodeId, Name
        )
        GROUP BY EpisodeId
    ),
    facts AS
    (
        SELECT
            h.EpisodeId AS EpisodeId,
            h.TraceId AS TraceId,
            multiIf(h.Ended, h.EndedOutcome,
                    greatest(h.LastTime, s.LastTime) < now64(9) - toIntervalSecond(abandoned_after), 'abandoned', 'running') AS Outcome,
            h.Ended AS Ended,
            h.Task AS Task,
            h.TaskType AS TaskType,
            h.Domain AS Domain,
            h.Language AS Language,
            h.Framework AS Framework,
            h.Complexity AS Complexity,
            h.Tags AS Tags,
            h.AgentName AS AgentName,
            h.StartTime AS StartTime,
            greatest(h.LastTime, s.LastTime) AS LastTime,
            h.DurationNs AS DurationNs,
            toUInt32(s.Steps) AS Steps,
            toUInt32(s.Failures) AS FailedSteps,
            toUInt32(s.Tools) AS DistinctTools,
            -- Somewhere a success follows directly where any failed step comes before any that succeeded.
            s.Failures BETWEEN 1 AND s.Steps - 1
                AND if(s.Counted, s.FirstFailed < s.LastOk, s.FirstFailedByClock < s.LastOkByClock) AS Recovered,
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
            if(h.OutputTokens > 0, h.OutputTokens, s.OutputTokens) AS OutputTokens
        FROM headers AS h
        LEFT JOIN steps AS s ON s.EpisodeId = h.EpisodeId
        LEFT JOIN evaluations AS e ON e.EpisodeId = h.EpisodeId
    )
SELECT
    *,
    cityHash64(TraceId, Outcome, Ended, Task, TaskType, Domain, Language, Framework, Complexity, Tags, AgentName, StartTime,
              LastTime, DurationNs, Steps, FailedSteps, DistinctTools, Recovered, Completed, Failed, StoppedAtStep, Artifacts,
              ifNull(TestCoverage, -1), ClippyWarnings, PatternsApplied, (ExternalReward IS NULL, ifNull(ExternalReward, 0)),
              InputTokens, OutputTokens) AS Fingerprint
FROM facts;

-- name: internal_sequences_of
-- Facts with the steps in their order. What an error says is compared by its shape: each text once, since texts repeat.
CREATE OR REPLACE VIEW internal_sequences_of
AS WITH
    work AS
    (
        SELECT EpisodeId FROM internal_job_worklist
        WHERE RunId = {run:String} AND Job = 'sequences' AND Batch = {batch:UInt32}
            AND ({run:String} != 'refresh' OR CreatedAt >= now64(6) - toIntervalMinute(10))
    ),
    x -> bitAnd(x, bitNot(bitShiftLeft(toUInt128(4294967295), 80))) AS unindexed,
    steps AS
    (
        SELECT EpisodeId, arraySort((step, position) -> position, arrayZip(Tools, Oks, Ns, Tokens, Errors), Positions) AS Sorted
        FROM
        (
            SELECT
                EpisodeId,
                if(min(StepIndex) > 0, groupArray(Position), arrayMap(x -> unindexed(x), groupArray(Position))) AS Positions,
                -- Rows come to each array in the same order; one array of tuples takes longer than five.
                groupArray(Tool) AS Tools, groupArray(Success) AS Oks, groupArray(DurationNs) AS Ns, groupArray(Spent) AS Tokens,
                groupArray(Error) AS Errors
            FROM
            (
                SELECT
                    EpisodeId, StepIndex, Tool, Success, DurationNs, InputTokens + OutputTokens AS Spent, Position,
                    substringUTF8(trim(replaceRegexpAll(replaceRegexpAll(replaceRegexpAll(replaceRegexpAll(replaceRegexpAll(
                        lowerUTF8(toLowCardinality(multiIf(Success, '', ErrorMessage != '', ErrorMessage, ErrorType != '', ErrorType, 'failed'))),
                        '["`][^"`]*["`]|''[^'']*''', '<text>'),
                        '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{13,}|0x[0-9a-f]+|\\b[0-9a-f]{12,}\\b', '<id>'),
                        '(?:[a-z]:)?(?:[\\w.~-]*[/\\\\])+[\\w.~-]*', '<path>'),
                        '[0-9]+(?:[.,][0-9]+)*', '<n>'),
                        '[\\s[:cntrl:]]+', ' ')), 1, 160) AS Error
                FROM internal_placed_steps
                WHERE EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
            )
            GROUP BY EpisodeId
        )
    ),
    decisions AS
    (
        SELECT EpisodeId, arraySort(groupArray((Segment, StartTime, SpanId, Question, Choice))) AS Sorted
        FROM internal_decisions FINAL
        WHERE EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
        GROUP BY EpisodeId
    ),
    sequences AS
    (
        SELECT
            f.EpisodeId AS EpisodeId, f.TraceId AS TraceId, f.Outcome AS Outcome, f.Ended AS Ended, f.Task AS Task,
            f.TaskType AS TaskType, f.Domain AS Domain, f.Language AS Language, f.Framework AS Framework,
            f.Complexity AS Complexity, f.Tags AS Tags, f.AgentName AS AgentName, f.StartTime AS StartTime,
            f.LastTime AS LastTime, f.DurationNs AS DurationNs, f.Steps AS Steps, f.FailedSteps AS FailedSteps,
            f.DistinctTools AS DistinctTools, f.Recovered AS Recovered, f.Completed AS Completed, f.Failed AS Failed,
            f.StoppedAtStep AS StoppedAtStep, f.Artifacts AS Artifacts, f.TestCoverage AS TestCoverage,
            f.ClippyWarnings AS ClippyWarnings, f.PatternsApplied AS PatternsApplied, f.ExternalReward AS ExternalReward,
            f.InputTokens AS InputTokens, f.OutputTokens AS OutputTokens,
            f.Fingerprint AS Known, s.Sorted.1 AS StepTools, s.Sorted.2 AS StepOk, s.Sorted.3 AS StepNs, s.Sorted.4 AS StepTokens,
            s.Sorted.5 AS StepErrors,
            arrayMap(x -> (x.4, x.5), d.Sorted) AS Decisions
        FROM
        (
            SELECT * FROM internal_facts FINAL
            WHERE EpisodeId >= {low:String} AND ({high:String} = '' OR EpisodeId < {high:String}) AND ({full:Bool} OR EpisodeId IN work)
        ) AS f
        LEFT JOIN steps AS s ON s.EpisodeId = f.EpisodeId
        LEFT JOIN decisions AS d ON d.EpisodeId = f.EpisodeId
    )
SELECT
    * EXCEPT Known,
    cityHash64(Known, StepTools, StepOk, StepNs, StepTokens, StepErrors, Decisions) AS Fingerprint
FROM sequences;
