-- What an agent can ask in the middle of a run: each one query over the learned tables.

-- name: outlook
-- What sql/views/outlook.sql says of a run that has shown this, with the plain rates of its domain and its task beside it. The
-- run itself, where it is known already, says nothing of itself.
WITH
    sipHash64({domain:String}) AS D,
    sipHash64('episode', D) AS Whole,
    sipHash64('task', D, {task:String}) AS TaskId,
    sums AS
    (
        SELECT
            sumIf(Support, PatternId = Whole) AS Episodes,
            if(Episodes = 0, 0.5, sumIf(Successes, PatternId = Whole) / Episodes) AS DomainRate,
            sumIf(Support, PatternId = TaskId AND {task:String} != '') AS TaskEpisodes,
            if(TaskEpisodes = 0, DomainRate, sumIf(Successes, PatternId = TaskId) / TaskEpisodes) AS TaskRate
        FROM pattern_totals FINAL
        WHERE PatternId IN ([Whole, TaskId])
    )
SELECT Probability, DomainRate, TaskRate, AlikeRate, Episodes, TaskEpisodes, FeaturesKnown
FROM sums
CROSS JOIN outlook_of(domain = {domain:String}, split = '', folds = 1, fold = 0, seed = 0, before = 0, before_id = {episode:String}, keep = 0,
                      pairs_only = false, task = {task:String}, tools = {tools:Array(String)}, ended = {ended:Bool});

-- name: next_steps
-- Witten-Bell interpolation (Witten, I. H. and Bell, T. C. 1991) from the general to the specific: any step of the domain,
-- of the task, after the last tool, the last two, the last three, and after one and two of the same task. The domain's
-- contexts count from three occurrences on. A tool's score is its probability times one plus the share of successes where
-- it came next, which is moved towards the domain's rate by five occurrences; scores sum to one over all tools.
WITH
    sipHash64({domain:String}) AS D,
    arrayMap(t -> sipHash64(t), arrayFilter(t -> t != '', {tools:Array(String)})) AS H,
    -- Ids as transitions_write makes them.
    arraySlice(arrayReverse(arrayConcat([94, 94, 94], H)), 1, 3) AS Past,
    (made, part) -> intHash64(bitXor(made, part)) AS mixed,
    sipHash64('next', {domain:String}) AS Any,
    sipHash64('next', {domain:String}, {task:String}) AS Same,
    mixed(Any, Past[1]) AS One, mixed(One, Past[2]) AS Two, mixed(Two, Past[3]) AS Three,
    mixed(Same, Past[1]) AS SameOne, mixed(SameOne, Past[2]) AS SameTwo,
    [Any, Same, One, Two, Three, SameOne, SameTwo] AS Ids,
    counts AS
    (
        SELECT
            Level, Tool, Seen, Won, sum(Seen) OVER (PARTITION BY Level) AS Total,
            Total / (Total + count() OVER (PARTITION BY Level)) AS Trust
        FROM
        (
            SELECT indexOf(Ids, ContextId) AS Level, Tool, sum(Occurrences) AS Seen, sum(Successes) AS Won
            FROM step_transitions FINAL
            WHERE ContextId IN (Ids)
            GROUP BY ContextId, Tool
            HAVING Seen > 0
        )
    ),
    kept AS (SELECT * FROM counts WHERE Total >= 3 OR Level NOT IN (3, 4, 5)),
    levels AS (SELECT DISTINCT Level, Trust FROM kept),
    -- A level's weight: its trust, times the distrust of all that are more specific.
    weights AS
    (
        SELECT l.Level AS Level, any(l.Trust) * exp(sumIf(log(1 - m.Trust), m.Level > l.Level)) AS Weight
        FROM levels AS l
        CROSS JOIN levels AS m
        GROUP BY l.Level
    ),
    likely AS
    (
        SELECT
            c.Tool AS Tool,
            sum(w.Weight * c.Seen / c.Total) AS Chance,
            argMax(c.Seen, c.Level) AS Seen,
            argMax(c.Won, c.Level) AS Won,
            max(c.Level) AS Level,
            any(b.Base) AS Base
        FROM kept AS c
        INNER JOIN weights AS w ON w.Level = c.Level
        CROSS JOIN (SELECT (sum(Successes) + 1) / (sum(Support) + 2) AS Base FROM pattern_totals FINAL WHERE PatternId = sipHash64('episode', D)) AS b
        GROUP BY c.Tool
    )
SELECT
    toString(Tool) AS Tool,
    Chance * (1 + SuccessRate) / sum(Chance * (1 + SuccessRate)) OVER () AS Score,
    Chance / sum(Chance) OVER () AS Probability,
    Seen, Won,
    (Won + 5 * Base) / (Seen + 5) AS SuccessRate,
    Level
FROM likely
ORDER BY Score DESC, Tool
LIMIT {limit:UInt32};

-- name: run_so_far
-- Of an episode as it is now, from its start marker and the steps there are, in the order in which they are learned
-- from; no row where it is not known at all.
SELECT
    argMax(r.Domain, (r.Domain != '', r.StartTime)) AS Domain,
    argMax(r.Task, (r.Task != '', r.StartTime)) AS Task,
    argMax(r.Ended, (r.Segment, r.Ended)) AS Ended,
    (
        -- By the clock where some step could not be counted, as sequences_of has it.
        SELECT arrayMap(s -> toString(s.2), arraySort(s -> if(min(StepIndex) > 0, s.1, bitAnd(s.1, bitNot(bitShiftLeft(toUInt128(4294967295), 80)))),
            groupArray((Position, Tool))))
        FROM placed_steps
        WHERE EpisodeId = {episode:String}
    ) AS Tools
FROM roots_of_episodes AS r
WHERE r.EpisodeId = {episode:String}
HAVING count() > 0;
