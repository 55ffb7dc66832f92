-- Gives picked jobs back, at once or after a delay, as if they had never been picked: no attempt is counted,
-- none is logged.
WITH released AS (
    UPDATE pgq_job AS job
    SET status = 'queued',
        lease = job.lease + 1,
        worker_id = NULL,
        updated = now(),
        execute_after = CASE
            WHEN held.delay_seconds > 0 THEN now() + make_interval(secs => held.delay_seconds)
            ELSE job.execute_after
        END
    FROM unnest(
        CAST(:ids AS bigint[]),
        CAST(:leases AS bigint[]),
        CAST(:delays_seconds AS double precision[])
    ) AS held (id, lease, delay_seconds)
    WHERE job.id = held.id
        AND job.lease = held.lease
        AND job.status = 'picked'
    RETURNING job.id
)
SELECT id, pg_notify('pgq', '')
FROM released;
