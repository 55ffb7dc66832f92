-- The workers whose heartbeat is not older than their own lease_seconds, and how many jobs each runs.
SELECT
    worker.id,
    worker.hostname,
    worker.pid,
    worker.queues,
    worker.entrypoints,
    worker.created,
    worker.heartbeat,
    count(job.id)
FROM pgq_worker AS worker
LEFT JOIN pgq_job AS job
    ON job.worker_id = worker.id
    AND job.status = 'picked'
WHERE worker.heartbeat >= statement_timestamp() - make_interval(secs => worker.lease_seconds)
GROUP BY worker.id
ORDER BY worker.created, worker.id;
