-- The status of each of these jobs: of what is still to be done, or of its last attempt. Unknown ones are missing.
-- One snapshot for both tables: a job that ends at this moment is found once.
SELECT id, status
FROM unnest(CAST(:ids AS bigint[])) AS wanted (id)
CROSS JOIN LATERAL (
    SELECT status
    FROM pgq_job
    WHERE pgq_job.id = wanted.id
    UNION ALL
    SELECT status
    FROM pgq_log
    WHERE job_id = wanted.id
        AND NOT retried
    -- One by one, by index: without statistics the planner would rather read the whole log.
    LIMIT 1
) AS found;
