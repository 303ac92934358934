-- What the pages show. The public views add up what other instrumentations recorded, which takes the engine longer to plan
-- than a page may take: what has settled is read from the jobs' tables, and what has not from the tables of our own spans.

-- name: page_pulse
-- Another answer than before means that there is something new.
SELECT
    (SELECT toUnixTimestamp64Micro(max(InsertedAt)) FROM internal_changes) AS Changed,
    (SELECT count() FROM internal_evaluations) AS Scored,
    (SELECT count() FROM internal_marks) AS Marked,
    (SELECT toUnixTimestamp64Micro(max(FinishedAt)) FROM internal_job_runs) AS Learned;

-- name: page_changed
-- Episodes of which something arrived that the jobs have not seen, the latest first.
SELECT EpisodeId
FROM internal_changes
WHERE InsertedAt > ifNull((SELECT max(SnapshotAt) FROM internal_job_runs FINAL WHERE Job = 'facts' AND State = 'done'),
    toDateTime64(0, 6, 'UTC')) - INTERVAL 2 SECOND
GROUP BY EpisodeId
ORDER BY max(InsertedAt) DESC, EpisodeId
LIMIT {limit:UInt32};

-- name: page_of_others
-- Which of these have spans of other instrumentations, so that only the public views know what they add up to.
SELECT DISTINCT EpisodeId FROM internal_agent_spans WHERE EpisodeId IN {ids:Array(String)};

-- name: page_find
-- An episode by the beginning of its id or of its trace's.
SELECT EpisodeId
FROM internal_facts
WHERE startsWith(EpisodeId, {prefix:String}) OR startsWith(TraceId, {prefix:String})
UNION DISTINCT
SELECT EpisodeId
FROM internal_roots
WHERE EpisodeId != '' AND (startsWith(EpisodeId, {prefix:String}) OR startsWith(TraceId, {prefix:String}))
LIMIT 2;

-- name: page_best
-- The episodes that come first by their reward, after that rank and id, with the ranks of page_ids.
WITH toInt64({direction:Int8} * round(1e6 * Reward)) AS rank
SELECT EpisodeId, rank AS Rank
FROM internal_scores
WHERE Formula = {formula:String}
    AND ({after:String} = '' OR rank < {after_rank:Int64} OR (rank = {after_rank:Int64} AND EpisodeId > {after:String}))
ORDER BY Rank DESC, EpisodeId
LIMIT {limit:UInt32};

-- name: page_ids
-- Episodes as the jobs last saw them that fit, in order; empty strings, arrays and zeros do not filter. A page goes on after the
-- last rank and id of the one before. What has no figure to sort by comes last. Of nested ifs only one branch is worked out.
WITH
    if({sort:String} = 'duration', {direction:Int8} * toInt64(DurationNs),
    if({sort:String} = 'steps', {direction:Int8} * toInt64(Steps),
    if({sort:String} = 'failed', {direction:Int8} * toInt64(FailedSteps),
    if({sort:String} = 'tokens', {direction:Int8} * toInt64(InputTokens + OutputTokens),
    if({sort:String} = 'cost', ifNull(toInt64({direction:Int8} * round(1e6 * Cost)), -1000000000000000),
    if({sort:String} = 'reward', ifNull(toInt64({direction:Int8} * round(1e6 * Reward)), -1000000000000000),
        {direction:Int8} * toUnixTimestamp64Nano(StartTime))))))) AS rank
SELECT EpisodeId, rank AS Rank
FROM (SELECT * FROM internal_facts FINAL) AS f
LEFT JOIN
(
    SELECT EpisodeId AS Of, toNullable(Reward) AS Reward FROM internal_scores
    WHERE {rewarded:Bool} AND Formula = {formula:String} AND (empty({among:Array(String)}) OR EpisodeId IN {among:Array(String)})
) AS r ON r.Of = f.EpisodeId
WHERE EpisodeId NOT IN {fresh:Array(String)} AND (empty({among:Array(String)}) OR EpisodeId IN {among:Array(String)})
    AND ({text:String} = '' OR positionCaseInsensitiveUTF8(Task, {text:String}) > 0 OR startsWith(EpisodeId, {text:String}))
    AND ({outcome:String} = '' OR Outcome = {outcome:String})
    AND ({agent:String} = '' OR AgentName = {agent:String})
    AND ({domain:String} = '' OR Domain = {domain:String})
    AND ({tag:String} = '' OR EpisodeId IN (SELECT EpisodeId FROM internal_tags WHERE has(Added, {tag:String}))
        OR (has(Tags, {tag:String}) AND EpisodeId NOT IN (SELECT EpisodeId FROM internal_tags WHERE has(Removed, {tag:String}))))
    AND ({tool:String} = '' OR EpisodeId IN (SELECT EpisodeId FROM internal_steps WHERE Tool = {tool:String}))
    AND ({since:Int64} = 0 OR StartTime >= fromUnixTimestamp64Nano({since:Int64}, 'UTC'))
    AND ({until:Int64} = 0 OR StartTime < fromUnixTimestamp64Nano({until:Int64}, 'UTC'))
    AND ({tokens:UInt64} = 0 OR InputTokens + OutputTokens >= {tokens:UInt64})
    AND ({cost:String} = '' OR Cost >= toFloat64OrZero({cost:String}))
    AND ({reward_from:String} = '' OR Reward >= toFloat64OrZero({reward_from:String}))
    AND ({reward_to:String} = '' OR Reward <= toFloat64OrZero({reward_to:String}))
    AND ({after:String} = '' OR rank < {after_rank:Int64} OR (rank = {after_rank:Int64} AND EpisodeId > {after:String}))
ORDER BY Rank DESC, EpisodeId
LIMIT {limit:UInt32};

-- name: page_facts
-- Tags are those that the episodes were begun with, here and below: page_tags has what was said of them since.
SELECT
    EpisodeId, Task, Domain, AgentName, Tags, Outcome, StartTime, LastTime AS EndTime, DurationNs, Steps, FailedSteps,
    InputTokens, OutputTokens, Cost, ExternalReward
FROM internal_facts FINAL
WHERE EpisodeId IN {ids:Array(String)};

-- name: page_tags
SELECT EpisodeId, Added, Removed FROM internal_tags WHERE EpisodeId IN {ids:Array(String)};

-- name: page_rewards
SELECT EpisodeId, Reward FROM internal_scores WHERE Formula = {formula:String} AND EpisodeId IN {ids:Array(String)};

-- name: page_using_tool
SELECT DISTINCT EpisodeId FROM internal_steps WHERE EpisodeId IN {ids:Array(String)} AND Tool = {tool:String};

-- name: page_own_episodes
-- Episodes of our own spans alone, as the view episodes has them: the first segment says what it was, the last how it ended.
WITH
    (SELECT toUInt32OrDefault(anyLast(Value), toUInt32(86400)) FROM internal_settings FINAL
     WHERE Name = 'abandoned_after_seconds') AS abandoned_after,
    (-toInt32(Segment), Ended, EndTime) AS early,
    (Segment, Ended, EndTime) AS late,
    roots AS
    (
        SELECT
            EpisodeId AS Of, Tenant, max(Segment) + 1 AS Segments, min(StartTime) AS Began, max(EndTime) AS LastTime,
            max(Ended) AND max(Segment) = maxIf(Segment, Ended) AS IsEnded,
            argMin(TraceId, Segment) AS TraceId, argMaxIf(AgentName, early, AgentName != '') AS AgentName,
            argMax(ServiceName, early) AS ServiceName, argMaxIf(Task, early, Task != '') AS Task,
            argMaxIf(TaskType, early, TaskType != '') AS TaskType, argMaxIf(Domain, early, Domain != '') AS Domain,
            argMaxIf(Language, early, Language != '') AS Language, argMaxIf(Framework, early, Framework != '') AS Framework,
            argMaxIf(Complexity, early, Complexity != '') AS Complexity, argMaxIf(Tags, early, notEmpty(Tags)) AS Tags,
            argMax(Outcome, late) AS Said, argMax(OutcomeSource, late) AS Source, argMax(Verdict, late) AS Verdict,
            argMax(Artifacts, late) AS Artifacts, argMax(Attributes, early) AS Attributes,
            sum(DurationNs) AS DurationNs, sumIf(InputTokens, Ended) AS InputTokens, sumIf(OutputTokens, Ended) AS OutputTokens,
            argMax(tuple(ExternalReward), late).1 AS Given, argMaxIf(ParentEpisodeId, early, ParentEpisodeId != '') AS ParentId,
            argMaxIf(ConversationId, early, ConversationId != '') AS ConversationId
        FROM (SELECT *, EndTime FROM internal_roots FINAL WHERE EpisodeId IN {ids:Array(String)})
        GROUP BY EpisodeId, Tenant
    ),
    counts AS
    (
        SELECT
            EpisodeId AS Of, count() AS Steps, countIf(NOT Success) AS FailedSteps,
            max(addNanoseconds(StartTime, DurationNs)) AS LastStep, sum(InputTokens) AS Input, sum(OutputTokens) AS Output
        FROM internal_steps FINAL
        WHERE EpisodeId IN {ids:Array(String)} AND Convention = ''
        GROUP BY EpisodeId
    ),
    scores AS
    (
        SELECT EpisodeId AS Of, argMax(Score, Time) AS Score FROM internal_evaluations FINAL
        WHERE EpisodeId IN {ids:Array(String)} AND Scored GROUP BY EpisodeId
    )
SELECT
    r.Of AS EpisodeId, r.* EXCEPT (Of, LastTime, IsEnded, Said, Source, DurationNs, InputTokens, OutputTokens, Given, Began),
    c.Steps AS Steps, c.FailedSteps AS FailedSteps, r.Began AS StartTime,
    if(r.IsEnded, r.LastTime, greatest(r.LastTime, c.LastStep)) AS EndTime,
    if(r.IsEnded, r.DurationNs, toUInt64(greatest(0, dateDiff('nanosecond', StartTime, EndTime)))) AS DurationNs,
    r.IsEnded AND r.Said IN ('', 'unknown') AND s.Of != '' AS ByScore,
    multiIf(ByScore, if(s.Score >= 0.5, 'success', 'failure'), r.IsEnded, if(r.Said = '', 'unknown', r.Said),
        EndTime < now64(9) - toIntervalSecond(assumeNotNull(abandoned_after)), 'abandoned', 'running') AS Outcome,
    multiIf(ByScore, 'score', r.IsEnded, r.Source, '') AS OutcomeSource,
    greatest(r.InputTokens, c.Input) AS InputTokens, greatest(r.OutputTokens, c.Output) AS OutputTokens,
    multiIf(r.Given IS NOT NULL, r.Given, s.Of != '', toNullable(s.Score), NULL) AS ExternalReward,
    CAST(NULL, 'Nullable(Float64)') AS Cost
FROM roots AS r
LEFT JOIN counts AS c ON c.Of = r.Of
LEFT JOIN scores AS s ON s.Of = r.Of;

-- name: page_other_episodes
SELECT * FROM episodes WHERE EpisodeId IN {ids:Array(String)};

-- name: page_choices
-- What there is to filter by, the most frequent first.
SELECT Field, Value, Episodes
FROM
(
    SELECT 'agent' AS Field, toString(AgentName) AS Value, count() AS Episodes FROM internal_facts WHERE AgentName != '' GROUP BY AgentName
    UNION ALL
    SELECT 'domain', toString(Domain), count() FROM internal_facts WHERE Domain != '' GROUP BY Domain
    UNION ALL
    SELECT 'tag', tag, count()
    FROM (SELECT Tags FROM internal_facts UNION ALL SELECT Added FROM internal_tags)
    ARRAY JOIN Tags AS tag
    GROUP BY tag
    UNION ALL
    SELECT 'tool', toString(Tool), count() FROM internal_steps WHERE Tool != '' GROUP BY Tool
)
ORDER BY Field, Episodes DESC, Value
LIMIT 200 BY Field;

-- name: page_history
-- By day and outcome, as the jobs last saw them; days are those of a clock that many seconds ahead of UTC.
SELECT
    toString(toDate(StartTime + toIntervalSecond({ahead:Int32}), 'UTC')) AS Day, count() AS Episodes,
    countIf(Outcome = 'success') AS Successes, countIf(Outcome = 'failure') AS Failures
FROM internal_facts FINAL
GROUP BY Day
ORDER BY Day DESC
LIMIT {limit:UInt32};

-- name: page_totals
SELECT count() AS Episodes FROM internal_facts;

-- name: page_own_steps
SELECT
    TraceId, SpanId, ParentSpanId, Segment, StepIndex, Kind, Tool, Arguments, Template, Action, Observation, Success, ErrorType,
    ErrorMessage, StartTime, DurationNs, InputTokens, OutputTokens, BatchCount, BatchErrors, AgentName
FROM internal_steps FINAL
WHERE EpisodeId = {id:String} AND Convention = ''
ORDER BY Segment, StartTime, StepIndex, SpanId
LIMIT {limit:UInt64} OFFSET {offset:UInt64};

-- name: page_other_steps
SELECT
    TraceId, SpanId, ParentSpanId, Segment, StepIndex, Kind, Tool, Arguments, Template, Action, Observation, Success, ErrorType,
    ErrorMessage, StartTime, DurationNs, InputTokens, OutputTokens, BatchCount, BatchErrors, AgentName
FROM steps
WHERE EpisodeId = {id:String}
ORDER BY Segment, StartTime, StepIndex, SpanId
LIMIT {limit:UInt64} OFFSET {offset:UInt64};

-- name: page_model_calls
SELECT
    SpanId, StepSpanId, Provider, Model, StartTime, DurationNs, InputTokens, CacheReadTokens, CacheWriteTokens, OutputTokens,
    ReasoningTokens, Cost, FinishReason, Success, AgentName
FROM model_calls
WHERE EpisodeId = {id:String}
ORDER BY StartTime, SpanId
LIMIT {limit:UInt64};

-- name: page_spans
-- The spans of an episode's traces, to see which step lies below which, and which one started another agent.
SELECT DISTINCT
    SpanId, ParentSpanId, Links.TraceId AS LinkTraceIds,
    arrayMap(attributes -> attributes['episode.link.kind'], Links.Attributes) AS LinkKinds
FROM otel_traces
WHERE TraceId IN {traces:Array(String)}
    AND Timestamp BETWEEN fromUnixTimestamp64Nano({since:Int64}, 'UTC') AND fromUnixTimestamp64Nano({until:Int64}, 'UTC');

-- name: page_started_by
-- The episodes that an episode's steps started.
SELECT DISTINCT EpisodeId FROM internal_roots WHERE ParentEpisodeId = {id:String} ORDER BY EpisodeId LIMIT 200;

-- name: page_handle
-- What a handle says of an episode's last segment. A start marker lies below the span that is not there yet.
SELECT
    r.TraceId AS TraceId, if(r.Ended, r.SpanId, s.ParentSpanId) AS SpanId, r.Ended AS Ended, r.Segment AS Segment,
    r.StartTime AS StartTime, r.AgentName AS AgentName
FROM (SELECT * FROM internal_roots FINAL WHERE EpisodeId = {id:String} ORDER BY Segment DESC, Ended DESC LIMIT 1) AS r
LEFT JOIN
(
    SELECT SpanId, ParentSpanId FROM otel_traces
    WHERE (TraceId, Timestamp) IN (SELECT TraceId, StartTime FROM internal_roots WHERE EpisodeId = {id:String} AND NOT Ended)
) AS s ON s.SpanId = r.SpanId
LIMIT 1;

-- name: page_reward
SELECT Formula, Total, Base, Abstention, Efficiency, ComplexityBonus, Quality, LearningBonus, ExternalReward, Reward
FROM internal_scores
WHERE Formula = {formula:String} AND EpisodeId = {id:String};

-- name: page_judgements
SELECT Name, Score, Time FROM internal_evaluations FINAL WHERE EpisodeId = {id:String} AND Scored ORDER BY Time DESC LIMIT 50;

-- name: page_alike
-- Runs of the same domain that went most like one: the same task first, then the share of their tools that both used.
WITH
    arrayFilter(tool -> tool != '', arrayMap(tool -> toString(tool), StepTools)) AS Tools,
    (
        SELECT CAST((any(Domain), any(Tenant), any(Task), any(Tools), count() > 0),
            'Tuple(Domain String, Tenant String, Task String, Tools Array(String), Known Bool)')
        FROM internal_sequences FINAL
        WHERE EpisodeId = {id:String}
    ) AS mine
SELECT
    EpisodeId, Task, AgentName, Outcome, StartTime, DurationNs, Steps, FailedSteps, Task = mine.Task AS SameTask,
    if(empty(Tools) AND empty(mine.Tools), 1.,
       length(arrayIntersect(Tools, mine.Tools)) / length(arrayDistinct(arrayConcat(Tools, mine.Tools)))) AS Alike
FROM internal_sequences FINAL
WHERE mine.Known AND Domain = mine.Domain AND Tenant = mine.Tenant AND EpisodeId != {id:String}
    AND ({outcome:String} = '' OR Outcome = {outcome:String})
    AND ({outcome:String} != '' OR Outcome NOT IN ('running', 'unknown', ''))
ORDER BY SameTask DESC, Alike DESC, StartTime DESC, EpisodeId
LIMIT {limit:UInt32};

-- name: page_patterns
-- Of each verdict the surest; of what is still open the most promising.
SELECT *
FROM patterns
WHERE ({type:String} = '' OR Type = {type:String}) AND ({domain:String} = '' OR Domain = {domain:String})
ORDER BY QValue, PValue, Support DESC, PatternId
LIMIT {limit:UInt32} BY Verdict;

-- name: page_weeks
-- How a domain's episodes did, by the week in which they began.
SELECT
    toString(k.Domain) AS Domain, toString(b.Week) AS Week, b.Support AS Episodes, b.Successes AS Successes,
    b.RewardMicros / 1e6 / b.Support AS Reward, b.DurationNs / b.Support AS DurationNs, b.Tokens / b.Support AS Tokens
FROM (SELECT * FROM internal_pattern_buckets FINAL WHERE Support > 0) AS b
INNER JOIN (SELECT PatternId, Domain FROM internal_pattern_keys FINAL WHERE Type = 'episode') AS k ON k.PatternId = b.PatternId
WHERE {domain:String} = '' OR k.Domain = {domain:String}
ORDER BY Domain, Week DESC
LIMIT 26 BY Domain;

-- name: page_mended
-- The most frequent errors, and what came next in the runs that met them.
SELECT
    Tool, Error, sum(Runs) AS Episodes,
    CAST(arrayReverseSort(groupArray((Runs, Won, Then))), 'Array(Tuple(Runs UInt64, Won UInt64, Then Array(String)))') AS Mended
FROM
(
    SELECT k.Key[1] AS Tool, k.Key[2] AS Error, arraySlice(k.Key, 3) AS Then, t.Support AS Runs, t.Successes AS Won
    FROM (SELECT PatternId, Support, Successes FROM internal_pattern_totals FINAL WHERE Support > 0) AS t
    INNER JOIN (SELECT PatternId, Key FROM internal_pattern_keys FINAL WHERE Type = 'error_recovery') AS k ON k.PatternId = t.PatternId
)
GROUP BY Tool, Error
ORDER BY Episodes DESC, Tool, Error
LIMIT {limit:UInt32};

-- name: page_tools
-- By tool, of the steps of that time; {relation} is the table of our own steps where nobody else's spans are in the store.
SELECT
    toString(Tool) AS Tool, count() AS Calls, countIf(NOT Success) AS Failures, uniqHLL12(EpisodeId) AS Episodes,
    quantiles(0.5, 0.95)(DurationNs) AS Latencies, Latencies[1] AS P50, Latencies[2] AS P95,
    sum(InputTokens) AS Input, sum(OutputTokens) AS Output
FROM {relation:Identifier}
WHERE StartTime >= fromUnixTimestamp64Nano({since:Int64}, 'UTC') AND Tool != ''
GROUP BY Tool
ORDER BY Calls DESC, Tool
LIMIT {limit:UInt32};

-- name: page_tool_days
SELECT toString(Tool) AS Name, toString(toDate(StartTime)) AS Day, count() AS Calls, countIf(NOT Success) AS Failures
FROM {relation:Identifier}
WHERE StartTime >= fromUnixTimestamp64Nano({since:Int64}, 'UTC') AND Tool != ''
GROUP BY Name, Day
ORDER BY Day, Name;

-- name: page_model_days
SELECT
    concat(Provider, ' ', Model) AS Name, toString(toDate(StartTime)) AS Day, count() AS Calls, countIf(NOT Success) AS Failures,
    sum(InputTokens) AS Input, sum(OutputTokens) AS Output, sum(Cost) AS Cost
FROM model_calls
WHERE StartTime >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')
GROUP BY Name, Day
ORDER BY Day, Name;

-- name: page_models
SELECT
    toString(Provider) AS Provider, toString(Model) AS Model, count() AS Calls, countIf(NOT Success) AS Failures,
    quantiles(0.5, 0.95)(DurationNs) AS Latencies, Latencies[1] AS P50, Latencies[2] AS P95,
    sum(InputTokens) AS Input, sum(CacheReadTokens) AS Cached, sum(OutputTokens) AS Output, sum(Cost) AS Cost
FROM model_calls
WHERE StartTime >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')
GROUP BY Provider, Model
ORDER BY Calls DESC, Provider, Model
LIMIT {limit:UInt32};

-- name: page_arrivals
-- What arrived by the hour, of the last day; scopes are the instrumentations that wrote it.
SELECT toUnixTimestamp64Nano(toDateTime64(toStartOfHour(InsertedAt), 9, 'UTC')) AS Hour, uniqHLL12(EpisodeId) AS Episodes
FROM internal_changes
WHERE InsertedAt >= now() - INTERVAL 1 DAY
GROUP BY Hour
ORDER BY Hour;

-- name: page_not_understood
-- By the instrumentation that wrote them: spans whose operation nobody here has heard of.
SELECT toString(ScopeName) AS Scope, toString(Operation) AS Operation, count() AS Spans, max(StartTime) AS Latest
FROM internal_agent_spans FINAL
WHERE NOT Known
GROUP BY Scope, Operation
ORDER BY Spans DESC, Scope, Operation
LIMIT 50;

-- name: page_effects
SELECT * FROM advice_effects WHERE {domain:String} = '' OR Domain IN ('', {domain:String}) LIMIT {limit:UInt32};
