-- Gives a worker the next jobs of a queue, each under a new lease: highest priority first, then first come.
-- No job goes to two workers. A worker without a row in pgq_worker (it was declared dead) is given none, and nobody is
-- given any of a paused queue.
-- Looks at the stretches of the index in the order given, each from one priority down to another and past an id,
-- which a worker that has just picked there need not walk again. The answer is in no order.
WITH ready AS (
    SELECT job.id
    FROM unnest(
        CAST(:highest_priorities AS integer[]),
        CAST(:lowest_priorities AS integer[]),
        CAST(:after_ids AS bigint[])
    ) AS stretch (highest_priority, lowest_priority, after_id)
    CROSS JOIN LATERAL (
        SELECT id
        FROM pgq_job
        WHERE status = 'queued'
            AND execute_after <= updated
            AND queue = CAST(:queue AS text)
            AND priority <= stretch.highest_priority
            AND priority >= stretch.lowest_priority
            AND id > stretch.after_id
            AND entrypoint = ANY (CAST(:entrypoints AS text[]))
            AND (SELECT true FROM pgq_worker WHERE id = CAST(:worker_id AS uuid))
            AND NOT EXISTS (
                SELECT FROM pgq_queue
                WHERE name = CAST(:queue AS text)
                    AND paused
                    AND (resume_at IS NULL OR resume_at > now())
            )
        ORDER BY priority DESC, id
        LIMIT CAST(:batch_size AS integer)
        FOR UPDATE SKIP LOCKED
    ) AS job
    -- What ends the walk: later stretches are not even begun, and no row is locked that is not picked.
    LIMIT CAST(:batch_size AS integer)
)
UPDATE pgq_job AS job
SET status = 'picked',
    lease = job.lease + 1,
    worker_id = CAST(:worker_id AS uuid),
    updated = now()
-- Not joined: the planner knows nothing of how few rows are ready, and would read the whole primary key to join them.
WHERE job.id = ANY (ARRAY (SELECT id FROM ready))
RETURNING
    job.id,
    job.lease,
    job.created,
    job.updated,
    job.execute_after,
    job.priority,
    job.attempts,
    job.status,
    job.queue,
    job.entrypoint,
    job.payload,
    CAST(job.arguments AS text),
    CAST(job.headers AS text),
    job.dedupe_key,
    job.max_attempts,
    job.worker_id,
    job.schedule_id,
    job.cancel_requested IS NOT NULL,
    job.workflow_id,
    job.concurrency_key;
