-- Adds one job that has a time and no dedupe_key: in half of what arrays of one element take, here and in the driver.
INSERT INTO pgq_job (
    queue, entrypoint, priority, execute_after, payload, arguments, headers, max_attempts, concurrency_key
)
VALUES (
    CAST(:queue AS text),
    CAST(:entrypoint AS text),
    CAST(:priority AS integer),
    COALESCE(
        CAST(:execute_at AS timestamptz),
        now() + make_interval(secs => CAST(:delay_seconds AS double precision))
    ),
    CAST(:payload AS bytea),
    CAST(CAST(:arguments AS text) AS jsonb),
    CAST(CAST(:headers AS text) AS jsonb),
    CAST(:max_attempts AS integer),
    CAST(:concurrency_key AS text)
)
RETURNING id;
