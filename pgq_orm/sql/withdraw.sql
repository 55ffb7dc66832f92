-- Takes back jobs that the same transaction has just added, and their edges.
WITH disconnected AS (
    DELETE FROM pgq_dependency
    WHERE job_id = ANY (CAST(:ids AS bigint[]))
)
DELETE FROM pgq_job
WHERE id = ANY (CAST(:ids AS bigint[]));
