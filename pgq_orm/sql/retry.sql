-- Ends attempts that are to be made again: a job whose lease still stands is queued with a delay, and the
-- failed attempt is logged. Answers the ids that were queued again.
WITH retried AS (
    UPDATE pgq_job AS job
    SET status = 'queued',
        lease = job.lease + 1,
        attempts = job.attempts + 1,
        worker_id = NULL,
        updated = now(),
        execute_after = now() + make_interval(secs => outcome.delay_seconds)
    FROM unnest(
        CAST(:ids AS bigint[]),
        CAST(:leases AS bigint[]),
        CAST(:delays_seconds AS double precision[]),
        CAST(:durations_seconds AS double precision[]),
        CAST(:errors AS text[]),
        CAST(:tracebacks AS text[])
    ) AS outcome (id, lease, delay_seconds, duration_seconds, error, traceback)
    WHERE job.id = outcome.id
        AND job.lease = outcome.lease
        AND job.status = 'picked'
    RETURNING
        job.*,
        make_interval(secs => outcome.duration_seconds) AS duration,
        outcome.error,
        outcome.traceback
), logged AS (
    INSERT INTO pgq_log (
        job_id, enqueued, execute_after, started, priority, attempt, retried, status, queue, entrypoint,
        worker_id, duration, error, traceback, dedupe_key, max_attempts, schedule_id, workflow_id, concurrency_key, name
    )
    SELECT
        id, created, execute_after, now() - duration, priority, attempts, true, 'exception', queue, entrypoint,
        CAST(:worker_id AS uuid), duration, error, traceback, dedupe_key, max_attempts, schedule_id, workflow_id,
        concurrency_key, name
    FROM retried
)
SELECT id
FROM retried;
