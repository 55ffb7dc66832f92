-- Gives picked jobs back, as if they had never been picked: no attempt is counted, none is logged.
WITH released AS (
    UPDATE pgq_job AS job
    SET status = 'queued',
        lease = job.lease + 1,
        worker_id = NULL,
        updated = now()
    FROM unnest(
        CAST(:ids AS bigint[]),
        CAST(:leases AS bigint[])
    ) AS held (id, lease)
    WHERE job.id = held.id
        AND job.lease = held.lease
        AND job.status = 'picked'
    RETURNING job.id
)
SELECT id, pg_notify('pgq', '')
FROM released;
