-- Enqueues the jobs of schedules out of turn, as fire.sql does at a tick: none while the job of an earlier run is
-- still to be done, and next_run stays. Answers the job of each schedule.
WITH enqueued AS (
    INSERT INTO pgq_job (
        queue, entrypoint, priority, payload, arguments, headers, dedupe_key, schedule_id
    )
    SELECT queue, entrypoint, priority, payload, arguments, headers, 'pgq-schedule-' || id, id
    FROM pgq_schedule
    WHERE id = ANY (CAST(:ids AS bigint[]))
    ON CONFLICT (dedupe_key) WHERE dedupe_key IS NOT NULL DO NOTHING
    RETURNING id, schedule_id
), ran AS (
    UPDATE pgq_schedule AS schedule
    SET last_run = now(),
        updated = now()
    FROM enqueued
    WHERE schedule.id = enqueued.schedule_id
)
SELECT schedule.id, enqueued.id
FROM pgq_schedule AS schedule
LEFT JOIN enqueued ON enqueued.schedule_id = schedule.id
WHERE schedule.id = ANY (CAST(:ids AS bigint[]));
