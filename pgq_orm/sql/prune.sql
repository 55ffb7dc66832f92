-- Removes the oldest log rows, a batch at a time, once they are older than the retention. Rows are written in
-- the order of id, so only the first ones are looked at. Answers how many were removed. The edges of a workflow go with
-- the job that waited.
WITH oldest AS (
    SELECT id, created
    FROM pgq_log
    ORDER BY id
    LIMIT CAST(:batch_size AS integer)
), pruned AS (
    DELETE FROM pgq_log
    -- ARRAY: the planner may take the log for empty, and would read it all to join them
    WHERE id = ANY (
        ARRAY (
            SELECT id
            FROM oldest
            WHERE created < now() - make_interval(secs => CAST(:retention_seconds AS double precision))
        )
    )
    RETURNING job_id, workflow_id, retried
), disconnected AS (
    DELETE FROM pgq_dependency
    WHERE job_id = ANY (ARRAY (SELECT job_id FROM pruned WHERE workflow_id IS NOT NULL AND NOT retried))
)
SELECT count(*)
FROM pruned;
