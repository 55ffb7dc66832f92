-- Gives a worker the next jobs of entrypoints that have limits, each under a new lease, and never more than the limits
-- allow among all workers; pgq_permit says which. Answers a row for each job, in no order, and for each entrypoint one
-- without a job that says what holds back the others. A worker without a row in pgq_worker is given none.
WITH permitted AS MATERIALIZED (
    SELECT *
    FROM pgq_permit(
        CAST(:queues AS text[]),
        CAST(:entrypoints AS text[]),
        CAST(:concurrency_limits AS integer[]),
        CAST(:key_limits AS integer[]),
        CAST(:capacities AS double precision[]),
        CAST(:refills AS double precision[]),
        CASE
            WHEN EXISTS (SELECT FROM pgq_worker WHERE id = CAST(:worker_id AS uuid)) THEN CAST(:batch_size AS integer)
            ELSE 0
        END
    )
), picked AS (
    UPDATE pgq_job AS job
    SET status = 'picked',
        lease = job.lease + 1,
        worker_id = CAST(:worker_id AS uuid),
        updated = now()
    WHERE job.id = ANY (ARRAY (SELECT job_id FROM permitted))
        AND job.status = 'queued'
    RETURNING job.*
), taken AS (
    -- By what was picked, not by what was permitted: a job enqueued since this statement began is seen by pgq_permit
    -- alone. Read below, or PostgreSQL would skip it.
    SELECT count(pgq_take('entrypoint ' || used.entrypoint, used.capacity, used.refill, used.amount)) AS buckets
    FROM (
        SELECT rate.entrypoint, rate.capacity, rate.refill, count(*) AS amount
        FROM unnest(
            CAST(:entrypoints AS text[]),
            CAST(:capacities AS double precision[]),
            CAST(:refills AS double precision[])
        ) AS rate (entrypoint, capacity, refill)
        JOIN picked ON picked.entrypoint = rate.entrypoint
        WHERE rate.refill IS NOT NULL
        GROUP BY rate.entrypoint, rate.capacity, rate.refill
    ) AS used
)
SELECT
    permitted.limited,
    permitted.verdict,
    permitted.wait_seconds,
    picked.id,
    picked.lease,
    picked.created,
    picked.updated,
    picked.execute_after,
    picked.priority,
    picked.attempts,
    picked.status,
    picked.queue,
    picked.entrypoint,
    picked.payload,
    CAST(picked.arguments AS text),
    CAST(picked.headers AS text),
    picked.dedupe_key,
    picked.max_attempts,
    picked.worker_id,
    picked.schedule_id,
    picked.cancel_requested IS NOT NULL,
    picked.workflow_id,
    picked.concurrency_key
FROM taken
CROSS JOIN permitted
LEFT JOIN picked ON picked.id = permitted.job_id;
