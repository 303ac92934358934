-- name: conventions_begin
TRUNCATE TABLE internal_conventions_shipped;
