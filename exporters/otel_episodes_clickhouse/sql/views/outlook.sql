-- The model behind the outlook: a ridge logistic regression of success on what a run shows, one Newton step from the
-- domain's rate (which is a regularised linear discriminant), and the task's earlier runs, each by how alike it went. All it
-- needs are counts of what is shown together, so the result does not depend on the order in which episodes arrived; it is
-- computed when it is asked for.

-- name: internal_split_runs
-- Ended runs of a domain, and whether each is tested or learned from; with an empty split all are learned from but the run
-- {before_id} itself.
CREATE OR REPLACE VIEW internal_split_runs
AS SELECT
    *,
    multiIf(
        {split:String} = 'time', (StartTime, EpisodeId) >= (fromUnixTimestamp64Nano({before:Int64}, 'UTC'), {before_id:String}),
        {split:String} = 'task', sipHash64({seed:UInt64}, Domain, if(Task = '', EpisodeId, Task)) % {folds:UInt8} = {fold:UInt8},
        {split:String} = 'episode', sipHash64({seed:UInt64}, EpisodeId) % {folds:UInt8} = {fold:UInt8},
        EpisodeId = {before_id:String}) AS Tested
FROM internal_pattern_observations FINAL
WHERE Domain = {domain:String};

-- name: internal_split_places
-- One row per step of those runs: the tool, and the ids of the contexts it was used in.
CREATE OR REPLACE VIEW internal_split_places
AS SELECT
    EpisodeId, Success, Tested, Place.1 AS Position, Place.2 AS Tool, Place.3 AS Ids
FROM
(
    SELECT
        EpisodeId, Success, Tested, Tools, arrayMap(t -> sipHash64(t), Tools) AS H, length(H) AS L,
        sipHash64(Task) AS K, if(Task = '', [], [1]) AS Known,
        arraySlice(arrayPushFront(H, 94), 1, L) AS A,
        arraySlice(arrayPushFront(A, 94), 1, L) AS B,
        arraySlice(arrayPushFront(B, 94), 1, L) AS C,
        -- Any step, of the task, after one, two and three tools, after one and two of the task: the level is the place.
        arrayMap((i, t, a, b, c) -> (i, t,
            arrayConcat([(1, sipHash64(0)), (3, sipHash64(1, a)), (4, sipHash64(2, a, b)), (5, sipHash64(3, a, b, c))],
                arrayFlatten(arrayMap(x -> [(2, sipHash64(4, K)), (6, sipHash64(5, K, a)), (7, sipHash64(6, K, a, b))], Known)))),
            arrayEnumerate(Tools), Tools, A, B, C) AS Places
    FROM internal_split_runs(domain = {domain:String}, split = {split:String}, folds = {folds:UInt8}, fold = {fold:UInt8},
                    seed = {seed:UInt64}, before = {before:Int64}, before_id = {before_id:String})
)
ARRAY JOIN Places AS Place;

-- name: internal_latest_weeks
-- The latest weeks that have at least so many runs of a task (without one: of the domain): nothing older needs to be read.
-- What was counted last is looked up without FINAL, which costs more than the few rows do.
CREATE OR REPLACE VIEW internal_latest_weeks
AS WITH
    weeks AS
    (
        SELECT Week, argMax(Support, Version) AS Runs
        FROM internal_pattern_buckets
        WHERE PatternId = if({task:String} = '', sipHash64('episode', sipHash64({domain:String})),
                             sipHash64('task', sipHash64({domain:String}), {task:String}))
        GROUP BY Week
    )
SELECT Week
FROM (SELECT Week, sum(Runs) OVER (ORDER BY Week DESC) - Runs AS Later FROM weeks)
WHERE Later < {runs:UInt32};

-- name: internal_outlook_features
-- The 200 commonest: tools, pairs, first tool, at least so many uses of tools, at least so many different ones; with `pairs_only` the
-- pairs alone, which `evaluate` compares with.
CREATE OR REPLACE VIEW internal_outlook_features
AS WITH
    keys AS
    (
        SELECT PatternId FROM internal_pattern_keys
        WHERE Domain = {domain:String} AND ((Type = 'tool_sequence' AND length(Key) = 2)
            OR (Type IN ('tool', 'start', 'length', 'variety') AND NOT {pairs_only:Bool}))
    )
SELECT PatternId
FROM internal_pattern_totals
WHERE PatternId IN keys
GROUP BY PatternId
HAVING argMax(Support, Version) >= 2
ORDER BY argMax(Support, Version) DESC, PatternId
LIMIT 200;

-- name: internal_outlook_runs
-- What the model learns from: the latest 2,000 runs (whole weeks, then by id).
CREATE OR REPLACE VIEW internal_outlook_runs
AS SELECT Success, PatternIds
FROM internal_split_runs(domain = {domain:String}, split = {split:String}, folds = {folds:UInt8}, fold = {fold:UInt8},
    seed = {seed:UInt64}, before = {before:Int64}, before_id = {before_id:String})
WHERE NOT Tested AND ({split:String} != ''
    OR Week IN (SELECT Week FROM internal_latest_weeks(domain = {domain:String}, task = '', runs = 2000)))
ORDER BY Week DESC, EpisodeId DESC
LIMIT 2000;

-- name: internal_outlook_model
-- One row: how often features were shown, with a success and with each other.
CREATE OR REPLACE VIEW internal_outlook_model
AS WITH
    (
        SELECT arraySort(groupArray(PatternId))
        FROM internal_outlook_features(domain = {domain:String}, pairs_only = {pairs_only:Bool})
    ) AS known,
    shown AS
    (
        SELECT
            arrayMap(feature -> has(PatternIds, feature), known) AS Shown,
            arrayFilter((row, shown) -> shown, arrayMap(place -> place + 1, arrayEnumerate(known)), Shown) AS FeatureRows,
            -- 0: all runs; 1: those that succeeded; from 2 on: those that show a feature.
            arrayConcat([0], if(Success, [1], []), FeatureRows) AS RowsOf
        FROM internal_outlook_runs(domain = {domain:String}, split = {split:String}, folds = {folds:UInt8}, fold = {fold:UInt8},
            seed = {seed:UInt64}, before = {before:Int64}, before_id = {before_id:String})
    ),
    counts AS (SELECT Row, count() AS Runs, sumForEach(Shown) AS Together FROM shown ARRAY JOIN RowsOf AS Row GROUP BY Row)
SELECT
    known AS Features,
    arrayResize(groupArrayInsertAt(Runs, toUInt32(Row)), length(known) + 2) AS AllRuns,
    arrayMap(x -> arrayResize(x, length(known)),
             arrayResize(groupArrayInsertAt(Together, toUInt32(Row)), length(known) + 2)) AS AllTogether,
    AllRuns[1] AS Episodes,
    AllRuns[2] AS Successes,
    (Successes + 1) / (Episodes + 2) AS Base,
    arrayMap(n -> n / greatest(1, Episodes), arraySlice(AllRuns, 3)) AS Means,
    arrayMap((won, mean) -> won - mean * Successes, AllTogether[2], Means) AS Gradient,
    -- However many features there are, the log odds of a run deviate by one before anything is learned: the ridge is the sum of
    -- the variances of the features.
    arraySum(mean -> mean * (1 - mean), Means) AS Ridge,
    -- The Hessian at the domain's rate.
    arrayMap((row, mean, i) -> arrayMap((n, other, j) -> Base * (1 - Base) * (n - mean * other * Episodes) + if(i = j, Ridge, 0),
        row, Means, arrayEnumerate(Means)), arraySlice(AllTogether, 3), Means, arrayEnumerate(Means)) AS Hessian
FROM counts;

-- name: internal_outlook_asked
-- The runs that are judged: those that the split tests, at their end and half-way; with an empty split the one that is given.
CREATE OR REPLACE VIEW internal_outlook_asked
AS SELECT EpisodeId, Task, Ended, if(Ended, Tools, arraySlice(Tools, 1, intDiv(length(Tools) + 1, 2))) AS Tools
FROM internal_split_runs(domain = {domain:String}, split = {split:String}, folds = {folds:UInt8}, fold = {fold:UInt8},
    seed = {seed:UInt64}, before = {before:Int64}, before_id = {before_id:String})
ARRAY JOIN [true, false] AS Ended
WHERE Tested AND {split:String} != '' AND sipHash64({seed:UInt64}, EpisodeId) % 1000000 < {keep:UInt32}
UNION ALL
SELECT '', {task:String}, {ended:Bool}, arrayFilter(tool -> tool != '', {tools:Array(String)})
FROM system.one
WHERE {split:String} = '';

-- name: internal_outlook_shown
-- What these runs show, beside the model. A run that has ended is judged by all features, also those that it does not show; one
-- that runs by a regression on those it has shown alone. Ids as internal_shapes makes them.
CREATE OR REPLACE VIEW internal_outlook_shown
AS WITH
    sipHash64({domain:String}) AS domain_hash,
    (made, part) -> intHash64(bitXor(made, part)) AS mixed
SELECT
    EpisodeId, Ended,
    arrayMap(tool -> sipHash64(tool), Tools) AS Hashes,
    arrayConcat(
        arrayMap(tool -> mixed(sipHash64('tool', domain_hash), tool), Hashes),
        arrayMap(tool -> mixed(sipHash64('start', domain_hash), tool), arraySlice(Hashes, 1, 1)),
        arrayMap((a, b) -> mixed(mixed(sipHash64('tool_sequence', domain_hash), a), b), arrayPopBack(Hashes), arrayPopFront(Hashes)),
        arrayMap(n -> sipHash64('length', domain_hash, n),
                 arrayFilter(n -> n <= length(Hashes), [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128])),
        arrayMap(n -> sipHash64('variety', domain_hash, n), range(1, 1 + least(length(arrayDistinct(Hashes)), 12)))) AS Ids,
    arrayMap(feature -> has(Ids, feature), m.Features) AS Shown,
    if(Ended AND notEmpty(Hashes), arrayMap(feature -> true, Shown), Shown) AS Judged,
    m.Base AS Base, m.Means AS Means, m.Gradient AS Gradient, m.Hessian AS Hessian
FROM internal_outlook_asked(domain = {domain:String}, split = {split:String}, folds = {folds:UInt8}, fold = {fold:UInt8},
    seed = {seed:UInt64}, before = {before:Int64}, before_id = {before_id:String},
    keep = {keep:UInt32}, task = {task:String}, tools = {tools:Array(String)}, ended = {ended:Bool})
CROSS JOIN internal_outlook_model(domain = {domain:String}, split = {split:String}, folds = {folds:UInt8}, fold = {fold:UInt8},
    seed = {seed:UInt64}, before = {before:Int64}, before_id = {before_id:String},
    pairs_only = {pairs_only:Bool}) AS m
-- A model goes with each run that is judged by it.
SETTINGS max_joined_block_size_rows = 64;

-- name: internal_outlook_solved
-- The weights of each set of features that runs are judged by, solved once, with these runs.
CREATE OR REPLACE VIEW internal_outlook_solved
AS WITH
    systems AS
    (
        SELECT
            Judged,
            groupArray((s.EpisodeId, s.Ended, s.Shown)) AS JudgedRuns,
            any(s.Base) AS Base,
            arrayFilter((mean, judged) -> judged, any(s.Means), Judged) AS Means,
            arrayFilter((g, judged) -> judged, any(s.Gradient), Judged) AS Gradient,
            arrayMap(row -> arrayFilter((x, judged) -> judged, row, Judged),
                     arrayFilter((row, judged) -> judged, any(s.Hessian), Judged)) AS Hessian
        FROM internal_outlook_shown(domain = {domain:String}, split = {split:String}, folds = {folds:UInt8}, fold = {fold:UInt8},
            seed = {seed:UInt64}, before = {before:Int64}, before_id = {before_id:String},
            keep = {keep:UInt32}, task = {task:String}, tools = {tools:Array(String)}, ended = {ended:Bool},
            pairs_only = {pairs_only:Bool}) AS s
        GROUP BY s.Judged AS Judged
    )
SELECT
    Judged, Base, Means,
    CAST(JudgedRuns, 'Array(Tuple(EpisodeId String, Ended Bool, Shown Array(UInt8)))') AS Runs,
    -- Hessian * weights = gradient, by forty steps of conjugate gradients (Hestenes and Stiefel 1952): weights, what is
    -- left, direction, the square of what is left.
    arrayFold(
        (state, step) -> arrayMap(
            image -> arrayMap(
                size -> arrayMap(
                    left -> arrayMap(
                        square -> (
                            arrayMap((weight, direction) -> weight + size * direction, state.1, state.3),
                            left,
                            arrayMap((x, direction) -> x + if(state.4 < 1e-20, 0, square / state.4) * direction, left, state.3),
                            square),
                        [arrayDotProduct(left, left)])[1],
                    [arrayMap((x, y) -> x - size * y, state.2, image)])[1],
                [if(state.4 < 1e-20, 0, state.4 / arrayDotProduct(state.3, image))])[1],
            [arrayMap(row -> arrayDotProduct(row, state.3), Hessian)])[1],
        range(40),
        (arrayMap(x -> 0., Gradient), Gradient, Gradient, arrayDotProduct(Gradient, Gradient))).1 AS Weights
FROM systems;

-- name: internal_outlook_alike
-- The task's earlier runs (its latest 100), each by how alike the run in question goes: the share of the tools and pairs of
-- neighbours of both that both show (Jaccard 1901); of a run that has not ended, the share of what it has shown, and all where it
-- has shown nothing.
CREATE OR REPLACE VIEW internal_outlook_alike
AS WITH
    tools -> arrayDistinct(arrayConcat(arrayMap(tool -> sipHash64(tool), tools),
        arrayMap((a, b) -> sipHash64(a, b), arrayPopBack(tools), arrayPopFront(tools)))) AS parts,
    latest AS
    (
        SELECT Task, Tools, Success
        FROM internal_split_runs(domain = {domain:String}, split = {split:String}, folds = {folds:UInt8}, fold = {fold:UInt8},
            seed = {seed:UInt64}, before = {before:Int64}, before_id = {before_id:String})
        WHERE NOT Tested AND Task != '' AND ({split:String} != '' OR Task = {task:String}
            AND Week IN (SELECT Week FROM internal_latest_weeks(domain = {domain:String}, task = {task:String}, runs = 100)))
        ORDER BY Week DESC, EpisodeId DESC
        LIMIT 100 BY Task
    ),
    earlier AS (SELECT Task AS EarlierTask, groupArray(parts(Tools)) AS Others, groupArray(Success) AS Won FROM latest GROUP BY Task),
    asked AS
    (
        SELECT EpisodeId, Task, Ended, parts(Tools) AS Mine
        FROM internal_outlook_asked(domain = {domain:String}, split = {split:String}, folds = {folds:UInt8}, fold = {fold:UInt8},
            seed = {seed:UInt64}, before = {before:Int64}, before_id = {before_id:String},
            keep = {keep:UInt32}, task = {task:String}, tools = {tools:Array(String)}, ended = {ended:Bool})
    )
SELECT
    EpisodeId, Ended,
    arrayMap(other -> length(arrayIntersect(Mine, other)), Others) AS Shared,
    arrayMap((both, other) -> if(empty(Mine) AND (NOT Ended OR empty(other)), 1,
        both / (length(Mine) + if(Ended, length(other) - both, 0))), Shared, Others) AS Likeness,
    arraySum(Likeness) AS Alike,
    arraySum((likeness, won) -> likeness * won, Likeness, Won) AS Successes
FROM asked
INNER JOIN earlier ON EarlierTask = Task;

-- name: internal_outlook_of
-- How likely runs are to succeed. The task's earlier runs move these log odds as they move those of the domain, with two episodes at
-- the domain's rate added.
CREATE OR REPLACE VIEW internal_outlook_of
AS WITH
    judged AS
    (
        SELECT
            Run.EpisodeId AS EpisodeId, Run.Ended AS Ended, Base,
            arrayFilter((shows, judged) -> judged, Run.Shown, Judged) AS Shows,
            log(Base / (1 - Base)) + arraySum((weight, mean, shows) -> weight * (shows - mean), Weights, Means, Shows) AS LogOdds,
            arraySum(Run.Shown) AS FeaturesKnown
        FROM internal_outlook_solved(domain = {domain:String}, split = {split:String}, folds = {folds:UInt8}, fold = {fold:UInt8},
            seed = {seed:UInt64}, before = {before:Int64}, before_id = {before_id:String},
            keep = {keep:UInt32}, task = {task:String}, tools = {tools:Array(String)}, ended = {ended:Bool}, pairs_only = {pairs_only:Bool})
        ARRAY JOIN Runs AS Run
    )
SELECT
    j.EpisodeId AS EpisodeId,
    j.Ended AS Ended,
    j.LogOdds AS LogOdds,
    (a.Successes + 2 * j.Base) / (a.Alike + 2) AS AlikeRate,
    1 / (1 + exp(-(j.LogOdds + log(AlikeRate / (1 - AlikeRate)) - log(j.Base / (1 - j.Base))))) AS Probability,
    j.FeaturesKnown AS FeaturesKnown
FROM judged AS j
LEFT JOIN internal_outlook_alike(domain = {domain:String}, split = {split:String}, folds = {folds:UInt8}, fold = {fold:UInt8},
    seed = {seed:UInt64}, before = {before:Int64}, before_id = {before_id:String},
    keep = {keep:UInt32}, task = {task:String}, tools = {tools:Array(String)}, ended = {ended:Bool}) AS a
    ON a.EpisodeId = j.EpisodeId AND a.Ended = j.Ended;
