-- What the commands show of what was learned.

-- name: patterns_list
SELECT * FROM patterns
WHERE ({type:String} = '' OR Type = {type:String}) AND ({domain:String} = '' OR Domain = {domain:String})
    AND ({verdict:String} = '' OR Verdict = {verdict:String}) AND Support >= {support:UInt64} AND QValue <= {q:Float64}
ORDER BY indexOf(['sure', 'promising', 'open', 'untested'], State), QValue, PValue, Support DESC, PatternId
LIMIT {limit:UInt32};

-- name: pattern_one
SELECT * FROM patterns WHERE startsWith(PatternId, {id:String}) ORDER BY PatternId LIMIT 2;

-- name: pattern_episodes
SELECT o.EpisodeId AS EpisodeId, o.TraceId AS TraceId, f.Task AS Task, f.Outcome AS Outcome, o.RewardMicros / 1e6 AS Reward,
    o.StartTime AS StartTime
FROM
(
    SELECT EpisodeId, TraceId, RewardMicros, StartTime FROM internal_pattern_observations FINAL
    WHERE has(PatternIds, reinterpretAsUInt64(reverse(unhex({id:String}))))
    ORDER BY StartTime DESC
    LIMIT {limit:UInt32}
) AS o
INNER JOIN (SELECT EpisodeId, Task, Outcome FROM internal_facts FINAL) AS f ON f.EpisodeId = o.EpisodeId
ORDER BY o.StartTime DESC;

-- name: rewards_by_domain
SELECT * FROM internal_domain_rewards
WHERE Formula = {formula:String} AND ({domain:String} = '' OR Domain = {domain:String})
ORDER BY Episodes DESC, Domain;

-- name: rewards_by_day
SELECT toString(toDate(StartTime)) AS Day, count() AS Episodes, avg(Reward) AS Mean, countIf(Success) / count() AS SuccessRate
FROM rewards
WHERE Formula = {formula:String} AND ({domain:String} = '' OR Domain = {domain:String})
GROUP BY Day
ORDER BY Day DESC
LIMIT {limit:UInt32};

-- name: rewards_histogram
SELECT least(3., greatest(-3., floor(Reward * 5) / 5)) AS Bin, count() AS Episodes
FROM rewards
WHERE Formula = {formula:String} AND ({domain:String} = '' OR Domain = {domain:String})
GROUP BY Bin
ORDER BY Bin;

-- name: episode_like
SELECT EpisodeId FROM internal_facts FINAL WHERE startsWith(EpisodeId, {id:String}) ORDER BY EpisodeId LIMIT 2;
