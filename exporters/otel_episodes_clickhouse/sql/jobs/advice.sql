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

-- name: calls_that_fail
-- How often calls of a domain fail, by tool and template, beside how often all of them do.
WITH calls AS (SELECT * FROM internal_mishaps_of_domain(domain = {domain:String}, tenant = {tenant:String}) WHERE Kind = 'call')
SELECT
    toString(Tool) AS Tool, Template, Runs, Bad, Evidence,
    assumeNotNull((SELECT sum(Bad) / greatest(1, sum(Runs)) FROM calls WHERE Template = '')) AS Usual
FROM calls
WHERE Bad > 0 AND (empty({tools:Array(String)}) OR has({tools:Array(String)}, toString(Tool)))
ORDER BY Bad / Runs DESC, Runs DESC, Tool, Template
LIMIT 1000;

-- name: recoveries
-- What put failures right, the most frequent first, beside in how many runs they happened at all. Where only another tool worked after
-- it, nobody knows whether that helped.
WITH found AS (SELECT * FROM internal_mishaps_of_domain(domain = {domain:String}, tenant = {tenant:String}) WHERE Kind != 'call')
SELECT toString(r.Tool) AS Tool, r.Error AS Error, r.Then AS Then, r.Runs AS Runs, f.Runs AS Failed, r.Evidence AS Evidence
FROM (SELECT * FROM found WHERE Kind = 'recovery') AS r
INNER JOIN (SELECT Tool, Error, Runs FROM found WHERE Kind = 'failure') AS f ON f.Tool = r.Tool AND f.Error = r.Error
WHERE r.Error = {error:String} AND r.Then[-1] = r.Tool AND ({tool:String} = '' OR r.Tool = {tool:String})
ORDER BY Runs DESC, Tool, Then
LIMIT 100;

-- name: recoveries_of_domain
-- The same of whatever failure.
WITH found AS (SELECT * FROM internal_mishaps_of_domain(domain = {domain:String}, tenant = {tenant:String}) WHERE Kind != 'call')
SELECT toString(r.Tool) AS Tool, r.Error AS Error, r.Then AS Then, r.Runs AS Runs, f.Runs AS Failed, r.Evidence AS Evidence
FROM (SELECT * FROM found WHERE Kind = 'recovery') AS r
INNER JOIN (SELECT Tool, Error, Runs FROM found WHERE Kind = 'failure') AS f ON f.Tool = r.Tool AND f.Error = r.Error
ORDER BY Runs DESC, Tool, Error, Then
LIMIT 1000;

-- name: steps_so_far
-- Of an episode as it is now: what its calls were made with, what came of them, and, of those that failed, why.
SELECT
    toString(Tool) AS Tool, Arguments, Observation, Success,
    multiIf(Success, '', ErrorMessage != '', ErrorMessage, ErrorType != '', toString(ErrorType), 'failed') AS Error
FROM internal_placed_steps
WHERE EpisodeId = {episode:String}
ORDER BY Position
LIMIT 2000;

-- name: items_blocked
SELECT Item, State FROM internal_items_said WHERE Tenant = {tenant:String} AND State != 'active' ORDER BY Item;

-- name: item_state_write
INSERT INTO internal_item_states (Item, State, Reason, By, Tenant)
VALUES ({item:String}, {state:String}, {reason:String}, {by:String}, {tenant:String});

-- name: advice_like
SELECT * FROM advice WHERE startsWith(AdviceId, {id:String}) ORDER BY AdviceId, Time LIMIT 2;

-- name: feedback_of
SELECT Time, Verdict, Item, Note, By FROM internal_advice FINAL
WHERE Kind = 'feedback' AND AdviceId = {id:String}
ORDER BY Time;

-- name: items_like
-- Items that were ever told, with what was said of them.
SELECT given.Item AS Item, given.Tenant AS Tenant, given.Advised AS Advised, if(said.State = '', 'active', said.State) AS State
FROM
(
    SELECT Item, Tenant, count() AS Advised FROM internal_advice FINAL ARRAY JOIN Items AS Item
    WHERE Kind = 'advice' AND startsWith(Item, {id:String})
    GROUP BY Item, Tenant
) AS given
LEFT JOIN (SELECT Item, Tenant, State FROM internal_items_said) AS said ON said.Item = given.Item AND said.Tenant = given.Tenant
ORDER BY Item, Tenant
LIMIT 2;

-- name: advice_effects
-- Without a domain all of them together, and each of them where there are several.
SELECT * FROM advice_effects
WHERE if({domain:String} = '',
         Domain = '' OR Item != '' OR (SELECT uniqExact(Domain) FROM internal_advised_runs WHERE Domain != '') > 1,
         Domain = {domain:String})
    AND (Item = '' OR {items:Bool})
ORDER BY Place, Domain, Item;
