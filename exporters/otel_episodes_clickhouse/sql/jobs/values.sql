-- What calls were worth: sums per week, and what is asked of them.

-- name: values_weeks
-- Also weeks that a slower, older run wrote after the last one had finished.
SELECT toString(Week) AS Week, count() AS Episodes
FROM internal_pattern_observations
WHERE Week IN
(
    SELECT Week FROM internal_pattern_observations WHERE {full:Bool} OR WrittenAt >= {since:DateTime64(6, 'UTC')}
    UNION DISTINCT
    SELECT Week FROM internal_values
    WHERE NOT {full:Bool} AND WrittenAt >= {since:DateTime64(6, 'UTC')} AND Version < {since:DateTime64(6, 'UTC')}
)
GROUP BY Week
ORDER BY Week;

-- name: values_write
INSERT INTO internal_values (* EXCEPT (Version, WrittenAt), Version)
SELECT *, {snapshot:DateTime64(6, 'UTC')}
FROM internal_values_changed(weeks = {weeks:Array(Date)})
SETTINGS do_not_merge_across_partitions_select_final = 1, max_insert_threads = 2, optimize_on_insert = 0;

-- name: values_domains
-- The domains of which something changed since the last run, or all.
SELECT DISTINCT Domain, Tenant
FROM internal_values
WHERE {full:Bool} OR WrittenAt >= {since:DateTime64(6, 'UTC')}
ORDER BY Domain, Tenant;

-- name: values_of_domain
-- All that is known of a domain.
SELECT ContextId, CallId, Seen, Counted, Gain, Runs, Won
FROM internal_domain_values(domain = {domain:String}, tenant = {tenant:String})
ORDER BY ContextId, CallId;

-- name: calls_of_domain
-- The tools of a domain, and those of their templates that are used most.
SELECT Tool, Template, Seen
FROM internal_domain_values(domain = {domain:String}, tenant = {tenant:String})
WHERE ContextId = {context:UInt64}
ORDER BY Template != '', Seen DESC, Tool, Template
LIMIT {limit:UInt32};

-- name: values_of_contexts
-- What is known of some contexts of a domain, by tool, and how often each failed.
SELECT ContextId, CallId, toString(Tool) AS Tool, Seen, Counted, Gain, Runs, Won
FROM internal_domain_values(domain = {domain:String}, tenant = {tenant:String})
WHERE ContextId IN {contexts:Array(UInt64)} AND Template IN ('', 'failed ')
ORDER BY ContextId, CallId;

-- name: mishaps_write
INSERT INTO internal_mishaps (* EXCEPT (Version, WrittenAt), Version)
SELECT *, {snapshot:DateTime64(6, 'UTC')}
FROM internal_mishaps_changed(weeks = {weeks:Array(Date)})
SETTINGS optimize_move_to_prewhere_if_final = 1, max_insert_threads = 2, optimize_on_insert = 0;
