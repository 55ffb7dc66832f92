-- Keeps a worker alive and tells it, per lease it holds, what it must know: 'canceling' (somebody asked the job
-- to stop) or 'lost' (the lease no longer stands). No row 'beaten' means that the worker was declared dead; 'dead',
-- that another one has not beaten for too long, and waits for its rescue; 'pooled', that this session listens, though
-- only another connection has asked for that: a pooler lets them share sessions.
-- A job picked for this worker that it does not name was picked in a reply that never arrived: it is given back,
-- once it is so old that the reply cannot arrive any more.
WITH beaten AS (
    UPDATE pgq_worker
    SET heartbeat = now()
    WHERE id = CAST(:worker_id AS uuid)
    RETURNING id
), held AS (
    SELECT
        held.id,
        held.lease,
        COALESCE(job.lease = held.lease, false) AS stands,
        job.cancel_requested
    FROM unnest(
        CAST(:ids AS bigint[]),
        CAST(:leases AS bigint[])
    ) AS held (id, lease)
    LEFT JOIN LATERAL (
        SELECT lease, cancel_requested
        FROM pgq_job
        WHERE id = held.id
        -- One by one, by index: of a table that was empty when it was analysed the planner would rather read all.
        OFFSET 0
    ) AS job ON true
), unheld AS (
    SELECT id
    FROM pgq_job AS job
    WHERE status = 'picked'
        AND worker_id = CAST(:worker_id AS uuid)
        AND updated < now() - make_interval(secs => CAST(:unheld_seconds AS double precision))
        -- not a join: the planner may expect one row on either side, and compare all with all
        AND (id, lease) NOT IN (SELECT id, lease FROM held)
    -- one that an application's transaction holds is given back by a later beat: this one must not wait
    FOR UPDATE SKIP LOCKED
), returned AS (
    UPDATE pgq_job AS job
    SET status = 'queued',
        lease = job.lease + 1,
        worker_id = NULL,
        updated = now()
    WHERE job.id = ANY (ARRAY (SELECT id FROM unheld))
        AND job.status = 'picked'
        AND job.worker_id = CAST(:worker_id AS uuid)
    RETURNING job.id, job.lease
), announced AS (
    -- Read below: PostgreSQL skips a SELECT that nobody refers to, and no NOTIFY would be sent.
    SELECT count(pg_notify('pgq', '')) AS sent
    FROM (SELECT 1 FROM returned LIMIT 1) AS any_returned
)
SELECT 'beaten' AS notice, CAST(NULL AS bigint) AS id, CAST(NULL AS bigint) AS lease
FROM beaten
UNION ALL
SELECT 'dead', NULL, NULL
WHERE EXISTS (
    SELECT FROM pgq_worker
    WHERE heartbeat < now() - make_interval(secs => lease_seconds)
        AND id <> CAST(:worker_id AS uuid)
)
UNION ALL
SELECT 'pooled', NULL, NULL
FROM pg_listening_channels() AS channel
WHERE channel = 'pgq'
UNION ALL
SELECT CASE WHEN stands THEN 'canceling' ELSE 'lost' END, id, lease
FROM held
WHERE cancel_requested IS NOT NULL
    OR NOT stands
UNION ALL
SELECT 'returned', id, lease
FROM returned, announced;
