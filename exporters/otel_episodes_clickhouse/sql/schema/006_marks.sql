-- What was said of episodes afterwards: tags, checkpoints, how they hang together. Nothing is ever changed: a tag that is taken
-- away is another row. No job fills this table, and no migration empties it.

-- name: internal_marks
CREATE TABLE IF NOT EXISTS internal_marks
(
    EpisodeId String COMMENT 'the episode',
    TraceId String COMMENT 'trace of its first segment',
    SpanId String COMMENT 'of the span that says it',
    Time DateTime64(9, 'UTC') COMMENT 'when it was said',
    Kind LowCardinality(String) COMMENT 'tag, untag, checkpoint, follows, retries or part_of',
    Value String COMMENT 'the tag, the name of the checkpoint, or the other episode',
    Note String COMMENT 'of a checkpoint: what is to be known; of a relation: why',
    Tenant LowCardinality(String) COMMENT 'tenant.id of the resource; empty: none',
    INDEX by_episode EpisodeId TYPE bloom_filter(0.00001) GRANULARITY 64
)
ENGINE = ReplacingMergeTree
ORDER BY (EpisodeId, Tenant, TraceId, SpanId)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'tags, checkpoints and relations of episodes, as they were said';

-- name: internal_marks_mv
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_marks_mv TO internal_marks
AS SELECT
    SpanAttributes['episode.id'] AS EpisodeId,
    TraceId,
    SpanId,
    Timestamp AS Time,
    SpanAttributes['episode.mark.kind'] AS Kind,
    SpanAttributes['episode.mark.value'] AS Value,
    SpanAttributes['episode.mark.note'] AS Note,
    ResourceAttributes['tenant.id'] AS Tenant
FROM otel_traces
WHERE SpanAttributes['episode.span'] = 'mark'
    AND TraceId NOT IN (SELECT TraceId FROM internal_forgotten)
    AND (EpisodeId, Tenant) NOT IN (SELECT EpisodeId, Tenant FROM internal_forgotten);
