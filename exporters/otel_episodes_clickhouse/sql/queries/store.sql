-- What the store itself asks.

-- name: schema_objects
SELECT name AS Name
FROM system.tables
WHERE database = currentDatabase() AND name IN {names:Array(String)};

-- name: schema_version
SELECT argMax(Value, UpdatedAt) AS Version
FROM internal_settings
WHERE Name = 'schema_version';

-- name: schema_settings_in
SELECT Name, argMax(Value, UpdatedAt) AS Value
FROM {table:Identifier}
WHERE startsWith(Name, 'schema_')
GROUP BY Name;

-- name: schema_settings
-- What the last migration left: schema_version, schema_package, schema_layout and a hash for each statement.
SELECT Name, argMax(Value, UpdatedAt) AS Value
FROM internal_settings
WHERE startsWith(Name, 'schema_')
GROUP BY Name;

-- name: schema_tables
SELECT name AS Name, engine AS Engine, sorting_key AS OrderBy, partition_key AS PartitionBy,
    create_table_query AS Definition, dependencies_table AS Feeds,
    -- Whatever the database is called.
    concat(version(), ' ', hex(sipHash128(replaceAll(create_table_query, concat(currentDatabase(), '.'), '')))) AS AsMade
FROM system.tables
WHERE database = currentDatabase() AND name IN {names:Array(String)};

-- name: schema_columns
SELECT table AS Table, name AS Name, type AS Type
FROM system.columns
WHERE database = currentDatabase() AND table IN {names:Array(String)};

-- name: schema_indexes
SELECT table AS Table, name AS Name
FROM system.data_skipping_indices
WHERE database = currentDatabase() AND table IN {names:Array(String)};

-- name: set_schema
-- In one insert, so that no reader sees half of it.
INSERT INTO internal_settings (Name, Value)
SELECT name, value
FROM (SELECT {names:Array(String)} AS names, {values:Array(String)} AS values)
ARRAY JOIN names AS name, values AS value;

-- name: forget_job_runs
-- A table of theirs was made anew: the next run of the jobs reads everything.
TRUNCATE TABLE IF EXISTS internal_job_runs;

-- name: create_database
CREATE DATABASE IF NOT EXISTS {database:Identifier};

-- name: formatted
-- As the engine reads it: one statement, no comments, no quoted names, strings in one notation.
SELECT formatQuerySingleLine({text:String}) AS Text;

-- name: reads_files
-- Whether this account may, by file() and the like.
CHECK GRANT READ ON FILE;

-- name: reads_addresses
CHECK GRANT READ ON URL;

-- name: account_read_only
SELECT value AS Value FROM system.settings WHERE name = 'readonly';

-- name: known_functions
-- Views with parameters are called as functions are. Some names are known in any case of letters.
SELECT 'function' AS Kind, groupArray(lower(name)) AS Names FROM system.functions
UNION ALL
SELECT 'table function' AS Kind, groupArray(lower(name)) AS Names FROM system.table_functions
UNION ALL
SELECT 'view' AS Kind, groupArray(lower(name)) AS Names
FROM system.tables
WHERE database = currentDatabase() AND engine = 'View';
