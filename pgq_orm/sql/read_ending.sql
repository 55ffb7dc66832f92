-- Tells what became of an attempt whose COMMIT was not answered: true if its lease no longer stands, false if it does,
-- NULL while somebody's open transaction holds the job. Waits for nobody.
WITH standing AS (
    SELECT id
    FROM pgq_job
    WHERE id = CAST(:id AS bigint)
        AND lease = CAST(:lease AS bigint)
        AND status = 'picked'
), free AS (
    SELECT id
    FROM pgq_job
    WHERE id = CAST(:id AS bigint)
        AND lease = CAST(:lease AS bigint)
        AND status = 'picked'
    FOR KEY SHARE SKIP LOCKED
)
SELECT CASE
    WHEN NOT EXISTS (SELECT FROM standing) THEN true
    WHEN EXISTS (SELECT FROM free) THEN false
END;
