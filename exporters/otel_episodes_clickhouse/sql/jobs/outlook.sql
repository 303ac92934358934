-- What an agent can ask in the middle of a run: each one query over the learned tables.

-- name: outlook
-- What sql/views/outlook.sql says of a run that has shown this, with the plain rates of its domain and its task beside it. The
-- run itself, where it is known already, says nothing of itself.
WITH
    sipHash64({domain:String}) AS domain_hash,
    sipHash64('episode', domain_hash) AS Whole,
    sipHash64('task', domain_hash, {task:String}) AS TaskId,
    sums AS
    (
        SELECT
            sumIf(Support, PatternId = Whole) AS Episodes,
            if(Episodes = 0, 0.5, sumIf(Successes, PatternId = Whole) / Episodes) AS DomainRate,
            sumIf(Support, PatternId = TaskId AND {task:String} != '') AS TaskEpisodes,
            if(TaskEpisodes = 0, DomainRate, sumIf(Successes, PatternId = TaskId) / TaskEpisodes) AS TaskRate
        FROM internal_pattern_totals FINAL
        WHERE PatternId IN ([Whole, TaskId])
    )
SELECT Probability, DomainRate, TaskRate, AlikeRate, Episodes, TaskEpisodes, FeaturesKnown
FROM sums
CROSS JOIN internal_outlook_of(domain = {domain:String}, split = '', folds = 1, fold = 0, seed = 0, before = 0,
                               before_id = {episode:String}, keep = 0,
                      pairs_only = false, task = {task:String}, tools = {tools:Array(String)}, ended = {ended:Bool});

-- name: next_steps
-- Ranked by lift: how much better runs went after a tool than after whatever else was done in the same context, so that a
-- habit earns nothing by being one. Contexts from the general to the specific: any step of the domain, after the last tool,
-- the last two, the last three; then, of a task that recurs, any of its steps, after the last tool, the last two. Each moves
-- what the one before it says, as if that were three more steps (empirical Bayes): with n steps in a context, S of them in runs
-- that succeeded, its value is V = (S + 3 V of its parent) / (n + 3), at the top (S + 0.1) / (n + 1); a tool there is worth
-- q = (s + 3 m) / (n + 3), where m = V * the lift so far, and its lift becomes q / V. Value is q in the most specific context
-- that has been seen. What can be done from here is known only by what was done from here: where three steps or more followed
-- the last tool, tools that never did come after those that have. Usual is how likely the tool is to come next, by Witten-Bell
-- interpolation (Witten, I. H. and Bell, T. C. 1991); there the domain's contexts count from three steps on.
-- It is for reading and ranks nothing.
WITH
    arrayMap(t -> sipHash64(t), arrayFilter(t -> t != '', {tools:Array(String)})) AS H,
    -- Ids as transitions_write makes them.
    arraySlice(arrayReverse(arrayConcat([94, 94, 94], H)), 1, 3) AS Past,
    (made, part) -> intHash64(bitXor(made, part)) AS mixed,
    sipHash64('next', {domain:String}) AS Any,
    sipHash64('next', {domain:String}, {task:String}) AS Same,
    mixed(Any, Past[1]) AS One, mixed(One, Past[2]) AS Two, mixed(Two, Past[3]) AS Three,
    mixed(Same, Past[1]) AS SameOne, mixed(SameOne, Past[2]) AS SameTwo,
    [Any, One, Two, Three, Same, SameOne, SameTwo] AS Contexts,
    counts AS
    (
        SELECT
            Tool,
            sumForEach(arrayMap(c -> if(ContextId = c, Occurrences, 0), Contexts)) AS Seen,
            sumForEach(arrayMap(c -> if(ContextId = c, Successes, 0), Contexts)) AS Won
        FROM internal_step_transitions FINAL
        WHERE ContextId IN (Contexts)
        GROUP BY Tool
        HAVING arraySum(Seen) > 0
    ),
    -- One row: what is known of each context, in the order of Contexts.
    contexts AS
    (
        SELECT
            sumForEach(Seen) AS Steps,
            arrayFold((values, n, won, parent) ->
                arrayPushBack(values, if(parent = 0, (won + 0.1) / (n + 1), (won + 3 * values[parent]) / (n + 3))),
                Steps, sumForEach(Won), [0, 1, 2, 3, 1, 5, 6], emptyArrayFloat64()) AS Values,
            arrayMap((n, tools, least) -> if(n < least, 0., n / (n + tools)),
                Steps, sumForEach(arrayMap(n -> n > 0, Seen)), [1, 3, 3, 3, 1, 1, 1]) AS Trusts,
            -- A context's weight is its trust times the distrust of all that are more specific to the task or to what was done.
            [1, 3, 4, 5, 2, 6, 7] AS Specific,
            arrayMap((trust, rank) ->
                trust * arrayProduct(arrayMap((other, place) -> if(place > rank, 1 - other, 1.), Trusts, Specific)),
                Trusts, Specific) AS Weights
        FROM counts
        HAVING notEmpty(Steps)
    )
SELECT
    toString(t.Tool) AS Tool,
    arrayFold((lift, n, won, steps, value) -> if(steps = 0, lift, (won + 3 * least(greatest(value * lift, 0.001), 0.98)) / (n + 3) / value),
        t.Seen, t.Won, c.Steps, c.Values, 1.) AS Lift,
    Lift * c.Values[arrayLastIndex(n -> n > 0, c.Steps)] AS Value,
    arraySum((weight, n, steps) -> if(steps = 0, 0, weight * n / steps), c.Weights, t.Seen, c.Steps) AS Chance,
    Chance / sum(Chance) OVER () AS Usual,
    arrayLastIndex(n -> n > 0, t.Seen) AS Level,
    t.Seen[Level] AS Seen,
    t.Won[Level] AS Won
FROM counts AS t
CROSS JOIN contexts AS c
ORDER BY c.Steps[2] >= 3 AND t.Seen[2] = 0, Lift DESC, Usual DESC, Tool
LIMIT {limit:UInt32};

-- name: run_so_far
-- Of an episode as it is now, from its start marker and the steps there are, in the order in which they are learned
-- from; no row where it is not known at all.
SELECT
    argMax(r.Domain, (r.Domain != '', r.StartTime)) AS Domain,
    argMax(r.Task, (r.Task != '', r.StartTime)) AS Task,
    argMax(r.Ended, (r.Segment, r.Ended)) AS Ended,
    (
        -- By the clock where some step could not be counted, as internal_sequences_of has it.
        SELECT arrayMap(tool -> toString(tool), arraySort((tool, position) -> position, groupArray(Tool),
            if(min(StepIndex) > 0, groupArray(Position), groupArray(PositionByClock))))
        FROM internal_placed_steps
        WHERE EpisodeId = {episode:String}
    ) AS Tools
FROM internal_roots_of_episodes AS r
WHERE r.EpisodeId = {episode:String}
HAVING count() > 0;
