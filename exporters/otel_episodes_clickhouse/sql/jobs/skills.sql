-- Skills: what holds in a domain, to be written as a SKILL.md.

-- name: skill_domains
-- Domains of which anything is sure enough to be said; the runs it was learned from.
SELECT Domain, Tenant, count() AS Runs
FROM internal_facts FINAL
WHERE {domain:String} = '' OR Domain = {domain:String}
GROUP BY Domain, Tenant
HAVING Domain != ''
ORDER BY Runs DESC, Domain;

-- name: skill_sequences
-- The shortest first: a longer one says more only where the shorter says nothing.
SELECT PatternId, Verdict, Key, Support, Successes, SuccessRateLow, SuccessRateHigh, Evidence
FROM patterns
WHERE Domain = {domain:String} AND Type = 'tool_sequence' AND State = 'sure' AND Verdict IN ('good', 'pitfall')
    AND DecayedSupport >= 1 AND LastSeen > now() - INTERVAL 180 DAY
ORDER BY Verdict = 'good' DESC, if(Verdict = 'good', -SuccessRateLow, SuccessRateHigh), length(Key), PatternId
LIMIT 20;

-- name: skill_write
INSERT INTO internal_skills
    (Name, Version, Event, Domain, Tenant, Steps, Avoid, Recoveries, Items, Evidence, Runs, Reason, By)
VALUES
    ({name:String}, {version:UInt32}, {event:String}, {domain:String}, {tenant:String}, {steps:Array(String)},
     {avoid:Array(String)}, {recoveries:Array(String)}, {items:Array(String)}, {evidence:Array(String)}, {runs:UInt64},
     {reason:String}, {by:String});

-- name: skill_versions
-- Each version with what was decided about it last, and when one of its items was last shown to a run.
WITH
    shown AS (SELECT Item, max(Time) AS At FROM internal_advice ARRAY JOIN Shown AS Item WHERE Arm = 'shown' GROUP BY Item),
    made AS (SELECT * FROM internal_skills WHERE Event = 'proposed' AND ({name:String} = '' OR Name = {name:String})),
    decided AS
    (
        SELECT Name, argMax(Version, Time) AS Current, argMax(Event, Time) AS Latest, max(Time) AS DecidedAt
        FROM internal_skills
        WHERE Event != 'proposed'
        GROUP BY Name
    )
SELECT
    m.Name AS Name, m.Version AS Version, m.Domain AS Domain, m.Tenant AS Tenant, m.Steps AS Steps, m.Avoid AS Avoid,
    m.Recoveries AS Recoveries, m.Items AS Items, m.Evidence AS Evidence, m.Runs AS Runs, m.Time AS ProposedAt,
    (m.Name, m.Version) IN (SELECT Name, Version FROM internal_skills WHERE Event = 'accepted') AS WasAccepted,
    d.Current = m.Version AND d.Current != 0 AS IsCurrent,
    greatest(toDateTime64(d.DecidedAt, 6, 'UTC'), toDateTime64(s.At, 6, 'UTC')) AS LastSign,
    IsCurrent AND LastSign < now64(6) - INTERVAL 90 DAY AS IsExpired
FROM made AS m
LEFT JOIN decided AS d ON d.Name = m.Name
LEFT JOIN
(
    SELECT Name, Version, max(At) AS At
    FROM (SELECT Name, Version, arrayJoin(Items) AS Item FROM made) AS parts
    INNER JOIN shown USING Item
    GROUP BY Name, Version
) AS s ON s.Name = m.Name AND s.Version = m.Version
ORDER BY Name, Version;

-- name: skills_accepted
-- The versions of a skill that counted, the latest first.
SELECT Version, max(Time) AS At
FROM internal_skills
WHERE Name = {name:String} AND Event = 'accepted'
GROUP BY Version
ORDER BY At DESC;
