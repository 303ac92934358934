-- Does learning work on these data? Each episode is judged by what the others say.

-- name: evaluate_domains
-- With split 'time' those from the boundary on are tested: the latest {share} of all.
SELECT
    Domain, count() AS Episodes, countIf(Success) AS Successes,
    1 + toUInt64(ceil(count() * (1 - {share:Float64}) - 1e-9)) AS Place,
    CAST(arraySort(groupArray((toUnixTimestamp64Nano(StartTime), EpisodeId)))[Place], 'Tuple(Before Int64, BeforeId String)') AS Boundary,
    Boundary.Before AS Before, Boundary.BeforeId AS BeforeId
FROM internal_pattern_observations FINAL
WHERE {domain:String} = '' OR Domain = {domain:String}
GROUP BY Domain
ORDER BY Episodes DESC, Domain
LIMIT {most:UInt32};

-- name: evaluate_outlook
-- The outlook at the end of each tested run and half-way through it, beside simple baselines.
WITH
    runs AS
    (
        SELECT *
        FROM internal_split_runs(domain = {domain:String}, split = {split:String}, folds = {folds:UInt8}, fold = {fold:UInt8},
                        seed = {seed:UInt64}, before = {before:Int64}, before_id = {before_id:String})
    ),
    odds AS
    (
        SELECT EpisodeId, maxIf(Probability, Ended) AS AtEnd, maxIf(Probability, NOT Ended) AS AtHalf
        FROM internal_outlook_of(domain = {domain:String}, split = {split:String}, folds = {folds:UInt8}, fold = {fold:UInt8},
            seed = {seed:UInt64}, before = {before:Int64}, before_id = {before_id:String}, keep = {keep:UInt32}, pairs_only = false,
            task = '', tools = [], ended = false)
        GROUP BY EpisodeId
    ),
    bigrams AS
    (
        SELECT EpisodeId, LogOdds
        FROM internal_outlook_of(domain = {domain:String}, split = {split:String}, folds = {folds:UInt8}, fold = {fold:UInt8},
            seed = {seed:UInt64}, before = {before:Int64}, before_id = {before_id:String}, keep = {keep:UInt32}, pairs_only = true,
            task = '', tools = [], ended = false)
        WHERE Ended
    ),
    learned AS (SELECT (countIf(Success) + 1) / (count() + 2) AS Rate FROM runs WHERE NOT Tested),
    tasks AS (SELECT Task, count() AS Episodes, countIf(Success) AS Successes FROM runs WHERE NOT Tested AND Task != '' GROUP BY Task)
SELECT
    r.EpisodeId AS EpisodeId,
    r.Success AS Success,
    l.Rate AS Base,
    (t.Successes + 2 * l.Rate) / (t.Episodes + 2) AS TaskRate,
    o.AtEnd AS Outlook,
    o.AtHalf AS HalfOutlook,
    1 / (1 + exp(-b.LogOdds)) AS Bigrams,
    -- Shorter is better, on the scale of a rate.
    l.Rate * 2 / (1 + exp(length(r.Tools) / 20)) AS Length
FROM runs AS r
INNER JOIN odds AS o ON o.EpisodeId = r.EpisodeId
INNER JOIN bigrams AS b ON b.EpisodeId = r.EpisodeId
LEFT JOIN tasks AS t ON t.Task = r.Task
CROSS JOIN learned AS l
ORDER BY EpisodeId;

-- name: evaluate_next
-- Of what comes next, the `Usual` of next_steps: how well habit is known, not what following the ranking would earn.
WITH
    places AS
    (
        SELECT *
        FROM internal_split_places(domain = {domain:String}, split = {split:String}, folds = {folds:UInt8}, fold = {fold:UInt8},
                        seed = {seed:UInt64}, before = {before:Int64}, before_id = {before_id:String})
    ),
    -- What the runs that are learned from say: per context and tool how often, and how often in a run that succeeded.
    learned AS
    (
        SELECT
            Context.1 AS Level, Context.2 AS Id, Tool, count() AS Seen, countIf(Success) AS Won,
            sum(Seen) OVER (PARTITION BY Level, Id) AS Total,
            Total / (Total + count() OVER (PARTITION BY Level, Id)) AS Trust
        FROM places
        ARRAY JOIN Ids AS Context
        WHERE NOT Tested
        GROUP BY Level, Id, Tool
    ),
    -- One row per place, level and tool that is known there.
    counted AS
    (
        SELECT t.EpisodeId AS EpisodeId, t.Position AS Position, t.Tool AS Actual, e.Level AS Level, e.Tool AS Tool,
            e.Seen AS Seen, e.Won AS Won, e.Total AS Total, e.Trust AS Trust
        FROM
        (
            SELECT EpisodeId, Position, Tool, Context.1 AS Level, Context.2 AS Id
            FROM (SELECT * FROM places WHERE Tested AND sipHash64({seed:UInt64}, EpisodeId) % 1000000 < {keep:UInt32})
            ARRAY JOIN Ids AS Context
        ) AS t
        INNER JOIN learned AS e ON e.Level = t.Level AND e.Id = t.Id
    ),
    weighted AS
    (
        SELECT EpisodeId, Position, Level,
            Trust * exp(sum(log(1 - Trust)) OVER (PARTITION BY EpisodeId, Position ORDER BY Level DESC
                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) - log(1 - Trust)) AS Weight
        FROM (SELECT DISTINCT EpisodeId, Position, Level, Trust FROM counted WHERE Total >= 3 OR Level NOT IN (3, 4, 5))
    ),
    scored AS
    (
        SELECT
            c.EpisodeId AS EpisodeId, c.Position AS Position, any(c.Actual) AS Actual, c.Tool AS Tool,
            sum(w.Weight * c.Seen / c.Total) AS Chance,
            -- The baselines: the tool alone, after the last one, after the last two; each backs off where it knows nothing.
            sumIf(c.Seen / c.Total, c.Level = 1) AS Frequency,
            sumIf(c.Seen / c.Total, c.Level = 3) + 1e-4 * Frequency AS Markov,
            sumIf(c.Seen / c.Total, c.Level = 4) + 1e-4 * Markov AS BackOff
        FROM counted AS c
        LEFT JOIN weighted AS w ON w.EpisodeId = c.EpisodeId AND w.Position = c.Position AND w.Level = c.Level
        GROUP BY c.EpisodeId, c.Position, c.Tool
    )
SELECT
    EpisodeId, Position,
    indexOf(arrayMap(x -> x.2, arrayReverseSort(groupArray((Chance, Tool)))), any(Actual)) AS Place,
    indexOf(arrayMap(x -> x.2, arrayReverseSort(groupArray((Markov, Tool)))), any(Actual)) AS MarkovPlace,
    indexOf(arrayMap(x -> x.2, arrayReverseSort(groupArray((BackOff, Tool)))), any(Actual)) AS BackOffPlace,
    indexOf(arrayMap(x -> x.2, arrayReverseSort(groupArray((Frequency, Tool)))), any(Actual)) AS FrequencyPlace
FROM scored
GROUP BY EpisodeId, Position
ORDER BY EpisodeId, Position;

-- name: evaluate_runs
-- What runs did and earned, in an order that is that of no time, the latest 5,000.
SELECT
    toString(Domain) AS Domain, toString(Tenant) AS Tenant, Task, arrayMap(tool -> toString(tool), Tools) AS Tools, Oks, Value, Told,
    sipHash64({seed:UInt64}, EpisodeId) % {folds:UInt8} AS Fold
FROM
(
    SELECT * FROM internal_pattern_observations FINAL
    WHERE {domain:String} = '' OR Domain = {domain:String}
    ORDER BY StartTime DESC, EpisodeId
    LIMIT 5000
)
ORDER BY sipHash64({seed:UInt64}, EpisodeId, 'place'), EpisodeId;
