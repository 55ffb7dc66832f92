-- Adds jobs. A job whose dedupe_key is in use is left out, without harm to the caller's transaction.
-- Relative delays are added to the database's clock. Answers the rows added, in the order given.
-- Only :priorities must have an element for each job. unnest pads the other arrays with NULL, which stands for the
-- first element in :queues and :entrypoints.
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
ON CONFLICT (dedupe_key) WHERE dedupe_key IS NOT NULL DO NOTHING
RETURNING id, dedupe_key;
