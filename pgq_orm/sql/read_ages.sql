-- How long the jobs have been waiting that could run now. Reads all jobs that are still to be done.
SELECT
    queue,
    entrypoint,
    count(*),
    min(created),
    CAST(EXTRACT(epoch FROM max(statement_timestamp() - execute_after)) AS double precision),
    CAST(EXTRACT(epoch FROM avg(statement_timestamp() - execute_after)) AS double precision)
FROM pgq_job
WHERE status = 'queued'
    AND execute_after <= statement_timestamp()
GROUP BY queue, entrypoint
ORDER BY queue, entrypoint;
