-- What runs were told, and what came of it.

-- name: advice
CREATE OR REPLACE VIEW advice
(
    AdviceId String COMMENT 'its id, as feedback names it',
    EpisodeId String COMMENT 'the episode that was advised; empty: none was named',
    TraceId String COMMENT 'its trace, or one of its own',
    Unit String COMMENT 'what was drawn for: the conversation, else the outermost episode',
    Time DateTime64(9, 'UTC') COMMENT 'when',
    Place LowCardinality(String) COMMENT 'brief, warning or recovery',
    Arm LowCardinality(String) COMMENT 'shown, or held: it was not told, so that the effect can be measured',
    Share Float64 COMMENT 'how likely shown was',
    Items Array(String) COMMENT 'ids of what there was to say',
    Shown Array(String) COMMENT 'of these what was said; of an advice that was held, what would have been',
    Text String COMMENT 'the words, of an advice that was held too',
    Domain LowCardinality(String) COMMENT 'domain of the episode',
    Task String COMMENT 'its task',
    Helped UInt64 COMMENT 'how often somebody said that it helped',
    NoEffect UInt64 COMMENT 'how often, that it had no effect',
    Harmed UInt64 COMMENT 'how often, that it did harm',
    Tenant LowCardinality(String) COMMENT 'tenant.id of the resource; empty: none'
)
AS SELECT
    a.AdviceId AS AdviceId, a.EpisodeId AS EpisodeId, a.TraceId AS TraceId, a.Unit AS Unit, a.Time AS Time, a.Place AS Place,
    a.Arm AS Arm, a.Share AS Share, a.Items AS Items, a.Shown AS Shown, a.Text AS Text, a.Domain AS Domain, a.Task AS Task,
    f.Helped AS Helped, f.NoEffect AS NoEffect, f.Harmed AS Harmed, a.Tenant AS Tenant
FROM (SELECT * FROM internal_advice FINAL WHERE Kind = 'advice') AS a
LEFT JOIN
(
    SELECT
        AdviceId, countIf(Verdict = 'helped') AS Helped, countIf(Verdict = 'no_effect') AS NoEffect, countIf(Verdict = 'harmed') AS Harmed
    FROM internal_advice FINAL
    WHERE Kind = 'feedback'
    GROUP BY AdviceId
) AS f ON f.AdviceId = a.AdviceId;

-- name: internal_items_said
-- What keeps an item from being shown: a person who retired it, or said that it did harm; two others who said so (quarantined). One
-- other makes it doubted: it comes last. Somebody who says that it is active again takes back what was said before.
CREATE OR REPLACE VIEW internal_items_said
AS WITH
    said AS
    (
        SELECT Tenant, Item, By, '' AS Decided, toDateTime64(Time, 6, 'UTC') AS At
        FROM internal_advice FINAL
        WHERE Kind = 'feedback' AND Verdict = 'harmed' AND Item != ''
        UNION ALL
        SELECT Tenant, Item, By, toString(State), Time FROM internal_item_states
    ),
    later AS
    (
        SELECT *, At > maxIf(At, Decided = 'active') OVER (PARTITION BY Tenant, Item) AS Stands
        FROM said
    )
SELECT
    Tenant, Item,
    countIf(Stands AND Decided = 'retired') AS Retired,
    countIf(Stands AND Decided = '' AND startsWith(By, 'person')) AS Persons,
    uniqExactIf(By, Stands AND Decided = '') AS Sources,
    multiIf(Retired > 0, 'retired', Persons > 0 OR Sources > 1, 'quarantined', Sources = 1, 'doubted', 'active') AS State
FROM later
GROUP BY Tenant, Item;
