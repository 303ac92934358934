-- What runs earned after a call, in the context in which it was made: what the ranking of next steps is computed from, see
-- learning/ranking.py, which makes the same ids. Contexts: any step of the domain, after the last call (and whether it failed), the
-- last two, the last three, and three of the same task; 94 (a '^') stands before the first. A context's id is a chain of hashes.

-- name: internal_valued_runs
-- The runs of these weeks, by step: the tool, its template ('' where none is known), the template with a star for each literal, how far
-- its arguments are grounded in the task and in what was observed, and what the run earned, a step further from the end 5 % less for each step between. A run that nobody judged counts as seen only.
CREATE OR REPLACE VIEW internal_valued_runs
AS SELECT
    Week, Domain, Tenant, Task, Told, Value, Tools, Oks, length(Tools) AS Places,
    arrayMap(template -> replaceRegexpAll(template, '":"=[^"]*"', '":"*"'), Templates) AS Coarse,
    arrayMap((template, coarse) -> if(template = coarse, '', template), Templates, Coarse) AS Exact,
    -- As ranking.grounding has it.
    arrayMap(template -> multiIf(
        template IN ('', '{}'), '',
        startsWith(template, '{"":"again"'), 'again',
        NOT match(template, '":"(?:told|seen)"'), 'free',
        match(template, '":"(?:[^ts]|t[^o]|s[^e])'), 'half',
        'grounded'), Templates) AS Grounding,
    arrayMap(place -> if(Value < 0, 0, toInt64(round(Value * pow(0.95, Places - place)))), arrayEnumerate(Tools)) AS Gains
FROM internal_pattern_observations FINAL
WHERE Week IN {weeks:Array(Date)};

-- name: internal_valued_places
-- The same with ids: the contexts of each step and the call made there, once by its tool and once by each of its templates.
CREATE OR REPLACE VIEW internal_valued_places
AS WITH
    (made, part) -> intHash64(bitXor(made, part)) AS mixed,
    done -> arraySlice(arrayPushFront(done, 94), 1, length(done)) AS before
SELECT
    Value, Gains,
    if(Task = '', 0, Places) AS TaskPlaces,
    mixed(mixed(halfMD5('next'), halfMD5(Domain)), halfMD5(Tenant)) AS AnyTask,
    mixed(AnyTask, toUInt64(Week) * 2 + Told) AS StepSeed,
    mixed(AnyTask, halfMD5(Task)) AS SameTask,
    arrayMap(tool -> halfMD5(tool), Tools) AS Calls,
    before(arrayMap((call, ok) -> bitXor(call, toUInt64(NOT ok)), Calls, Oks)) AS Last,
    before(before(Calls)) AS SecondLast, before(SecondLast) AS ThirdLast,
    arrayWithConstant(Places, AnyTask) AS Anywhere,
    arrayMap(last -> mixed(AnyTask, last), Last) AS AfterOne,
    arrayMap((made, second) -> mixed(made, second), AfterOne, SecondLast) AS AfterTwo,
    arrayMap((made, third) -> mixed(made, third), AfterTwo, ThirdLast) AS AfterThree,
    arrayWithConstant(TaskPlaces, SameTask) AS InTask,
    arrayMap(last -> mixed(SameTask, last), arrayResize(Last, TaskPlaces)) AS TaskAfterOne,
    arrayMap((made, second) -> mixed(made, second), TaskAfterOne, arrayResize(SecondLast, TaskPlaces)) AS TaskAfterTwo,
    -- 0: no such template, and left out below.
    arrayMap((call, template) -> if(template = '', 0, mixed(call, halfMD5(template))), Calls, Coarse) AS CoarseCalls,
    arrayMap((call, template) -> if(template = '', 0, mixed(call, halfMD5(template))), Calls, Exact) AS ExactCalls,
    -- What failed, as ranking.failed has it.
    arrayMap((call, ok) -> if(ok, 0, mixed(call, halfMD5('failed '))), Calls, Oks) AS FailedCalls,
    arrayMap((call, ok, template) -> if(ok OR template = '', 0, mixed(call, halfMD5(concat('failed ', template)))),
        Calls, Oks, Coarse) AS FailedCoarse,
    arrayMap((call, ok, template) -> if(ok OR template = '', 0, mixed(call, halfMD5(concat('failed ', template)))),
        Calls, Oks, Exact) AS FailedExact,
    arrayMap(grounding -> if(grounding = '', 0, mixed(halfMD5(''), halfMD5(grounding))), Grounding) AS GroundedCalls
FROM internal_valued_runs(weeks = {weeks:Array(Date)});

-- name: internal_valued_steps
-- One row per step, context and call.
CREATE OR REPLACE VIEW internal_valued_steps
AS SELECT Value, ContextId, intHash64(bitXor(StepSeed, CallId)) AS StepId, Gain, First
FROM
(
    SELECT
        Value, StepSeed,
        arrayResize(Calls, TaskPlaces) AS TaskCalls,
        arrayConcat(CoarseCalls, ExactCalls) AS Templates,
        arrayConcat(arrayResize(CoarseCalls, TaskPlaces), arrayResize(ExactCalls, TaskPlaces)) AS TaskTemplates,
        arrayResize(Gains, TaskPlaces) AS TaskGains,
        arrayConcat(Anywhere, AfterOne, AfterTwo, AfterThree, InTask, TaskAfterOne, TaskAfterTwo,
                    Anywhere, Anywhere, AfterOne, AfterOne, InTask, InTask, TaskAfterOne, TaskAfterOne,
                    Anywhere, Anywhere, Anywhere, Anywhere) AS ContextIds,
        arrayConcat(Calls, Calls, Calls, Calls, TaskCalls, TaskCalls, TaskCalls,
                    Templates, Templates, TaskTemplates, TaskTemplates,
                    GroundedCalls, FailedCalls, FailedCoarse, FailedExact) AS CallIds,
        arrayConcat(Gains, Gains, Gains, Gains, TaskGains, TaskGains, TaskGains,
                    Gains, Gains, Gains, Gains, TaskGains, TaskGains, TaskGains, TaskGains,
                    Gains, Gains, Gains, Gains) AS AllGains,
        arrayEnumerateUniq(ContextIds, CallIds) AS Nth
    FROM internal_valued_places(weeks = {weeks:Array(Date)})
)
ARRAY JOIN ContextIds AS ContextId, CallIds AS CallId, AllGains AS Gain, arrayMap(n -> n = 1, Nth) AS First
WHERE CallId != 0;

-- name: internal_named_calls
-- What the ids of calls mean, of runs of these weeks.
CREATE OR REPLACE VIEW internal_named_calls
AS WITH
    (made, part) -> intHash64(bitXor(made, part)) AS mixed,
    made AS
    (
        SELECT DISTINCT Week, Domain, Tenant, Told, arrayJoin(arrayConcat(
            arrayMap(tool -> (toString(tool), ''), Tools),
            arrayFilter((tool, grounding) -> grounding != '', arrayMap(grounding -> ('', grounding), Grounding)),
            arrayFilter((tool, template) -> template != '', arrayMap((tool, coarse) -> (toString(tool), coarse), Tools, Coarse)),
            arrayFilter((tool, template) -> template != '', arrayMap((tool, exact) -> (toString(tool), exact), Tools, Exact)),
            arrayFlatten(arrayMap((tool, ok, coarse, exact) -> if(ok, [], arrayMap(kind -> (toString(tool), concat('failed ', kind)),
                arrayDistinct(['', coarse, exact]))), Tools, Oks, Coarse, Exact)))) AS Made
        FROM internal_valued_runs(weeks = {weeks:Array(Date)})
    )
SELECT
    Week, Domain, Tenant, Told, CAST(Made, 'Tuple(Tool String, Template String)') AS Named,
    Named.Tool AS Tool, Named.Template AS Template,
    if(Template = '', halfMD5(Tool), mixed(halfMD5(Tool), halfMD5(Template))) AS CallId,
    mixed(mixed(halfMD5('next'), halfMD5(Domain)), halfMD5(Tenant)) AS AnyTask,
    mixed(mixed(AnyTask, toUInt64(Week) * 2 + Told), CallId) AS StepId
FROM made;

-- name: internal_values_changed
-- Grouped by two numbers, since grouping by text or by more takes twice as long: the second is of domain, week, call, and whether the
-- outcome was told. What is kept is read without FINAL, which would put the whole month in order for one of its weeks.
CREATE OR REPLACE VIEW internal_values_changed
AS WITH
    kept AS
    (
        SELECT ContextId, StepId, argMax(cityHash64(Seen, Counted, GainMicros, Runs, Won), Version) AS Before
        FROM internal_values
        WHERE Week IN {weeks:Array(Date)}
        GROUP BY ContextId, StepId
        HAVING argMax(Seen, Version) > 0
    ),
    steps AS
    (
        SELECT
            ContextId, StepId, toUInt64(1) AS One, toUInt64(Value >= 0) AS Judged, Gain, toUInt64(Judged AND First) AS Run,
            toUInt64(First AND Value >= 500000) AS WonRun, toUInt64(0) AS Kept
        FROM internal_valued_steps(weeks = {weeks:Array(Date)})
        UNION ALL
        SELECT ContextId, StepId, 0, 0, 0, 0, 0, Before FROM kept
    ),
    sums AS
    (
        SELECT
            ContextId, StepId, sum(One) AS Seen, sum(Judged) AS Counted, sum(Gain) AS GainMicros, sum(Run) AS Runs, sum(WonRun) AS Won
        FROM steps
        GROUP BY ContextId, StepId
        HAVING if(Seen = 0, 0, cityHash64(Seen, Counted, GainMicros, Runs, Won)) != max(Kept)
    ),
    names AS
    (
        SELECT Week, Domain, Tenant, Told, Tool, Template, CallId, StepId FROM internal_named_calls(weeks = {weeks:Array(Date)})
        UNION DISTINCT
        SELECT DISTINCT Week, Domain, Tenant, Told, Tool, Template, CallId, StepId FROM internal_values
        WHERE Week IN {weeks:Array(Date)}
    )
SELECT
    n.Domain AS Domain, n.Tenant AS Tenant, s.ContextId AS ContextId, s.StepId AS StepId, n.Week AS Week, n.Told AS Told,
    n.CallId AS CallId,
    n.Tool AS Tool, n.Template AS Template, s.Seen AS Seen, s.Counted AS Counted, s.GainMicros AS GainMicros, s.Runs AS Runs,
    s.Won AS Won
FROM sums AS s
INNER JOIN names AS n ON n.StepId = s.StepId
SETTINGS do_not_merge_across_partitions_select_final = 1;

-- name: internal_domain_values
-- What is known of a domain: sums over the weeks, of each call in each context. From twenty runs on whose outcome was told, runs
-- whose outcome is a default teach nothing any more.
CREATE OR REPLACE VIEW internal_domain_values
AS WITH
    (
        SELECT countIf(Told AND Value >= 0) >= 20 FROM internal_pattern_observations FINAL
        WHERE Domain = {domain:String} AND Tenant = {tenant:String}
    ) AS only_told,
    v.Told OR NOT only_told AS Teaches
SELECT
    v.ContextId AS ContextId, v.CallId AS CallId, any(v.Tool) AS Tool, any(v.Template) AS Template, sum(v.Seen) AS Seen,
    sumIf(v.Counted, Teaches) AS Counted, sumIf(v.GainMicros, Teaches) / 1e6 AS Gain, sumIf(v.Runs, Teaches) AS Runs,
    sumIf(v.Won, Teaches) AS Won
FROM internal_values AS v FINAL
WHERE v.Domain = {domain:String} AND v.Tenant = {tenant:String} AND v.Seen > 0
GROUP BY v.ContextId, v.CallId;
