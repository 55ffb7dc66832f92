-- Takes the jobs of dead workers back: queued again, or ended as 'exception' after too many attempts.
-- A worker is dead when its heartbeat is older than its own lease_seconds, or its row is gone.
-- The leases seen first are matched again by each write, so that a job which another rescuer gave to a living
-- worker in the meantime is left alone.
WITH dead AS MATERIALIZED (
    SELECT id
    FROM pgq_worker
    WHERE heartbeat < now() - make_interval(secs => lease_seconds)
    FOR UPDATE SKIP LOCKED
), orphan AS MATERIALIZED (
    SELECT id, lease, worker_id AS dead_worker_id, attempts + 1 >= COALESCE(max_attempts, CAST(:crash_limit AS integer)) AS is_last
    FROM pgq_job AS job
    WHERE status = 'picked'
        AND (
            worker_id IN (SELECT id FROM dead)
            OR NOT EXISTS (SELECT FROM pgq_worker AS worker WHERE worker.id = job.worker_id)
        )
    LIMIT CAST(:batch_size AS integer)
    -- a job that is locked is being ended at this moment, by a transaction that may go on: it must not hold up the others
    FOR UPDATE OF job SKIP LOCKED
), queued AS (
    UPDATE pgq_job AS job
    SET status = 'queued',
        lease = job.lease + 1,
        attempts = job.attempts + 1,
        worker_id = NULL,
        updated = now()
    FROM orphan
    -- ARRAY: the planner may take most jobs for picked, and would read them all to join them
    WHERE job.id = ANY (ARRAY (SELECT id FROM orphan WHERE NOT is_last))
        AND job.id = orphan.id
        AND job.lease = orphan.lease
        AND job.status = 'picked'
    RETURNING job.*, dead_worker_id, true AS retried
), ended AS (
    DELETE FROM pgq_job AS job
    USING orphan
    WHERE job.id = ANY (ARRAY (SELECT id FROM orphan WHERE is_last))
        AND job.id = orphan.id
        AND job.lease = orphan.lease
        AND job.status = 'picked'
    RETURNING job.*, dead_worker_id, false AS retried
), rescued AS (
    SELECT *, attempts AS attempt FROM queued
    UNION ALL
    SELECT *, attempts + 1 FROM ended
), logged AS (
    INSERT INTO pgq_log (
        job_id, enqueued, execute_after, priority, attempt, retried, status, queue, entrypoint, worker_id, error,
        payload, arguments, headers, dedupe_key, max_attempts, schedule_id, workflow_id, concurrency_key, name
    )
    SELECT
        id, created, execute_after, priority, attempt, retried, 'exception', queue, entrypoint, dead_worker_id,
        'WorkerDied: the worker that ran this attempt stopped sending heartbeats',
        CASE WHEN NOT retried THEN payload END,
        CASE WHEN NOT retried THEN arguments END,
        CASE WHEN NOT retried THEN headers END,
        dedupe_key, max_attempts, schedule_id, workflow_id, concurrency_key, name
    FROM rescued
), buried AS (
    DELETE FROM pgq_worker
    WHERE id IN (SELECT id FROM dead)
        AND (SELECT count(*) FROM orphan) < CAST(:batch_size AS integer)
    RETURNING id
)
SELECT id, retried, pg_notify('pgq', '')
FROM rescued
UNION ALL
-- no job: the retries that the dead one was waiting for, somebody else must know when they are due
SELECT NULL, NULL, pg_notify('pgq', '')
FROM buried;
