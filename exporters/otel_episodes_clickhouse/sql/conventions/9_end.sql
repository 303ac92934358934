-- name: conventions_end
-- All at once, so that no insert finds half of them; rows of other origins are left.
ALTER TABLE internal_conventions REPLACE PARTITION 'shipped' FROM internal_conventions_shipped;
