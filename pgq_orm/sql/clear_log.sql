-- Deletes log rows, of some entrypoints or of all. Answers how many. Not TRUNCATE: its lock would keep every worker
-- from writing an outcome until the caller's transaction ends.
WITH cleared AS (
    DELETE FROM pgq_log
    WHERE CAST(:entrypoints AS text[]) IS NULL
        OR entrypoint = ANY (CAST(:entrypoints AS text[]))
    RETURNING id
)
SELECT count(*)
FROM cleared;
