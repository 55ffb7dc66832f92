-- Takes back jobs that the same transaction has just added, and their edges.
WITH disconnected AS (
    DELETE FROM pgq_dependency
    -- ARRAY: for hundreds of ids in plain sight the planner, without statistics, would rather read all edges
    WHERE job_id = ANY (ARRAY (SELECT unnest(CAST(:ids AS bigint[]))))
)
DELETE FROM pgq_job AS job
USING (
    SELECT unnest(CAST(:ids AS bigint[])) AS id
    -- A limit that the planner cannot know: it expects few, and looks them up one by one, whatever it believes of the table.
    LIMIT (SELECT cardinality(CAST(:ids AS bigint[])))
) AS added
WHERE job.id = added.id;
