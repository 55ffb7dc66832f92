-- Cancels what no worker has picked, of some entrypoints or of all, and logs it. Answers how many.
-- Locked in one order, as by cancel.sql, so that two of them never wait for each other in a circle.
WITH dependent AS MATERIALIZED (
    SELECT
        ARRAY (
            SELECT id
            FROM pgq_job
            WHERE workflow_id IS NOT NULL
                AND status <> 'picked'
                AND (
                    CAST(:entrypoints AS text[]) IS NULL
                    OR entrypoint = ANY (CAST(:entrypoints AS text[]))
                )
        ) AS ids
), wanted AS (
    SELECT id
    FROM pgq_job
    WHERE status <> 'picked'
        AND (
            CAST(:entrypoints AS text[]) IS NULL
            OR entrypoint = ANY (CAST(:entrypoints AS text[]))
        )
        -- first of all those of workflows, with what their end may touch
        AND (SELECT pgq_hold(ids || pgq_touched(ids)) FROM dependent)
    ORDER BY id
    FOR UPDATE
), ended AS (
    DELETE FROM pgq_job
    -- Not joined: the planner may expect one row on either side, and compare all with all.
    WHERE id = ANY (ARRAY (SELECT id FROM wanted))
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
)
SELECT count(*)
FROM ended;
