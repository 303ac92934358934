-- What models cost: a row for each that was called.

-- name: prices_wanted
SELECT DISTINCT Provider, Model
FROM internal_agent_spans
WHERE Role = 'model' AND Model != ''
ORDER BY Provider, Model;

-- name: prices_write
-- Only those that are new or different: an episode whose price has changed is looked at again.
INSERT INTO internal_prices (Provider, Model, Source, Prices, WrittenAt)
SELECT Provider, Model, Source, Prices, {snapshot:DateTime64(6, 'UTC')}
FROM format(JSONEachRow,
    'Provider String, Model String, Source String, Prices Array(Tuple(Since UInt32, FromSecond UInt32, ToSecond UInt32, Input Array(Tuple(Over UInt64, Price Float64)), Output Array(Tuple(Over UInt64, Price Float64)), CacheRead Array(Tuple(Over UInt64, Price Float64)), CacheWrite Array(Tuple(Over UInt64, Price Float64)), Reasoning Array(Tuple(Over UInt64, Price Float64)), Request Float64))',
    {rows:String})
WHERE cityHash64(Provider, Model, Source, toString(Prices)) NOT IN
    (SELECT cityHash64(toString(Provider), toString(Model), Source, toString(Prices)) FROM internal_prices FINAL);

-- name: prices_written
SELECT count() AS Rows FROM internal_prices WHERE WrittenAt = {snapshot:DateTime64(6, 'UTC')};

-- name: prices_unknown
SELECT Provider, Model FROM internal_prices FINAL WHERE empty(Prices) ORDER BY Provider, Model;

-- name: own_prices
SELECT argMax(Value, UpdatedAt) AS Prices FROM internal_settings WHERE Name = 'own_prices';

-- name: set_own_prices
INSERT INTO internal_settings (Name, Value) SELECT 'own_prices', {prices:String};
