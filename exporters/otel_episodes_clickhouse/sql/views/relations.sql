-- How episodes hang together.

-- name: relations
CREATE OR REPLACE VIEW relations
(
    EpisodeId String COMMENT 'the later one, or the part',
    Kind LowCardinality(String) COMMENT 'follows, retries or part_of',
    OtherId String COMMENT 'the earlier one, or the whole',
    Time DateTime64(9, 'UTC') COMMENT 'when it was said; of what was recorded with the episode, when that began',
    Note String COMMENT 'why',
    Tenant LowCardinality(String) COMMENT 'tenant.id of the resource; empty: none'
)
AS SELECT EpisodeId, Kind, Value AS OtherId, Time, Note, Tenant
FROM internal_marks FINAL
WHERE Kind IN ('follows', 'retries', 'part_of')
UNION ALL
SELECT DISTINCT EpisodeId, 'part_of' AS Kind, ParentEpisodeId AS OtherId, StartTime AS Time, '' AS Note, Tenant
FROM internal_roots FINAL
WHERE ParentEpisodeId != ''
UNION ALL
SELECT DISTINCT EpisodeId, substring(relation.1, 9) AS Kind, relation.2 AS OtherId, StartTime AS Time, '' AS Note, Tenant
FROM internal_roots FINAL
ARRAY JOIN arrayFilter(pair -> pair.1 IN ('episode.follows', 'episode.retries', 'episode.part_of') AND pair.2 != '',
    CAST(Attributes, 'Array(Tuple(String, String))')) AS relation;
