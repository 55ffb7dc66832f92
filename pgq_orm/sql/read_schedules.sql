-- The schedules with these names, and the database's clock to hold against them.
SELECT id, entrypoint, expression, timezone, catch_up, next_run, last_run, paused, clock_timestamp() AS clock
FROM pgq_schedule
WHERE entrypoint = ANY (CAST(:entrypoints AS text[]));
