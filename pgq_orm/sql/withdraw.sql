-- Takes back jobs that the same transaction has just added, and their edges.
WITH added AS (
    SELECT unnest(CAST(:ids AS bigint[])) AS id
), disconnected AS (
    DELETE FROM pgq_dependency
    -- ARRAY: for hundreds of ids in plain sight the planner, without statistics, would rather read all edges
    WHERE job_id = ANY (ARRAY (SELECT id FROM added))
)
DELETE FROM pgq_job
WHERE id = ANY (ARRAY (SELECT id FROM added))
    -- The planner expects few between these, and takes the index for them.
    AND id BETWEEN (SELECT min(id) FROM added) AND (SELECT max(id) FROM added);
