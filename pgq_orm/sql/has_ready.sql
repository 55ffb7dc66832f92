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
            -- not equal to it: the planner might as well take the pick's index, which has the same order
            AND job.entrypoint >= wanted.entrypoint
            AND job.entrypoint <= wanted.entrypoint
        ORDER BY job.entrypoint, job.priority DESC, job.id
        LIMIT 1
    ) AS ready
);
