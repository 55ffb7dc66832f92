-- Pauses queues, those without a row as well, until they are resumed or the time has come. Answers their names.
INSERT INTO pgq_queue (name, paused, resume_at)
SELECT
    name,
    true,
    COALESCE(
        CAST(:resume_at AS timestamptz),
        now() + make_interval(secs => CAST(:delay_seconds AS double precision))
    )
FROM unnest(CAST(:names AS text[])) AS wanted (name)
ORDER BY name
ON CONFLICT (name) DO UPDATE
SET paused = true,
    resume_at = EXCLUDED.resume_at,
    updated = now()
RETURNING name;
