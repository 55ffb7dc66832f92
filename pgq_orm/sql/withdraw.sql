-- Takes back jobs that the same transaction has just added, and their edges.
WITH disconnected AS (
    DELETE FROM pgq_dependency
    -- ARRAY: for hundreds of ids in plain sight the planner, without statistics, would rather read all edges
    WHERE job_id = ANY (ARRAY (SELECT unnest(CAST(:ids AS bigint[]))))
)
DELETE FROM pgq_job
WHERE id = ANY (CAST(:ids AS bigint[]));
