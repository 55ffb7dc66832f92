-- Adds jobs, or replaces the job that holds the dedupe_key, if no worker has picked it yet.
-- A picked job is left alone and missing from the answer. Relative delays are added to the database's clock.
INSERT INTO pgq_job (
    queue, entrypoint, priority, execute_after, payload, arguments, headers, dedupe_key, max_attempts
)
SELECT
    queue,
    entrypoint,
    priority,
    COALESCE(execute_at, now() + make_interval(secs => delay_seconds)),
    payload,
    CAST(arguments AS jsonb),
    CAST(headers AS jsonb),
    dedupe_key,
    max_attempts
FROM unnest(
    CAST(:queues AS text[]),
    CAST(:entrypoints AS text[]),
    CAST(:priorities AS integer[]),
    CAST(:execute_ats AS timestamptz[]),
    CAST(:delays_seconds AS double precision[]),
    CAST(:payloads AS bytea[]),
    CAST(:arguments AS text[]),
    CAST(:headers AS text[]),
    CAST(:dedupe_keys AS text[]),
    CAST(:max_attempts AS integer[])
) AS wanted (
    queue, entrypoint, priority, execute_at, delay_seconds, payload, arguments, headers, dedupe_key, max_attempts
)
ON CONFLICT (dedupe_key) WHERE dedupe_key IS NOT NULL DO UPDATE
SET queue = EXCLUDED.queue,
    entrypoint = EXCLUDED.entrypoint,
    priority = EXCLUDED.priority,
    execute_after = EXCLUDED.execute_after,
    payload = EXCLUDED.payload,
    arguments = EXCLUDED.arguments,
    headers = EXCLUDED.headers,
    max_attempts = EXCLUDED.max_attempts,
    updated = now()
WHERE pgq_job.status <> 'picked'
RETURNING id, dedupe_key;
