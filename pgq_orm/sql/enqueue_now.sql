-- Adds one job that may run at once and has no dedupe_key. Leaves the time to the column's default: whoever does not
-- prepare statements has this one planned for each job, and an eighth of the server's time would be the planning of that.
INSERT INTO pgq_job (queue, entrypoint, priority, payload, arguments, headers, max_attempts, concurrency_key)
VALUES (
    CAST(:queue AS text),
    CAST(:entrypoint AS text),
    CAST(:priority AS integer),
    CAST(:payload AS bytea),
    CAST(CAST(:arguments AS text) AS jsonb),
    CAST(CAST(:headers AS text) AS jsonb),
    CAST(:max_attempts AS integer),
    CAST(:concurrency_key AS text)
)
RETURNING id;
