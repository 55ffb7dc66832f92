-- All schedules.
SELECT id, entrypoint, expression, timezone, catch_up, queue, priority, paused, next_run, last_run
FROM pgq_schedule
ORDER BY entrypoint, expression;
