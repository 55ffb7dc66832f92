-- The jobs that are still to be done, in the order in which they were enqueued; of one entrypoint, or of all if NULL.
SELECT
    id,
    lease,
    created,
    updated,
    execute_after,
    priority,
    attempts,
    status,
    queue,
    entrypoint,
    payload,
    CAST(arguments AS text),
    CAST(headers AS text),
    dedupe_key,
    max_attempts,
    worker_id,
    schedule_id,
    cancel_requested IS NOT NULL,
    workflow_id,
    concurrency_key
FROM pgq_job
WHERE entrypoint = COALESCE(CAST(:entrypoint AS text), entrypoint)
ORDER BY id
LIMIT CAST(:limit AS integer);
