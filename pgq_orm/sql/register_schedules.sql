-- Makes sure that the schedules a worker knows exist. One that exists keeps its clock: a restart neither skips
-- nor repeats a tick. A change of time zone starts the clock anew. One that is as declared is not even locked: somebody's
-- transaction may hold it, and to start a worker changes nothing about it.
INSERT INTO pgq_schedule (entrypoint, expression, timezone, catch_up, queue, next_run)
SELECT entrypoint, expression, timezone, catch_up, queue, next_run
FROM unnest(
    CAST(:entrypoints AS text[]),
    CAST(:expressions AS text[]),
    CAST(:timezones AS text[]),
    CAST(:catch_ups AS text[]),
    CAST(:queues AS text[]),
    CAST(:next_runs AS timestamptz[])
) AS wanted (entrypoint, expression, timezone, catch_up, queue, next_run)
WHERE NOT EXISTS (
    SELECT FROM pgq_schedule AS schedule
    WHERE (schedule.entrypoint, schedule.expression) = (wanted.entrypoint, wanted.expression)
        AND (schedule.timezone, schedule.catch_up, schedule.queue) = (wanted.timezone, wanted.catch_up, wanted.queue)
)
ORDER BY entrypoint, expression
ON CONFLICT ON CONSTRAINT pgq_schedule_key DO UPDATE
SET timezone = EXCLUDED.timezone,
    catch_up = EXCLUDED.catch_up,
    queue = EXCLUDED.queue,
    next_run = CASE
        WHEN pgq_schedule.timezone = EXCLUDED.timezone THEN pgq_schedule.next_run
        ELSE EXCLUDED.next_run
    END,
    updated = now()
WHERE (pgq_schedule.timezone, pgq_schedule.catch_up, pgq_schedule.queue)
    IS DISTINCT FROM (EXCLUDED.timezone, EXCLUDED.catch_up, EXCLUDED.queue);
