-- What models cost. The job `prices` writes a row for each model that was called, from a price list or a file of your own; what
-- a call cost is worked out when it is read, so that history follows the prices.

-- name: internal_prices
-- derived: by the jobs.
CREATE TABLE IF NOT EXISTS internal_prices
(
    Provider LowCardinality(String) COMMENT 'as the spans say it',
    Model LowCardinality(String) COMMENT 'likewise',
    Source String COMMENT 'provider and model of the price list, or own; empty: not priced',
    Prices Array(Tuple(
        Since UInt32,
        FromSecond UInt32,
        ToSecond UInt32,
        Input Array(Tuple(Over UInt64, Price Float64)),
        Output Array(Tuple(Over UInt64, Price Float64)),
        CacheRead Array(Tuple(Over UInt64, Price Float64)),
        CacheWrite Array(Tuple(Over UInt64, Price Float64)),
        Reasoning Array(Tuple(Over UInt64, Price Float64)),
        Request Float64)) COMMENT 'the last that applies counts, else the first: Since (Unix time), seconds of the UTC day (0, 0: any); US dollars for a million tokens, for a call with more than so many tokens in; for the request',
    WrittenAt DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'when it was written, by the clock of the server'
)
ENGINE = ReplacingMergeTree(WrittenAt)
ORDER BY (Provider, Model)
COMMENT 'prices of the models that were called';
