-- Cancels jobs: one that no worker has picked ends at once and is logged, a running one is asked to stop.
-- Answers the ids that were found, and whether each was running.
WITH bounds AS (
    -- Said besides the ids, here and below: the planner expects few between them, and takes the index for those.
    SELECT min(id) AS first, max(id) AS last
    FROM unnest(CAST(:ids AS bigint[])) AS given (id)
), wanted AS (
    -- The status as it is under the lock: this statement's snapshot may be older, when the job has just been picked.
    SELECT id, status
    FROM pgq_job
    WHERE id = ANY (ARRAY (SELECT unnest(CAST(:ids AS bigint[]))))
        AND id BETWEEN (SELECT first FROM bounds) AND (SELECT last FROM bounds)
        -- first of all, and with those that their end may touch
        AND (SELECT pgq_hold(CAST(:ids AS bigint[]) || pgq_touched(CAST(:ids AS bigint[]))))
    ORDER BY id
    FOR UPDATE
), asked AS (
    UPDATE pgq_job
    SET cancel_requested = now()
    WHERE id = ANY (ARRAY (SELECT id FROM wanted WHERE status = 'picked'))
        AND id BETWEEN (SELECT first FROM bounds) AND (SELECT last FROM bounds)
    RETURNING id
), ended AS (
    DELETE FROM pgq_job
    WHERE id = ANY (ARRAY (SELECT id FROM wanted WHERE status <> 'picked'))
        AND id BETWEEN (SELECT first FROM bounds) AND (SELECT last FROM bounds)
    RETURNING *
), logged AS (
    INSERT INTO pgq_log (
        job_id, enqueued, execute_after, priority, attempt, status, queue, entrypoint,
        payload, arguments, headers, dedupe_key, max_attempts, schedule_id, workflow_id, concurrency_key, name
    )
    SELECT
        id, created, execute_after, priority, attempts + 1, 'canceled', queue, entrypoint,
        payload, arguments, headers, dedupe_key, max_attempts, schedule_id, workflow_id, concurrency_key, name
    FROM ended
), notified AS (
    -- Read below: PostgreSQL skips a SELECT that nobody refers to, and no NOTIFY would be sent.
    SELECT count(pg_notify('pgq', 'cancel')) AS sent
    FROM (SELECT 1 FROM asked LIMIT 1) AS any_asked
    -- as in triggers: the worker hears of it with its next heartbeat
    WHERE current_setting('pgq.wake', true) IS DISTINCT FROM 'off'
)
SELECT id, true AS running
FROM asked, notified
UNION ALL
SELECT id, false
FROM ended;
