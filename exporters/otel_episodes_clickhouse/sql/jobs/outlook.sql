-- What an agent can ask in the middle of a run: each one query over the learned tables.

-- name: outlook
-- Evidence is combined on the scale of log odds: the domain's rate, moved towards the task's own rate by how often the
-- task was seen, plus what each feature of the steps so far says (shrunk towards the domain's rate), divided by the
-- square root of how many there are, since they are far from independent.
WITH
    sipHash64({domain:String}) AS D,
    arrayMap(t -> sipHash64(t), arrayFilter(t -> t != '', {tools:Array(String)})) AS H,
    arrayFilter(n -> n <= length({tools:Array(String)}), [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128]) AS Lengths,
    length(arrayDistinct(H)) AS Variety,
    -- Ids as episode_shapes makes them.
    (made, part) -> intHash64(bitXor(made, part)) AS mixed,
    arrayDistinct(arrayConcat(
        arrayMap(t -> mixed(sipHash64('tool', D), t), H),
        arrayMap(t -> mixed(sipHash64('start', D), t), arraySlice(H, 1, 1)),
        arrayMap((a, b) -> mixed(mixed(sipHash64('tool_sequence', D), a), b), arrayPopBack(H), arrayPopFront(H)),
        if(empty(Lengths), [], [sipHash64('length', D, Lengths[-1])]),
        if(Variety = 0, [], [sipHash64('variety', D, least(Variety, 12))]))) AS Features,
    sipHash64('episode', D) AS Whole,
    sipHash64('task', D, {task:String}) AS TaskId,
    known AS
    (
        SELECT PatternId, Support, Successes
        FROM pattern_totals FINAL
        WHERE PatternId IN (arrayConcat(Features, [Whole, TaskId]))
    ),
    sums AS
    (
        SELECT
            sumIf(Support, PatternId = Whole) AS Episodes,
            (sumIf(Successes, PatternId = Whole) + 1) / (Episodes + 2) AS Base,
            sumIf(Support, PatternId = TaskId AND {task:String} != '') AS TaskEpisodes,
            (sumIf(Successes, PatternId = TaskId AND {task:String} != '') + Base) / (TaskEpisodes + 1) AS TaskRate,
            groupArrayIf((Support, Successes), PatternId IN (Features) AND Support >= 2) AS Seen
        FROM known
    )
SELECT
    1 / (1 + exp(-(log(TaskRate / (1 - TaskRate)) + if(empty(Seen), 0, arraySum(s ->
        log((s.2 + 2 * Base) / (s.1 - s.2 + 2 * (1 - Base))) - log(Base / (1 - Base)), Seen) / sqrt(length(Seen)))))) AS Probability,
    Base AS DomainRate, TaskRate, Episodes, TaskEpisodes, length(Seen) AS FeaturesKnown
FROM sums;

-- name: next_steps
-- Witten-Bell interpolation (Witten, I. H. and Bell, T. C. 1991) from the general to the specific: any step of the domain,
-- of the task, after the last tool, the last two, the last three, and after one and two of the same task. What happened
-- in episodes that succeeded counts twice.
WITH
    sipHash64({domain:String}) AS D,
    sipHash64({task:String}) AS K,
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
        SELECT indexOf(Ids, ContextId) AS Level, Tool, sum(Occurrences) AS Seen, sum(Successes) AS Won
        FROM step_transitions FINAL
        WHERE ContextId IN (Ids)
        GROUP BY ContextId, Tool
        HAVING Seen > 0
    ),
    levels AS
    (
        SELECT Level, sum(Seen + Won) AS Total, Total / (Total + 2 * count()) AS Trust
        FROM counts
        GROUP BY Level
    ),
    -- A level's weight: its trust, times the distrust of all that are more specific.
    weights AS
    (
        SELECT l.Level AS Level, any(l.Total) AS Total,
            any(l.Trust) * exp(sumIf(log(1 - m.Trust), m.Level > l.Level)) AS Weight
        FROM levels AS l
        CROSS JOIN levels AS m
        GROUP BY l.Level
    )
SELECT
    toString(c.Tool) AS Tool,
    sum(w.Weight * (c.Seen + c.Won) / w.Total) AS Score,
    argMax(c.Seen, c.Level) AS Seen,
    argMax(c.Won, c.Level) AS Won,
    (Won + 2 * any(b.Base)) / (Seen + 2) AS SuccessRate,
    max(c.Level) AS Level
FROM counts AS c
INNER JOIN weights AS w ON w.Level = c.Level
CROSS JOIN (SELECT (sum(Successes) + 1) / (sum(Support) + 2) AS Base FROM pattern_totals FINAL WHERE PatternId = sipHash64('episode', D)) AS b
GROUP BY c.Tool
ORDER BY Score DESC, Tool
LIMIT {limit:UInt32};

-- name: steps_of
SELECT Domain, Task, arrayMap(t -> toString(t), StepTools) AS Tools, Outcome
FROM episode_facts FINAL
WHERE EpisodeId = {episode:String};

-- name: run_so_far
-- Of an episode that runs, from its start marker and the steps there are; no row where it is not known at all.
SELECT
    argMax(r.Domain, (r.Domain != '', r.StartTime)) AS Domain,
    argMax(r.Task, (r.Task != '', r.StartTime)) AS Task,
    (
        SELECT arrayMap(s -> toString(s.4), arraySort(groupArray((Segment, StartTime, SpanId, Tool))))
        FROM steps_of_episodes
        WHERE EpisodeId = {episode:String}
    ) AS Tools
FROM roots_of_episodes AS r
WHERE r.EpisodeId = {episode:String}
HAVING count() > 0;
