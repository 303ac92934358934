-- Score what changed under one formula.

-- name: scales_write
INSERT INTO internal_domain_scales (* EXCEPT (Version, WrittenAt), Version)
SELECT *, {snapshot:DateTime64(6, 'UTC')}
FROM internal_scales_changed;

-- name: rewards_check
SELECT
    countIf(Scored > 1) AS Repeated,
    anyIf(EpisodeId, Infinite > 0) AS Example,
    countIf(Infinite > 0) AS NotFinite,
    anyIf(EpisodeId, Scored = 0) AS LeftOut,
    anyIf(EpisodeId, NOT Known) AS Unknown
FROM internal_formula_check(run = {run:String}, batch = {batch:UInt32}, full = {full:Bool},
    low = {low:String}, high = {high:String}, formula_view = {formula_view:String});

-- name: rewards_write
INSERT INTO internal_rewards (* EXCEPT (Version, WrittenAt), Version)
SELECT *, {snapshot:DateTime64(6, 'UTC')}
FROM internal_rewards_changed(run = {run:String}, batch = {batch:UInt32}, full = {full:Bool},
    low = {low:String}, high = {high:String}, formula = {formula:String}, formula_view = {formula_view:String})
SETTINGS optimize_move_to_prewhere_if_final = 1, max_insert_threads = 2, optimize_on_insert = 0;

-- name: rewards_forget
INSERT INTO internal_rewards (EpisodeId, Formula, IsDeleted, Version)
SELECT *, {snapshot:DateTime64(6, 'UTC')}
FROM internal_rewards_gone(run = {run:String}, batch = {batch:UInt32}, full = {full:Bool},
    low = {low:String}, high = {high:String}, formula = {formula:String}, formula_view = {formula_view:String})
SETTINGS optimize_move_to_prewhere_if_final = 1;

-- name: formula_parses
-- One statement, and that alone: its places are those of the user's file.
SELECT formatQuery({text:String}) AS Text;

-- name: formula_view
-- A user's formula is kept as a view so that every statement above can read it by name.
CREATE OR REPLACE VIEW {formula_view:Identifier} AS;

-- name: formula_select
-- The user's SELECT stands in place of SELECT 1. What it reads has names of its own, which stay when our relations change
-- theirs.
WITH
    reward_inputs AS (SELECT * FROM internal_reward_inputs),
    reward_facts AS (SELECT * FROM internal_reward_facts)
SELECT * FROM
(
SELECT 1
)
