-- Deletes log rows, of some entrypoints or of all. Answers how many. Not TRUNCATE: its lock would keep every worker
-- from writing an outcome until the caller's transaction ends. The edges of a workflow go with the job that waited.
WITH cleared AS (
    DELETE FROM pgq_log
    WHERE CAST(:entrypoints AS text[]) IS NULL
        OR entrypoint = ANY (CAST(:entrypoints AS text[]))
    RETURNING job_id, workflow_id, retried
), disconnected AS (
    DELETE FROM pgq_dependency
    WHERE job_id = ANY (ARRAY (SELECT job_id FROM cleared WHERE workflow_id IS NOT NULL AND NOT retried))
)
SELECT count(*)
FROM cleared;
