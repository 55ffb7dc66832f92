-- Fires schedules: each tick enqueues one job, once among all workers, because it compares next_run and sets it
-- in the statement that inserts the job. While the job of an earlier tick is still to be done, no other is added:
-- the tick passes, or waits if the schedule is to catch up with all of them.
WITH due AS (
    SELECT tick.*
    FROM unnest(
        CAST(:ids AS bigint[]),
        CAST(:dues AS timestamptz[]),
        CAST(:next_runs AS timestamptz[]),
        CAST(:are_kept AS boolean[])
    ) AS tick (id, due, next_run, is_kept)
    JOIN pgq_schedule AS schedule ON schedule.id = tick.id
    WHERE schedule.next_run = tick.due
        -- by this clock alone: whatever a worker takes for now, it fires nothing early
        AND schedule.next_run <= clock_timestamp()
        AND NOT schedule.paused
        AND (
            schedule.catch_up <> 'all'
            OR NOT EXISTS (SELECT FROM pgq_job AS job WHERE job.dedupe_key = 'pgq-schedule-' || schedule.id)
        )
    -- One that is held is being fired by another worker, or changed by an application that may take its time to
    -- commit: the other schedules do not wait for that.
    FOR NO KEY UPDATE OF schedule SKIP LOCKED
), fired AS (
    UPDATE pgq_schedule AS schedule
    SET next_run = due.next_run,
        last_run = due.due,
        updated = now()
    FROM due
    WHERE schedule.id = due.id
    RETURNING schedule.*, due.is_kept
), enqueued AS (
    INSERT INTO pgq_job (
        queue, entrypoint, priority, execute_after, payload, arguments, headers, dedupe_key, schedule_id
    )
    SELECT queue, entrypoint, priority, last_run, payload, arguments, headers, 'pgq-schedule-' || id, id
    FROM fired
    WHERE is_kept
    ON CONFLICT (dedupe_key) WHERE dedupe_key IS NOT NULL DO NOTHING
    RETURNING id, schedule_id
)
SELECT fired.id, enqueued.id
FROM fired
LEFT JOIN enqueued ON enqueued.schedule_id = fired.id;
