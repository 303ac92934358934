-- Sums of what episodes show: per pattern and week, per pattern, and what followed what. Whole weeks are added up, beside what is
-- kept of them; what differs is written.

-- name: internal_buckets_changed
-- Zeros for what is not shown any more. Plain sums only, which are compiled into one: what a condition decides is decided once an
-- episode, not once a pattern of it.
CREATE OR REPLACE VIEW internal_buckets_changed
AS WITH
    shown AS
    (
        SELECT
            PatternIds, Week, toUInt64(1) AS Shown, toUInt64(Success) AS Won, RewardMicros, DurationNs, Tokens,
            toUInt64(Weight) AS Weight, Won * Weight AS WonWeight, toDateTime(StartTime, 'UTC') AS First, First AS Last,
            cityHash64(EpisodeId, TraceId, StartTime) AS Mark
        FROM internal_pattern_observations FINAL
        WHERE Week IN {weeks:Array(Date)}
    ),
    shown_and_kept AS
    (
        SELECT PatternId, Week, Shown, Won, RewardMicros, DurationNs, Tokens, Weight, WonWeight, First, Last, Mark, toUInt64(0) AS Kept
        FROM shown
        ARRAY JOIN PatternIds AS PatternId
        UNION ALL
        SELECT PatternId, Week, 0, 0, 0, 0, 0, 0, 0, toDateTime(4294967295, 'UTC'), toDateTime(0, 'UTC'), 0,
            cityHash64(Support, Successes, RewardMicros, DurationNs, Tokens, Weight, SuccessWeight, FirstSeen, LastSeen, Episodes)
        FROM internal_pattern_buckets FINAL
        WHERE Week IN {weeks:Array(Date)} AND Support > 0
    )
SELECT
    b.PatternId AS PatternId, b.Week AS Week,
    sum(b.Shown) AS Support, sum(b.Won) AS Successes, sum(b.RewardMicros) AS RewardMicros,
    sum(b.DurationNs) AS DurationNs, sum(b.Tokens) AS Tokens, sum(b.Weight) AS Weight, sum(b.WonWeight) AS SuccessWeight,
    min(b.First) AS FirstSeen, max(b.Last) AS LastSeen, sum(b.Mark) AS Episodes
FROM shown_and_kept AS b
GROUP BY b.Week, b.PatternId
HAVING if(Support = 0, 0, cityHash64(Support, Successes, RewardMicros, DurationNs, Tokens, Weight, SuccessWeight,
                                     FirstSeen, LastSeen, Episodes)) != max(b.Kept)
SETTINGS do_not_merge_across_partitions_select_final = 1;

-- name: internal_latest_totals
-- The sums that are kept of the patterns whose buckets were written since then. Without FINAL, which would put all that is read in
-- order to find a few of it.
CREATE OR REPLACE VIEW internal_latest_totals
AS WITH
    written AS (SELECT PatternId FROM internal_pattern_buckets WHERE WrittenAt >= {since:DateTime64(6, 'UTC')})
SELECT
    PatternId, Support, Successes, RewardMicros, DurationNs, Tokens, RecentSupport, RecentSuccesses, FirstSeen, LastWeek,
    Latest.Support AS LatestSupport, Latest.Successes AS LatestSuccesses, Latest.RewardMicros AS LatestRewardMicros,
    Latest.DurationNs AS LatestDurationNs, Latest.Tokens AS LatestTokens, Latest.Weight AS LatestWeight,
    Latest.SuccessWeight AS LatestSuccessWeight
FROM internal_pattern_totals
WHERE (PatternId, Version) IN
(
    SELECT PatternId, max(Version) FROM internal_pattern_totals WHERE PatternId IN written GROUP BY PatternId
);

-- name: internal_totals_added
-- Of the patterns whose buckets were written since then: what is kept, less what it holds of its latest week where that was written
-- again, and what was written. This is all there is to know of a pattern that every written week shows, and of which none comes
-- before the latest that is kept; internal_totals_changed has the others.
CREATE OR REPLACE VIEW internal_totals_added
AS WITH
    written AS (SELECT PatternId, Week FROM internal_pattern_buckets WHERE WrittenAt >= {since:DateTime64(6, 'UTC')}),
    week -> exp2((toInt32(week) - 18262) / 30) / 1048576 AS recency,
    b.Week = k.LastWeek AS Again
SELECT
    b.PatternId AS PatternId,
    any(k.Support) + sum(b.Support - Again * k.LatestSupport) AS Support,
    any(k.Successes) + sum(b.Successes - Again * k.LatestSuccesses) AS Successes,
    any(k.RewardMicros) + sum(b.RewardMicros - Again * k.LatestRewardMicros) AS RewardMicros,
    any(k.DurationNs) + sum(b.DurationNs - Again * k.LatestDurationNs) AS DurationNs,
    any(k.Tokens) + sum(b.Tokens - Again * k.LatestTokens) AS Tokens,
    any(k.RecentSupport) + sum((b.Weight - Again * k.LatestWeight) * recency(b.Week)) AS RecentSupport,
    any(k.RecentSuccesses) + sum((b.SuccessWeight - Again * k.LatestSuccessWeight) * recency(b.Week)) AS RecentSuccesses,
    if(any(k.Support) > max(Again * k.LatestSupport), least(any(k.FirstSeen), min(b.FirstSeen)), min(b.FirstSeen)) AS FirstSeen,
    max(b.LastSeen) AS LastSeen,
    max(b.Week) AS LastWeek,
    (argMax(b.Support, b.Week), argMax(b.Successes, b.Week), argMax(b.RewardMicros, b.Week), argMax(b.DurationNs, b.Week),
     argMax(b.Tokens, b.Week), argMax(b.Weight, b.Week), argMax(b.SuccessWeight, b.Week)) AS Latest
FROM (SELECT * FROM internal_pattern_buckets FINAL WHERE (PatternId, Week) IN written) AS b
LEFT ANY JOIN internal_latest_totals(since = {since:DateTime64(6, 'UTC')}) AS k ON k.PatternId = b.PatternId
GROUP BY b.PatternId
HAVING min(b.Week) >= any(k.LastWeek) AND min(b.Support) > 0
SETTINGS do_not_merge_across_partitions_select_final = 1;

-- name: internal_totals_changed
-- From all weeks: of all patterns, or of those that were written since then and have no sums of this snapshot.
CREATE OR REPLACE VIEW internal_totals_changed
AS WITH
    left_over AS
    (
        SELECT PatternId FROM internal_pattern_buckets
        WHERE WrittenAt >= {since:DateTime64(6, 'UTC')}
            AND PatternId NOT IN (SELECT PatternId FROM internal_pattern_totals WHERE Version = {snapshot:DateTime64(6, 'UTC')})
    ),
    week -> exp2((toInt32(week) - 18262) / 30) / 1048576 AS recency
SELECT
    b.PatternId AS PatternId, sum(b.Support) AS Support, sum(b.Successes) AS Successes, sum(b.RewardMicros) AS RewardMicros,
    sum(b.DurationNs) AS DurationNs, sum(b.Tokens) AS Tokens,
    sum(b.Weight * recency(b.Week)) AS RecentSupport, sum(b.SuccessWeight * recency(b.Week)) AS RecentSuccesses,
    minIf(b.FirstSeen, b.Support > 0) AS FirstSeen, maxIf(b.LastSeen, b.Support > 0) AS LastSeen,
    maxIf(b.Week, b.Support > 0) AS LastWeek,
    (argMaxIf(b.Support, b.Week, b.Support > 0), argMaxIf(b.Successes, b.Week, b.Support > 0),
     argMaxIf(b.RewardMicros, b.Week, b.Support > 0), argMaxIf(b.DurationNs, b.Week, b.Support > 0),
     argMaxIf(b.Tokens, b.Week, b.Support > 0), argMaxIf(b.Weight, b.Week, b.Support > 0),
     argMaxIf(b.SuccessWeight, b.Week, b.Support > 0)) AS Latest
FROM internal_pattern_buckets AS b FINAL
WHERE {full:Bool} OR b.PatternId IN left_over
GROUP BY b.PatternId
-- A pattern's row of a week is always in the same partition.
SETTINGS do_not_merge_across_partitions_select_final = 1;

-- name: internal_evidence_changed
-- Of the patterns that were added up since then, the episodes of their latest week. By number, the latest episode being 1:
-- sorting trace ids takes eight times as long.
CREATE OR REPLACE VIEW internal_evidence_changed
AS WITH
    observed AS (SELECT * FROM internal_pattern_observations FINAL WHERE Week IN {weeks:Array(Date)}),
    (SELECT groupArray(TraceId) FROM (SELECT TraceId FROM observed ORDER BY StartTime DESC, EpisodeId)) AS traces,
    latest AS
    (
        SELECT PatternId, LastWeek
        FROM internal_pattern_totals
        WHERE Version >= {since:DateTime64(6, 'UTC')} AND Support >= 2 AND LastWeek IN {weeks:Array(Date)}
    ),
    -- The numbers are joined: what follows a window has one thread.
    numbered AS (SELECT Week, EpisodeId, row_number() OVER (ORDER BY StartTime DESC, EpisodeId) AS Place FROM observed)
SELECT PatternId, arrayMap(place -> traces[place], groupArraySorted(5)(Place)) AS Traces
FROM
(
    SELECT o.Week AS Week, o.PatternIds AS PatternIds, n.Place AS Place
    FROM observed AS o
    INNER JOIN numbered AS n ON n.EpisodeId = o.EpisodeId AND n.Week = o.Week
)
ARRAY JOIN PatternIds AS PatternId
WHERE (PatternId, Week) IN latest
GROUP BY PatternId;

-- name: internal_unnamed_patterns
-- The patterns that were added up since then and whose id has no meaning yet, each with an episode that shows it.
CREATE OR REPLACE VIEW internal_unnamed_patterns
AS WITH
    added AS (SELECT PatternId, Traces FROM internal_pattern_evidence WHERE Version >= {since:DateTime64(6, 'UTC')})
SELECT PatternId, Traces[1] AS Example
FROM added
WHERE PatternId NOT IN (SELECT PatternId FROM internal_pattern_keys WHERE PatternId IN (SELECT PatternId FROM added));

-- name: internal_keys_changed
-- What the new ids mean, read off one episode for each; of what only one episode shows nothing is said, so it has no key.
CREATE OR REPLACE VIEW internal_keys_changed
AS WITH
    unnamed AS (SELECT PatternId, Example FROM internal_unnamed_patterns(since = {since:DateTime64(6, 'UTC')})),
    latest_weeks AS
    (
        SELECT LastWeek FROM internal_pattern_totals WHERE Version >= {since:DateTime64(6, 'UTC')} AND Support >= 2
    ),
    examples AS
    (
        SELECT EpisodeId FROM internal_pattern_observations
        WHERE Week IN latest_weeks AND TraceId IN (SELECT Example FROM unnamed)
    ),
    texts AS (SELECT PatternId, Type, Domain, Key FROM internal_pattern_texts WHERE EpisodeId IN examples)
-- Joined, not looked for: a condition would be moved into the view, and be planned at each of its steps.
SELECT t.PatternId AS PatternId, any(t.Type) AS Type, any(t.Domain) AS Domain, any(t.Key) AS Key
FROM texts AS t
INNER JOIN unnamed AS u ON u.PatternId = t.PatternId
GROUP BY t.PatternId;
