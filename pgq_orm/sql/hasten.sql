-- Makes the deferred job ready that is due next, if that is soon enough: as if the time until then had passed.
-- For tests, in whose transaction no time passes. Answers whether there was one.
WITH next AS (
    SELECT id
    FROM pgq_job
    WHERE status = 'queued'
        AND execute_after > updated
        AND execute_after <= now() + make_interval(secs => CAST(:ahead_seconds AS double precision))
        AND entrypoint = ANY (CAST(:entrypoints AS text[]))
        AND queue = ANY (CAST(:queues AS text[]))
    ORDER BY execute_after, id
    LIMIT 1
    FOR UPDATE
), hastened AS (
    UPDATE pgq_job
    SET updated = execute_after
    WHERE id IN (SELECT id FROM next)
    RETURNING id
)
SELECT count(*) > 0
FROM hastened;
