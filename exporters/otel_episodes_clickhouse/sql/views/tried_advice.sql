-- What advice did: runs that were shown it against runs it was held back from, as they were drawn (intention to treat).

-- name: internal_advised_runs
-- One row per unit and place: how it was drawn the first time, and how the run went. For a brief that is whether the run succeeded, or its
-- score as a share of the way to a success; for a warning and a recovery whether it made no failure twice (the same tool, an error of the same
-- shape). A run that was given up is a failure; one of which nobody said how it ended has no outcome.
CREATE OR REPLACE VIEW internal_advised_runs
AS WITH
    (SELECT External FROM internal_reward_settings) AS external,
    (SELECT SuccessAt FROM internal_reward_settings) AS success_at,
    drawn AS
    (
        SELECT
            Tenant, Place, Unit, min(Time) AS At, argMin(EpisodeId, (Time, SpanId)) AS Advised, argMin(Arm, (Time, SpanId)) = 'shown' AS IsShown,
            argMin(Share, (Time, SpanId)) AS Chance, argMin(Items, (Time, SpanId)) AS Had, argMin(Shown, (Time, SpanId)) AS Told,
            argMin(Domain, (Time, SpanId)) AS SaidDomain, argMin(Task, (Time, SpanId)) AS SaidTask
        FROM (SELECT * FROM internal_advice FINAL WHERE Kind = 'advice')
        WHERE notEmpty(Items) AND EpisodeId != ''
        GROUP BY Tenant, Place, Unit
    ),
    runs AS
    (
        SELECT
            EpisodeId AS Run, Domain AS RunDomain, Task AS RunTask, Outcome, Completed, Failed, Steps, FailedSteps, DurationNs,
            InputTokens + OutputTokens AS Tokens, ifNull(external, false) AND ExternalReward IS NOT NULL AS Scored,
            assumeNotNull(ifNull(ExternalReward, 0.)) AS Score, ifNull(success_at, 1.) AS Goal,
            arrayFilter((pair, ok) -> NOT ok, arrayZip(StepTools, StepErrors), StepOk) AS Failures
        FROM internal_sequences FINAL
    )
SELECT
    d.Tenant AS Tenant, d.Place AS Place, d.Unit AS Unit, d.At AS At, d.Advised AS EpisodeId, d.IsShown AS IsShown, d.Chance AS Share,
    d.Had AS Items, d.Told AS Told, if(r.Run = '', d.SaidDomain, toString(r.RunDomain)) AS Domain,
    if(r.Run = '', d.SaidTask, r.RunTask) AS Task,
    r.Run != '' AND r.Outcome != 'running' AS Ended,
    multiIf(
        Place != 'brief', toFloat64(length(arrayDistinct(r.Failures)) = length(r.Failures)),
        r.Scored, if(r.Score >= r.Goal, 1., if(r.Goal > 0, greatest(0., r.Score / r.Goal), 0.)),
        r.Score > 0 AND r.Score < 1, r.Score,
        r.Outcome = 'success', 1.,
        r.Outcome = 'partial', if(r.Completed + r.Failed > 0, r.Completed / (r.Completed + r.Failed), 0.5),
        0.) AS Y,
    Ended AND (Place != 'brief' OR r.Scored OR r.Outcome NOT IN ('unknown', '')) AS Known,
    -- What can be yes or no only.
    multiIf(Place != 'brief', Y = 1, r.Scored, r.Score >= r.Goal, r.Outcome = 'success') AS Won,
    -- Steps, failed steps, tokens, seconds.
    [toFloat64(r.Steps), toFloat64(r.FailedSteps), toFloat64(r.Tokens), r.DurationNs / 1e9] AS Measures
FROM drawn AS d
LEFT JOIN runs AS r ON r.Run = d.Advised;

-- name: internal_effect_runs
-- The same once for each series that is judged: all of a place, each domain of it, and each item. An item is judged among runs that were
-- shown the rest: it is left out of one in ten. Only those count that began before the first that goes on still.
CREATE OR REPLACE VIEW internal_effect_runs
AS WITH
    series AS
    (
        SELECT
            * EXCEPT Share, One AS Item, if(Whole, '', Domain) AS InDomain,
            if(Item = '', IsShown, has(Told, Item)) AS A, if(Item = '', Share, 0.9) AS P
        FROM internal_advised_runs
        ARRAY JOIN
            arrayConcat([true], if(Domain = '', [], [false]), if(IsShown AND Share < 1, arrayMap(item -> false, Items), [])) AS Whole,
            arrayConcat([''], if(Domain = '', [], ['']), if(IsShown AND Share < 1, Items, [])) AS One
    )
SELECT
    *,
    -- The task where both arms have it, else the domain: with tasks that never recur the task alone would use no run at all.
    if(Task != '' AND max(A) OVER same != min(A) OVER same, Task, '') AS Stratum
FROM
(
    SELECT *, countIf(NOT Ended) OVER (PARTITION BY Tenant, Place, InDomain, Item ORDER BY At, Unit) = 0 AS Counts
    FROM series
    WHERE P > 0 AND P < 1
)
WHERE Counts
WINDOW same AS (PARTITION BY Tenant, Place, InDomain, Item, Domain, Task);

-- name: internal_effect_bets
-- The confidence sequence (hedged betting: Waudby-Smith, I. and Ramdas, A. 2024), run by run in the order of assignment. Z is the surprise
-- at the outcome times that at the arm, W its variance, so that the mean of Z given the past is W times the effect; Lambda is how much is bet.
CREATE OR REPLACE VIEW internal_effect_bets
AS WITH
    ranked AS
    (
        SELECT Tenant, Place, InDomain, Item, 6 * 0.05 / (pi() * pi() * pow(row_number() OVER (PARTITION BY Tenant, Place ORDER BY min(At), Item), 2)) AS Alpha
        FROM internal_effect_runs
        WHERE Item != ''
        GROUP BY Tenant, Place, InDomain, Item
    ),
    guessed AS
    (
        SELECT
            *, P * (1 - P) AS W,
            row_number() OVER run - 1 AS Before,
            (sum(Y) OVER run - Y + 1) / (Before + 2) AS G,
            (sum(Y) OVER task - Y + 2 * G) / (row_number() OVER task - 1 + 2) AS M,
            (Y - M) * (A - P) AS Z
        FROM internal_effect_runs
        WHERE Known
        WINDOW
            run AS (PARTITION BY Tenant, Place, InDomain, Item ORDER BY At, Unit ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW),
            task AS (PARTITION BY Tenant, Place, InDomain, Item, Domain, Task ORDER BY At, Unit ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
    )
SELECT
    g.Tenant AS Tenant, g.Place AS Place, g.InDomain AS InDomain, g.Item AS Item, g.At AS At, g.Unit AS Unit, g.Z AS Z, g.W AS W,
    if(g.Item = '', 0.05, r.Alpha) AS Alpha,
    (sum(g.Z * g.Z) OVER run - g.Z * g.Z + first_value(g.W) OVER run / 4) / (g.Before + 1) AS V,
    least(0.75, sqrt(2 * log(2 / Alpha) / (400 * V))) AS Lambda
FROM guessed AS g
LEFT JOIN ranked AS r ON r.Tenant = g.Tenant AND r.Place = g.Place AND r.InDomain = g.InDomain AND r.Item = g.Item
WINDOW run AS (PARTITION BY Tenant, Place, InDomain, Item ORDER BY At, Unit ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW);

-- name: internal_effect_sequences
-- The effects that the bets have not refuted, on a grid of 0.01.
CREATE OR REPLACE VIEW internal_effect_sequences
AS WITH arrayMap(x -> x / 100, range(-100, 101)) AS effects
SELECT
    Tenant, Place, InDomain, Item, any(Alpha) AS Level,
    sumForEach(arrayMap(effect -> log1p(Lambda * (Z - effect * W)), effects)) AS Above,
    sumForEach(arrayMap(effect -> log1p(-Lambda * (Z - effect * W)), effects)) AS Below,
    arrayFilter((effect, up, down) -> (exp(up) + exp(down)) / 2 < 1 / Level, effects, Above, Below) AS Left,
    if(empty(Left), 0., arrayMin(Left)) AS Low,
    if(empty(Left), 0., arrayMax(Left)) AS High
FROM internal_effect_bets
GROUP BY Tenant, Place, InDomain, Item;

-- name: internal_effect_strata
-- What each stratum adds. Yes or no: Mantel and Haenszel's difference of rates with the variance of Sato, T. (1989).
CREATE OR REPLACE VIEW internal_effect_strata
AS SELECT
    Tenant, Place, InDomain, Item, Domain, Stratum,
    toFloat64(countIf(A)) AS N1, toFloat64(countIf(NOT A)) AS N0, N1 + N0 AS N,
    toFloat64(countIf(A AND Won)) AS X1, toFloat64(countIf(NOT A AND Won)) AS X0,
    (X1 * N0 - X0 * N1) / N AS Differs,
    N1 * N0 / N AS Weight,
    (N1 * N1 * X0 - N0 * N0 * X1 + N1 * N0 * (N0 - N1) / 2) / (N * N) AS SatoP,
    (X1 * (N0 - X0) + X0 * (N1 - X1)) / (2 * N) AS SatoQ
FROM internal_effect_runs
WHERE Known
GROUP BY Tenant, Place, InDomain, Item, Domain, Stratum;

-- name: internal_effect_means
-- The rest, by domain: differences of means, each domain by its share (Neyman, J. 1923), where both arms have two runs or more.
CREATE OR REPLACE VIEW internal_effect_means
AS WITH
    domains AS
    (
        SELECT
            Tenant, Place, InDomain, Item, Domain, countIf(A) AS N1, countIf(NOT A) AS N0, toFloat64(count()) AS N,
            avgForEachIf(Measures, A) AS Mean1,
            avgForEachIf(Measures, NOT A) AS Mean0,
            varSampForEachIf(Measures, A) AS Var1,
            varSampForEachIf(Measures, NOT A) AS Var0,
            arrayMap((shown, held) -> shown - held, Mean1, Mean0) AS Differ,
            arrayMap((shown, held) -> shown / N1 + held / N0, Var1, Var0) AS Variances
        FROM internal_effect_runs
        GROUP BY Tenant, Place, InDomain, Item, Domain
        HAVING N1 > 1 AND N0 > 1
    )
SELECT
    Tenant, Place, InDomain, Item,
    arrayMap(x -> x / sum(N), sumForEach(arrayMap(x -> x * N, Differ))) AS Differences,
    arrayMap(x -> 1.96 * sqrt(x) / sum(N), sumForEach(arrayMap(x -> x * N * N, Variances))) AS Halves
FROM domains
GROUP BY Tenant, Place, InDomain, Item;

-- name: internal_effect_figures
-- One row per series: how many runs of each arm, what of them went well, the two differences and their intervals.
CREATE OR REPLACE VIEW internal_effect_figures
AS WITH
    judged AS
    (
        SELECT
            Tenant, Place, InDomain, Item, avg(P) AS Chance,
            countIf(A AND Known) AS Shown, countIf(NOT A AND Known) AS Held,
            countIf(A AND NOT Known) AS UnknownShown, countIf(NOT A AND NOT Known) AS UnknownHeld,
            countIf(A AND Known AND Won) / greatest(1, Shown) AS ShownRate, countIf(NOT A AND Known AND Won) / greatest(1, Held) AS HeldRate
        FROM internal_effect_runs
        GROUP BY Tenant, Place, InDomain, Item
    ),
    rates AS
    (
        SELECT
            Tenant, Place, InDomain, Item, sum(Differs) / sum(Weight) AS Rate,
            1.96 * sqrt(greatest(0, Rate * sum(SatoP) + sum(SatoQ))) / sum(Weight) AS Half
        FROM internal_effect_strata
        GROUP BY Tenant, Place, InDomain, Item
        HAVING sum(Weight) > 0
    )
SELECT
    Tenant, Place, InDomain, Item, Chance, Shown, Held, UnknownShown, UnknownHeld, ShownRate, HeldRate, Rate, Half,
    Low AS SequenceLow, High AS SequenceHigh, arrayResize(Differences, 4) AS Differ, arrayResize(Halves, 4) AS Half4
FROM judged
LEFT JOIN rates USING (Tenant, Place, InDomain, Item)
LEFT JOIN internal_effect_sequences USING (Tenant, Place, InDomain, Item)
LEFT JOIN internal_effect_means USING (Tenant, Place, InDomain, Item);

-- name: advice_effects
CREATE OR REPLACE VIEW advice_effects
(
    Tenant LowCardinality(String) COMMENT 'tenant.id of the resource; empty: none',
    Place LowCardinality(String) COMMENT 'brief, warning or recovery',
    Domain String COMMENT 'domain of the episodes; empty: all of them',
    Item String COMMENT 'the one item that is judged, among runs that were shown the rest; empty: all of the advice',
    State String COMMENT 'not measured: nothing was held back; not known yet: under 20 runs in an arm; better or worse: SequenceLow is above, SequenceHigh below 0; open',
    Shown UInt64 COMMENT 'runs that were shown it, of which it is known how they went',
    Held UInt64 COMMENT 'runs it was held back from, likewise',
    UnknownShown UInt64 COMMENT 'runs that were shown it and ended, of which nobody said how',
    UnknownHeld UInt64 COMMENT 'runs it was held back from, likewise',
    ShownRate Float64 COMMENT 'share of those shown that went well: succeeded (brief), made no failure twice (warning, recovery)',
    HeldRate Float64 COMMENT 'the same of those held back',
    Difference Float64 COMMENT 'of the two, within tasks that have both, else within domains (Mantel and Haenszel)',
    Low Float64 COMMENT 'interval of Difference at 95 % (Sato), for one look at the end',
    High Float64 COMMENT 'and its upper bound',
    SequenceLow Float64 COMMENT 'effects from here on are not refuted, however often one looks (confidence sequence at 95 %; of an item at its own level)',
    SequenceHigh Float64 COMMENT 'up to here',
    MoreRuns UInt64 COMMENT 'how many runs more until both arms have 20; 0: they have',
    Steps Float64 COMMENT 'mean difference in steps, shown less held',
    StepsHalf Float64 COMMENT 'half of its interval at 95 %; 0: too few runs',
    FailedSteps Float64 COMMENT 'in failed steps',
    FailedStepsHalf Float64 COMMENT 'half of its interval',
    Tokens Float64 COMMENT 'in tokens',
    TokensHalf Float64 COMMENT 'half of its interval',
    Seconds Float64 COMMENT 'in seconds worked',
    SecondsHalf Float64 COMMENT 'half of its interval'
)
AS SELECT
    Tenant, Place, InDomain AS Domain, Item,
    multiIf(least(Shown, Held) < 20, 'not known yet', SequenceLow > 0, 'better', SequenceHigh < 0, 'worse', 'open') AS State,
    Shown, Held, UnknownShown, UnknownHeld, ShownRate, HeldRate, Rate AS Difference, Rate - Half AS Low, Rate + Half AS High,
    SequenceLow, SequenceHigh,
    toUInt64(greatest(0., ceil(greatest((20 - toInt64(Shown)) / Chance, (20 - toInt64(Held)) / (1 - Chance)) - 1e-6))) AS MoreRuns,
    Differ[1] AS Steps, Half4[1] AS StepsHalf, Differ[2] AS FailedSteps, Half4[2] AS FailedStepsHalf,
    Differ[3] AS Tokens, Half4[3] AS TokensHalf, Differ[4] AS Seconds, Half4[4] AS SecondsHalf
FROM internal_effect_figures
UNION ALL
SELECT
    Tenant, Place, '', '', 'not measured', count(), 0, 0, 0, 0., 0., 0., 0., 0., 0., 0., 0, 0., 0., 0., 0., 0., 0., 0., 0.
FROM internal_advised_runs
GROUP BY Tenant, Place
HAVING min(Share) = 1;
