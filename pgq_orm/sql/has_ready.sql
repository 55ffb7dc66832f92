-- Whether a queue has ready jobs of these entrypoints. One step down an index for each of them, however many jobs of
-- others wait there.
SELECT EXISTS (
    SELECT
    FROM unnest(CAST(:entrypoints AS text[])) AS wanted (entrypoint)
    CROSS JOIN LATERAL (
        SELECT
        FROM pgq_job AS job
        WHERE job.status = 'queued'
            AND job.execute_after <= job.updated
            AND job.queue = CAST(:queue AS text)
            AND job.entrypoint = wanted.entrypoint
        ORDER BY job.priority DESC, job.id
        LIMIT 1
    ) AS ready
);
