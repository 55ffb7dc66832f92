-- Adds jobs, or replaces those that hold the dedupe_keys; all of them or, if a worker has picked one, none. Only a job that
-- was enqueued and picked after the call began is found too late for what was replaced before it, which stays until the
-- caller, who is told of it, rolls back.
-- :claimed_keys are all the keys of a call that takes several statements. Relative delays are added to the database's
-- clock. Answers the rows added or replaced, in the order given, and which were new; or, without an id, the keys of
-- the jobs that run.
WITH running AS (
    -- looked for without a lock first: it would hold up the worker that wants to finish the job
    SELECT dedupe_key
    FROM pgq_job
    WHERE dedupe_key = ANY (CAST(:claimed_keys AS text[]))
        AND status = 'picked'
), known AS (
    SELECT job.id
    FROM unnest(CAST(:claimed_keys AS text[])) AS claimed (key)
    CROSS JOIN LATERAL (
        SELECT id
        FROM pgq_job
        WHERE dedupe_key = claimed.key
        -- One by one, by index, here and below, whatever the planner believes of the table.
        OFFSET 0
    ) AS job
    WHERE NOT EXISTS (SELECT FROM running)
    ORDER BY job.id
), held AS MATERIALIZED (
    -- from here on no worker picks them
    SELECT job.dedupe_key, job.status
    FROM known
    CROSS JOIN LATERAL (
        SELECT dedupe_key, status
        FROM pgq_job
        WHERE id = known.id
        OFFSET 0
        FOR UPDATE
    ) AS job
), refused AS (
    SELECT dedupe_key FROM running
    UNION ALL
    SELECT dedupe_key FROM held WHERE status = 'picked'
), added AS (
    INSERT INTO pgq_job (
        queue, entrypoint, priority, execute_after, payload, arguments, headers, dedupe_key, max_attempts,
        concurrency_key
    )
    SELECT
        COALESCE(queue, (CAST(:queues AS text[]))[1]),
        COALESCE(entrypoint, (CAST(:entrypoints AS text[]))[1]),
        priority,
        COALESCE(execute_at, now() + make_interval(secs => COALESCE(delay_seconds, 0))),
        payload,
        CAST(arguments AS jsonb),
        CAST(headers AS jsonb),
        dedupe_key,
        max_attempts,
        concurrency_key
    FROM unnest(
        CAST(:queues AS text[]),
        CAST(:entrypoints AS text[]),
        CAST(CAST(:priorities AS text) AS integer[]),
        CAST(:execute_ats AS timestamptz[]),
        CAST(:delays_seconds AS double precision[]),
        CAST(:payloads AS bytea[]),
        CAST(:arguments AS text[]),
        CAST(:headers AS text[]),
        CAST(:dedupe_keys AS text[]),
        CAST(:max_attempts AS integer[]),
        CAST(:concurrency_keys AS text[])
    ) AS wanted (
        queue, entrypoint, priority, execute_at, delay_seconds, payload, arguments, headers, dedupe_key, max_attempts,
        concurrency_key
    )
    WHERE NOT EXISTS (SELECT FROM refused)
    ON CONFLICT (dedupe_key) WHERE dedupe_key IS NOT NULL DO UPDATE
    SET queue = EXCLUDED.queue,
        entrypoint = EXCLUDED.entrypoint,
        priority = EXCLUDED.priority,
        execute_after = EXCLUDED.execute_after,
        payload = EXCLUDED.payload,
        arguments = EXCLUDED.arguments,
        headers = EXCLUDED.headers,
        max_attempts = EXCLUDED.max_attempts,
        concurrency_key = EXCLUDED.concurrency_key,
        updated = now()
    -- a job that was enqueued and picked since this statement began
    WHERE pgq_job.status <> 'picked'
    -- xmax: no transaction has touched a new row before
    RETURNING id, dedupe_key, xmax = 0 AS is_new
)
SELECT id, dedupe_key, is_new
FROM added
UNION ALL
SELECT NULL, dedupe_key, false
FROM refused;
