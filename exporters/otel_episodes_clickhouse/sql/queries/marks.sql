-- What was said of an episode afterwards.

-- name: checkpoints_of
SELECT Time, Value AS Name, Note
FROM internal_marks FINAL
WHERE EpisodeId = {id:String} AND Tenant = {tenant:String} AND Kind = 'checkpoint'
ORDER BY Time, SpanId;

-- name: relations_of
SELECT EpisodeId, Kind, OtherId, Time, Note
FROM relations
WHERE (EpisodeId = {id:String} OR OtherId = {id:String}) AND Tenant = {tenant:String}
ORDER BY Time, Kind, EpisodeId, OtherId;
