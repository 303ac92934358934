-- What the store itself asks.

-- name: schema_objects
SELECT name AS Name
FROM system.tables
WHERE database = currentDatabase() AND name IN {names:Array(String)};

-- name: schema_version
SELECT argMax(Value, UpdatedAt) AS Version
FROM episode_settings
WHERE Name = 'schema_version';

-- name: set_schema_version
INSERT INTO episode_settings (Name, Value) SELECT 'schema_version', {version:String};

-- name: be_read_only
-- On a handle of its own: there is no way back, which is the point.
SET readonly = 1;
