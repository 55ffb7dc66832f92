-- Lets deferred jobs whose time has come into the pick's index: execute_after no longer lies past `updated`.
-- Answers how many seconds remain until the next one is due: 0 if some were let in, NULL if none is deferred.
-- A worker that has no room for them itself announces them to the others.
WITH due AS (
    SELECT id
    FROM pgq_job
    WHERE status = 'queued'
        AND execute_after > updated
        AND execute_after <= now()
    ORDER BY execute_after
    LIMIT CAST(:batch_size AS integer)
    FOR UPDATE SKIP LOCKED
), promoted AS (
    UPDATE pgq_job
    SET updated = now()
    WHERE id = ANY (ARRAY (SELECT id FROM due))
    RETURNING id
), announced AS (
    -- Read below: PostgreSQL skips a SELECT that nobody refers to, and no NOTIFY would be sent.
    SELECT count(pg_notify('pgq', '')) AS sent
    FROM (SELECT 1 FROM promoted WHERE CAST(:announce AS boolean) LIMIT 1) AS any_promoted
)
SELECT
    CASE
        WHEN EXISTS (SELECT FROM promoted) THEN 0
        ELSE (
            -- more than 0, however close it is by now
            SELECT GREATEST(CAST(EXTRACT(epoch FROM execute_after - clock_timestamp()) AS double precision), 1e-6)
            FROM pgq_job
            WHERE status = 'queued'
                AND execute_after > updated
                AND execute_after > now()
            ORDER BY execute_after
            LIMIT 1
        )
    END
FROM announced;
