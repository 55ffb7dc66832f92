-- How many jobs are still to be done. Reads all of them.
SELECT count(*), queue, entrypoint, priority, status
FROM pgq_job
GROUP BY queue, entrypoint, priority, status
ORDER BY queue, entrypoint, priority DESC, status;
