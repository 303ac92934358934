-- Which calls fail, and what puts it right: facts about steps, so that it does not matter how the runs ended, or whether anybody said.

-- name: internal_mishaps_of_runs
-- One row per run and thing that happened in it. A call is one whatever its template and, where it has one, by that; a failure
-- likewise with its error. What puts it right is that of internal_recoveries.
CREATE OR REPLACE VIEW internal_mishaps_of_runs
AS WITH
    (keys, any) -> arrayDistinct(arrayMap(key -> arrayConcat([key[1], if(any, '', key[2])], arraySlice(key, 3)), keys)) AS by_error
SELECT
    EpisodeId, StartTime, Domain, Tenant, toMonday(StartTime) AS Week,
    arrayMap(template -> replaceRegexpAll(template, '":"=[^"]*"', '":"*"'), Templates) AS Coarse,
    arrayMap(tool -> toString(tool), Tools) AS Called,
    arrayConcat(
        arrayMap((tool, ok) -> (tool, '', NOT ok), Called, Oks),
        -- What was logged as one text says nothing of where arguments came from.
        arrayFilter(call -> NOT match(call.2, '^$|^[{]("":"again",?)?("action":"[^"]*")?[}]$'), arrayMap((tool, template, ok) -> (tool, template, NOT ok), Called, Coarse, Oks))) AS Calls,
    arrayConcat(by_error(RecoveryKeys, false), by_error(RecoveryKeys, true)) AS Failures
FROM internal_recoveries
WHERE toMonday(StartTime) IN {weeks:Array(Date)};

-- name: internal_mishaps_changed
-- A week is written as a whole; what it does not show any more is of an earlier version than the week's own row.
CREATE OR REPLACE VIEW internal_mishaps_changed
AS WITH
    happened AS
    (
        SELECT
            Domain, Tenant, Week, EpisodeId, StartTime, 'call' AS Kind, Call.1 AS Tool, Call.2 AS Template, '' AS Error,
            CAST([], 'Array(String)') AS Then, Call.3 AS Bad, Bad AS Shows
        FROM internal_mishaps_of_runs(weeks = {weeks:Array(Date)})
        ARRAY JOIN Calls AS Call
        UNION ALL
        SELECT
            Domain, Tenant, Week, EpisodeId, StartTime, 'failure', Failure[1], '', Failure[2], [], length(Failure) = 2, true
        FROM internal_mishaps_of_runs(weeks = {weeks:Array(Date)})
        ARRAY JOIN Failures AS Failure
        UNION ALL
        SELECT
            Domain, Tenant, Week, EpisodeId, StartTime, 'recovery', Failure[1], '', Failure[2], arraySlice(Failure, 3), false, true
        FROM internal_mishaps_of_runs(weeks = {weeks:Array(Date)})
        ARRAY JOIN Failures AS Failure
        WHERE length(Failure) > 2
    )
SELECT
    Domain, Tenant, Kind, Tool, Template, Error, Then, Week,
    uniqExact(EpisodeId) AS Runs,
    uniqExactIf(EpisodeId, Bad) AS Bad,
    arraySlice(arrayMap(shown -> shown.2, arrayReverseSort(groupUniqArrayIf((StartTime, EpisodeId), Shows))), 1, 3) AS Evidence,
    toDateTime(max(StartTime), 'UTC') AS LastSeen
FROM happened
GROUP BY Domain, Tenant, Kind, Tool, Template, Error, Then, Week
UNION ALL
SELECT '', '', 'week', '', '', '', [], arrayJoin({weeks:Array(Date)}) AS Week, 0, 0, [], toDateTime(0, 'UTC');

-- name: internal_mishaps_of_domain
-- Sums over the weeks; what was not seen for half a year is not said.
CREATE OR REPLACE VIEW internal_mishaps_of_domain
AS WITH
    weeks AS (SELECT Week, max(Version) AS Latest FROM internal_mishaps WHERE Kind = 'week' GROUP BY Week)
SELECT
    Kind, Tool, Template, Error, Then, sum(Runs) AS Runs, sum(m.Bad) AS Bad,
    arraySlice(arrayFlatten(arrayMap(each -> each.2, arrayReverseSort(groupArray((LastSeen, Evidence))))), 1, 3) AS Evidence
FROM (SELECT * FROM internal_mishaps FINAL WHERE Domain = {domain:String} AND Tenant = {tenant:String}) AS m
INNER JOIN weeks AS w ON w.Week = m.Week
WHERE m.Version >= w.Latest AND Kind != 'week'
GROUP BY Kind, Tool, Template, Error, Then
HAVING max(LastSeen) > now() - toIntervalDay(180);
