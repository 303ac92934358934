-- What runs were told, or would have been had they not been held back, and what was said of it afterwards. None of this can be
-- learned again: no job fills these tables, and no migration empties them.

-- name: internal_advice
CREATE TABLE IF NOT EXISTS internal_advice
(
    EpisodeId String COMMENT 'the episode that was advised; empty: none was named',
    TraceId String COMMENT 'its trace, or one of its own',
    SpanId String COMMENT 'of the advice, or of what was said of it',
    Time DateTime64(9, 'UTC') COMMENT 'when',
    Kind LowCardinality(String) COMMENT 'advice or feedback',
    AdviceId String COMMENT 'episode.advice.id',
    Unit String COMMENT 'what was drawn for: the conversation, else the outermost episode',
    Place LowCardinality(String) COMMENT 'brief, warning or recovery',
    Arm LowCardinality(String) COMMENT 'shown or held',
    Share Float64 COMMENT 'how likely shown was',
    Policy LowCardinality(String) COMMENT 'beginning of the hash of the text that was drawn by',
    Items Array(String) COMMENT 'ids of what there was to say',
    Shown Array(String) COMMENT 'of these what was said; of an advice that was held, what would have been',
    Text String COMMENT 'the words, of an advice that was held too',
    Domain LowCardinality(String) COMMENT 'episode.domain',
    Task String COMMENT 'episode.task',
    Verdict LowCardinality(String) COMMENT 'of feedback: helped, no_effect or harmed',
    Item String COMMENT 'of feedback: the item it is about; empty: all of the advice',
    Note String COMMENT 'of feedback: why',
    By String COMMENT 'of feedback: who says so; person: and their name, or the agent',
    Tenant LowCardinality(String) COMMENT 'tenant.id of the resource; empty: none',
    INDEX by_episode EpisodeId TYPE bloom_filter(0.00001) GRANULARITY 64
)
ENGINE = ReplacingMergeTree
ORDER BY (EpisodeId, Tenant, TraceId, SpanId)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'advice, and what was said of it';

-- name: internal_advice_mv
CREATE MATERIALIZED VIEW IF NOT EXISTS internal_advice_mv TO internal_advice
AS WITH
    -- rotel writes a list as OTLP-JSON: {"values":[{"stringValue":"a"}]}.
    list -> if(startsWith(list, '{'),
        arrayMap(item -> JSONExtractString(item, 'stringValue'), JSONExtractArrayRaw(list, 'values')),
        JSONExtract(list, 'Array(String)')) AS listed
SELECT
    SpanAttributes['episode.id'] AS EpisodeId,
    TraceId,
    SpanId,
    Timestamp AS Time,
    SpanAttributes['episode.span'] AS Kind,
    SpanAttributes['episode.advice.id'] AS AdviceId,
    SpanAttributes['episode.advice.unit'] AS Unit,
    SpanAttributes['episode.advice.place'] AS Place,
    SpanAttributes['episode.advice.arm'] AS Arm,
    toFloat64OrZero(SpanAttributes['episode.advice.share']) AS Share,
    SpanAttributes['episode.advice.policy'] AS Policy,
    listed(SpanAttributes['episode.advice.items']) AS Items,
    listed(SpanAttributes['episode.advice.shown']) AS Shown,
    SpanAttributes['episode.advice.text'] AS Text,
    SpanAttributes['episode.domain'] AS Domain,
    SpanAttributes['episode.task'] AS Task,
    SpanAttributes['episode.feedback.verdict'] AS Verdict,
    SpanAttributes['episode.feedback.item'] AS Item,
    SpanAttributes['episode.feedback.note'] AS Note,
    SpanAttributes['episode.feedback.by'] AS By,
    ResourceAttributes['tenant.id'] AS Tenant
FROM otel_traces
WHERE SpanAttributes['episode.span'] IN ('advice', 'feedback')
    AND TraceId NOT IN (SELECT TraceId FROM internal_forgotten)
    AND (EpisodeId, Tenant) NOT IN (SELECT EpisodeId, Tenant FROM internal_forgotten);

-- name: internal_advice_policies
CREATE TABLE IF NOT EXISTS internal_advice_policies
(
    Policy String COMMENT 'a random text, by which it is drawn who is shown what; that of the first row counts, for ever',
    HeldPushed Float64 COMMENT 'share of units from which advice is held back that nobody asked for; that of the last row counts',
    HeldAsked Float64 COMMENT 'the same of advice that was asked for',
    Since DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'from when on'
)
ENGINE = MergeTree
ORDER BY Since
COMMENT 'by what and how often advice is held back, so that its effect can be measured';

-- name: internal_item_states
CREATE TABLE IF NOT EXISTS internal_item_states
(
    Item String COMMENT 'id of an item',
    State LowCardinality(String) COMMENT 'retired: it is not shown any more; active: it is shown whatever was said of it before',
    Reason String COMMENT 'why',
    By String COMMENT 'who said so',
    Time DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'when; the latest counts',
    Tenant LowCardinality(String) COMMENT 'tenant.id of the runs the item was learned from; empty: none'
)
ENGINE = MergeTree
ORDER BY (Item, Time)
COMMENT 'what people decided about items';
