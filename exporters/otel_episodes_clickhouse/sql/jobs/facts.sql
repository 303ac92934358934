-- Keep internal_facts up to date, one row per episode, and internal_sequences, the same with the steps in order.

-- name: facts_write
INSERT INTO internal_facts (* EXCEPT (Version, WrittenAt), Version)
SELECT *, {snapshot:DateTime64(6, 'UTC')}
FROM internal_facts_changed(run = {run:String}, batch = {batch:UInt32}, full = {full:Bool},
    low = {low:String}, high = {high:String}, foreign = {foreign:Bool})
SETTINGS optimize_move_to_prewhere_if_final = 1, max_insert_threads = 2, optimize_on_insert = 0;

-- name: sequences_write
INSERT INTO internal_sequences (* EXCEPT (Version, WrittenAt), Version)
SELECT *, {snapshot:DateTime64(6, 'UTC')}
FROM internal_sequences_changed(run = {run:String}, batch = {batch:UInt32}, full = {full:Bool},
    low = {low:String}, high = {high:String}, foreign = {foreign:Bool})
SETTINGS optimize_move_to_prewhere_if_final = 1, max_insert_threads = 2, optimize_on_insert = 0;
