-- What came of the jobs that a job depends on; one that has been removed is left out.
SELECT parent.*
FROM (
    SELECT depends_on
    FROM pgq_dependency
    WHERE job_id = CAST(:id AS bigint)
    -- sorted afterwards: the planner may take another index, which is in that order, for as good
    OFFSET 0
) AS edge
CROSS JOIN LATERAL (
    SELECT id, name, entrypoint, status, CAST(NULL AS text) AS result, CAST(NULL AS text) AS error
    FROM pgq_job
    WHERE id = edge.depends_on
    UNION ALL
    SELECT job_id, name, entrypoint, status, CAST(result AS text), error
    FROM pgq_log
    WHERE job_id = edge.depends_on
        AND NOT retried
    -- One by one, by index: without statistics the planner would rather read the whole log.
    LIMIT 1
) AS parent
ORDER BY edge.depends_on;
