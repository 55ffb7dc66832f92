-- The status of each of these jobs, with what came of those that have ended. Unknown ones are missing.
-- One snapshot for both tables: a job that ends at this moment is found once.
SELECT id, status, result, error
FROM unnest(CAST(:ids AS bigint[])) AS wanted (id)
CROSS JOIN LATERAL (
    SELECT status, CAST(NULL AS text) AS result, CAST(NULL AS text) AS error
    FROM pgq_job
    WHERE pgq_job.id = wanted.id
    UNION ALL
    SELECT status, CAST(result AS text), error
    FROM pgq_log
    WHERE job_id = wanted.id
        AND NOT retried
    -- One by one, by index: without statistics the planner would rather read the whole log.
    LIMIT 1
) AS found;
