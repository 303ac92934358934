-- What is asked before a run is told something.

-- name: advice_policy
-- The text that was drawn first, and the shares that were set last; no row where nothing was drawn yet.
SELECT argMin(Policy, (Since, Policy)) AS Policy, argMax(HeldPushed, Since) AS HeldPushed, argMax(HeldAsked, Since) AS HeldAsked
FROM internal_advice_policies
HAVING count() > 0;

-- name: advice_policy_write
INSERT INTO internal_advice_policies (Policy, HeldPushed, HeldAsked)
VALUES ({policy:String}, {pushed:Float64}, {asked:Float64});

-- name: advice_unit
-- What an episode's advice is drawn for: the conversation, else the episode that started it, if any.
SELECT
    argMax(TraceId, (Segment = 0, StartTime)) AS TraceId,
    argMax(ConversationId, (ConversationId != '', StartTime)) AS ConversationId,
    argMax(ParentEpisodeId, (ParentEpisodeId != '', StartTime)) AS ParentId
FROM internal_roots_of_episodes
WHERE EpisodeId = {episode:String}
HAVING count() > 0;
